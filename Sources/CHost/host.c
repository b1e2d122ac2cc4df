// Time and randomness of the host.
#include "CHost.h"

uint64_t vt_host_time_stamp(void) {
#if defined(__x86_64__)
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
  uint64_t value;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
  return 0;
#endif
}

uint64_t vt_host_random(void) {
  uint64_t value = 0;
  enum { getrandom = 318 };
  while (vt_syscall6(getrandom, (int64_t)(uintptr_t)&value, sizeof value, 0, 0, 0, 0) < 0) {}
  return value;
}
