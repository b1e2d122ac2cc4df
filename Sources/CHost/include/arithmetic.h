// Integer arithmetic that Swift would turn into library calls: division of 128 by 64 bits.
#ifndef CHOST_ARITHMETIC_H
#define CHOST_ARITHMETIC_H
#include <stdint.h>

/// Divides high:low by `divisor`; `high` must be less than `divisor`, so that the quotient has 64 bits.
static inline __attribute__((always_inline)) uint64_t vt_divide128(
    uint64_t high, uint64_t low, uint64_t divisor, uint64_t *remainder) {
#if defined(__x86_64__)
  uint64_t quotient;
  __asm__("divq %4" : "=a"(quotient), "=d"(*remainder) : "a"(low), "d"(high), "r"(divisor) : "cc");
  return quotient;
#else
  for (int bit = 0; bit < 64; bit++) {
    uint64_t carry = high >> 63;
    high = high << 1 | low >> 63;
    low <<= 1;
    if (carry != 0 || high >= divisor) {
      high -= divisor;
      low |= 1;
    }
  }
  *remainder = high;
  return low;
#endif
}
#endif
