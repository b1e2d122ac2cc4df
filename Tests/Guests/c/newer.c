// VAES, VPCLMULQDQ and GFNI on 256 bits, RDPID, RDRAND and RDSEED, XGETBV, and what CPUID says about them.
#include <cpuid.h>
#include <immintrin.h>
#include "guest.h"

static uint64_t digest;
static __m256i block(void) {
  return _mm256_set_epi64x((long long)guest_number(), (long long)guest_number(), (long long)guest_number(), (long long)guest_number());
}
#define LOOP(name, expression)                                            \
  digest = GUEST_DIGEST;                                                  \
  for (int i = 0; i < 100; i++) {                                         \
    __m256i a = block(), b = block(), result = expression;                \
    digest = guest_digest(digest, &result, 32);                           \
  }                                                                       \
  printf("%-26s %016lx\n", name, digest)

int main(void) {
  LOOP("_mm256_aesenc_epi128", _mm256_aesenc_epi128(a, b));
  LOOP("_mm256_aesdeclast_epi128", _mm256_aesdeclast_epi128(a, b));
  LOOP("_mm256_clmulepi64_epi128", _mm256_clmulepi64_epi128(a, b, 0x01));
  LOOP("_mm256_gf2p8mul_epi8", _mm256_gf2p8mul_epi8(a, b));
  LOOP("_mm256_gf2p8affine", _mm256_gf2p8affine_epi64_epi8(a, b, 0x63));
  LOOP("_mm256_gf2p8affineinv", _mm256_gf2p8affineinv_epi64_epi8(a, b, 0x63));
  unsigned long long first = 0, second = 0;
  int made = 0;
  for (int i = 0; i < 20; i++) made += _rdrand64_step(&first);
  CHECK(made > 0 && _rdrand64_step(&second) && first != second);
  unsigned long low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  printf("xcr0 has x87, SSE, AVX: %lu\n", low & 7);
  unsigned long long before = __rdtsc(), after = __rdtsc();
  CHECK(after >= before);
  printf("made %d\n", made > 0);
}
