// Loops that gcc -O3 turns into vector code, in float, double and integers of every width. Compiled for x86-64, -v2 and -v3.
#include <math.h>
#include <string.h>
#include "guest.h"

#define N 1024
static float fa[N], fb[N], fc[N];
static double da[N], db[N], dc[N];
static int8_t i8a[N], i8b[N];
static uint8_t u8a[N], u8b[N];
static int16_t i16a[N], i16b[N];
static uint16_t u16a[N];
static int32_t i32a[N], i32b[N];
static uint32_t u32a[N];
static int64_t i64a[N], i64b[N];
static float matrix[32][32], other[32][32], product[32][32];

static void fill(void) {
  guest_state = 88172645463325252u;
  for (int i = 0; i < N; i++) {
    uint64_t n = guest_number();
    fa[i] = (float)(int32_t)n / 65536; fb[i] = (float)(int16_t)(n >> 32) + 0.5f; fc[i] = 0;
    da[i] = (double)(int64_t)n / 1e6; db[i] = (double)(int32_t)(n >> 20) + 0.25; dc[i] = 0;
    i8a[i] = (int8_t)n; i8b[i] = (int8_t)(n >> 8); u8a[i] = (uint8_t)(n >> 16); u8b[i] = (uint8_t)(n >> 24);
    i16a[i] = (int16_t)(n >> 5); i16b[i] = (int16_t)(n >> 25); u16a[i] = (uint16_t)(n >> 37);
    i32a[i] = (int32_t)(n >> 3); i32b[i] = (int32_t)(n >> 30); u32a[i] = (uint32_t)(n >> 11);
    i64a[i] = (int64_t)n; i64b[i] = (int64_t)(n * 0x9e3779b97f4a7c15u);
  }
  for (int i = 0; i < 32; i++)
    for (int k = 0; k < 32; k++) matrix[i][k] = fa[i * 32 + k] / 1000, other[i][k] = fb[k * 32 + i] / 1000;
}

#define SHOW(name, array) printf("%-16s %016lx\n", name, guest_digest(GUEST_DIGEST, array, sizeof(array)))
#define LOOP(name, array, statement)       \
  fill();                                  \
  for (int i = 0; i < N; i++) { statement; } \
  SHOW(name, array)
#define REDUCE(name, type, start, statement) \
  do {                                       \
    fill();                                  \
    type sum = start;                        \
    for (int i = 0; i < N; i++) { statement; } \
    printf("%-16s %.17g\n", name, (double)sum); \
  } while (0)

static void floats(void) {
  LOOP("saxpy", fc, fc[i] = 2.5f * fa[i] + fb[i]);
  LOOP("daxpy", dc, dc[i] = 2.5 * da[i] + db[i]);
  LOOP("divide", fc, fc[i] = fa[i] / fb[i]);
  LOOP("square root", dc, dc[i] = sqrt(fabs(da[i])));
  LOOP("absolute", fc, fc[i] = fabsf(fa[i]) - fabsf(fb[i]));
  LOOP("select", fc, fc[i] = fa[i] > fb[i] ? fa[i] : fb[i] * 2);
  LOOP("minimum", dc, dc[i] = da[i] < db[i] ? da[i] : db[i]);
  LOOP("clamp", fc, float x = fa[i]; x = x < -9 ? -9 : x; fc[i] = x > 9 ? 9 : x);
  LOOP("to int", i32a, i32a[i] = (int32_t)fa[i]);
  LOOP("to int wide", i32a, i32a[i] = (int32_t)(db[i]));
  LOOP("from int", fc, fc[i] = (float)i32a[i]);
  LOOP("from short", dc, dc[i] = (double)i16a[i]);
  LOOP("from unsigned", fc, fc[i] = (float)u32a[i]);
  LOOP("from long", dc, dc[i] = (double)i64a[i]);
  LOOP("widen", dc, dc[i] = (double)fa[i]);
  LOOP("narrow", fc, fc[i] = (float)da[i]);
  LOOP("floor", dc, dc[i] = floor(da[i]) + ceil(db[i]));
  LOOP("polynomial", dc, double x = da[i] * 1e-9; dc[i] = ((x * 3 + 2) * x - 1) * x + 0.5);
  LOOP("reverse", fc, fc[i] = fa[N - 1 - i]);
  LOOP("gather", fc, fc[i] = fa[u16a[i] % N]);
  LOOP("stride", fc, fc[i] = fa[(i * 3) % N] - fb[(i * 2) % N]);
  REDUCE("sum", float, 0, sum += fa[i]);
  REDUCE("dot", double, 0, sum += da[i] * db[i]);
  REDUCE("largest", float, -1e30f, sum = fa[i] > sum ? fa[i] : sum);
  REDUCE("count", int, 0, sum += fa[i] > fb[i]);
  fill();
  for (int i = 0; i < 32; i++)
    for (int k = 0; k < 32; k++) {
      product[i][k] = 0;
      for (int m = 0; m < 32; m++) product[i][k] += matrix[i][m] * other[m][k];
    }
  SHOW("matrix", product);
  fill();
  for (int i = 0; i + 1 < N; i += 2) {
    fc[i] = fa[i] * fb[i] - fa[i + 1] * fb[i + 1];
    fc[i + 1] = fa[i] * fb[i + 1] + fa[i + 1] * fb[i];
  }
  SHOW("complex", fc);
  fill();
  for (int turn = 0; turn < 5; turn++)
    for (int i = 1; i < N - 1; i++) dc[i] = 0.25 * (da[i - 1] + 2 * da[i] + da[i + 1]);
  SHOW("stencil", dc);
  fill();
  for (int i = 1; i < N; i++) fa[i] += fa[i - 1];
  SHOW("prefix", fa);
}

static void integers(void) {
  LOOP("add bytes", i8a, i8a[i] = (int8_t)(i8a[i] + i8b[i]));
  LOOP("saturate", u8a, int x = u8a[i] + u8b[i]; u8a[i] = (uint8_t)(x > 255 ? 255 : x));
  LOOP("average", u8a, u8a[i] = (uint8_t)((u8a[i] + u8b[i] + 1) >> 1));
  LOOP("difference", u8a, u8a[i] = (uint8_t)abs(u8a[i] - u8b[i]));
  LOOP("multiply 16", i16a, i16a[i] = (int16_t)(i16a[i] * i16b[i]));
  LOOP("multiply high", i16a, i16a[i] = (int16_t)((i16a[i] * i16b[i]) >> 16));
  LOOP("multiply 32", i32a, i32a[i] = (int32_t)((uint32_t)i32a[i] * (uint32_t)i32b[i]));
  LOOP("multiply 64", i64a, i64a[i] = (int64_t)((uint64_t)i64a[i] * (uint64_t)i64b[i]));
  LOOP("shift", i32a, i32a[i] = (int32_t)((uint32_t)i32a[i] << 7) ^ (i32b[i] >> 5));
  LOOP("shift by", u32a, u32a[i] = u32a[i] << (u32a[i] & 31) | u32a[i] >> (u32a[i] & 7));
  LOOP("shift long", i64a, i64a[i] = (i64a[i] >> 17) ^ (int64_t)((uint64_t)i64b[i] >> 3));
  LOOP("minimum 8", i8a, i8a[i] = i8a[i] < i8b[i] ? i8a[i] : i8b[i]);
  LOOP("maximum 16", u16a, u16a[i] = u16a[i] > (uint16_t)i16a[i] ? u16a[i] : (uint16_t)i16a[i]);
  LOOP("minimum 32", i32a, i32a[i] = i32a[i] < i32b[i] ? i32a[i] : i32b[i]);
  LOOP("maximum 64", i64a, i64a[i] = i64a[i] > i64b[i] ? i64a[i] : i64b[i]);
  LOOP("select 32", i32a, i32a[i] = i32a[i] == i32b[i] || i32a[i] < 0 ? i32b[i] * 3 : ~i32a[i]);
  LOOP("widen 8", i32a, i32a[i] = i8a[i] - u8b[i]);
  LOOP("widen 16", i64a, i64a[i] = i16a[i] * 5 - u16a[i]);
  LOOP("narrow 32", i8a, i8a[i] = (int8_t)(i32a[i] >> 4));
  LOOP("narrow 64", i32a, i32a[i] = (int32_t)(i64a[i] ^ i64b[i]));
  LOOP("swap", u32a, u32a[i] = __builtin_bswap32(u32a[i]));
  LOOP("population", i64a, i64a[i] = __builtin_popcountll((unsigned long long)i64a[i]));
  LOOP("upper case", u8a, u8a[i] = (uint8_t)(u8a[i] >= 'a' && u8a[i] <= 'z' ? u8a[i] - 32 : u8a[i]));
  LOOP("divide by 7", u32a, u32a[i] = u32a[i] / 7 + (uint32_t)(i32a[i] % 10));
  REDUCE("sum 8", int, 0, sum += i8a[i]);
  REDUCE("sum 16", long, 0, sum += i16a[i] * i16b[i]);
  REDUCE("sum of squares", uint32_t, 0, sum += (uint32_t)i32a[i] * (uint32_t)i32a[i]);
  REDUCE("exclusive or", int64_t, 0, sum ^= i64a[i] & 0xffffffff);
  REDUCE("absolute sum", int, 0, sum += abs(u8a[i] - u8b[i]));
  fill();
  uint32_t histogram[256] = {0};
  for (int i = 0; i < N; i++) histogram[u8a[i]]++;
  SHOW("histogram", histogram);
  for (int i = 0; i < 512; i++) { uint8_t x = u8a[i]; u8a[i] = u8a[N - 1 - i]; u8a[N - 1 - i] = x; }
  SHOW("swap ends", u8a);
}

int main(void) {
  floats();
  integers();
}
