// Vector operations for which Swift has no expression that compiles to the one instruction that every x86-64 has:
// saturation, packing, sign masks. On other hosts clang's portable vector builtins give the same results. No logic.
#ifndef CHOST_VECTOR_H
#define CHOST_VECTOR_H
#include <stdint.h>
#include "float.h"
#include "memory.h"

typedef int8_t vt_s8x16 __attribute__((vector_size(16)));
typedef uint8_t vt_u8x16 __attribute__((vector_size(16)));
typedef int16_t vt_s16x8 __attribute__((vector_size(16)));
typedef uint16_t vt_u16x8 __attribute__((vector_size(16)));
typedef int32_t vt_s32x4 __attribute__((vector_size(16)));
typedef uint16_t vt_u16x4 __attribute__((vector_size(8)));
typedef int16_t vt_s16x4 __attribute__((vector_size(8)));
typedef uint8_t vt_u8x8 __attribute__((vector_size(8)));
typedef int8_t vt_s8x8 __attribute__((vector_size(8)));

#define VT_SATURATING(suffix, type)                                                                          \
  VT_INLINE vt_chunk vt_add_saturating_##suffix(vt_chunk x, vt_chunk y) {                                    \
    return (vt_chunk)__builtin_elementwise_add_sat((type)x, (type)y);                                        \
  }                                                                                                          \
  VT_INLINE vt_chunk vt_subtract_saturating_##suffix(vt_chunk x, vt_chunk y) {                               \
    return (vt_chunk)__builtin_elementwise_sub_sat((type)x, (type)y);                                        \
  }
VT_SATURATING(s8, vt_s8x16)
VT_SATURATING(u8, vt_u8x16)
VT_SATURATING(s16, vt_s16x8)
VT_SATURATING(u16, vt_u16x8)
#undef VT_SATURATING

/// Each element of `x`, then of `y`, clamped to the range of the half-wide type and narrowed.
#define VT_PACK(name, from, half, low, high)                                                                 \
  VT_INLINE uint64_t name##_half(vt_chunk x) {                                                               \
    from clamped = __builtin_elementwise_min(__builtin_elementwise_max((from)x, (from){} + low),             \
                                             (from){} + high);                                               \
    half narrow = __builtin_convertvector(clamped, half);                                                    \
    return (uint64_t)narrow;                                                                                 \
  }                                                                                                          \
  VT_INLINE vt_chunk name(vt_chunk x, vt_chunk y) { return (vt_chunk){name##_half(x), name##_half(y)}; }

#if defined(__SSE2__)
VT_INLINE vt_chunk vt_pack_s16_s8(vt_chunk x, vt_chunk y) {
  return (vt_chunk)__builtin_ia32_packsswb128((vt_s16x8)x, (vt_s16x8)y);
}
VT_INLINE vt_chunk vt_pack_s16_u8(vt_chunk x, vt_chunk y) {
  return (vt_chunk)__builtin_ia32_packuswb128((vt_s16x8)x, (vt_s16x8)y);
}
VT_INLINE vt_chunk vt_pack_s32_s16(vt_chunk x, vt_chunk y) {
  return (vt_chunk)__builtin_ia32_packssdw128((vt_s32x4)x, (vt_s32x4)y);
}
#else
VT_PACK(vt_pack_s16_s8, vt_s16x8, vt_s8x8, -128, 127)
VT_PACK(vt_pack_s16_u8, vt_s16x8, vt_u8x8, 0, 255)
VT_PACK(vt_pack_s32_s16, vt_s32x4, vt_s16x4, -32768, 32767)
#endif
VT_PACK(vt_pack_s32_u16, vt_s32x4, vt_u16x4, 0, 65535)
#undef VT_PACK

/// The sign bits of the 16 bytes, byte 0's in bit 0.
VT_INLINE uint64_t vt_byte_signs(vt_chunk x) {
#if defined(__SSE2__)
  typedef char characters __attribute__((vector_size(16)));
  return (uint32_t)__builtin_ia32_pmovmskb128((characters)x);
#else
  // The multiplication moves bits 7, 15, … 63 next to each other into the top byte.
  uint64_t low = ((x[0] & 0x8080808080808080) >> 7) * 0x0102040810204080;
  uint64_t high = ((x[1] & 0x8080808080808080) >> 7) * 0x0102040810204080;
  return low >> 56 | (high >> 56) << 8;
#endif
}

/// The sign bits of the four 32-bit elements.
VT_INLINE uint64_t vt_word32_signs(vt_chunk x) {
#if defined(__SSE2__)
  typedef float floats __attribute__((vector_size(16)));
  return (uint32_t)__builtin_ia32_movmskps((floats)x);
#else
  return ((x[0] >> 31) & 1) | ((x[0] >> 63) << 1) | ((x[1] >> 31) & 1) << 2 | (x[1] >> 63) << 3;
#endif
}
// Loads of vector operands. They are volatile because the whole operand must be accessed, also where only part of it
// decides the result (a shift count, a shuffle's low half): the compiler would narrow the load, and a fault would be lost.
typedef vt_chunk vt_unaligned_chunk __attribute__((aligned(1)));
typedef uint64_t vt_unaligned_u64 __attribute__((aligned(1)));
typedef uint32_t vt_unaligned_u32 __attribute__((aligned(1)));
typedef uint16_t vt_unaligned_u16 __attribute__((aligned(1)));
VT_INLINE vt_chunk vt_load16(const void *p) { return *(const volatile vt_unaligned_chunk *)p; }
VT_INLINE uint64_t vt_load8(const void *p) { return *(const volatile vt_unaligned_u64 *)p; }
VT_INLINE uint64_t vt_load4(const void *p) { return *(const volatile vt_unaligned_u32 *)p; }
VT_INLINE uint64_t vt_load2(const void *p) { return *(const volatile vt_unaligned_u16 *)p; }
VT_INLINE uint64_t vt_load1(const void *p) { return *(const volatile uint8_t *)p; }

/// Orders all earlier loads and stores before all later ones.
VT_INLINE void vt_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/// Shifts the two 32-bit halves of `value` left by those of `counts`; a count above 31 gives 0.
static inline __attribute__((always_inline)) uint64_t vt_shift_left_pair(uint64_t value, uint64_t counts) {
  uint64_t low = (uint32_t)value, high = value >> 32;
  uint32_t low_count = (uint32_t)counts, high_count = (uint32_t)(counts >> 32);
#if defined(__x86_64__)
  __asm__("shlq %%cl, %0" : "+r"(low) : "c"(low_count) : "cc");
  __asm__("shlq %%cl, %0" : "+r"(high) : "c"(high_count) : "cc");
#else
  low <<= low_count & 63;
  high <<= high_count & 63;
#endif
  low = low_count < 32 ? (uint32_t)low : 0;
  high = high_count < 32 ? (uint32_t)high : 0;
  return high << 32 | low;
}
#endif
