#include "CHost.h"

_Static_assert(offsetof(vt_cpu_state, zero) == 128, "layout");
_Static_assert(offsetof(vt_cpu_state, effective) == 136, "layout");
_Static_assert(offsetof(vt_cpu_state, translated) == 168, "layout");
_Static_assert(offsetof(vt_translated_state, target) == 8, "layout");
_Static_assert(offsetof(vt_translated_state, fs_base) == 16, "layout");
_Static_assert(offsetof(vt_translated_state, remaining) == 32, "layout");
_Static_assert(offsetof(vt_translated_state, entry) == 64, "layout");
_Static_assert(offsetof(vt_translated_state, window) == 88, "layout");
_Static_assert(offsetof(vt_translated_state, other) - offsetof(vt_translated_state, vector_scratch) == 72, "layout");
_Static_assert(offsetof(vt_cpu_state, vector) % 64 == 0, "layout");
_Static_assert(offsetof(vt_cpu_state, mask) == offsetof(vt_cpu_state, vector) + 32 * 64, "layout");
_Static_assert(sizeof(vt_operation) == 32, "layout");

const vt_direct_calls *vt_direct_none(void) {
  static const vt_direct_calls none;
  return &none;
}
