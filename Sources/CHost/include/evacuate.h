// Leaving the addresses that the kernel chose for a new program: its stack, its vdso. What can only be said in C: where
// the kernel's block of arguments lies, which of the C library's variables point into it, and the switch to another stack.
// `GuestMemory.IsolatedWindow` decides what goes where.
#ifndef CHOST_EVACUATE_H
#define CHOST_EVACUATE_H
#include <stddef.h>
#include <stdint.h>

/// What execve(2) put on top of the initial stack, in the order of the psABI (3.4.1): the number of arguments, the arguments,
/// NULL, the environment, NULL, the auxiliary vector, and the strings that they point to.
typedef struct {
  uint64_t start;       // address of the number of arguments
  uint64_t end;         // just past the last string
  int64_t count;        // arguments
  char **arguments;     // and NULL
  char **environment;   // and NULL
  uint64_t vdso;        // address of its ELF header; 0: none
} vt_kernel_block;

/// Finds the block. 0; -1 when it is not where the kernel or `vt_kernel_block_move` put it.
int vt_kernel_block_find(vt_kernel_block *block);
/// Whether `vt_kernel_block_move` knows this executable's C library: glibc, statically linked, on x86-64 Linux.
int vt_kernel_block_is_movable(void);
/// Copies the block to `target`, which is congruent to `block->start` modulo 16, and repoints everything that the C library
/// and the kernel (/proc/PID/cmdline and environ) keep: nothing uses the old block afterwards, except the frames of the
/// calling functions. With `forget_vdso` nothing uses the vdso either.
void vt_kernel_block_move(const vt_kernel_block *block, uint64_t target, int forget_vdso);
/// Tells the kernel where the guest's argument and environment strings lie (host addresses), and its auxiliary vector of `size`
/// bytes, so that /proc/PID/cmdline, environ and auxv are the guest's. 0; otherwise those files stay as they are: after
/// something else than `vt_kernel_block_move`, or on a kernel that does not listen.
int vt_kernel_tell_guest(
    uint64_t arguments, uint64_t arguments_end, uint64_t environment, uint64_t environment_end, const void *vector,
    uint32_t size);
/// Vector registers hold what was copied last: sets them all to zero.
void vt_forget_vectors(void);
/// Calls `function(context)` on the stack that ends at `top`. The frames of the callers are lost.
_Noreturn void vt_run_on_stack(uint64_t top, void (*function)(void *context), void *context);
#endif
