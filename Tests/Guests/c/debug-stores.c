// Stores of every kind to one watched word, each of which changes it; those of AVX-512 where the processor has them. Prints how
// many there were. With a word on the command line there are many stores beside that word in front of each.
#include <immintrin.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned char word[64] __attribute__((aligned(64)));
static int count, neighbours;

__attribute__((noinline)) static void heat(void) {
  volatile unsigned char *beside = word;
  for (int i = 0; i < neighbours; i++) beside[16 + i % 48]++;
}

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl"), noinline)) static void
#define AVX __attribute__((target("avx2"), noinline)) static void

WIDE whole(char value) { _mm512_storeu_si512(word, _mm512_set1_epi8(value)); }
WIDE masked(__mmask64 mask, char value) { _mm512_mask_storeu_epi8(word, mask, _mm512_set1_epi8(value)); }
WIDE compressed(char value) { _mm512_mask_compressstoreu_epi32(word, 0xf0, _mm512_set1_epi8(value)); }
WIDE scattered(char value) {
  _mm512_i32scatter_epi32(word, _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi8(value), 4);
}
WIDE upper(char value) {
  __asm__ volatile("vpbroadcastb %0, %%ymm17\n vmovdqu8 %%ymm17, (%1)" : : "r"((int)value), "r"(word) : "ymm17", "memory");
}
WIDE opmask(__mmask64 mask) { __asm__ volatile("kmovq %0, (%1)" : : "k"(mask), "r"(word) : "memory"); }

AVX halves(char value) { _mm256_storeu_si256((__m256i *)word, _mm256_set1_epi8(value)); }
AVX maskmov(char value) {
  _mm256_maskstore_epi32((int *)word, _mm256_set_epi32(0, 0, 0, 0, 0, 0, -1, 0), _mm256_set1_epi8(value));
}

static void bits(void) { __asm__ volatile("lock btsq $40, (%0)" : : "r"(word) : "memory", "cc"); }
static void string(char value) {
  unsigned char *to = word;
  long size = 1;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
}
static void pushed(long value) {
  __asm__ volatile("mov %%rsp, %%r15\n lea 8(%0), %%rsp\n push %1\n mov %%r15, %%rsp" : : "r"(word), "r"(value) : "r15", "memory");
}
static void x87(long value) { __asm__ volatile("fildll %1\n fistpll (%0)" : : "r"(word), "m"(value) : "memory", "st"); }
static void control(void) { __asm__ volatile("stmxcsr (%0)" : : "r"(word) : "memory"); }

int main(int words, char **arguments) {
  (void)arguments;
  neighbours = words > 1 ? 500 : 0;
  long *place = (long *)word;
  char byte = 0;
#define CHANGE(statement) (byte++, heat(), statement, count++)
  CHANGE(word[0] = byte);
  CHANGE(*place += 0x0101);
  CHANGE(__atomic_fetch_add(place, 3, __ATOMIC_SEQ_CST));
  CHANGE(__atomic_exchange_n(place, 77, __ATOMIC_SEQ_CST));
  CHANGE(bits());
  CHANGE(string(byte));
  CHANGE(pushed((long)place));
  CHANGE(x87(byte));
  CHANGE(_mm_storeu_si128((__m128i *)word, _mm_set1_epi8(byte)));
  CHANGE(control());
  if (__builtin_cpu_supports("avx2")) {
    CHANGE(halves(byte));
    CHANGE(maskmov(byte));
  }
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    CHANGE(whole(byte));
    CHANGE(masked(0xf0, byte));
    CHANGE(masked(1, byte));
    CHANGE(compressed(byte));
    CHANGE(scattered(byte));
    CHANGE(upper(byte));
    CHANGE(opmask(byte));
  }
  printf("%d\n", count);
  return 0;
}
