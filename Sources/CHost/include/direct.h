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
  /// As VT_DIRECT_POINTER, only if calls are logged: the call fills the memory with as many bytes as it returns.
  VT_DIRECT_FILLING = 7,
  /// The same: the call writes to a descriptor that the log knows.
  VT_DIRECT_WRITING = 8,
  /// The same: the call fills a structure, unless it fails. The low bits are the structure's size in eights.
  VT_DIRECT_STRUCTURE = 0x80,
};

/// A call that translated code has made, in a log. What it has filled follows, padded to eight bytes.
typedef struct {
  /// Instructions that may still be executed, in the form of code that counts.
  int64_t remaining;
  uint64_t number;
  int64_t result;
  /// Guest memory that it has filled.
  uint64_t address, size;
  /// Which of the log's outputs it has written to, or 0, and when.
  uint64_t output, order;
} vt_logged_call;

/// The largest memory that a call may fill to be logged.
enum { VT_MOST_LOGGED = 4096 };

/// Where calls are logged; a call that the log has no use for is not made by translated code.
typedef struct {
  uint8_t *next, *end;
  /// Calls are logged as long as more than so many instructions remain, in the form of code that counts, until this time stamp.
  int64_t least;
  uint64_t deadline;
  /// Descriptors below 64 that may be written to, a bit each: to nothing that the log's owner wants to know of, and to outputs 1 and 2.
  uint64_t descriptors[3];
  /// Counts what all processes write to outputs.
  uint64_t *order;
} vt_call_log;

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
  /// NULL: calls are not logged. Else code that counts makes calls, and only such.
  vt_call_log *log;
  /// By the call's number.
  volatile uint8_t kinds[256];
} vt_direct_calls;

/// What allows nothing.
const vt_direct_calls *vt_direct_none(void);
static inline void vt_direct_allow(vt_direct_calls *calls, uint8_t number, uint8_t kind) { calls->kinds[number] = kind; }
static inline void vt_direct_forbid(vt_direct_calls *calls) {
  for (size_t number = 0; number < sizeof calls->kinds; number++) calls->kinds[number] = 0;
}
#endif
