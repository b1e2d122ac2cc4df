// Running code whose memory accesses may fault, and coming back (SIGSEGV, SIGBUS, SIGFPE), precisely.
#ifndef CHOST_GUARD_H
#define CHOST_GUARD_H
#include <stddef.h>
#include <stdint.h>

/// What the host kernel said of a fault; all zero when there was none.
typedef struct {
  int32_t signal;        // SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP
  int32_t code;          // si_code
  uint64_t address;      // si_addr (host)
  uint64_t error_code;   // page-fault error code (bit 1: write, bit 4: fetch)
  uint64_t trap_number;  // x86 vector number (14 page fault, 13 general protection, …)
  uint32_t mxcsr;        // at the fault
  uint32_t reserved;
} vt_fault;

/// A signature that interpreter handlers share: operation, CPU, window base, instruction counter.
typedef void (*vt_handler)(const void *operation, void *cpu, void *window, int64_t counter);

/// Installs the process-wide handlers (once). Returns 0 or -errno.
int vt_guard_install(void);
/// The calling thread's alternate signal stack: given to it unless it has one; taken from it. 0 or -errno.
int vt_guard_install_stack(void);
void vt_guard_remove_stack(void);
/// Calls `handler(operation, cpu, window, counter)`. Returns 0 when it returned, 1 when it faulted (`*fault` is filled in).
/// Frames between are dropped without clean-up: they must own nothing.
int vt_guard_run(vt_handler handler, const void *operation, void *cpu, void *window, int64_t counter, vt_fault *fault);
/// Drops the frames of the innermost guarded call, which returns 1 with `signal` 0, `code` = trap, `address` = value.
_Noreturn void vt_guard_raise(uint32_t trap, uint64_t value);
/// Copies `count` bytes; returns how many could not be copied because a page was not accessible.
size_t vt_guard_copy(void *destination, const void *source, size_t count);
#endif
