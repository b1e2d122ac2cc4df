// Runs instructions on the host CPU itself: the oracle. A run enters and leaves by signals, so that every register, flag
// and the whole extended state come from the kernel's signal frame, without any code of ours around the instruction.
#ifndef NATIVE_H
#define NATIVE_H
#include <stdint.h>

enum {
  /// Offsets in `native_state.extended`: the FXSAVE image's vector registers, the XSAVE header, AVX (high halves of
  /// YMM0–15), opmask registers, ZMM_Hi256 (high halves of ZMM0–15), Hi16_ZMM (ZMM16–31), the end.
  NATIVE_XMM = 160,
  NATIVE_HEADER = 512,
  NATIVE_YMM_HIGH = 576,
  NATIVE_OPMASK = 1088,
  NATIVE_ZMM_HIGH = 1152,
  NATIVE_HIGH_16 = 1664,
  NATIVE_EXTENDED_SIZE = 2688,
};

/// The state before or after: general registers in the order rax rcx rdx rbx rsp rbp rsi rdi r8 … r15, RIP, RFLAGS, and the
/// extended state in XSAVE's standard format at the offsets that Intel's processors use, which are the guest's too,
/// whatever the host's are. What the host does not have is zero; the header means nothing.
typedef struct {
  uint64_t general[16];
  uint64_t rip;
  uint64_t rflags;
  uint64_t extended[NATIVE_EXTENDED_SIZE / 8] __attribute__((aligned(16)));
} native_state;

/// How the run ended: signal 5 (SIGTRAP) on an int3 behind the code, or a fault.
typedef struct {
  int32_t signal;
  int32_t code;
  uint64_t address;
  uint64_t error_code;
  uint64_t trap_number;
} native_result;

/// Installs the handlers; call once, from one thread. Returns 0 or -errno.
int native_install(void);
/// XCR0: the state components of the host that a run loads and stores.
uint64_t native_components(void);
/// Runs from `state->rip` until a signal; `*state` becomes what the signal frame says.
void native_run(native_state *state, native_result *result);
/// Begins this program anew when its heap, which the kernel puts anywhere in the first GiB behind it, may lie or grow into
/// `[start, end)`. To be called before anything is done.
void native_keep_heap_away(uint64_t start, uint64_t end, char *const arguments[]);
/// Maps `size` bytes at exactly `address` (read, write, and execute when asked). Returns 0 or -errno.
int native_map(uint64_t address, uint64_t size, int protection);
int native_protect(uint64_t address, uint64_t size, int protection);
/// 1 when the page of `address` is mapped in this process.
int native_is_mapped(uint64_t address);
/// Sets the host's GS base (free in this process).
void native_set_gs_base(uint64_t base);
/// 1 when programs may set the bases of FS and GS themselves.
int native_has_bases(void);
/// Runs from now on start with these bases of FS and GS; the host's own come back at their end.
void native_set_bases(const uint64_t bases[2]);
/// The bases at the end of the last run.
void native_get_bases(uint64_t bases[2]);
/// An engine runs until this is called with NULL: stopped, like a native run, when that takes too long, by setting
/// `*attention` and calling `interrupt` with the signal's context.
void native_watch_engine(volatile uint32_t *attention, void (*interrupt)(void *context));
/// From now on a run that does not end within a second ends with SIGALRM.
int native_limit_time(void);
/// A run may last so many ticks of 300 ms behind the first that sees it; 1 at first.
void native_set_patience(uint32_t ticks);
/// 1 when the host has the CPUID bit: leaf, subleaf, register 0…3 (eax ebx ecx edx), bit.
int native_has(uint32_t leaf, uint32_t subleaf, int reg, int bit);
#endif
