// The host's x87 unit as functions on 80-bit values in memory, for the interpreter's x87 semantics. On x86-64
// an operation is the instruction itself: operands are pushed (`fldt` raises nothing and keeps every bit),
// the instruction runs, FNSTSW gives its flags, the result is popped; the register stack is empty before and
// after. Nothing is decided here: stack faults, tags, traps and condition codes are
// Engine/Interpreter/Interpreter+X87.swift's business.
//
// While guest code runs the host's control word is the guest's with all exceptions masked (`vt_x87_enter`),
// and the host's exception flags are a subset of the guest's, so that the flags an operation returns can be
// or-ed to the guest's.
#ifndef CHOST_X87_H
#define CHOST_X87_H
#include "memory.h"
#include "state.h"

/// What an x87 operation reads from memory or writes to it: up to ten bytes.
typedef struct {
  uint64_t low;
  uint64_t high;
} vt_x87_memory;

/// The guest's x87 registers, by physical number. (A C array would be a tuple in Swift.)
VT_INLINE vt_x87_register *vt_x87_registers(vt_cpu_state *cpu) { return cpu->x87; }
/// The scratch that holds an instruction's memory operand.
VT_INLINE vt_x87_memory *vt_x87_scratch(vt_cpu_state *cpu) { return (vt_x87_memory *)cpu->x87_memory; }

/// What completes an instruction off the usual path: a packed description, then a handler's first three
/// arguments.
typedef void (*vt_x87_path)(uint64_t step, const vt_operation *operation, vt_cpu_state *cpu, void *window);

// A function that saves the registers it uses: a handler that may call it needs no frame of its own.
#if defined(__x86_64__) || defined(__aarch64__)
#define VT_PRESERVING __attribute__((preserve_most))
#else
#define VT_PRESERVING
#endif
VT_PRESERVING void vt_x87_call(vt_x87_path path, uint64_t step, const vt_operation *operation,
                               vt_cpu_state *cpu, void *window);

/// Calls `path`; inlined, because Swift does not know the calling convention.
VT_INLINE void vt_x87_divert(vt_x87_path path, uint64_t step, const vt_operation *operation,
                             vt_cpu_state *cpu, void *window) {
  vt_x87_call(path, step, operation, cpu, window);
}

// Lists of operations: X(name, assembly). Before the assembly runs, ST(0) = `b` and ST(1) = `a` (binary
// operations), or ST(0) = `a` (all others).

/// Binary operations that leave one value on the stack.
#define VT_X87_BINARY(X)                                                                                     \
  X(add, "faddp")                                                                                            \
  X(subtract, ".byte 0xde, 0xe9")                                                                            \
  X(multiply, "fmulp")                                                                                       \
  X(divide, ".byte 0xde, 0xf9")                                                                              \
  X(y_log2_x, "fyl2x")                                                                                       \
  X(y_log2_x_plus_1, "fyl2xp1")                                                                              \
  X(arc_tangent, "fpatan")

/// Binary operations that replace `b` and keep `a`.
#define VT_X87_BINARY_KEEPING(X)                                                                             \
  X(scale, "fscale")                                                                                         \
  X(remainder, "fprem")                                                                                      \
  X(remainder_nearest, "fprem1")

/// The comparison of `a` with zero.
#define VT_X87_TEST(X) X(test, "ftst")

/// Comparisons of `a` with `b`; the result is in the condition codes. Both are dropped.
#define VT_X87_COMPARE(X)                                                                                    \
  X(compare, "fcom %%st(1)")                                                                                 \
  X(compare_unordered, "fucom %%st(1)")

/// Operations on `a` alone.
#define VT_X87_UNARY(X)                                                                                      \
  X(square_root, "fsqrt")                                                                                    \
  X(round_to_integer, "frndint")                                                                             \
  X(power_of_2_minus_1, "f2xm1")                                                                             \
  X(sine, "fsin")                                                                                            \
  X(cosine, "fcos")

/// Operations on `a` that push a second result unless C2 tells that the operand was out of range.
#define VT_X87_UNARY_PUSHING(X)                                                                              \
  X(sine_cosine, "fsincos")                                                                                  \
  X(tangent, "fptan")                                                                                        \
  X(extract, "fxtract")

/// Binary operations on `a` and a value in memory.
#define VT_X87_MEMORY(X)                                                                                     \
  X(add_single, "fadds")                                                                                     \
  X(subtract_single, "fsubs")                                                                                \
  X(subtract_reverse_single, "fsubrs")                                                                       \
  X(multiply_single, "fmuls")                                                                                \
  X(divide_single, "fdivs")                                                                                  \
  X(divide_reverse_single, "fdivrs")                                                                         \
  X(add_double, "faddl")                                                                                     \
  X(subtract_double, "fsubl")                                                                                \
  X(subtract_reverse_double, "fsubrl")                                                                       \
  X(multiply_double, "fmull")                                                                                \
  X(divide_double, "fdivl")                                                                                  \
  X(divide_reverse_double, "fdivrl")                                                                         \
  X(add_int16, "fiadds")                                                                                     \
  X(subtract_int16, "fisubs")                                                                                \
  X(subtract_reverse_int16, "fisubrs")                                                                       \
  X(multiply_int16, "fimuls")                                                                                \
  X(divide_int16, "fidivs")                                                                                  \
  X(divide_reverse_int16, "fidivrs")                                                                         \
  X(add_int32, "fiaddl")                                                                                     \
  X(subtract_int32, "fisubl")                                                                                \
  X(subtract_reverse_int32, "fisubrl")                                                                       \
  X(multiply_int32, "fimull")                                                                                \
  X(divide_int32, "fidivl")                                                                                  \
  X(divide_reverse_int32, "fidivrl")

/// Comparisons of `a` with a value in memory.
#define VT_X87_COMPARE_MEMORY(X)                                                                             \
  X(compare_single, "fcoms")                                                                                 \
  X(compare_double, "fcoml")                                                                                 \
  X(compare_int16, "ficoms")                                                                                 \
  X(compare_int32, "ficoml")

/// Loads from memory, on an empty stack.
#define VT_X87_LOAD(X)                                                                                       \
  X(load_single, "flds")                                                                                     \
  X(load_double, "fldl")                                                                                     \
  X(load_int16, "filds")                                                                                     \
  X(load_int32, "fildl")                                                                                     \
  X(load_int64, "fildll")                                                                                    \
  X(load_decimal, "fbld")

/// Stores of `a` to memory.
#define VT_X87_STORE(X)                                                                                      \
  X(store_single, "fstps")                                                                                   \
  X(store_double, "fstpl")                                                                                   \
  X(store_int16, "fistps")                                                                                   \
  X(store_int32, "fistpl")                                                                                   \
  X(store_int64, "fistpll")                                                                                  \
  X(store_truncated16, "fisttps")                                                                            \
  X(store_truncated32, "fisttpl")                                                                            \
  X(store_truncated64, "fisttpll")                                                                           \
  X(store_decimal, "fbstp")

/// Constants, rounded by the rounding control.
#define VT_X87_CONSTANT(X)                                                                                   \
  X(load_one, "fld1")                                                                                        \
  X(load_log2_10, "fldl2t")                                                                                  \
  X(load_log2_e, "fldl2e")                                                                                   \
  X(load_pi, "fldpi")                                                                                        \
  X(load_log10_2, "fldlg2")                                                                                  \
  X(load_ln_2, "fldln2")                                                                                     \
  X(load_zero, "fldz")

#define VT_X87_ALL(X)                                                                                        \
  VT_X87_BINARY(X)                                                                                           \
  VT_X87_BINARY_KEEPING(X)                                                                                   \
  VT_X87_TEST(X)                                                                                             \
  VT_X87_COMPARE(X)                                                                                          \
  VT_X87_UNARY(X)                                                                                            \
  VT_X87_UNARY_PUSHING(X)                                                                                    \
  VT_X87_MEMORY(X)                                                                                           \
  VT_X87_COMPARE_MEMORY(X)                                                                                   \
  VT_X87_LOAD(X)                                                                                             \
  VT_X87_STORE(X)                                                                                            \
  VT_X87_CONSTANT(X)

/// Every operation by number, for `vt_x87_exact` and for the portable unit.
typedef enum {
#define VT_X87_CASE(name, assembly) vt_x87_operation_##name,
  VT_X87_ALL(VT_X87_CASE)
#undef VT_X87_CASE
} vt_x87_operation;

#if defined(__x86_64__)
#define VT_X87_CLOBBERS "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "cc"

/// Runs one operation with the exceptions unmasked as `control` has them, and looks at what the unit then
/// holds, without ever reaching an instruction that would deliver a pending exception. `results` receives
/// ST(0) and ST(1) (an overflowed or underflowed result is biased as the manual says), `memory` is read or
/// written. Returns the status word; flags and condition codes in it are of this operation alone. Leaves the
/// control word masked and the host's flags clear.
uint32_t vt_x87_exact(vt_x87_operation operation, uint16_t control, vt_x87_register *results,
                      const vt_x87_register *a, const vt_x87_register *b, vt_x87_memory *memory);

/// Loads the guest's control word, masked, and clears the host's flags: before guest code runs. (Looking
/// first is a third of the price of FNCLEX.)
VT_INLINE void vt_x87_enter(uint16_t control) {
  uint16_t masked = control | 0x3f;
  uint16_t status;
  __asm__ volatile("fnstsw %0" : "=a"(status));
  if (status & 0xff) __asm__ volatile("fnclex");
  __asm__ volatile("fldcw %0" : : "m"(masked));
}

/// Restores the control word that the host's ABI wants: after guest code ran.
VT_INLINE void vt_x87_leave(void) {
  static const uint16_t ordinary = 0x37f;
  __asm__ volatile("fldcw %0" : : "m"(ordinary));
}

// Early-clobber: FNSTSW writes AX before the result is popped to an address that must not be in RAX.
#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(vt_x87_register *result, const vt_x87_register *a,                        \
                                   const vt_x87_register *b) {                                               \
    uint16_t status;                                                                                         \
    __asm__ volatile("fldt %2\n\tfldt %3\n\t" assembly "\n\tfnstsw %0\n\tfstpt %1"                           \
                     : "=&a"(status), "=m"(*result)                                                          \
                     : "m"(*a), "m"(*b)                                                                      \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_BINARY(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(vt_x87_register *result, const vt_x87_register *a,                        \
                                   const vt_x87_register *b) {                                               \
    uint16_t status;                                                                                         \
    __asm__ volatile("fldt %2\n\tfldt %3\n\t" assembly "\n\tfnstsw %0\n\tfstpt %1\n\tfstp %%st(0)"           \
                     : "=&a"(status), "=m"(*result)                                                          \
                     : "m"(*a), "m"(*b)                                                                      \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_BINARY_KEEPING(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(const vt_x87_register *a, const vt_x87_register *b) {                     \
    uint16_t status;                                                                                         \
    __asm__ volatile("fldt %2\n\tfldt %1\n\t" assembly "\n\tfnstsw %0\n\tfstp %%st(0)\n\tfstp %%st(0)"       \
                     : "=&a"(status)                                                                         \
                     : "m"(*a), "m"(*b)                                                                      \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_COMPARE(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(vt_x87_register *result, const vt_x87_register *a) {                      \
    uint16_t status;                                                                                         \
    __asm__ volatile("fldt %2\n\t" assembly "\n\tfnstsw %0\n\tfstpt %1"                                      \
                     : "=&a"(status), "=m"(*result)                                                          \
                     : "m"(*a)                                                                               \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_UNARY(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(const vt_x87_register *a) {                                               \
    uint16_t status;                                                                                         \
    __asm__ volatile("fldt %1\n\t" assembly "\n\tfnstsw %0\n\tfstp %%st(0)"                                  \
                     : "=&a"(status)                                                                         \
                     : "m"(*a)                                                                               \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_TEST(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(vt_x87_register *result, const vt_x87_register *a,                        \
                                   const vt_x87_memory *value) {                                             \
    uint16_t status;                                                                                         \
    __asm__ volatile("fldt %2\n\t" assembly " %3\n\tfnstsw %0\n\tfstpt %1"                                   \
                     : "=&a"(status), "=m"(*result)                                                          \
                     : "m"(*a), "m"(*value)                                                                  \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_MEMORY(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(const vt_x87_register *a, const vt_x87_memory *value) {                   \
    uint16_t status;                                                                                         \
    __asm__ volatile("fldt %1\n\t" assembly " %2\n\tfnstsw %0\n\tfstp %%st(0)"                               \
                     : "=&a"(status)                                                                         \
                     : "m"(*a), "m"(*value)                                                                  \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_COMPARE_MEMORY(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(vt_x87_register *result, const vt_x87_memory *value) {                    \
    uint16_t status;                                                                                         \
    __asm__ volatile(assembly " %2\n\tfnstsw %0\n\tfstpt %1"                                                 \
                     : "=&a"(status), "=m"(*result)                                                          \
                     : "m"(*value)                                                                           \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_LOAD(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE uint32_t vt_x87_##name(vt_x87_memory *value, const vt_x87_register *a) {                         \
    uint16_t status;                                                                                         \
    __asm__ volatile("fldt %2\n\t" assembly " %1\n\tfnstsw %0"                                               \
                     : "=&a"(status), "=m"(*value)                                                           \
                     : "m"(*a)                                                                               \
                     : VT_X87_CLOBBERS);                                                                     \
    return status;                                                                                           \
  }
VT_X87_STORE(VT_X87_FAST)
#undef VT_X87_FAST

#define VT_X87_FAST(name, assembly)                                                                          \
  VT_INLINE void vt_x87_##name(vt_x87_register *result) {                                                    \
    __asm__ volatile(assembly "\n\tfstpt %0" : "=m"(*result) : : VT_X87_CLOBBERS);                           \
  }
VT_X87_CONSTANT(VT_X87_FAST)
#undef VT_X87_FAST
#else
// Other hosts compute in Engine/FloatingPoint, which is told the control word each time.
VT_INLINE void vt_x87_enter(uint16_t control) { (void)control; }
VT_INLINE void vt_x87_leave(void) {}
#endif
#endif
