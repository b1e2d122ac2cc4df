// The layout-critical structs that cross `@c` boundaries: the guest CPU's state and the interpreter's operation.
// Offsets are part of the contract with translated code; `_Static_assert`s in state.c pin them.
#ifndef CHOST_STATE_H
#define CHOST_STATE_H
#include <stddef.h>
#include <stdint.h>
#include "direct.h"

/// One x87 register in memory form: 64-bit significand, then sign and exponent. MMX registers alias `significand`.
typedef struct {
  uint64_t significand;
  uint16_t sign_exponent;
  uint16_t padding[3];
} vt_x87_register;

/// The part of the state that only the translator uses. Its first members are within reach of an 8-bit displacement.
typedef struct {
  /// Which exit of translated code was taken: a site's number, or VT_EXIT_….
  uint32_t site;
  /// The site of the last indirect branch or return.
  uint32_t indirect_site;
  /// The host's R12 when translated code was left: where an indirect branch or return goes to.
  uint64_t target;
  /// FS and GS bases of the guest, guarded.
  uint64_t fs_base;
  uint64_t gs_base;
  /// Instructions that may still be executed, when they are counted; where counting code addresses it, in RBP's form.
  int64_t remaining;
  /// RFLAGS of the guest, in hardware form.
  uint64_t rflags;
  /// Host stack pointers: of the run loop, and of the shadow stack of return addresses.
  uint64_t host_rsp;
  uint64_t shadow_rsp;
  /// Where to enter; where a fault or signal interrupted, in the code cache.
  uint64_t entry;
  uint64_t host_rip;
  /// The host's RCX when translated code was left.
  uint64_t scratch;
  /// Host address of guest address 0, and its negative.
  uint64_t window;
  uint64_t negative_window;
  /// FXSAVE image of the guest's x87 state; used when `uses_x87` is not 0.
  void *x87_area;
  uint32_t uses_x87;
  /// 0: YMM registers (XMM without AVX), 1: ZMM and opmask registers as well.
  uint32_t uses_zmm;
  uint32_t has_avx;
  /// What the host said of the last fault in translated code: vector number, signal, page-fault error code, address.
  uint32_t fault_trap;
  uint32_t fault_signal;
  uint32_t fault_error;
  uint64_t fault_address;
  /// A vector register that a template borrows.
  uint64_t vector_scratch[8];
  /// What the host's RBP was when a fault or signal interrupted.
  uint64_t host_rbp;
  /// Of the CPU's state and the one that counting code addresses: the other one, plus VT_STATE_BIAS.
  uint64_t other;
  /// Calls that translated code may make by itself, and how many it has made.
  const vt_direct_calls *direct_calls;
  uint64_t direct_count;
  /// When `call_is_made`: what the host said to the call that translated code was left for.
  int64_t call_result;
  uint64_t call_is_made;
} vt_translated_state;

/// The architectural state of one guest CPU.
///
///     offset
///        0  general[0..15]   rax rcx rdx rbx rsp rbp rsi rdi r8 … r15
///      128  zero             always 0: the base of an operand without a base register
///      136  effective        scratch: an address computed by a preceding address operation
///      144  fs_base, gs_base
///      160  rip
///      168  translated       what translated code and its run loop tell each other
///           flags_result     lazy flags, see X86/LazyFlags.swift
///           flags_carries
///           flags_other      DF, TF, AC, ID … in their RFLAGS positions
typedef struct {
  uint64_t general[16];
  uint64_t zero;
  uint64_t effective;
  uint64_t fs_base;
  uint64_t gs_base;
  uint64_t rip;
  vt_translated_state translated;
  uint64_t flags_result;
  uint64_t flags_carries;
  uint64_t flags_other;
  /// First guest address beyond the window: accesses above it are clamped to the guard area that begins there.
  uint64_t window_limit;
  /// Operation being executed, stored before anything that can fault.
  const void *operation;
  /// Non-zero: leave the run loop at the next taken branch (an asynchronous signal is pending).
  volatile uint32_t attention;
  /// Why the engine stopped: an `ExitReason` raw value, with two operands.
  uint32_t exit_reason;
  uint64_t exit_value;
  uint64_t exit_address;
  /// Instructions that may still be executed; negative when the budget is spent.
  int64_t remaining;
  /// Private to the engine: its block cache.
  void *block_cache;
  /// Private to the personality: whose CPU this is.
  void *owner;

  /// 32 vector registers of 64 bytes (ZMM); XMM and YMM are their low parts.
  // Swift cannot import members aligned beyond 16; the allocation is 64-aligned and so is this offset (state.c).
  uint8_t vector[32][64] __attribute__((aligned(16)));
  uint64_t mask[8];
  uint32_t mxcsr;

  /// x87: physical registers R0…R7 (ST(i) is physical[(top + i) & 7]). The words lie apart because compilers widen loads
  /// of them to 32 bits, which would wait for a neighbour's store.
  uint16_t x87_control;
  uint16_t x87_reserved0;
  /// Status word with TOP kept in `x87_top`; the exception flags, C0–C3.
  uint16_t x87_status;
  uint16_t x87_reserved1;
  uint16_t x87_top;
  uint16_t x87_reserved2;
  /// One bit a physical register: 1 = not empty (the abridged tag of FXSAVE).
  uint16_t x87_tags;
  uint16_t x87_reserved3;
  uint16_t x87_opcode;
  uint64_t x87_instruction_pointer;
  uint64_t x87_data_pointer;
  vt_x87_register x87[8] __attribute__((aligned(16)));
  /// Scratch: the memory operand of the x87 instruction being executed. A local variable would cost handlers their tail
  /// call.
  uint64_t x87_memory[2];

  uint16_t segment_selectors[6];  // es cs ss ds fs gs
  uint64_t xcr0;
  /// Index into CPU feature levels: what the guest's CPUID advertises (Engine/CPUID).
  uint32_t cpu_level;
  /// Instruction set extensions of the host that handlers may use (VT_HOST_… in float.h); 0 is always safe.
  uint32_t host_features;
  /// What differs from run to run (time stamps, random numbers, the processor's number) raises #GP, for whoever records it.
  uint32_t traps_chance;
} vt_cpu_state;

/// One pre-decoded operation of the interpreter; 32 bytes, a block is an array of them.
typedef struct {
  /// Address of the handler (`@c` function); see Engine/Interpreter/Dispatch.swift.
  const void *handler;
  /// Immediate operand, sign-extended; or a branch target.
  int64_t immediate;
  /// Guest address of the instruction.
  uint64_t rip;
  /// Displacement of the memory operand, or relative link to another operation.
  int32_t displacement;
  /// Operands by place: a = ModRM.reg, b = ModRM.rm or the memory operand's base, c = VEX.vvvv, d = is4 / index / aux.
  /// General registers are byte offsets into `general` (high-byte registers: odd offsets); others are numbers.
  uint8_t a, b, c, d;
} vt_operation;

enum {
  VT_OFFSET_VECTOR = offsetof(vt_cpu_state, vector),
  VT_OFFSET_MASK = offsetof(vt_cpu_state, mask),
  VT_OFFSET_ATTENTION = offsetof(vt_cpu_state, attention),
  VT_OFFSET_X87 = offsetof(vt_cpu_state, x87),
  VT_OFFSET_TRANSLATED = offsetof(vt_cpu_state, translated),
  VT_OFFSET_VECTOR_SCRATCH = offsetof(vt_cpu_state, translated.vector_scratch),
  /// Sizes: the vector registers with the opmask registers behind them, the x87 registers.
  VT_SIZE_VECTOR = offsetof(vt_cpu_state, mxcsr) - offsetof(vt_cpu_state, vector),
  VT_SIZE_X87 = sizeof(((vt_cpu_state *)0)->x87),
};
#endif
