// Memory operations that Swift cannot say: atomics on addresses of any alignment, and touching for write.
#ifndef CHOST_MEMORY_H
#define CHOST_MEMORY_H
#include <stdbool.h>
#include <stdint.h>
#include "state.h"

#define VT_INLINE static inline __attribute__((always_inline))

/// Notes which operation is about to use which address. Volatile: of two accesses in one operation an optimiser would
/// otherwise drop the first note, as the second overwrites it, and a fault of the first access would find a stale one.
VT_INLINE void vt_mark(vt_cpu_state *cpu, const void *operation, uint64_t address) {
  *(const void *volatile *)&cpu->operation = operation;
  *(volatile uint64_t *)&cpu->exit_address = address;
}

/// Faults as a write would, and changes nothing (an atomic or with 0: other threads' writes are not lost).
VT_INLINE void vt_probe_write(void *pointer) {
#if defined(__x86_64__)
  __asm__ volatile("lock orb $0, (%0)" : : "r"(pointer) : "memory", "cc");
#else
  __atomic_fetch_or((uint8_t *)pointer, 0, __ATOMIC_SEQ_CST);
#endif
}

/// Faults as a read would; an ordinary load of which nobody uses the result would be removed.
VT_INLINE void vt_probe_read(const void *pointer) { (void)*(const volatile uint8_t *)pointer; }

// Compare-exchange with full ordering; `*expected` receives what was found. x86-64 allows any alignment, also across
// cache lines; other hosts need natural alignment and fall back to a plain exchange when it is missing.
#if defined(__x86_64__)
#define VT_COMPARE_EXCHANGE(bits, type, suffix)                                                              \
  VT_INLINE bool vt_compare_exchange##bits(void *pointer, uint64_t *expected, uint64_t desired) {            \
    type found = (type)*expected;                                                                            \
    bool equal;                                                                                              \
    __asm__ volatile("lock cmpxchg" suffix " %3, (%2)"                                                       \
                     : "=@ccz"(equal), "+a"(found)                                                           \
                     : "r"(pointer), "r"((type)desired)                                                      \
                     : "memory", "cc");                                                                      \
    *expected = found;                                                                                       \
    return equal;                                                                                            \
  }
VT_COMPARE_EXCHANGE(8, uint8_t, "b")
VT_COMPARE_EXCHANGE(16, uint16_t, "w")
VT_COMPARE_EXCHANGE(32, uint32_t, "l")
VT_COMPARE_EXCHANGE(64, uint64_t, "q")
#else
#define VT_COMPARE_EXCHANGE(bits, type, suffix)                                                              \
  VT_INLINE bool vt_compare_exchange##bits(void *pointer, uint64_t *expected, uint64_t desired) {            \
    type found = (type)*expected;                                                                            \
    if (((uintptr_t)pointer & (sizeof(type) - 1)) != 0) {                                                    \
      type current;                                                                                          \
      __builtin_memcpy(&current, pointer, sizeof current);                                                   \
      bool same = current == found;                                                                          \
      type wanted = (type)desired;                                                                           \
      if (same) __builtin_memcpy(pointer, &wanted, sizeof wanted);                                           \
      *expected = current;                                                                                   \
      return same;                                                                                           \
    }                                                                                                        \
    bool equal = __atomic_compare_exchange_n((type *)pointer, &found, (type)desired, 0, __ATOMIC_SEQ_CST,    \
                                             __ATOMIC_SEQ_CST);                                              \
    *expected = found;                                                                                       \
    return equal;                                                                                            \
  }
VT_COMPARE_EXCHANGE(8, uint8_t, "")
VT_COMPARE_EXCHANGE(16, uint16_t, "")
VT_COMPARE_EXCHANGE(32, uint32_t, "")
VT_COMPARE_EXCHANGE(64, uint64_t, "")
#endif
#undef VT_COMPARE_EXCHANGE

/// Compares 16 bytes, aligned to 16, with `*high:*low` and stores the desired ones when equal; `*high:*low` receives what
/// was found. Hosts other than x86-64 do it in two steps: guests with threads need a lock around it there.
VT_INLINE void vt_compare_exchange128(
    void *pointer, uint64_t *low, uint64_t *high, uint64_t desired_low, uint64_t desired_high) {
#if defined(__x86_64__)
  __asm__ volatile("lock cmpxchg16b (%2)"
                   : "+a"(*low), "+d"(*high)
                   : "r"(pointer), "b"(desired_low), "c"(desired_high)
                   : "memory", "cc");
#else
  volatile uint64_t *words = (volatile uint64_t *)pointer;
  uint64_t found_low = words[0], found_high = words[1];
  int same = found_low == *low && found_high == *high;
  words[0] = same ? desired_low : found_low;
  words[1] = same ? desired_high : found_high;
  *low = found_low;
  *high = found_high;
#endif
}
#endif
