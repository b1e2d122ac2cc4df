// System calls that translated code makes by itself: those that go to the host as they are, for which the run loop would only
// copy numbers there and back. The personality says which; the code that makes them is in translated.c.
#ifndef CHOST_DIRECT_H
#define CHOST_DIRECT_H
#include <stdint.h>

/// How a call is made; 0: not by translated code.
enum {
  /// All arguments are numbers.
  VT_DIRECT_NUMBERS = 1,
  /// The first one is a descriptor, or at least a number below `hidden`.
  VT_DIRECT_DESCRIPTOR = 2,
  /// The same, and the second one points to guest memory, of not more than 2^31 bytes if the third one is its size.
  VT_DIRECT_POINTER = 3,
  /// The same, and the fifth one is zero: to or from whom a message is does not matter.
  VT_DIRECT_MESSAGE = 4,
  /// As VT_DIRECT_POINTER, as long as there is one thread.
  VT_DIRECT_WAITING = 5,
  /// futex(2) without a timeout: FUTEX_WAIT and FUTEX_WAKE, with a bit set or without. The first argument points to guest memory.
  VT_DIRECT_FUTEX = 6,
};

/// One for each address space, written only under its lock.
typedef struct {
  /// Something has to be done before the host touches the guest's memory or files: code lies in pages that can be written.
  volatile uint64_t needs_care;
  /// Descriptors from this number on may be Vitrine's own.
  volatile uint64_t hidden;
  /// There are other threads, which may interrupt this one.
  volatile uint64_t has_threads;
  /// log2 of the window's size.
  uint64_t window_bits;
  /// By the call's number.
  volatile uint8_t kinds[256];
} vt_direct_calls;

/// What allows nothing.
const vt_direct_calls *vt_direct_none(void);
static inline void vt_direct_allow(vt_direct_calls *calls, uint8_t number, uint8_t kind) { calls->kinds[number] = kind; }
#endif
