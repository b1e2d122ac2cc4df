#include "CHost.h"

_Static_assert(offsetof(vt_cpu_state, zero) == 128, "layout");
_Static_assert(offsetof(vt_cpu_state, effective) == 136, "layout");
_Static_assert(offsetof(vt_cpu_state, vector) % 64 == 0, "layout");
_Static_assert(offsetof(vt_cpu_state, mask) == offsetof(vt_cpu_state, vector) + 32 * 64, "layout");
_Static_assert(sizeof(vt_operation) == 32, "layout");
