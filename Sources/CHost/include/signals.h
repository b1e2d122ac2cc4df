// Host signals on their way to the guest, and system calls that a signal cannot slip past. Dispositions belong to the process; what waits, to the
// thread whose handler recorded it.
#ifndef CHOST_SIGNALS_H
#define CHOST_SIGNALS_H
#include <stdint.h>

enum { VT_SIGNAL_DEFAULT = 0, VT_SIGNAL_IGNORE = 1, VT_SIGNAL_CATCH = 2 };
/// Result of `vt_signal_call` when a signal was waiting before the call began: nothing has happened.
enum { VT_NOT_STARTED = -512 };

/// Says which word becomes non-zero when a caught signal arrives in the calling thread (`vt_cpu_state.attention`).
void vt_signal_attach(volatile uint32_t *attention);
/// Sets the host's disposition of a signal; `flags` are the guest's SA_NOCLDSTOP and SA_NOCLDWAIT. 0 or -errno.
/// The signals of `vt_guard_install` keep its handler, which passes on what other processes send.
int64_t vt_signal_set(int32_t signal, int32_t disposition, uint64_t flags);
/// The host's disposition: VT_SIGNAL_DEFAULT or VT_SIGNAL_IGNORE as inherited, VT_SIGNAL_CATCH for any handler.
int32_t vt_signal_inherited(int32_t signal);
/// Adds a signal with its 128-byte siginfo to the waiting ones. Async-signal-safe.
void vt_signal_record(int32_t signal, const void *information);
/// Takes the first waiting signal outside `blocked` (bit n-1 = signal n) and copies its 128-byte siginfo. 0: none.
int32_t vt_signal_take(uint64_t blocked, void *information);
/// The set of waiting signals.
uint64_t vt_signal_waiting(void);
/// Forgets all waiting signals: a forked child has none.
void vt_signal_forget(void);
/// Called by the fault handler for a synchronous signal that a process sent: 1 when the guest catches or ignores it.
int32_t vt_signal_forward(int32_t signal, const void *information);
/// A system call that returns -EINTR as soon as a caught signal arrives, and VT_NOT_STARTED when one already waits.
int64_t vt_signal_call(
    int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f);
/// Gives the calling thread's waiting signals of the set `signals` that were sent to the process back to the host.
void vt_signal_pass_on(uint64_t signals);
/// Blocks all signals in the calling thread.
void vt_signal_block_all(void);
/// The same but for the signals of faults, without which `vt_guard_copy` cannot fail.
void vt_signal_block_sent(void);
/// For the signal handlers of this module: leaves translated code, or the beginning of a call that waits.
void vt_signal_interrupt(void *context);
#endif
