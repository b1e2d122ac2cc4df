// Floating-point instructions of an x86-64 host, one inline function each, executed under the MXCSR that is
// loaded: while guest code runs that is the guest's, so rounding, flush-to-zero and the sticky flags are
// the hardware's, and an unmasked exception is a SIGFPE at a moment when the handler has written nothing.
// They are assembly because a compiler may commute operands (another NaN comes out) or run an operation
// early (a flag appears). No logic lives here; other hosts have nothing from this file but the chunk type,
// they use Engine/FloatingPoint.
//
// Naming: vt_<instruction>(destination, source). Legacy SSE encodings, except where only VEX exists.
#ifndef CHOST_FLOAT_H
#define CHOST_FLOAT_H
#include <stdint.h>
#include "host.h"
#include "memory.h"

/// 128 bits of a vector register; Swift sees SIMD2<UInt64>.
typedef unsigned long long vt_chunk __attribute__((ext_vector_type(2)));

/// Extensions that some functions below need; bits of `vt_cpu_state.host_features`.
#define VT_HOST_SSE3 1u
#define VT_HOST_SSE41 2u
#define VT_HOST_AVX 4u
#define VT_HOST_FMA 8u
#define VT_HOST_F16C 16u

#if defined(__x86_64__)

/// What the host's processor has of the extensions above.
VT_INLINE uint32_t vt_host_float_features(void) {
  uint32_t registers[4], features = 0;
  vt_host_identify(1, 0, registers);
  uint32_t ecx = registers[2];
  if (ecx & (1u << 0)) features |= VT_HOST_SSE3;
  if (ecx & (1u << 19)) features |= VT_HOST_SSE41;
  if ((ecx & (1u << 27)) && (ecx & (1u << 28))) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) == 6) {
      features |= VT_HOST_AVX;
      if (ecx & (1u << 12)) features |= VT_HOST_FMA;
      if (ecx & (1u << 29)) features |= VT_HOST_F16C;
    }
  }
  return features;
}

/// Stores MXCSR at `value`. Both functions take an address because a local variable whose address reaches
/// assembly would cost a handler its tail call.
VT_INLINE void vt_store_mxcsr(uint32_t *value) { __asm__ volatile("stmxcsr %0" : "=m"(*value) : : "memory"); }

/// Loads MXCSR. Reserved bits must be zero (the caller has checked them), else the host faults.
VT_INLINE void vt_load_mxcsr(const uint32_t *value) { __asm__ volatile("ldmxcsr %0" : : "m"(*value) : "memory"); }

// "memory" keeps stores of the handler (which operation runs) before an instruction that may raise SIGFPE.
#define VT_FLOAT_BINARY(instruction)                                                                         \
  VT_INLINE vt_chunk vt_##instruction(vt_chunk a, vt_chunk b) {                                              \
    __asm__ volatile(#instruction " %1, %0" : "+x"(a) : "x"(b) : "memory");                                  \
    return a;                                                                                                \
  }
#define VT_FLOAT_UNARY(instruction)                                                                          \
  VT_INLINE vt_chunk vt_##instruction(vt_chunk a) {                                                          \
    vt_chunk result;                                                                                         \
    __asm__ volatile(#instruction " %1, %0" : "=x"(result) : "x"(a) : "memory");                             \
    return result;                                                                                           \
  }
#define VT_FLOAT_BINARY_ALL(stem)                                                                            \
  VT_FLOAT_BINARY(stem##ps) VT_FLOAT_BINARY(stem##pd) VT_FLOAT_BINARY(stem##ss) VT_FLOAT_BINARY(stem##sd)
VT_FLOAT_BINARY_ALL(add)
VT_FLOAT_BINARY_ALL(sub)
VT_FLOAT_BINARY_ALL(mul)
VT_FLOAT_BINARY_ALL(div)
VT_FLOAT_BINARY_ALL(min)
VT_FLOAT_BINARY_ALL(max)
VT_FLOAT_UNARY(sqrtps)
VT_FLOAT_UNARY(sqrtpd)
VT_FLOAT_BINARY(sqrtss)
VT_FLOAT_BINARY(sqrtsd)
VT_FLOAT_UNARY(rcpps)
VT_FLOAT_BINARY(rcpss)
VT_FLOAT_UNARY(rsqrtps)
VT_FLOAT_BINARY(rsqrtss)
// SSE3
VT_FLOAT_BINARY(addsubps)
VT_FLOAT_BINARY(addsubpd)
VT_FLOAT_BINARY(haddps)
VT_FLOAT_BINARY(haddpd)
VT_FLOAT_BINARY(hsubps)
VT_FLOAT_BINARY(hsubpd)
// Conversions between packed types; scalar ones keep the destination's upper bits.
VT_FLOAT_UNARY(cvtdq2ps)
VT_FLOAT_UNARY(cvtps2dq)
VT_FLOAT_UNARY(cvttps2dq)
VT_FLOAT_UNARY(cvtdq2pd)
VT_FLOAT_UNARY(cvtpd2dq)
VT_FLOAT_UNARY(cvttpd2dq)
VT_FLOAT_UNARY(cvtps2pd)
VT_FLOAT_UNARY(cvtpd2ps)
VT_FLOAT_BINARY(cvtss2sd)
VT_FLOAT_BINARY(cvtsd2ss)
// F16C
VT_FLOAT_UNARY(vcvtph2ps)

#define VT_FLOAT_FROM_INTEGER(name, instruction, type)                                                       \
  VT_INLINE vt_chunk vt_##name(vt_chunk a, type value) {                                                     \
    __asm__ volatile(#instruction " %1, %0" : "+x"(a) : "r"(value) : "memory");                              \
    return a;                                                                                                \
  }
VT_FLOAT_FROM_INTEGER(cvtsi2ss32, cvtsi2ssl, uint32_t)
VT_FLOAT_FROM_INTEGER(cvtsi2ss64, cvtsi2ssq, uint64_t)
VT_FLOAT_FROM_INTEGER(cvtsi2sd32, cvtsi2sdl, uint32_t)
VT_FLOAT_FROM_INTEGER(cvtsi2sd64, cvtsi2sdq, uint64_t)

#define VT_FLOAT_TO_INTEGER(name, instruction, type)                                                         \
  VT_INLINE type vt_##name(vt_chunk a) {                                                                     \
    type value;                                                                                              \
    __asm__ volatile(#instruction " %1, %0" : "=r"(value) : "x"(a) : "memory");                              \
    return value;                                                                                            \
  }
VT_FLOAT_TO_INTEGER(cvtss2si32, cvtss2si, uint32_t)
VT_FLOAT_TO_INTEGER(cvtss2si64, cvtss2si, uint64_t)
VT_FLOAT_TO_INTEGER(cvtsd2si32, cvtsd2si, uint32_t)
VT_FLOAT_TO_INTEGER(cvtsd2si64, cvtsd2si, uint64_t)
VT_FLOAT_TO_INTEGER(cvttss2si32, cvttss2si, uint32_t)
VT_FLOAT_TO_INTEGER(cvttss2si64, cvttss2si, uint64_t)
VT_FLOAT_TO_INTEGER(cvttsd2si32, cvttsd2si, uint32_t)
VT_FLOAT_TO_INTEGER(cvttsd2si64, cvttsd2si, uint64_t)

/// A comparison's ZF (0 or 1) and CF (0 or all ones); unordered sets both. Flag outputs ("=@ccz") are not used: clang 21
/// may clobber the flags before it has read the second one.
typedef struct {
  uint64_t zero, carry;
} vt_float_flags;
#define VT_FLOAT_COMPARE_FLAGS(instruction)                                                                  \
  VT_INLINE vt_float_flags vt_##instruction(vt_chunk a, vt_chunk b) {                                        \
    vt_float_flags flags = {0, 0};                                                                           \
    __asm__ volatile(#instruction " %3, %2\n\tsete %b0\n\tsbbq %1, %1"                                      \
                     : "+&q"(flags.zero), "=&r"(flags.carry)                                                 \
                     : "x"(a), "x"(b)                                                                        \
                     : "memory", "cc");                                                                      \
    return flags;                                                                                            \
  }
VT_FLOAT_COMPARE_FLAGS(ucomiss)
VT_FLOAT_COMPARE_FLAGS(ucomisd)
VT_FLOAT_COMPARE_FLAGS(comiss)
VT_FLOAT_COMPARE_FLAGS(comisd)

// Instructions whose immediate is part of their encoding: one case a value.
#define VT_CASE_LEGACY(n, instruction)                                                                       \
  case n: __asm__ volatile(instruction " $" #n ", %1, %0" : "+x"(a) : "x"(b) : "memory"); break;
#define VT_CASE_UNARY(n, instruction)                                                                        \
  case n: __asm__ volatile(instruction " $" #n ", %1, %0" : "=x"(result) : "x"(a) : "memory"); break;
#define VT_CASE_VEX(n, instruction)                                                                          \
  case n: __asm__ volatile(instruction " $" #n ", %1, %0, %0" : "+x"(a) : "x"(b) : "memory"); break;
#define VT_CASES_8(CASE, i)                                                                                  \
  CASE(0, i) CASE(1, i) CASE(2, i) CASE(3, i) CASE(4, i) CASE(5, i) CASE(6, i) CASE(7, i)
#define VT_CASES_16(CASE, i)                                                                                 \
  VT_CASES_8(CASE, i)                                                                                        \
  CASE(8, i) CASE(9, i) CASE(10, i) CASE(11, i) CASE(12, i) CASE(13, i) CASE(14, i) CASE(15, i)
#define VT_CASES_32(CASE, i)                                                                                 \
  VT_CASES_16(CASE, i)                                                                                       \
  CASE(16, i) CASE(17, i) CASE(18, i) CASE(19, i) CASE(20, i) CASE(21, i) CASE(22, i) CASE(23, i)            \
  CASE(24, i) CASE(25, i) CASE(26, i) CASE(27, i) CASE(28, i) CASE(29, i) CASE(30, i) CASE(31, i)

/// Predicates 0…7; and, on a host with AVX, 0…31.
#define VT_FLOAT_COMPARE(instruction)                                                                        \
  VT_INLINE vt_chunk vt_##instruction(vt_chunk a, vt_chunk b, uint8_t predicate) {                           \
    switch (predicate & 7) { VT_CASES_8(VT_CASE_LEGACY, #instruction) }                                      \
    return a;                                                                                                \
  }                                                                                                          \
  VT_INLINE vt_chunk vt_v##instruction(vt_chunk a, vt_chunk b, uint8_t predicate) {                          \
    switch (predicate & 31) { VT_CASES_32(VT_CASE_VEX, "v" #instruction) }                                   \
    return a;                                                                                                \
  }
VT_FLOAT_COMPARE(cmpps)
VT_FLOAT_COMPARE(cmppd)
VT_FLOAT_COMPARE(cmpss)
VT_FLOAT_COMPARE(cmpsd)

// SSE4.1
#define VT_FLOAT_ROUND(suffix)                                                                               \
  VT_INLINE vt_chunk vt_roundp##suffix(vt_chunk a, uint8_t control) {                                        \
    vt_chunk result = a;                                                                                     \
    switch (control & 15) { VT_CASES_16(VT_CASE_UNARY, "roundp" #suffix) }                                   \
    return result;                                                                                           \
  }                                                                                                          \
  VT_INLINE vt_chunk vt_rounds##suffix(vt_chunk a, vt_chunk b, uint8_t control) {                            \
    switch (control & 15) { VT_CASES_16(VT_CASE_LEGACY, "rounds" #suffix) }                                  \
    return a;                                                                                                \
  }
VT_FLOAT_ROUND(s)
VT_FLOAT_ROUND(d)

/// Dot product with the products that bits 0…3 of `terms` select; the sum goes to every element.
VT_INLINE vt_chunk vt_dpps(vt_chunk a, vt_chunk b, uint8_t terms) {
#define VT_CASE_DOT(n, unused)                                                                               \
  case n: __asm__ volatile("dpps $(" #n " * 16 + 15), %1, %0" : "+x"(a) : "x"(b) : "memory"); break;
  switch (terms & 15) { VT_CASES_16(VT_CASE_DOT, unused) }
#undef VT_CASE_DOT
  return a;
}
VT_INLINE vt_chunk vt_dppd(vt_chunk a, vt_chunk b, uint8_t terms) {
  switch (terms & 3) {
    case 0: __asm__ volatile("dppd $0x03, %1, %0" : "+x"(a) : "x"(b) : "memory"); break;
    case 1: __asm__ volatile("dppd $0x13, %1, %0" : "+x"(a) : "x"(b) : "memory"); break;
    case 2: __asm__ volatile("dppd $0x23, %1, %0" : "+x"(a) : "x"(b) : "memory"); break;
    case 3: __asm__ volatile("dppd $0x33, %1, %0" : "+x"(a) : "x"(b) : "memory"); break;
  }
  return a;
}

// F16C: four singles to four halves in the low 64 bits.
VT_INLINE vt_chunk vt_vcvtps2ph(vt_chunk a, uint8_t control) {
  vt_chunk result = a;
  switch (control & 7) { VT_CASES_8(VT_CASE_UNARY, "vcvtps2ph") }
  return result;
}

// FMA: vt_vfmadd213ps(a, b, c) is the instruction with these three operands in Intel's order.
#define VT_FLOAT_FUSED(instruction)                                                                          \
  VT_INLINE vt_chunk vt_##instruction(vt_chunk a, vt_chunk b, vt_chunk c) {                                  \
    __asm__ volatile(#instruction " %2, %1, %0" : "+x"(a) : "x"(b), "x"(c) : "memory");                      \
    return a;                                                                                                \
  }
#define VT_FLOAT_FUSED_FORMS(stem, suffix)                                                                   \
  VT_FLOAT_FUSED(stem##132##suffix) VT_FLOAT_FUSED(stem##213##suffix) VT_FLOAT_FUSED(stem##231##suffix)
#define VT_FLOAT_FUSED_ALL(stem)                                                                             \
  VT_FLOAT_FUSED_FORMS(stem, ps) VT_FLOAT_FUSED_FORMS(stem, pd)                                              \
  VT_FLOAT_FUSED_FORMS(stem, ss) VT_FLOAT_FUSED_FORMS(stem, sd)
VT_FLOAT_FUSED_ALL(vfmadd)
VT_FLOAT_FUSED_ALL(vfmsub)
VT_FLOAT_FUSED_ALL(vfnmadd)
VT_FLOAT_FUSED_ALL(vfnmsub)
VT_FLOAT_FUSED_FORMS(vfmaddsub, ps)
VT_FLOAT_FUSED_FORMS(vfmaddsub, pd)
VT_FLOAT_FUSED_FORMS(vfmsubadd, ps)
VT_FLOAT_FUSED_FORMS(vfmsubadd, pd)

#undef VT_FLOAT_BINARY
#undef VT_FLOAT_UNARY
#undef VT_FLOAT_BINARY_ALL
#undef VT_FLOAT_FROM_INTEGER
#undef VT_FLOAT_TO_INTEGER
#undef VT_FLOAT_COMPARE_FLAGS
#undef VT_FLOAT_COMPARE
#undef VT_FLOAT_ROUND
#undef VT_FLOAT_FUSED
#undef VT_FLOAT_FUSED_FORMS
#undef VT_FLOAT_FUSED_ALL
#undef VT_CASE_LEGACY
#undef VT_CASE_UNARY
#undef VT_CASE_VEX
#undef VT_CASES_8
#undef VT_CASES_16
#undef VT_CASES_32
#endif
#endif
