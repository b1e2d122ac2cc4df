// MMX and SSE to SSE4.2, AES, PCLMULQDQ and SHA by intrinsics over random blocks; one digest per instruction.
#include <immintrin.h>
#include <string.h>
#include "guest.h"

static uint64_t digest;
static __m128i block(void) { return _mm_set_epi64x((long long)guest_number(), (long long)guest_number()); }
static __m128 floats(void) {
  return _mm_cvtepi32_ps(_mm_srai_epi32(block(), (int)(guest_number() % 28)));
}
static __m128d doubles(void) { return _mm_cvtepi32_pd(_mm_srai_epi32(block(), (int)(guest_number() % 28))); }
static void add(__m128i value) { digest = guest_digest(digest, &value, 16); }
static void report(const char *name) { printf("%-22s %016lx\n", name, digest); }
#define TIMES 120
#define LOOP(name, expression)                                                    \
  digest = GUEST_DIGEST;                                                          \
  for (int i = 0; i < TIMES; i++) {                                               \
    __m128i a = block(), b = block(), c = block();                                \
    (void)a; (void)b; (void)c;                                                    \
    add(expression);                                                              \
  }                                                                               \
  report(name)
#define TWO(function) LOOP(#function, function(a, b))
#define ONE(function) LOOP(#function, function(a))
#define WITH(function, number) LOOP(#function " " #number, function(a, number))
#define BOTH(function, number) LOOP(#function " " #number, function(a, b, number))
#define PS(expression) _mm_castps_si128(expression)
#define PD(expression) _mm_castpd_si128(expression)
#define FLOATS(function) LOOP(#function, PS(function(floats(), floats())))
#define DOUBLES(function) LOOP(#function, PD(function(doubles(), doubles())))
#define NUMBER(name, expression) LOOP(name, _mm_cvtsi64_si128((long long)(expression)))

static void sse2(void) {
  TWO(_mm_add_epi8); TWO(_mm_add_epi16); TWO(_mm_add_epi32); TWO(_mm_add_epi64); TWO(_mm_adds_epi8); TWO(_mm_adds_epi16);
  TWO(_mm_adds_epu8); TWO(_mm_adds_epu16); TWO(_mm_sub_epi8); TWO(_mm_sub_epi32); TWO(_mm_subs_epi16); TWO(_mm_subs_epu8);
  TWO(_mm_avg_epu8); TWO(_mm_avg_epu16); TWO(_mm_madd_epi16); TWO(_mm_max_epi16); TWO(_mm_max_epu8); TWO(_mm_min_epi16);
  TWO(_mm_min_epu8); TWO(_mm_mulhi_epi16); TWO(_mm_mulhi_epu16); TWO(_mm_mullo_epi16); TWO(_mm_mul_epu32); TWO(_mm_sad_epu8);
  TWO(_mm_and_si128); TWO(_mm_andnot_si128); TWO(_mm_or_si128); TWO(_mm_xor_si128); TWO(_mm_cmpeq_epi8); TWO(_mm_cmpgt_epi16);
  TWO(_mm_cmpgt_epi32); TWO(_mm_packs_epi16); TWO(_mm_packs_epi32); TWO(_mm_packus_epi16); TWO(_mm_unpackhi_epi8);
  TWO(_mm_unpacklo_epi16); TWO(_mm_unpackhi_epi32); TWO(_mm_unpacklo_epi64);
  WITH(_mm_slli_epi16, 3); WITH(_mm_srli_epi32, 9); WITH(_mm_srai_epi16, 15); WITH(_mm_slli_epi64, 33); WITH(_mm_srli_si128, 5);
  WITH(_mm_slli_si128, 11); WITH(_mm_shuffle_epi32, 0x1b); WITH(_mm_shufflehi_epi16, 0x72); WITH(_mm_shufflelo_epi16, 0xc6);
  LOOP("_mm_sll_epi32", _mm_sll_epi32(a, _mm_and_si128(b, _mm_cvtsi32_si128(63))));
  LOOP("_mm_sra_epi32", _mm_sra_epi32(a, _mm_and_si128(b, _mm_cvtsi32_si128(63))));
  NUMBER("_mm_movemask_epi8", _mm_movemask_epi8(a));
  LOOP("_mm_insert_epi16", _mm_insert_epi16(a, (int)guest_number(), 5));
}

static void floating(void) {
  FLOATS(_mm_add_ps); FLOATS(_mm_sub_ps); FLOATS(_mm_mul_ps); FLOATS(_mm_div_ps); FLOATS(_mm_min_ps); FLOATS(_mm_max_ps);
  FLOATS(_mm_add_ss); FLOATS(_mm_div_ss); FLOATS(_mm_cmplt_ps); FLOATS(_mm_cmpunord_ps); FLOATS(_mm_cmpneq_ps); FLOATS(_mm_unpackhi_ps);
  FLOATS(_mm_movehl_ps); FLOATS(_mm_move_ss); FLOATS(_mm_and_ps); FLOATS(_mm_andnot_ps); FLOATS(_mm_hadd_ps); FLOATS(_mm_addsub_ps);
  DOUBLES(_mm_add_pd); DOUBLES(_mm_sub_pd); DOUBLES(_mm_mul_pd); DOUBLES(_mm_div_pd); DOUBLES(_mm_min_pd); DOUBLES(_mm_max_sd);
  DOUBLES(_mm_cmple_pd); DOUBLES(_mm_unpacklo_pd); DOUBLES(_mm_hsub_pd); DOUBLES(_mm_addsub_pd);
  LOOP("_mm_sqrt_ps", PS(_mm_sqrt_ps(_mm_and_ps(floats(), _mm_castsi128_ps(_mm_set1_epi32(0x7fffffff))))));
  LOOP("_mm_sqrt_pd", PD(_mm_sqrt_pd(_mm_mul_pd(doubles(), _mm_set1_pd(3)))));
  LOOP("_mm_shuffle_ps", PS(_mm_shuffle_ps(floats(), floats(), 0x9c)));
  LOOP("_mm_cvtps_epi32", _mm_cvtps_epi32(_mm_div_ps(floats(), _mm_set1_ps(7))));
  LOOP("_mm_cvttps_epi32", _mm_cvttps_epi32(_mm_mul_ps(floats(), _mm_set1_ps(3.7f))));
  LOOP("_mm_cvtpd_epi32", _mm_cvtpd_epi32(_mm_div_pd(doubles(), _mm_set1_pd(3))));
  LOOP("_mm_cvtpd_ps", PS(_mm_cvtpd_ps(_mm_div_pd(doubles(), _mm_set1_pd(3)))));
  LOOP("_mm_cvtps_pd", PD(_mm_cvtps_pd(floats())));
  NUMBER("_mm_cvtss_si64", _mm_cvtss_si64(_mm_div_ss(floats(), _mm_set1_ps(7))));
  NUMBER("_mm_cvttsd_si64", _mm_cvttsd_si64(_mm_mul_sd(doubles(), _mm_set1_pd(1e9))));
  LOOP("_mm_cvtsi64_sd", PD(_mm_cvtsi64_sd(doubles(), (long long)guest_number())));
  NUMBER("_mm_comilt_ss", _mm_comilt_ss(floats(), floats()));
  NUMBER("_mm_ucomieq_sd", _mm_ucomieq_sd(doubles(), doubles()));
  NUMBER("_mm_movemask_ps", _mm_movemask_ps(floats()));
  LOOP("_mm_dp_ps", PS(_mm_dp_ps(floats(), floats(), 0xb5)));
  LOOP("_mm_round_ps", PS(_mm_round_ps(_mm_div_ps(floats(), _mm_set1_ps(3)), _MM_FROUND_TO_NEG_INF)));
  LOOP("_mm_round_sd", PD(_mm_round_sd(doubles(), _mm_div_pd(doubles(), _mm_set1_pd(3)), _MM_FROUND_CUR_DIRECTION)));
  for (unsigned mode = 0; mode < 4; mode++) {
    _mm_setcsr(0x1f80 | mode << 13);
    LOOP("rounded", PD(_mm_div_pd(doubles(), _mm_set1_pd(7))));
    LOOP("converted", _mm_cvtps_epi32(_mm_div_ps(floats(), _mm_set1_ps(7))));
  }
  _mm_setcsr(0x1f80);
  volatile float tiny = 1e-38f;
  volatile float half = tiny * 0.25f;
  printf("denormal %a, flags %x\n", (double)half, _mm_getcsr() & 0x3f);
  _mm_setcsr(0x9fc0);
  half = tiny * 0.25f;
  printf("flushed %a, flags %x\n", (double)half, _mm_getcsr() & 0x3f);
  _mm_setcsr(0x1f80);
}

static void later(void) {
  TWO(_mm_shuffle_epi8); TWO(_mm_hadd_epi16); TWO(_mm_hadd_epi32); TWO(_mm_hadds_epi16); TWO(_mm_hsub_epi32); TWO(_mm_maddubs_epi16);
  TWO(_mm_mulhrs_epi16); TWO(_mm_sign_epi8); TWO(_mm_sign_epi32); ONE(_mm_abs_epi8); ONE(_mm_abs_epi16); BOTH(_mm_alignr_epi8, 7);
  LOOP("_mm_blendv_epi8", _mm_blendv_epi8(a, b, c)); BOTH(_mm_blend_epi16, 0x5a); TWO(_mm_cmpeq_epi64); TWO(_mm_packus_epi32);
  TWO(_mm_mul_epi32); TWO(_mm_mullo_epi32); TWO(_mm_max_epi8); TWO(_mm_min_epu16); TWO(_mm_max_epu32); TWO(_mm_min_epi32);
  ONE(_mm_cvtepi8_epi16); ONE(_mm_cvtepu8_epi32); ONE(_mm_cvtepi16_epi64); ONE(_mm_cvtepu32_epi64); ONE(_mm_minpos_epu16);
  BOTH(_mm_mpsadbw_epu8, 5); NUMBER("_mm_testz_si128", _mm_testz_si128(a, _mm_and_si128(b, c))); NUMBER("_mm_testc_si128", _mm_testc_si128(a, b));
  NUMBER("_mm_extract_epi8", _mm_extract_epi8(a, 13)); LOOP("_mm_insert_epi64", _mm_insert_epi64(a, (long long)guest_number(), 1));
  LOOP("_mm_insert_ps", PS(_mm_insert_ps(floats(), floats(), 0x9a))); TWO(_mm_cmpgt_epi64);
  NUMBER("_mm_cmpistri", _mm_cmpistri(_mm_and_si128(a, _mm_set1_epi8(0x43)), _mm_and_si128(b, _mm_set1_epi8(0x43)), 0x0c));
  LOOP("_mm_cmpistrm", _mm_cmpistrm(_mm_and_si128(a, _mm_set1_epi8(0x43)), b, 0x44));
  NUMBER("_mm_cmpestri", _mm_cmpestri(a, i % 20, b, 16, 0x18)); LOOP("_mm_cmpestrm", _mm_cmpestrm(a, 9, b, i % 20, 0x48));
  NUMBER("_mm_cmpistrz", _mm_cmpistrz(a, _mm_and_si128(b, _mm_set1_epi8(3)), 0x3a));
  NUMBER("_mm_crc32_u64", _mm_crc32_u64(guest_number(), guest_number())); NUMBER("_mm_crc32_u8", _mm_crc32_u8((unsigned)guest_number(), (unsigned char)i));
  TWO(_mm_aesenc_si128); TWO(_mm_aesenclast_si128); TWO(_mm_aesdec_si128); TWO(_mm_aesdeclast_si128); ONE(_mm_aesimc_si128);
  WITH(_mm_aeskeygenassist_si128, 0x1b); BOTH(_mm_clmulepi64_si128, 0x00); BOTH(_mm_clmulepi64_si128, 0x11); BOTH(_mm_clmulepi64_si128, 0x10);
  TWO(_mm_sha1msg1_epu32); TWO(_mm_sha1msg2_epu32); TWO(_mm_sha1nexte_epu32); BOTH(_mm_sha1rnds4_epu32, 2);
  TWO(_mm_sha256msg1_epu32); TWO(_mm_sha256msg2_epu32); LOOP("_mm_sha256rnds2_epu32", _mm_sha256rnds2_epu32(a, b, c));
}

static void mmx(void) {
  digest = GUEST_DIGEST;
  for (int i = 0; i < TIMES; i++) {
    __m64 a = _mm_cvtsi64_m64((long long)guest_number()), b = _mm_cvtsi64_m64((long long)guest_number());
    __m64 results[] = {_mm_add_pi8(a, b), _mm_adds_pu16(a, b), _mm_subs_pi8(a, b), _mm_mullo_pi16(a, b), _mm_mulhi_pi16(a, b),
                       _mm_madd_pi16(a, b), _mm_cmpgt_pi16(a, b), _mm_packs_pi32(a, b), _mm_unpackhi_pi8(a, b), _mm_slli_si64(a, 13),
                       _mm_srai_pi16(b, 4), _mm_xor_si64(a, b), _mm_shuffle_pi16(a, 0x1b), _mm_avg_pu8(a, b), _mm_sad_pu8(a, b),
                       _mm_shuffle_pi8(a, b), _mm_abs_pi32(a), _mm_mulhrs_pi16(a, b), _mm_mul_su32(a, b), _mm_alignr_pi8(a, b, 3)};
    long long masks = _mm_movemask_pi8(a);
    digest = guest_digest(digest, results, sizeof results);
    digest = guest_digest(digest, &masks, 8);
  }
  _mm_empty();
  report("mmx");
  long double after = 1.0L / 3;
  printf("x87 after emms %.20Lg\n", after);
}

int main(void) {
  sse2();
  floating();
  later();
  mmx();
}
