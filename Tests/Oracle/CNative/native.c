#define _GNU_SOURCE
#include "native.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static native_state *running;
static native_result *running_result;
static int entering;
static ucontext_t saved_context;
static uint8_t saved_extended[4096];
static uint32_t extended_size;
static struct sigaction previous_actions[32];

// Register numbers of the instruction set in the order of gregs.
static const int greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void load(ucontext_t *context) {
  for (int i = 0; i < 16; i++) context->uc_mcontext.gregs[greg_of[i]] = (greg_t)running->general[i];
  context->uc_mcontext.gregs[REG_RIP] = (greg_t)running->rip;
  context->uc_mcontext.gregs[REG_EFL] = (greg_t)running->rflags;
  uint8_t *area = (uint8_t *)context->uc_mcontext.fpregs;
  // Bytes 464–511 of the image tell the kernel the frame's layout and stay.
  memcpy(area, running->extended, 464);
  uint64_t *header = (uint64_t *)(area + 512);
  header[0] |= 7;
  memcpy(area + 576, running->extended + 576, 256);
}

static void store(const ucontext_t *context) {
  for (int i = 0; i < 16; i++) running->general[i] = (uint64_t)context->uc_mcontext.gregs[greg_of[i]];
  running->rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
  running->rflags = (uint64_t)context->uc_mcontext.gregs[REG_EFL];
  const uint8_t *area = (const uint8_t *)context->uc_mcontext.fpregs;
  memcpy(running->extended, area, 464);
  const uint64_t present = *(const uint64_t *)(area + 512);
  if (present & 4)
    memcpy(running->extended + 576, area + 576, 256);
  else
    memset(running->extended + 576, 0, 256);
  if (!(present & 2)) memset(running->extended + 160, 0, 256);
  if (!(present & 1)) {
    memset(running->extended, 0, 24);
    running->extended[0] = 0x7f;
    running->extended[1] = 3;
    memset(running->extended + 32, 0, 128);
  }
}

static void on_signal(int signal, siginfo_t *info, void *pointer) {
  // The kernel leaves AC as the interrupted code had it, and POPF may have set it.
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~0x40000ULL);
  ucontext_t *context = pointer;
  if (entering) {
    entering = 0;
    saved_context = *context;
    memcpy(saved_extended, context->uc_mcontext.fpregs, extended_size);
    load(context);
    return;
  }
  if (running == NULL) {
    // Not ours: the engine's own guard was installed before.
    const struct sigaction *previous = &previous_actions[signal];
    if (previous->sa_flags & SA_SIGINFO) {
      previous->sa_sigaction(signal, info, pointer);
    } else {
      sigaction(signal, previous, NULL);
    }
    return;
  }
  store(context);
  running_result->signal = signal;
  running_result->code = info->si_code;
  running_result->address = (uint64_t)info->si_addr;
  running_result->error_code = (uint64_t)context->uc_mcontext.gregs[REG_ERR];
  running_result->trap_number = (uint64_t)context->uc_mcontext.gregs[REG_TRAPNO];
  running = NULL;
  // Keep the frame's own place for the extended state, bring back everything else.
  memcpy(context->uc_mcontext.fpregs, saved_extended, extended_size);
  memcpy(context->uc_mcontext.gregs, saved_context.uc_mcontext.gregs, sizeof saved_context.uc_mcontext.gregs);
}

int native_install(void) {
  static uint8_t stack[1 << 16] __attribute__((aligned(64)));
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  if (sigaltstack(&alternate, NULL) != 0) return -errno;
  uint32_t a, b, c, d;
  __cpuid_count(0xd, 0, a, b, c, d);
  extended_size = b < sizeof saved_extended ? b : sizeof saved_extended;
  static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (sigaction(signals[i], &action, &previous_actions[signals[i]]) != 0) return -errno;
  return 0;
}

__attribute__((noinline)) void native_run(native_state *state, native_result *result) {
  running_result = result;
  running = state;
  entering = 1;
  __asm__ volatile("int3" : : : "memory");
}

int native_map(uint64_t address, uint64_t size, int protection) {
  void *result = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return result == MAP_FAILED ? -errno : 0;
}

int native_protect(uint64_t address, uint64_t size, int protection) {
  return mprotect((void *)address, size, protection) != 0 ? -errno : 0;
}

int native_is_mapped(uint64_t address) {
  unsigned char resident;
  return mincore((void *)(address & ~0xfffULL), 1, &resident) == 0;
}

void native_set_gs_base(uint64_t base) { syscall(SYS_arch_prctl, 0x1001, base); }

int native_has(uint32_t leaf, uint32_t subleaf, int reg, int bit) {
  uint32_t r[4];
  if (__get_cpuid_max(leaf & 0x80000000, NULL) < leaf) return 0;
  __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
  return (r[reg] >> bit) & 1;
}
