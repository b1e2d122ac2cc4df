// Kernels of integer arithmetic and control flow.
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "kernels.h"

uint64_t k_null(uint64_t size) { return size; }

// Two calls and returns per number.
static __attribute__((noinline)) uint64_t fibonacci(uint64_t n) {
  if (n < 2) return n;
  uint64_t first = fibonacci(n - 1);
  __asm__ volatile("" : "+r"(first));  // keeps gcc from turning half of the calls into a loop
  return first + fibonacci(n - 2);
}
uint64_t k_calls(uint64_t size) { return fibonacci(size); }

uint64_t k_sieve(uint64_t size) {
  uint8_t *composite = calloc(size + 1, 1);
  uint64_t primes = 0;
  for (uint64_t i = 2; i <= size; i++) {
    if (composite[i]) continue;
    primes++;
    for (uint64_t k = i * i; k <= size; k += i) composite[k] = 1;
  }
  free(composite);
  return primes;
}

uint64_t k_mixing(uint64_t size) {
  uint64_t state = SEED, sum = 0;
  for (uint64_t i = 0; i < size; i++) {
    uint64_t x = next_number(&state);
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    sum += x ^ (x >> 33);
  }
  return sum;
}

uint64_t k_insertion(uint64_t size) {
  uint32_t *list = malloc(size * sizeof *list);
  uint64_t state = SEED, sum = 0;
  for (uint64_t i = 0; i < size; i++) list[i] = (uint32_t)next_number(&state);
  for (uint64_t i = 1; i < size; i++) {
    uint32_t value = list[i];
    uint64_t k = i;
    while (k > 0 && list[k - 1] > value) {
      list[k] = list[k - 1];
      k--;
    }
    list[k] = value;
  }
  for (uint64_t i = 0; i < size; i++) sum = sum * 31 + list[i];
  free(list);
  return sum;
}

typedef int comparison(const void *, const void *);
static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}
static void quicksort(uint32_t *list, long low, long high, comparison *order) {
  while (low < high) {
    uint32_t pivot = list[(low + high) / 2];
    long i = low, k = high;
    while (i <= k) {
      while (order(&list[i], &pivot) < 0) i++;
      while (order(&list[k], &pivot) > 0) k--;
      if (i <= k) {
        uint32_t swap = list[i];
        list[i++] = list[k];
        list[k--] = swap;
      }
    }
    quicksort(list, low, k, order);
    low = i;
  }
}
uint64_t k_quicksort(uint64_t size) {
  uint32_t *list = malloc(size * sizeof *list);
  uint64_t state = SEED, sum = 0;
  comparison *volatile order = compare;
  for (uint64_t i = 0; i < size; i++) list[i] = (uint32_t)next_number(&state);
  quicksort(list, 0, (long)size - 1, order);
  for (uint64_t i = 0; i < size; i++) sum = sum * 31 + list[i];
  free(list);
  return sum;
}

// A register machine with threaded dispatch: one indirect jump per instruction.
uint64_t k_bytecode(uint64_t size) {
  enum { add, mul, xor, shift, load, store, less, jump, halt };
  // r0 = counter, r1 = limit, r2, r3 = state; 12 instructions per turn
  static const uint8_t program[][4] = {
      {add, 2, 2, 0}, {mul, 3, 3, 4}, {xor, 2, 2, 3}, {shift, 5, 2, 7}, {xor, 2, 2, 5}, {store, 2, 0, 0}, {add, 3, 3, 6},
      {load, 5, 3, 0}, {add, 3, 3, 5}, {add, 0, 0, 7}, {less, 0, 1, 0}, {jump, 0, 0, 0}, {halt, 0, 0, 0},
  };
  static void *const labels[] = {&&do_add, &&do_mul, &&do_xor, &&do_shift, &&do_load, &&do_store, &&do_less, &&do_jump, &&do_halt};
  static uint64_t memory[256];
  uint64_t r[8] = {0, size, 1, 2, 6364136223846793005u, 0, 1442695040888963407u, 1};
  int condition = 0;
  const uint8_t (*at)[4] = program;
#define GO goto *labels[(*at)[0]]
#define NEXT at++; GO
  GO;
do_add: r[(*at)[1]] = r[(*at)[2]] + r[(*at)[3]]; NEXT;
do_mul: r[(*at)[1]] = r[(*at)[2]] * r[(*at)[3]]; NEXT;
do_xor: r[(*at)[1]] = r[(*at)[2]] ^ r[(*at)[3]]; NEXT;
do_shift: r[(*at)[1]] = r[(*at)[2]] >> (*at)[3]; NEXT;
do_load: r[(*at)[1]] = memory[r[(*at)[2]] & 255]; NEXT;
do_store: memory[r[(*at)[2]] & 255] = r[(*at)[1]]; NEXT;
do_less: condition = r[(*at)[1]] < r[(*at)[2]]; NEXT;
do_jump: at = condition ? program : at + 1; GO;
do_halt: return r[2] ^ r[3];
}

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static inline uint32_t turn(uint32_t x, int by) { return x >> by | x << (32 - by); }

// FIPS 180-4's compression function over `size` blocks of numbers.
uint64_t k_sha256(uint64_t size) {
  uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint64_t state = SEED;
  for (uint64_t block = 0; block < size; block++) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) w[i] = (uint32_t)next_number(&state);
    for (int i = 16; i < 64; i++) {
      uint32_t s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3;
      uint32_t s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    for (int i = 0; i < 8; i++) v[i] = h[i];
    for (int i = 0; i < 64; i++) {
      uint32_t s1 = turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25), choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
      uint32_t one = v[7] + s1 + choice + constants[i] + w[i];
      uint32_t s0 = turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22), most = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
      for (int k = 7; k > 0; k--) v[k] = v[k - 1];
      v[4] += one;
      v[0] = one + s0 + most;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
  }
  return (uint64_t)h[0] << 32 | h[7];
}

uint64_t k_getpid(uint64_t size) {
  long own = getpid();
  uint64_t same = 0;
  for (uint64_t i = 0; i < size; i++) same += syscall(SYS_getpid) == own;
  return same;
}

uint64_t k_clock(uint64_t size) {
  struct timespec last = {0}, now;
  uint64_t forward = 0;
  for (uint64_t i = 0; i < size; i++, last = now) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    forward += now.tv_sec > last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec);
  }
  return forward;
}
