// Host threads for guest threads. One lock is held wherever Vitrine's own code runs; it is given up for guest code and for host
// calls that wait. To stop a thread in guest code its attention word is set and a signal is sent that only interrupts:
// SIGILL with a code of our own, because the guest never blocks SIGILL on the host.
#define _GNU_SOURCE
#include "CHost.h"

#if defined(__linux__) && defined(__x86_64__)
#include <errno.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { INTERRUPTION = SIGILL, INTERRUPTION_CODE = -0x5654 };

static __thread int32_t own_number;
/// Interruptions that the calling thread has received.
static __thread volatile uint32_t interruptions;

void vt_wait(const volatile uint32_t *word, uint32_t value) {
  vt_syscall6(SYS_futex, (int64_t)word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}

void vt_wake(const volatile uint32_t *word, uint32_t count) {
  vt_syscall6(SYS_futex, (int64_t)word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
}

void vt_lock_acquire(vt_lock *lock) {
  enum { ATTEMPTS = 60 };
  uint32_t free = 0;
  if (__atomic_compare_exchange_n(&lock->word, &free, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  // The lock is mostly held for less time than it takes to fall asleep.
  for (int i = 0; i < ATTEMPTS; i++) {
    __builtin_ia32_pause();
    free = 0;
    if (lock->word == 0 && __atomic_compare_exchange_n(&lock->word, &free, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      return;
  }
  while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0) vt_wait(&lock->word, 2);
}

void vt_lock_release(vt_lock *lock) {
  if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_SEQ_CST) == 2) vt_wake(&lock->word, 1);
}

/// What the kernel looks at when a thread dies: whether it has the turn.
static __thread struct robust_list_head holding;
static __thread int32_t holding_thread;

/// Frees the turn when the calling thread dies with it. A thread of glibc's has a list of its own, for mutexes that Vitrine does not use; a
/// forked child has none.
static void free_at_death(vt_turn *turn) {
  if (holding_thread == vt_thread_number()) return;
  holding_thread = vt_thread_number();
  holding = (struct robust_list_head){{&holding.list}, 0, (struct robust_list *)&turn->word};
  vt_syscall6(SYS_set_robust_list, (int64_t)&holding, sizeof holding, 0, 0, 0, 0);
}

// Nothing is handed over: who is handed something may just be stopped. So may be who is woken: others look again after a while.
void vt_turn_acquire(vt_turn *turn) {
  free_at_death(turn);
  uint32_t own = (uint32_t)vt_thread_number();
  struct timespec a_while = {0, 20000000};
  for (uint32_t seen = turn->word;;) {
    if ((seen & FUTEX_TID_MASK) == 0) {
      if (__atomic_compare_exchange_n(&turn->word, &seen, own, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
    } else if ((seen & FUTEX_WAITERS) != 0 ||
               __atomic_compare_exchange_n(
                   &turn->word, &seen, seen | FUTEX_WAITERS, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      vt_syscall6(
          SYS_futex, (int64_t)&turn->word, FUTEX_WAIT, seen | FUTEX_WAITERS, (int64_t)&a_while, 0, 0);
      // Others may be waiting, too.
      own |= FUTEX_WAITERS;
      seen = turn->word;
    }
  }
}

void vt_turn_release(vt_turn *turn) {
  if (__atomic_exchange_n(&turn->word, 0, __ATOMIC_RELEASE) & FUTEX_WAITERS)
    vt_syscall6(SYS_futex, (int64_t)&turn->word, FUTEX_WAKE, 1, 0, 0, 0);
}

int32_t vt_turn_is_awaited(const vt_turn *turn) { return (turn->word & FUTEX_WAITERS) != 0; }

int32_t vt_turn_is_free(const vt_turn *turn) { return (turn->word & FUTEX_TID_MASK) == 0; }

void vt_presence_enter(vt_presence *presence, volatile uint32_t *attention, vt_lock *lock) {
  presence->thread = vt_thread_number();
  presence->attention = attention;
  interruptions = 0;
  presence->inside = 1;
  vt_lock_release(lock);
}

void vt_presence_leave(vt_presence *presence, vt_lock *lock) {
  if (__atomic_exchange_n(&presence->inside, 0, __ATOMIC_SEQ_CST) == 2) {
    vt_wake(&presence->inside, 1);
    // The interruption is on its way; left alone it would end some later host call.
    while (interruptions == 0) vt_wait(&interruptions, 0);
  }
  vt_lock_acquire(lock);
}

void vt_presence_evict(vt_presence *presence) {
  uint32_t inside = 1;
  if (presence->inside == 0) return;
  *presence->attention = 1;
  int32_t thread = presence->thread;
  if (!__atomic_compare_exchange_n(&presence->inside, &inside, 2, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
  vt_thread_interrupt(thread);
  while (presence->inside == 2) vt_wait(&presence->inside, 2);
}

void vt_thread_interrupt(int32_t thread) {
  siginfo_t information;
  memset(&information, 0, sizeof information);
  information.si_signo = INTERRUPTION;
  information.si_code = INTERRUPTION_CODE;
  vt_syscall6(SYS_rt_tgsigqueueinfo, vt_syscall6(SYS_getpid, 0, 0, 0, 0, 0, 0), thread, INTERRUPTION,
              (int64_t)&information, 0, 0);
}

int vt_thread_is_interruption(int signal, const void *information) {
  if (signal != INTERRUPTION || ((const siginfo_t *)information)->si_code != INTERRUPTION_CODE) return 0;
  interruptions = interruptions + 1;
  return 1;
}

int32_t vt_thread_number(void) {
  if (own_number == 0) own_number = (int32_t)vt_syscall6(SYS_gettid, 0, 0, 0, 0, 0, 0);
  return own_number;
}

uint32_t vt_processor(void) {
#if defined(__x86_64__)
  // The kernel keeps both for its vdso, in the limit of a segment (__CPUNODE_SEG).
  uint32_t packed, is_there;
  __asm__("lsl %2, %0" : "=r"(packed), "=@ccz"(is_there) : "r"(0x7b));
  if (is_there) return packed;
#endif
  unsigned processor = 0, node = 0;
  getcpu(&processor, &node);
  return processor | node << 12;
}

void vt_thread_forget(void) { own_number = 0; }

typedef struct {
  void (*function)(void *context);
  void *context;
  volatile uint32_t number;
} thread_start;

static void *begin(void *pointer) {
  thread_start start = *(thread_start *)pointer;
  volatile uint32_t *number = &((thread_start *)pointer)->number;
  __atomic_store_n(number, (uint32_t)vt_thread_number(), __ATOMIC_RELEASE);
  vt_wake(number, 1);
  start.function(start.context);
  return NULL;
}

int64_t vt_thread_start(void (*function)(void *context), void *context, size_t stack, uint64_t *handle) {
  thread_start start = {function, context, 0};
  uint64_t all = ~0ull, old = 0;
  pthread_attr_t attributes;
  pthread_t thread;
  // Allocations are made under the lock: more than one arena would only cost memory.
  mallopt(M_ARENA_MAX, 1);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack);
  vt_syscall6(SYS_rt_sigprocmask, SIG_BLOCK, (int64_t)&all, (int64_t)&old, 8, 0, 0);
  int failure = pthread_create(&thread, &attributes, begin, &start);
  if (failure == 0) {
    // `start` lies on this stack.
    while (__atomic_load_n(&start.number, __ATOMIC_ACQUIRE) == 0) vt_wait(&start.number, 0);
    *handle = (uint64_t)thread;
  }
  vt_syscall6(SYS_rt_sigprocmask, SIG_SETMASK, (int64_t)&old, 0, 8, 0, 0);
  pthread_attr_destroy(&attributes);
  return failure != 0 ? -failure : (int64_t)start.number;
}

void vt_thread_join(uint64_t handle) { pthread_join((pthread_t)handle, NULL); }

int64_t vt_thread_prepare(void) { return vt_guard_install_stack(); }

void vt_thread_finish(void) {
  vt_signal_attach(NULL);
  vt_guard_remove_stack();
}

typedef struct {
  uint32_t *word, *expected;
  uint32_t desired;
  int32_t result;
} exchange_state;

static void exchange(const void *pointer, void *unused1, void *unused2, int64_t unused3) {
  exchange_state *state = (exchange_state *)pointer;
  (void)unused1; (void)unused2; (void)unused3;
  state->result = !__atomic_compare_exchange_n(
      state->word, state->expected, state->desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

int32_t vt_guard_exchange(void *word, uint32_t *expected, uint32_t desired) {
  exchange_state state = {word, expected, desired, 2};
  vt_fault fault;
  return vt_guard_run(exchange, &state, NULL, NULL, 0, &fault) ? 2 : state.result;
}
#endif
