// Entering and leaving translated code, and finding the guest instruction that a host address belongs to.
#ifndef CHOST_TRANSLATED_H
#define CHOST_TRANSLATED_H
#include <stddef.h>
#include <stdint.h>
#include "state.h"

/// Values of `vt_translated_state.site` that are no site's number.
enum {
  VT_EXIT_ATTENTION = 0x7ffffff0,    // a signal was waiting at the entry
  VT_EXIT_INDIRECT = 0x7ffffff1,     // no block is known for `target`
  VT_EXIT_FAULT = 0x7ffffff2,        // a host fault at `host_rip`
  VT_EXIT_INTERRUPTED = 0x7ffffff3,  // a signal; `host_rip` is at the border of two guest instructions
  VT_EXIT_NONE = 0x7ffffff4,         // none, in the state that counting code addresses
};

/// The pinned register is the state's address plus this; its low six bits are the guard's shift count.
enum { VT_STATE_BIAS = 60 };

/// One translated block: where its host code is in the cache and where its guest code was.
typedef struct {
  uint64_t guest;
  uint32_t host, host_end;
  /// Its entries in the array of all blocks' entries.
  uint32_t first_entry;
  uint16_t entry_count;
  /// Bytes of guest code.
  uint16_t guest_size;
} vt_translated_block;

/// Where one guest instruction begins: bytes from the block's beginning, on both sides.
typedef struct {
  uint16_t host, guest;
  /// VT_ENTRY_….
  uint16_t kind;
  /// What has to be added to the host register of RSP there.
  int16_t stack;
} vt_translated_entry;

/// Kinds of entries: 0, or a set of what differs from the guest's state there.
enum {
  VT_ENTRY_INSTRUCTION = 0,
  /// Within a string instruction: RSI, RDI hold host addresses; the host's RCX holds the guest's.
  VT_ENTRY_SOURCE = 1,
  VT_ENTRY_DESTINATION = 2,
  VT_ENTRY_COUNTER = 4,
  /// Not a border of two instructions.
  VT_ENTRY_INSIDE = 8,
  /// The vector register whose number is in bits 8–11 is in `vector_scratch`.
  VT_ENTRY_VECTOR = 16,
};

/// What signal handlers need to know of a code cache. Blocks are in the order of their host addresses. Other threads add some
/// while a handler reads.
typedef struct {
  uint64_t start, end;
  const vt_translated_block *blocks;
  const vt_translated_entry *entries;
  volatile uint32_t block_count;
} vt_translation;

/// Lets handlers see `count` blocks, whose code and tables have been written.
static inline void vt_publish_blocks(vt_translation *translation, uint32_t count) {
  __atomic_store_n(&translation->block_count, count, __ATOMIC_RELEASE);
}

/// Runs translated code at `cpu->translated.entry` until it leaves; `cpu->translated.site` says why.
void vt_translated_run(vt_cpu_state *cpu, const vt_translation *translation);
/// The code that translated code jumps to in order to leave.
const void *vt_translated_exit_address(void);
/// The code that makes a system call if translated code may (`vt_direct_calls`), and else leaves.
const void *vt_direct_call_address(void);
/// The same for code that counts, with a log (`vt_call_log`).
const void *vt_logged_call_address(void);
/// The last entry at or before the host offset `host`, counted from the cache's start; NULL when there is none.
const vt_translated_entry *vt_translated_find(
    const vt_translation *translation, uint32_t host, const vt_translated_block **block);

/// For the signal handlers of this module: a fault in translated code (1: taken care of), and an asynchronous signal.
int vt_translated_fault(int signal, uint64_t address, void *context);
void vt_translated_interrupt(void *context);
/// A signal has come while a logged call is made. 1: on the way back to translated code, which is to be left at once.
int vt_logged_interrupt(void *context);
/// A fault while what such a call has filled is copied: the rest is left out. 1: taken care of.
int vt_logged_fault(void *context);
/// The next instruction traps, and so on until translated code can be left.
void vt_translated_begin_stepping(void);
/// Installs the handler of the single steps that `vt_translated_interrupt` makes. 0 or -errno.
int vt_translated_install(void);
/// The calling thread's GS base: sets it unless it is that already. 0 or -errno.
int64_t vt_set_gs_base(uint64_t base);
/// 1 when the host has BMI2 (SHRX, RORX).
int vt_host_has_bmi2(void);

/// Two mappings of the same `size` bytes: one writable, one executable, below 2 GiB where possible. 0 or -errno.
int64_t vt_map_code(size_t size, void **writable, void **executable);
/// Puts new memory with the same first `used` bytes in the place of both mappings, which a forked child shares with its parent.
/// The parent may write at the same time: `sequence` is the child's own copy of the word at offset `size` - 8, which
/// `vt_code_changes` changes before every change. 1 when the copy is whole, 0 when the parent was faster, or -errno.
int64_t vt_separate_code(size_t size, size_t used, void *writable, void *executable, uint64_t sequence);
/// Announces a change of the code: stores `sequence` at `word` before anything that follows.
static inline void vt_code_changes(uint64_t *word, uint64_t sequence) {
  __atomic_store_n(word, sequence, __ATOMIC_RELAXED);
  __asm__ volatile("" : : : "memory");
}
/// A page that holds 1, and 0 in a forked child. NULL when there is no memory.
uint32_t *vt_map_fork_marker(void);
/// `size` bytes of zeros below 2 GiB. 0 or -errno.
int64_t vt_map_low(size_t size, void **memory);
#endif
