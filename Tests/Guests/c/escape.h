// Probes of memory: one access through one addressing form to one address, with every register chosen, and what came of it.
// A fault's handler only notes what the kernel said and goes on behind the access; it needs neither stack nor thread.
#ifndef ESCAPE_H
#define ESCAPE_H
#include <stdint.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/// Where the wild address goes.
enum {
  USES_GS = 1,       // base of GS, by arch_prctl or WRGSBASE
  USES_FS = 2,       // base of FS, by WRFSBASE
  INDEX_32 = 4,      // vector of 32-bit indices; 64-bit ones
  INDEX_64 = 8,
  ALIGN_16 = 16,     // else #GP, which has no address
  ALIGN_64 = 32,
  LARGE = 64,        // any byte of the area may be the first
  NEEDS_AVX2 = 128,
  NEEDS_AVX512 = 256,
  NEEDS_XSAVE = 512,
  ADDRESS_32 = 1024, // the effective address is cut to 32 bits
  WALKS = 2048,      // the stack pointer goes down to the address in steps of 1 MiB that access nothing
  NEEDS_FSGSBASE = 4096,
};

struct form {
  const char *name;
  const void *code;
  /// Registers; -1: none. The address is base + index << scale + displacement.
  int base, index, scale;
  int64_t displacement;
  int flags;
};

extern const struct form escape_forms[];
extern const int escape_form_count;

/// In: registers and two vectors, FS base to set (0: leave). Out: what the handler saw.
extern uint64_t probe_registers[16], probe_vectors[16], probe_fs, probe_gs;
extern const void *probe_code;
extern volatile int probe_signal, probe_reason;
extern volatile uint64_t probe_address;

/// Sets everything, runs the form's code, comes back.
void probe_run(void);
/// Installs the handler on a stack of its own; learns which instructions the processor has. Returns the NEEDS_… it lacks.
int probe_prepare(void);
#endif
