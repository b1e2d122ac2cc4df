// The host kernel. One raw system call, inlined; results are -errno as the kernel gives them.
#ifndef CHOST_SYSTEM_H
#define CHOST_SYSTEM_H
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__linux__)
static inline __attribute__((always_inline)) int64_t vt_syscall6(
    int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f) {
  register int64_t r10 __asm__("r10") = d;
  register int64_t r8 __asm__("r8") = e;
  register int64_t r9 __asm__("r9") = f;
  int64_t result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#else
int64_t vt_syscall6(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f);
#endif

/// `size` bytes of zeros that cost nothing until they are touched; NULL when there is no memory. `vt_release` gives them back.
void *vt_allocate_zeroed(size_t size);
void vt_release(void *memory, size_t size);
#endif
