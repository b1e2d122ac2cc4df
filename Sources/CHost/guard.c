// Fault recovery. A fault inside `vt_guard_run` or `vt_guard_copy` unwinds to it: the signal handler copies what the
// kernel said and redirects the interrupted thread to the recovery label. Any other fault is our own bug and gets the
// default action.
#define _GNU_SOURCE
#include "CHost.h"

#if defined(__linux__) && defined(__x86_64__)
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

/// Saved callee state of the innermost guarded call of this thread; the assembly below knows the offsets.
typedef struct vt_frame {
  uint64_t rsp;            // 0
  uint64_t recover;        // 8
  struct vt_frame *outer;  // 16
  vt_fault *fault;         // 24
} vt_frame;

static __thread vt_frame *current_frame;

static void on_fault(int signal, siginfo_t *info, void *context_pointer) {
  ucontext_t *context = context_pointer;
  vt_frame *frame = current_frame;
  if (info->si_code > 0 && vt_translated_fault(signal, (uint64_t)info->si_addr, context_pointer)) return;
  if (vt_thread_is_interruption(signal, info)) {
    vt_signal_interrupt(context_pointer);
    return;
  }
  if (info->si_code <= 0 && vt_signal_forward(signal, info)) {  // sent by a process, and the guest catches it
    vt_signal_interrupt(context_pointer);
    return;
  }
  if (frame == NULL || info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE) {
    struct sigaction default_action = {.sa_handler = SIG_DFL};
    sigaction(signal, &default_action, NULL);
    if (frame == NULL && info->si_code > 0) return;  // the instruction faults again, now with the default action
    // Not raise(): a forked child's cached thread id is its parent's.
    vt_syscall6(234, vt_syscall6(39, 0, 0, 0, 0, 0, 0), vt_syscall6(186, 0, 0, 0, 0, 0, 0), signal, 0, 0, 0);
    return;
  }
  vt_fault *fault = frame->fault;
  if (fault != NULL) {
    fault->signal = signal;
    fault->code = info->si_code;
    fault->address = (uint64_t)info->si_addr;
    fault->error_code = (uint64_t)context->uc_mcontext.gregs[REG_ERR];
    fault->trap_number = (uint64_t)context->uc_mcontext.gregs[REG_TRAPNO];
    fault->mxcsr = context->uc_mcontext.fpregs ? context->uc_mcontext.fpregs->mxcsr : 0;
  }
  context->uc_mcontext.gregs[REG_RSP] = (greg_t)frame->rsp;
  context->uc_mcontext.gregs[REG_RIP] = (greg_t)frame->recover;
  context->uc_mcontext.gregs[REG_EFL] &= ~0x40400;  // DF and AC as the ABI wants them
}

enum { SIZE = 64 * 1024 };
/// The first thread's alternate stack, which costs no call.
static char first[SIZE] __attribute__((aligned(16)));

int vt_guard_install_stack(void) {
  static int taken;
  stack_t alternate;
  if (sigaltstack(NULL, &alternate) != 0) return -errno;
  if (!(alternate.ss_flags & SS_DISABLE) && alternate.ss_size >= SIZE) return 0;
  void *stack = first;
  if (__atomic_exchange_n(&taken, 1, __ATOMIC_RELAXED)) {
    stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) return -errno;
  }
  alternate = (stack_t){.ss_sp = stack, .ss_size = SIZE};
  return sigaltstack(&alternate, NULL) == 0 ? 0 : -errno;
}

void vt_guard_remove_stack(void) {
  stack_t alternate, none = {.ss_flags = SS_DISABLE};
  if (sigaltstack(NULL, &alternate) != 0 || (alternate.ss_flags & SS_DISABLE)) return;
  if (sigaltstack(&none, NULL) == 0 && alternate.ss_sp != first) munmap(alternate.ss_sp, alternate.ss_size);
}

int vt_guard_install(void) {
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  int failure = vt_guard_install_stack();
  if (failure != 0) return failure;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (sigaction(signals[i], &action, NULL) != 0) return -errno;
  return vt_translated_install();
}

/// Saves the callee-saved registers, records the frame, calls, and returns 0; a fault lands on the recovery label, which
/// restores the registers from the stack and returns 1.
int vt_guard_enter(vt_handler handler, const void *operation, void *cpu, void *window, int64_t counter, vt_frame *frame);
__asm__(
    ".text\n"
    ".p2align 4\n"
    ".globl vt_guard_enter\n"
    ".type vt_guard_enter,@function\n"
    "vt_guard_enter:\n"
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  sub $8, %rsp\n"
    "  mov %rsp, 0(%r9)\n"
    "  lea 1f(%rip), %rax\n"
    "  mov %rax, 8(%r9)\n"
    "  mov %rdi, %rax\n"
    "  mov %rsi, %rdi\n  mov %rdx, %rsi\n  mov %rcx, %rdx\n  mov %r8, %rcx\n"
    "  call *%rax\n"
    "  xor %eax, %eax\n"
    "2:\n"
    "  add $8, %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
    "  ret\n"
    "1:\n"
    "  mov $1, %eax\n"
    "  jmp 2b\n"
    ".size vt_guard_enter, .-vt_guard_enter\n");

int vt_guard_run(vt_handler handler, const void *operation, void *cpu, void *window, int64_t counter, vt_fault *fault) {
  vt_frame frame = {.outer = current_frame, .fault = fault};
  current_frame = &frame;
  __asm__ volatile("" ::: "memory");
  int faulted = vt_guard_enter(handler, operation, cpu, window, counter, &frame);
  __asm__ volatile("" ::: "memory");
  current_frame = frame.outer;
  return faulted;
}

_Noreturn void vt_guard_raise(uint32_t trap, uint64_t value) {
  vt_frame *frame = current_frame;
  if (frame == NULL) abort();
  if (frame->fault != NULL) *frame->fault = (vt_fault){.code = (int32_t)trap, .address = value};
  __asm__ volatile("mov %0, %%rsp\n\tjmp *%1" : : "r"(frame->rsp), "r"(frame->recover) : "memory");
  __builtin_unreachable();
}

/// Progress of a guarded copy, kept in memory where it survives a fault.
typedef struct { char *destination; const char *source; size_t left; } vt_copy_state;

static void copy_pages(const void *state_pointer, void *unused1, void *unused2, int64_t unused3) {
  vt_copy_state *state = (vt_copy_state *)state_pointer;
  (void)unused1; (void)unused2; (void)unused3;
  while (state->left != 0) {
    size_t to_source_end = 4096 - ((uintptr_t)state->source & 4095);
    size_t to_destination_end = 4096 - ((uintptr_t)state->destination & 4095);
    size_t chunk = to_source_end < to_destination_end ? to_source_end : to_destination_end;
    if (chunk > state->left) chunk = state->left;
    memcpy(state->destination, state->source, chunk);
    __asm__ volatile("" ::: "memory");
    state->destination += chunk;
    state->source += chunk;
    state->left -= chunk;
  }
}

size_t vt_guard_copy(void *destination, const void *source, size_t count) {
  vt_copy_state state = {destination, source, count};
  vt_fault fault;
  vt_guard_run(copy_pages, &state, NULL, NULL, 0, &fault);
  return state.left;
}
#endif
