// AVX, AVX2, FMA, F16C, BMI1/2, ADX and MOVBE by intrinsics over random blocks; one digest per instruction.
#include <immintrin.h>
#include <string.h>
#include "guest.h"

static uint64_t digest;
static __m256i block(void) {
  return _mm256_set_epi64x((long long)guest_number(), (long long)guest_number(), (long long)guest_number(), (long long)guest_number());
}
static __m256 floats(void) { return _mm256_cvtepi32_ps(_mm256_srai_epi32(block(), (int)(guest_number() % 28))); }
static __m256d doubles(void) {
  return _mm256_cvtepi32_pd(_mm256_castsi256_si128(_mm256_srai_epi32(block(), (int)(guest_number() % 28))));
}
static void add(__m256i value) { digest = guest_digest(digest, &value, 32); }
static void report(const char *name) { printf("%-26s %016lx\n", name, digest); }
#define TIMES 100
#define LOOP(name, expression)                                    \
  digest = GUEST_DIGEST;                                          \
  for (int i = 0; i < TIMES; i++) {                               \
    __m256i a = block(), b = block(), c = block();                \
    (void)a; (void)b; (void)c;                                    \
    add(expression);                                              \
  }                                                               \
  report(name)
#define TWO(function) LOOP(#function, function(a, b))
#define ONE(function) LOOP(#function, function(a))
#define HALF(function) LOOP(#function, function(_mm256_castsi256_si128(a)))
#define WITH(function, number) LOOP(#function, function(a, number))
#define BOTH(function, number) LOOP(#function, function(a, b, number))
#define PS(expression) _mm256_castps_si256(expression)
#define PD(expression) _mm256_castpd_si256(expression)
#define FLOATS(function) LOOP(#function, PS(function(floats(), floats())))
#define DOUBLES(function) LOOP(#function, PD(function(doubles(), doubles())))
#define FUSED(function) LOOP(#function, PS(function(floats(), floats(), floats())))
#define FUSED2(function) LOOP(#function, PD(function(doubles(), doubles(), doubles())))
#define NUMBER(name, expression) LOOP(name, _mm256_set1_epi64x((long long)(expression)))

static void avx(void) {
  FLOATS(_mm256_add_ps); FLOATS(_mm256_mul_ps); FLOATS(_mm256_div_ps); FLOATS(_mm256_max_ps); FLOATS(_mm256_addsub_ps);
  FLOATS(_mm256_hadd_ps); FLOATS(_mm256_unpackhi_ps); FLOATS(_mm256_xor_ps); DOUBLES(_mm256_add_pd); DOUBLES(_mm256_sub_pd);
  DOUBLES(_mm256_mul_pd); DOUBLES(_mm256_div_pd); DOUBLES(_mm256_min_pd); DOUBLES(_mm256_hsub_pd); DOUBLES(_mm256_unpacklo_pd);
  LOOP("_mm256_sqrt_pd", PD(_mm256_sqrt_pd(_mm256_mul_pd(doubles(), _mm256_set1_pd(3)))));
  LOOP("_mm256_cmp_ps", PS(_mm256_cmp_ps(floats(), floats(), _CMP_NLE_UQ)));
  LOOP("_mm256_cmp_pd", PD(_mm256_cmp_pd(doubles(), doubles(), _CMP_TRUE_US)));
  LOOP("_mm256_blendv_ps", PS(_mm256_blendv_ps(floats(), floats(), floats())));
  LOOP("_mm256_shuffle_pd", PD(_mm256_shuffle_pd(doubles(), doubles(), 6)));
  LOOP("_mm256_permute_ps", PS(_mm256_permute_ps(floats(), 0x93)));
  LOOP("_mm256_permutevar_ps", PS(_mm256_permutevar_ps(floats(), a)));
  LOOP("_mm256_permutevar_pd", PD(_mm256_permutevar_pd(doubles(), a)));
  BOTH(_mm256_permute2f128_si256, 0x31); BOTH(_mm256_permute2f128_si256, 0x83);
  LOOP("_mm256_insertf128_ps", PS(_mm256_insertf128_ps(floats(), _mm256_castps256_ps128(floats()), 1)));
  LOOP("_mm256_round_ps", PS(_mm256_round_ps(_mm256_div_ps(floats(), _mm256_set1_ps(3)), 2)));
  LOOP("_mm256_cvttps_epi32", _mm256_cvttps_epi32(_mm256_mul_ps(floats(), _mm256_set1_ps(3.3f))));
  LOOP("_mm256_cvtpd_ps", _mm256_castsi128_si256(_mm_castps_si128(_mm256_cvtpd_ps(doubles()))));
  LOOP("_mm256_dp_ps", PS(_mm256_dp_ps(floats(), floats(), 0xe3)));
  LOOP("_mm256_movehdup_ps", PS(_mm256_movehdup_ps(floats())));
  NUMBER("_mm256_movemask_ps", _mm256_movemask_ps(floats()));
  NUMBER("_mm256_testz_si256", _mm256_testz_si256(a, _mm256_and_si256(b, c)));
  NUMBER("_mm256_testnzc_ps", _mm256_testnzc_ps(floats(), floats()));
  float memory[16];
  for (int i = 0; i < 16; i++) memory[i] = (float)i * 1.5f;
  LOOP("_mm256_maskload_ps", PS(_mm256_maskload_ps(memory + i % 8, a)));
  digest = GUEST_DIGEST;
  for (int i = 0; i < 50; i++) {
    _mm256_maskstore_ps(memory + i % 8, block(), floats());
    digest = guest_digest(digest, memory, sizeof memory);
  }
  report("_mm256_maskstore_ps");
  LOOP("_mm256_broadcast_ss", PS(_mm256_broadcast_ss(memory + i % 16)));
}

static void avx2(void) {
  TWO(_mm256_add_epi8); TWO(_mm256_adds_epu16); TWO(_mm256_sub_epi64); TWO(_mm256_mullo_epi32); TWO(_mm256_mul_epi32);
  TWO(_mm256_mulhrs_epi16); TWO(_mm256_madd_epi16); TWO(_mm256_maddubs_epi16); TWO(_mm256_sad_epu8); TWO(_mm256_max_epu32);
  TWO(_mm256_min_epi8); TWO(_mm256_cmpgt_epi64); TWO(_mm256_cmpeq_epi16); TWO(_mm256_packus_epi32); TWO(_mm256_packs_epi16);
  TWO(_mm256_unpackhi_epi16); TWO(_mm256_shuffle_epi8); TWO(_mm256_hadd_epi32); TWO(_mm256_sign_epi16); ONE(_mm256_abs_epi32);
  TWO(_mm256_andnot_si256); TWO(_mm256_avg_epu8); BOTH(_mm256_alignr_epi8, 9); BOTH(_mm256_blend_epi16, 0xa6); BOTH(_mm256_blend_epi32, 0x5a);
  LOOP("_mm256_blendv_epi8", _mm256_blendv_epi8(a, b, c)); BOTH(_mm256_mpsadbw_epu8, 0x2a); WITH(_mm256_shuffle_epi32, 0x39);
  WITH(_mm256_slli_epi16, 5); WITH(_mm256_srai_epi32, 9); WITH(_mm256_srli_si256, 3); WITH(_mm256_permute4x64_epi64, 0x72);
  TWO(_mm256_permutevar8x32_epi32); BOTH(_mm256_permute2x128_si256, 0x13);
  LOOP("_mm256_sllv_epi32", _mm256_sllv_epi32(a, _mm256_and_si256(b, _mm256_set1_epi32(63))));
  LOOP("_mm256_srlv_epi64", _mm256_srlv_epi64(a, _mm256_and_si256(b, _mm256_set1_epi64x(127))));
  LOOP("_mm256_srav_epi32", _mm256_srav_epi32(a, _mm256_and_si256(b, _mm256_set1_epi32(63))));
  HALF(_mm256_cvtepi8_epi32); HALF(_mm256_cvtepu16_epi64); HALF(_mm256_broadcastb_epi8); HALF(_mm256_broadcastq_epi64);
  LOOP("_mm256_extracti128", _mm256_castsi128_si256(_mm256_extracti128_si256(a, 1)));
  NUMBER("_mm256_movemask_epi8", _mm256_movemask_epi8(a));
  static int table[256];
  static double wide[256];
  for (int i = 0; i < 256; i++) table[i] = i * 31 - 7, wide[i] = i / 7.0;
  __m256i low = _mm256_set1_epi32(255), quad = _mm256_set1_epi64x(255);
  LOOP("_mm256_i32gather_epi32", _mm256_i32gather_epi32(table, _mm256_and_si256(a, low), 4));
  LOOP("_mm256_mask_i32gather", _mm256_mask_i32gather_epi32(b, table, _mm256_and_si256(a, low), c, 4));
  LOOP("_mm256_i64gather_pd", PD(_mm256_i64gather_pd(wide, _mm256_and_si256(a, quad), 8)));
  LOOP("_mm256_i64gather_epi32", _mm256_castsi128_si256(_mm256_i64gather_epi32(table, _mm256_and_si256(a, quad), 4)));
}

static void fused(void) {
  FUSED(_mm256_fmadd_ps); FUSED(_mm256_fmsub_ps); FUSED(_mm256_fnmadd_ps); FUSED(_mm256_fmaddsub_ps); FUSED2(_mm256_fmadd_pd);
  FUSED2(_mm256_fnmsub_pd); FUSED2(_mm256_fmsubadd_pd);
  LOOP("_mm_fmadd_sd", _mm256_castsi128_si256(_mm_castpd_si128(_mm_fmadd_sd(
                           _mm256_castpd256_pd128(doubles()), _mm256_castpd256_pd128(doubles()), _mm256_castpd256_pd128(doubles())))));
  LOOP("_mm256_cvtps_ph", _mm256_castsi128_si256(_mm256_cvtps_ph(_mm256_div_ps(floats(), _mm256_set1_ps(7e4f)), 0)));
  LOOP("_mm256_cvtph_ps", PS(_mm256_cvtph_ps(_mm_and_si128(_mm256_castsi256_si128(a), _mm_set1_epi16(0x3fff)))));
}

static void bits(void) {
  digest = GUEST_DIGEST;
  for (int i = 0; i < 1000; i++) {
    uint64_t a = guest_number() >> (i % 64), b = guest_number();
    unsigned long long high, sum, difference;
    unsigned char carry = _addcarry_u64((unsigned char)(i & 1), a, b, &sum), borrow = _subborrow_u64(carry, a, b, &difference);
    uint64_t low = _mulx_u64(a, b, &high);
    uint64_t results[] = {_andn_u64(a, b), _bextr_u64(a, (unsigned)i % 60, 17), _blsi_u64(a), _blsmsk_u64(a), _blsr_u64(a), _tzcnt_u64(a),
                          _lzcnt_u64(a), (uint64_t)_mm_popcnt_u64(b), _bzhi_u64(a, (unsigned)(i % 70)), _pdep_u64(a, b), _pext_u64(a, b), low, high,
                          sum, difference, borrow, _tzcnt_u32((unsigned)a), _lzcnt_u32((unsigned)b), _pext_u32((unsigned)a, (unsigned)b),
                          (uint64_t)(a << (b & 63)), (uint64_t)((int64_t)b >> (a & 63)), __builtin_bswap64(*(volatile uint64_t *)&a)};
    digest = guest_digest(digest, results, sizeof results);
  }
  report("bits");
}

int main(void) {
  avx();
  avx2();
  fused();
  bits();
}
