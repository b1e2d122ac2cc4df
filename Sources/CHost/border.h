// What translated.c and logged.c, the two places where translated code meets the host, have in common.
#ifndef CHOST_BORDER_H
#define CHOST_BORDER_H
#include <stddef.h>
#include "CHost.h"

/// Bits of RFLAGS.
enum { TRAP_FLAG = 0x100, ALIGNMENT_FLAG = 0x40000 };

/// The place of a member of `vt_translated_state`, as an operand of that name.
#define FIELD(name) [name] "i"(offsetof(vt_cpu_state, translated.name))
#endif
