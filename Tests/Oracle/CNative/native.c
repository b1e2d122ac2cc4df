#define _GNU_SOURCE
#include "native.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

// A state component behind the legacy region: its place in the host's signal frame and in `native_state.extended`.
typedef struct {
  uint32_t number, size, host_offset, offset;
} component;

static component components[] = {
    {2, 256, 0, NATIVE_YMM_HIGH}, {5, 64, 0, NATIVE_OPMASK}, {6, 512, 0, NATIVE_ZMM_HIGH}, {7, 1024, 0, NATIVE_HIGH_16}};
enum { COMPONENT_COUNT = sizeof components / sizeof *components };

static native_state *running;
static native_result *running_result;
static int entering;
static ucontext_t saved_context;
static uint8_t saved_extended[16384];
static struct sigaction previous_actions[32];

// Segment bases of a run; 0 in `uses_bases`: the host's own stay. While a run's FS base is in force, nothing here may use
// thread-local variables, which is why the handler puts the host's back first of all.
static int uses_bases;
static uint64_t run_bases[2], host_bases[2];
static volatile uint32_t run_number;
static uint32_t seen_number;

__attribute__((target("fsgsbase"))) static void write_bases(const uint64_t bases[2]) {
  __builtin_ia32_wrfsbase64(bases[0]);
  __builtin_ia32_wrgsbase64(bases[1]);
}

__attribute__((target("fsgsbase"))) static void read_bases(uint64_t bases[2]) {
  bases[0] = __builtin_ia32_rdfsbase64();
  bases[1] = __builtin_ia32_rdgsbase64();
}

// Register numbers of the instruction set in the order of gregs.
static const int greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/// Bytes of extended state in a signal frame: what the kernel says in its words at 464 (`struct _fpx_sw_bytes`). CPUID's size
/// is larger on machines with AMX, whose tiles have no place in the frame of a process that has not asked for them.
static uint32_t frame_size(const ucontext_t *context) {
  struct _fpx_sw_bytes kernel;
  memcpy(&kernel, (const uint8_t *)context->uc_mcontext.fpregs + 464, sizeof kernel);
  if (kernel.magic1 != FP_XSTATE_MAGIC1) return 512;
  return kernel.xstate_size < sizeof saved_extended ? kernel.xstate_size : sizeof saved_extended;
}

static int is_zero(const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (bytes[i] != 0) return 0;
  return 1;
}

static void load(ucontext_t *context) {
  for (int i = 0; i < 16; i++) context->uc_mcontext.gregs[greg_of[i]] = (greg_t)running->general[i];
  context->uc_mcontext.gregs[REG_RIP] = (greg_t)running->rip;
  context->uc_mcontext.gregs[REG_EFL] = (greg_t)running->rflags;
  uint8_t *area = (uint8_t *)context->uc_mcontext.fpregs;
  const uint8_t *image = (const uint8_t *)running->extended;
  // Bytes 464–511 of the image tell the kernel the frame's layout and stay.
  memcpy(area, image, 464);
  uint64_t *header = (uint64_t *)(area + NATIVE_HEADER);
  header[0] |= 3;
  for (int i = 0; i < COMPONENT_COUNT; i++) {
    const component *part = &components[i];
    if (part->host_offset == 0) continue;
    memcpy(area + part->host_offset, image + part->offset, part->size);
    // A component that is zero is in its initial state.
    const uint64_t bit = (uint64_t)1 << part->number;
    header[0] = is_zero(image + part->offset, part->size) ? header[0] & ~bit : header[0] | bit;
  }
}

static void store(const ucontext_t *context) {
  for (int i = 0; i < 16; i++) running->general[i] = (uint64_t)context->uc_mcontext.gregs[greg_of[i]];
  running->rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
  running->rflags = (uint64_t)context->uc_mcontext.gregs[REG_EFL];
  const uint8_t *area = (const uint8_t *)context->uc_mcontext.fpregs;
  uint8_t *image = (uint8_t *)running->extended;
  memcpy(image, area, 464);
  const uint64_t present = *(const uint64_t *)(area + NATIVE_HEADER);
  for (int i = 0; i < COMPONENT_COUNT; i++) {
    const component *part = &components[i];
    if (part->host_offset != 0 && (present >> part->number & 1))
      memcpy(image + part->offset, area + part->host_offset, part->size);
    else
      memset(image + part->offset, 0, part->size);
  }
  if (!(present & 2)) memset(image + NATIVE_XMM, 0, 256);
  if (!(present & 1)) {
    memset(image, 0, 24);
    image[0] = 0x7f;
    image[1] = 3;
    memset(image + 32, 0, 128);
  }
}

static void on_signal(int signal, siginfo_t *info, void *pointer) {
  if (uses_bases && running != NULL && !entering) {
    read_bases(run_bases);
    write_bases(host_bases);
  }
  // The kernel leaves AC, ID and NT as the interrupted code had them, and POPF may have set them. An engine's code keeps
  // what sigreturn does not restore.
  const uint64_t lost = running != NULL ? 0x244000 : 0x40000;
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~lost);
  ucontext_t *context = pointer;
  if (entering) {
    entering = 0;
    saved_context = *context;
    memcpy(saved_extended, context->uc_mcontext.fpregs, frame_size(context));
    load(context);
    if (uses_bases) {
      read_bases(host_bases);
      write_bases(run_bases);
    }
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
  memcpy(context->uc_mcontext.fpregs, saved_extended, frame_size(context));
  memcpy(context->uc_mcontext.gregs, saved_context.uc_mcontext.gregs, sizeof saved_context.uc_mcontext.gregs);
}

// An engine that runs now: the word that asks it to stop, and what it wants to be told of the interrupted code.
static volatile uint32_t *engine_attention;
static void (*engine_interrupt)(void *context);

void native_watch_engine(volatile uint32_t *attention, void (*interrupt)(void *context)) {
  run_number++;
  engine_interrupt = interrupt;
  engine_attention = attention;
}

// How many ticks a run may last behind the one that sees it first, and how many it has.
static volatile uint32_t patience = 1;
static uint32_t seen_ticks;

void native_set_patience(uint32_t ticks) { patience = ticks; }

// A run that lasts from one tick to the next but one (or as many as `patience` says) will not end by itself.
static void on_tick(int signal, siginfo_t *info, void *pointer) {
  if (entering || (running == NULL && engine_attention == NULL)) return;
  if (seen_number != run_number) {
    seen_number = run_number;
    seen_ticks = 0;
    return;
  }
  if (++seen_ticks < patience) return;
  if (running != NULL) {
    on_signal(signal, info, pointer);
    return;
  }
  *engine_attention = 1;
  engine_interrupt(pointer);
}

int native_limit_time(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_tick;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigfillset(&action.sa_mask);
  if (sigaction(SIGALRM, &action, NULL) != 0) return -errno;
  const struct itimerval interval = {.it_interval = {.tv_usec = 300000}, .it_value = {.tv_usec = 300000}};
  return setitimer(ITIMER_REAL, &interval, NULL) == 0 ? 0 : -errno;
}

int native_has_bases(void) { return (getauxval(AT_HWCAP2) & 2) != 0; }

void native_set_bases(const uint64_t bases[2]) {
  run_bases[0] = bases[0];
  run_bases[1] = bases[1];
  uses_bases = 1;
}

void native_get_bases(uint64_t bases[2]) {
  bases[0] = run_bases[0];
  bases[1] = run_bases[1];
}

int native_install(void) {
  static uint8_t stack[1 << 17] __attribute__((aligned(64)));
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  if (sigaltstack(&alternate, NULL) != 0) return -errno;
  uint32_t a, b, c, d;
  const uint64_t present = native_components();
  for (int i = 0; i < COMPONENT_COUNT; i++) {
    if (!(present >> components[i].number & 1)) continue;
    __cpuid_count(0xd, components[i].number, a, b, c, d);
    if (a == components[i].size && b + a <= sizeof saved_extended) components[i].host_offset = b;
  }
  static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  if (native_has_bases()) {
    // GS is free in this process; an engine may keep its window there.
    uses_bases = 1;
    read_bases(run_bases);
    run_bases[1] = 0;
  }
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (sigaction(signals[i], &action, &previous_actions[signals[i]]) != 0) return -errno;
  return 0;
}

uint64_t native_components(void) {
  uint32_t a, b, c, d;
  __cpuid(1, a, b, c, d);
  // OSXSAVE
  if (!(c >> 27 & 1)) return 3;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

/// Set before every run: engines use the register as well.
static uint64_t gs_base;

__attribute__((noinline)) void native_run(native_state *state, native_result *result) {
  syscall(SYS_arch_prctl, 0x1001, gs_base);
  running_result = result;
  running = state;
  run_number++;
  entering = 1;
  __asm__ volatile("int3" : : : "memory");
}

void native_keep_heap_away(uint64_t start, uint64_t end, char *const arguments[]) {
  enum { MOST_HEAP = 64 << 20 };
  uint64_t heap = (uint64_t)sbrk(0);
  if (heap + MOST_HEAP > start && heap < end) execv("/proc/self/exe", arguments);
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

void native_set_gs_base(uint64_t base) { gs_base = base; }

int native_has(uint32_t leaf, uint32_t subleaf, int reg, int bit) {
  uint32_t r[4];
  if (__get_cpuid_max(leaf & 0x80000000, NULL) < leaf) return 0;
  __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
  return (r[reg] >> bit) & 1;
}
