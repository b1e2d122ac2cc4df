// Time, randomness and plain memory of the host.
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

#if defined(__linux__) && defined(__x86_64__)
void *vt_allocate_zeroed(size_t size) {
  enum { mmap = 9, read_write = 3, private_anonymous = 0x22 };
  int64_t result = vt_syscall6(mmap, 0, (int64_t)size, read_write, private_anonymous, -1, 0);
  return result < 0 && result > -4096 ? NULL : (void *)(uintptr_t)result;
}

void vt_release(void *memory, size_t size) {
  enum { munmap = 11 };
  vt_syscall6(munmap, (int64_t)(uintptr_t)memory, (int64_t)size, 0, 0, 0, 0);
}
#else
void *calloc(size_t count, size_t size);
void free(void *memory);

void *vt_allocate_zeroed(size_t size) { return calloc(1, size); }
void vt_release(void *memory, size_t size) {
  (void)size;
  free(memory);
}
#endif
