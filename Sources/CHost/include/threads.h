// Host threads, the lock that they share, and how one of them is brought out of guest code. No policy: who holds the lock
// when is said in Docs/linux.md.
#ifndef CHOST_THREADS_H
#define CHOST_THREADS_H
#include <stddef.h>
#include <stdint.h>

/// A lock that sleeps in the kernel when it has to wait: 0 free, 1 held, 2 held and awaited.
typedef struct {
  volatile uint32_t word;
} vt_lock;

void vt_lock_acquire(vt_lock *lock);
void vt_lock_release(vt_lock *lock);

/// A lock that processes share, in memory that they share: a robust futex. When its owner is killed it is free. A thread has one at
/// most.
typedef struct {
  volatile uint32_t word;
} vt_turn;

void vt_turn_acquire(vt_turn *turn);
void vt_turn_release(vt_turn *turn);
/// Somebody waits for it; nobody has it.
int32_t vt_turn_is_awaited(const vt_turn *turn);
int32_t vt_turn_is_free(const vt_turn *turn);

/// Where one engine's thread is. Written by that thread, and by others that hold the lock.
typedef struct {
  /// 0: outside guest code; 1: inside, or about to be; 2: inside, and somebody waits for it to leave.
  volatile uint32_t inside;
  /// The host thread that runs the engine.
  int32_t thread;
  /// Its CPU's attention word.
  volatile uint32_t *attention;
} vt_presence;

/// Gives the lock up for guest code, and takes it again behind it.
void vt_presence_enter(vt_presence *presence, volatile uint32_t *attention, vt_lock *lock);
void vt_presence_leave(vt_presence *presence, vt_lock *lock);
/// Brings another thread out of guest code, where it cannot return before the caller has given up the lock.
void vt_presence_evict(vt_presence *presence);

/// Starts a host thread with all signals blocked; its stack has `stack` bytes. `handle` is for
/// `vt_thread_join`. The thread's number, or -errno.
int64_t vt_thread_start(void (*function)(void *context), void *context, size_t stack, uint64_t *handle);
/// Waits until a thread that is about to return from its function is gone.
void vt_thread_join(uint64_t handle);
/// The calling thread's number (gettid(2)), remembered. A forked child forgets it first.
int32_t vt_thread_number(void);
void vt_thread_forget(void);
/// The processor that the calling thread runs on (12 bits), and its node (the others).
uint32_t vt_processor(void);
/// Gives the calling thread what signal handlers need, and takes it away again. 0 or -errno.
int64_t vt_thread_prepare(void);
void vt_thread_finish(void);
/// Interrupts a thread: it looks at its attention word, wherever it is, also in a host call that waits.
void vt_thread_interrupt(int32_t thread);
/// Sleeps while `*word` is `value`, or a signal comes; wakes who does.
void vt_wait(const volatile uint32_t *word, uint32_t value);
/// Lets the processor rest for a moment, for somebody who spins.
static inline void vt_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
void vt_wake(const volatile uint32_t *word, uint32_t count);

/// Replaces `*word` by `desired` if it is `*expected`, which receives what was there. 0: replaced; 1: not; 2: not accessible.
int32_t vt_guard_exchange(void *word, uint32_t *expected, uint32_t desired);

/// For signal handlers: 1 when the signal is no more than an interruption by `vt_thread_interrupt`.
int vt_thread_is_interruption(int signal, const void *information);
#endif
