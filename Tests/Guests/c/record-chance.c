// A guest that prints what no two runs have in common and no system call says: time stamps, random numbers from instructions, the
// number of the processor, what is in the auxiliary vector.
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include "guest.h"

__attribute__((target("rdrnd"))) static uint64_t hardware_random(void) {
  unsigned long long value = 0;
  while (!_rdrand64_step(&value)) {}
  return value;
}

__attribute__((target("rdseed"))) static uint64_t hardware_seed(void) {
  unsigned long long value = 0;
  for (int attempt = 0; attempt < 1000; attempt++)
    if (_rdseed64_step(&value)) break;
  return value;
}

int main(void) {
  uint64_t digest = GUEST_DIGEST;
  unsigned processor = 0;
  for (int round = 0; round < 2000; round++) {
    uint64_t words[2] = {__rdtsc(), __rdtscp(&processor)};
    digest = guest_digest(digest, words, sizeof words);
  }
  printf("time stamp counter %lu, mixed %016lx, processor %u %d\n", (unsigned long)__rdtsc(), (unsigned long)digest,
         processor & 0xfff, sched_getcpu());
  unsigned a, b, c, d;
  __cpuid(1, a, b, c, d);
  if (c >> 30 & 1) printf("RDRAND %016lx\n", (unsigned long)hardware_random());
  __cpuid_count(7, 0, a, b, c, d);
  if (b >> 18 & 1) printf("RDSEED %016lx\n", (unsigned long)hardware_seed());
  uint64_t seed[2];
  memcpy(seed, (void *)getauxval(AT_RANDOM), sizeof seed);
  printf("AT_RANDOM %016lx%016lx\n", (unsigned long)seed[0], (unsigned long)seed[1]);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  printf("%ld.%09ld %ld, stack %p\n", (long)now.tv_sec, now.tv_nsec, (long)time(0), (void *)&now);
  return (int)(digest & 63);
}
