// Asynchronous host signals. The handler only records what came and raises the attention word; the guest's handlers run
// later, from the run loop. Standard signals wait once each, real-time signals queue. When the queue is full the handler
// leaves all signals blocked until the run loop has emptied it, so that none is lost.
//
// The window between "no signal is waiting" and the blocking system call is closed by `vt_signal_call`: its check and its
// SYSCALL instruction form a critical section; a handler that interrupts it moves RIP to the exit that says "not started".
#define _GNU_SOURCE
#include "CHost.h"

#if defined(__linux__) && defined(__x86_64__)
#include <signal.h>
#include <string.h>
#include <ucontext.h>

enum { SYS_RT_SIGACTION = 13, SYS_RT_SIGPROCMASK = 14, QUEUE = 128, INFORMATION = 128 };
enum { RESTORER = 0x04000000 };

typedef struct {
  void *handler;
  uint64_t flags;
  void *restorer;
  uint64_t mask;
} kernel_action;

// Of the calling thread. NULL: nobody listens yet.
static __thread volatile uint32_t *attention_word;
static __thread volatile uint64_t standard_waiting;  // bit n-1
static __thread uint8_t standard_information[32][INFORMATION];
static __thread struct {
  int32_t signal;
  uint8_t information[INFORMATION];
} queue[QUEUE];
static __thread volatile uint32_t queue_length;
static volatile uint64_t caught, ignored;  // signals whose guest disposition is a handler, or to be ignored

void vt_signal_restorer(void);
extern char vt_signal_call_begin[], vt_signal_call_end[], vt_signal_call_refused[];

__asm__(
    ".text\n"
    ".globl vt_signal_restorer\n"
    ".type vt_signal_restorer,@function\n"
    "vt_signal_restorer:\n"
    "  mov $15, %eax\n"
    "  syscall\n"
    ".size vt_signal_restorer, .-vt_signal_restorer\n"
    ".p2align 4\n"
    ".globl vt_signal_enter\n"
    ".type vt_signal_enter,@function\n"
    // (attention, number, a, b, c, d, [rsp+8] e, [rsp+16] f)
    "vt_signal_enter:\n"
    "  mov %rdi, %r11\n"
    "  mov %rsi, %rax\n"
    "  mov %rdx, %rdi\n"
    "  mov %rcx, %rsi\n"
    "  mov %r8, %rdx\n"
    "  mov %r9, %r10\n"
    "  mov 8(%rsp), %r8\n"
    "  mov 16(%rsp), %r9\n"
    "vt_signal_call_begin:\n"
    "  cmpl $0, (%r11)\n"
    "  jne vt_signal_call_refused\n"
    "  syscall\n"
    "vt_signal_call_end:\n"
    "  ret\n"
    "vt_signal_call_refused:\n"
    "  mov $-512, %rax\n"
    "  ret\n"
    ".size vt_signal_enter, .-vt_signal_enter\n");

int64_t vt_signal_enter(
    volatile uint32_t *attention, int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f);

int64_t vt_signal_call(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f) {
  static volatile uint32_t none;
  return vt_signal_enter(attention_word ? attention_word : &none, number, a, b, c, d, e, f);
}

void vt_signal_record(int32_t signal, const void *information) {
  if (signal < 1 || signal > 64) return;
  if (signal < 32) {
    if (!(standard_waiting >> (signal - 1) & 1)) {
      memcpy(standard_information[signal], information, INFORMATION);
      standard_waiting |= 1ull << (signal - 1);
    }
  } else if (queue_length < QUEUE) {
    queue[queue_length].signal = signal;
    memcpy(queue[queue_length].information, information, INFORMATION);
    queue_length = queue_length + 1;
  }
  if (attention_word) *attention_word = 1;
}

static void on_signal(int signal, siginfo_t *info, void *context_pointer) {
  ucontext_t *context = context_pointer;
  vt_signal_record(signal, info);
  if (queue_length >= QUEUE - 1) {
    // Not what Vitrine itself needs: faults and steps of translated code, whose signals would end the process when they are
    // blocked, and SIGILL, which interrupts threads (threads.c).
    uint64_t blocked = ~(1ull << (SIGILL - 1) | 1ull << (SIGTRAP - 1) | 1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1)
                         | 1ull << (SIGFPE - 1));
    memcpy(&context->uc_sigmask, &blocked, 8);
  }
  vt_signal_interrupt(context_pointer);
}

void vt_signal_interrupt(void *context_pointer) {
  ucontext_t *context = context_pointer;
  uint64_t rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
  if (rip >= (uint64_t)vt_signal_call_begin && rip < (uint64_t)vt_signal_call_end)
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)vt_signal_call_refused;
  vt_translated_interrupt(context_pointer);
}

static uint64_t block_all(void) {
  uint64_t all = ~0ull, old = 0;
  vt_syscall6(SYS_RT_SIGPROCMASK, SIG_BLOCK, (int64_t)&all, (int64_t)&old, 8, 0, 0);
  return old;
}

static void set_mask(uint64_t mask) {
  vt_syscall6(SYS_RT_SIGPROCMASK, SIG_SETMASK, (int64_t)&mask, 0, 8, 0, 0);
}

void vt_signal_attach(volatile uint32_t *attention) { attention_word = attention; }

static int is_guarded(int32_t signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP;
}

int64_t vt_signal_set(int32_t signal, int32_t disposition, uint64_t flags) {
  if (signal < 1 || signal > 64) return -22;
  uint64_t bit = 1ull << (signal - 1);
  if (disposition == VT_SIGNAL_CATCH) caught |= bit; else caught &= ~bit;
  if (disposition == VT_SIGNAL_IGNORE) ignored |= bit; else ignored &= ~bit;
  if (is_guarded(signal)) return 0;
  kernel_action action = {SIG_DFL, (flags & (SA_NOCLDSTOP | SA_NOCLDWAIT)) | RESTORER, vt_signal_restorer, 0};
  if (disposition == VT_SIGNAL_IGNORE) action.handler = SIG_IGN;
  if (disposition == VT_SIGNAL_CATCH) {
    action.handler = on_signal;
    action.flags |= SA_SIGINFO | SA_ONSTACK;
    action.mask = ~0ull;
  }
  return vt_syscall6(SYS_RT_SIGACTION, signal, (int64_t)&action, 0, 8, 0, 0);
}

int32_t vt_signal_inherited(int32_t signal) {
  kernel_action action = {0};
  if (vt_syscall6(SYS_RT_SIGACTION, signal, 0, (int64_t)&action, 8, 0, 0) != 0) return VT_SIGNAL_DEFAULT;
  if (action.handler == SIG_IGN) return VT_SIGNAL_IGNORE;
  return action.handler == SIG_DFL ? VT_SIGNAL_DEFAULT : VT_SIGNAL_CATCH;
}

int32_t vt_signal_take(uint64_t blocked, void *information) {
  uint64_t old = block_all();
  int32_t taken = 0;
  uint64_t ready = standard_waiting & ~blocked;
  if (ready != 0) {
    // Synchronous faults first, as the kernel does, then the lowest number.
    uint64_t synchronous = ready & (1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGILL - 1)
        | 1ull << (SIGTRAP - 1) | 1ull << (SIGFPE - 1) | 1ull << (SIGSYS - 1));
    taken = __builtin_ctzll(synchronous ? synchronous : ready) + 1;
    standard_waiting &= ~(1ull << (taken - 1));
    memcpy(information, standard_information[taken], INFORMATION);
  } else {
    uint32_t best = QUEUE;
    for (uint32_t i = 0; i < queue_length; i++)
      if (!(blocked >> (queue[i].signal - 1) & 1) && (best == QUEUE || queue[i].signal < queue[best].signal)) best = i;
    if (best != QUEUE) {
      taken = queue[best].signal;
      memcpy(information, queue[best].information, INFORMATION);
      memmove(&queue[best], &queue[best + 1], (queue_length - best - 1) * sizeof queue[0]);
      queue_length = queue_length - 1;
    }
  }
  set_mask(old);
  return taken;
}

uint64_t vt_signal_waiting(void) {
  uint64_t old = block_all();
  uint64_t result = standard_waiting;
  for (uint32_t i = 0; i < queue_length; i++) result |= 1ull << (queue[i].signal - 1);
  set_mask(old);
  return result;
}

void vt_signal_block_all(void) { block_all(); }

void vt_signal_block_sent(void) {
  uint64_t sent = 0;
  for (int signal = 1; signal <= 64; signal++)
    if (!is_guarded(signal)) sent |= 1ull << (signal - 1);
  vt_syscall6(SYS_RT_SIGPROCMASK, SIG_BLOCK, (int64_t)&sent, 0, 8, 0, 0);
}

void vt_signal_pass_on(uint64_t signals) {
  enum { SYS_RT_SIGQUEUEINFO = 129, SYS_GETPID = 39, TO_THREAD = -6 };
  uint8_t information[INFORMATION];
  uint64_t old = block_all();
  int64_t process = vt_syscall6(SYS_GETPID, 0, 0, 0, 0, 0, 0);
  for (int signal = 1; signal <= 64; signal++) {
    uint64_t bit = 1ull << (signal - 1);
    if (!(signals & bit)) continue;
    if (signal < 32) {
      if (!(standard_waiting & bit) || ((siginfo_t *)standard_information[signal])->si_code == TO_THREAD) continue;
      standard_waiting &= ~bit;
      vt_syscall6(SYS_RT_SIGQUEUEINFO, process, signal, (int64_t)standard_information[signal], 0, 0, 0);
      continue;
    }
    for (uint32_t i = 0; i < queue_length;) {
      if (queue[i].signal != signal || ((siginfo_t *)queue[i].information)->si_code == TO_THREAD) {
        i++;
        continue;
      }
      memcpy(information, queue[i].information, INFORMATION);
      memmove(&queue[i], &queue[i + 1], (queue_length - i - 1) * sizeof queue[0]);
      queue_length = queue_length - 1;
      vt_syscall6(SYS_RT_SIGQUEUEINFO, process, signal, (int64_t)information, 0, 0, 0);
    }
  }
  set_mask(old);
}

void vt_signal_forget(void) {
  uint64_t old = block_all();
  standard_waiting = 0;
  queue_length = 0;
  set_mask(old);
}

int32_t vt_signal_forward(int32_t signal, const void *information) {
  if (ignored >> (signal - 1) & 1) return 1;
  if (!(caught >> (signal - 1) & 1)) return 0;
  vt_signal_record(signal, information);
  return 1;
}
#endif
