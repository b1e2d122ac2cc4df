// Kernels of floating point and vector instructions.
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "kernels.h"

static uint64_t bits(double value) {
  uint64_t result;
  memcpy(&result, &value, 8);
  return result;
}

uint64_t k_matrix(uint64_t size) {
  double *a = malloc(size * size * 8), *b = malloc(size * size * 8), *c = calloc(size * size, 8), sum = 0;
  for (uint64_t i = 0; i < size * size; i++) a[i] = (double)(i % 17) - 8.5, b[i] = (double)(i % 13) * 0.25;
  for (uint64_t i = 0; i < size; i++)
    for (uint64_t k = 0; k < size; k++)
      for (uint64_t j = 0; j < size; j++) c[i * size + j] += a[i * size + k] * b[k * size + j];
  for (uint64_t i = 0; i < size * size; i++) sum += c[i];
  free(a);
  free(b);
  free(c);
  return bits(sum);
}

uint64_t k_libm(uint64_t size) {
  double sum = 0;
  for (uint64_t i = 1; i <= size; i++) {
    double x = (double)i * 0.001;
    sum += sin(x) + exp(-x * 0.01) + pow(x, 0.75) + log(x) + atan(x);
  }
  return bits(sum);
}

uint64_t k_x87(uint64_t size) {
  long double x = 1, sum = 0;
  for (uint64_t i = 1; i <= size; i++) {
    x = x * 1.0000001L + 1.0L / (long double)i;
    sum += x / (x + 3.5L) - __builtin_fabsl(x - 2);
  }
  return bits((double)sum);
}

// Four floats at a time: an integer part and a floating part.
uint64_t k_sse(uint64_t size) {
  __m128 position = _mm_set_ps(0.1f, 0.2f, 0.3f, 0.4f), speed = _mm_set1_ps(0.01f);
  __m128i mix = _mm_set_epi32(1, 2, 3, 4), key = _mm_set1_epi16(0x1234);
  for (uint64_t i = 0; i < size; i++) {
    position = _mm_add_ps(position, _mm_mul_ps(speed, _mm_sub_ps(_mm_set1_ps(1), position)));
    speed = _mm_max_ps(_mm_min_ps(_mm_shuffle_ps(speed, position, 0x39), _mm_set1_ps(0.5f)), _mm_set1_ps(-0.5f));
    mix = _mm_add_epi32(_mm_xor_si128(_mm_slli_epi32(mix, 5), _mm_srli_epi32(mix, 27)), _mm_madd_epi16(mix, key));
    mix = _mm_unpacklo_epi8(_mm_packus_epi16(mix, key), _mm_cmpgt_epi16(mix, key));
  }
  __m128i sum = _mm_xor_si128(_mm_castps_si128(position), mix);
  return (uint64_t)_mm_cvtsi128_si64(sum) ^ (uint64_t)_mm_cvtsi128_si64(_mm_srli_si128(sum, 8));
}

__attribute__((target("avx2,fma"))) uint64_t k_avx2(uint64_t size) {
  static float values[1024];
  static int32_t integers[1024];
  for (int i = 0; i < 1024; i++) values[i] = (float)i * 0.001f, integers[i] = i * 7919;
  __m256 sum = _mm256_setzero_ps();
  __m256i digest = _mm256_setzero_si256();
  for (uint64_t i = 0; i < size; i++) {
    __m256 a = _mm256_loadu_ps(values + (i * 8 & 1015)), b = _mm256_loadu_ps(values + (i * 24 & 1015));
    sum = _mm256_fmadd_ps(a, b, _mm256_mul_ps(sum, _mm256_set1_ps(0.999f)));
    __m256i c = _mm256_loadu_si256((const __m256i *)(integers + (i * 8 & 1015)));
    digest = _mm256_add_epi32(_mm256_mullo_epi32(digest, c), _mm256_permutevar8x32_epi32(c, digest));
    digest = _mm256_xor_si256(digest, _mm256_shuffle_epi8(c, _mm256_srli_epi32(digest, 28)));
  }
  digest = _mm256_xor_si256(digest, _mm256_castps_si256(sum));
  uint64_t parts[4];
  _mm256_storeu_si256((__m256i *)parts, digest);
  return parts[0] ^ parts[1] ^ parts[2] ^ parts[3];
}
