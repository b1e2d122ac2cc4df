// Storms of futex(2) itself: every operation, with counts that must be exact, because a futex that wakes too few hangs and one
// that wakes too many is a lock that two have.
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include "stress.h"

enum { SLEEPERS = 5 };
static uint32_t words[3] __attribute__((aligned(64)));
static uint32_t asleep, awake;

static void wait_until(uint32_t *word, uint32_t value) {
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) < value) sched_yield();
}

// Sleepers wait on the first word and are moved to the second. Requeueing counts tell when all of them sleep.
static void *sleep_on_first(void *argument) {
  (void)argument;
  __atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
  long result;
  do result = futex(&words[0], FUTEX_WAIT_PRIVATE, 0, 0, NULL, 0);
  while (result == -EINTR);
  CHECK(result == 0);
  __atomic_fetch_add(&awake, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

static void requeue_round(long number) {
  pthread_t threads[SLEEPERS];
  asleep = awake = 0;
  for (int i = 0; i < SLEEPERS; i++) threads[i] = start(sleep_on_first, NULL);
  wait_until(&asleep, SLEEPERS);
  CHECK(futex(&words[0], FUTEX_CMP_REQUEUE_PRIVATE, 0, 1, &words[1], 1) == -EAGAIN);
  long moved = 0;
  while (moved < SLEEPERS) {
    long result = number % 2 ? futex(&words[0], FUTEX_CMP_REQUEUE_PRIVATE, 0, SLEEPERS, &words[1], 0)
                             : futex(&words[0], FUTEX_REQUEUE_PRIVATE, 0, SLEEPERS, &words[1], 0);
    CHECK(result >= 0);
    moved += result;
    if (result == 0) sched_yield();
  }
  CHECK(moved == SLEEPERS && awake == 0);
  CHECK(futex(&words[0], FUTEX_WAKE_PRIVATE, 100, 0, NULL, 0) == 0);
  for (uint32_t i = 1; i <= SLEEPERS; i++) {
    long woken;
    // A sleeper whose call the kernel has restarted meanwhile sleeps on the first word again.
    while ((woken = futex(&words[1], FUTEX_WAKE_PRIVATE, 1, 0, NULL, 0)) == 0) {
      futex(&words[0], FUTEX_REQUEUE_PRIVATE, 0, SLEEPERS, &words[1], 0);
      sched_yield();
    }
    CHECK(woken == 1);
    wait_until(&awake, i);
    CHECK(awake == i);
  }
  for (int i = 0; i < SLEEPERS; i++) finish(threads[i]);
  counted(0, moved);
}

// FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: a waker hands a priority-inheriting lock from sleeper to sleeper.
static uint32_t lock_word, condition_word, inside;
static void *sleep_for_lock(void *argument) {
  (void)argument;
  __atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
  long result;
  do {
    result = futex(&condition_word, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, 0, &lock_word, 0);
  } while (result == -EAGAIN && condition_word == 0);
  CHECK(result == 0);
  CHECK((lock_word & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid));
  CHECK(__atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST) == 0);
  sched_yield();
  __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&awake, 1, __ATOMIC_SEQ_CST);
  CHECK(futex(&lock_word, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, NULL, 0) == 0);
  return NULL;
}

static void requeue_inheriting_round(long number) {
  pthread_t threads[SLEEPERS];
  asleep = awake = lock_word = condition_word = 0;
  for (int i = 0; i < SLEEPERS; i++) threads[i] = start(sleep_for_lock, NULL);
  wait_until(&asleep, SLEEPERS);
  if (number % 2) CHECK(futex(&lock_word, FUTEX_LOCK_PI_PRIVATE, 0, 0, NULL, 0) == 0);
  long moved = 0;
  while (moved < SLEEPERS) {
    long result = futex(&condition_word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 100, &lock_word, 0);
    CHECK(result >= 0 || result == -EAGAIN);
    if (result > 0) moved += result; else sched_yield();
  }
  if (number % 2) {
    CHECK(awake == 0 && (lock_word & FUTEX_WAITERS));
    CHECK(futex(&lock_word, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, NULL, 0) == 0);
  }
  for (int i = 0; i < SLEEPERS; i++) finish(threads[i]);
  CHECK(awake == SLEEPERS && lock_word == 0);
  counted(0, moved);
}

static void *sleep_on(void *argument) {
  uint32_t *word = argument;
  long result;
  __atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
  do result = futex(word, FUTEX_WAIT_PRIVATE, 0, 0, NULL, 0);
  while (result == -EINTR);
  __atomic_fetch_add(&awake, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

// FUTEX_WAKE_OP: wakes the first word's sleepers, changes the second, and wakes its sleepers if it was as expected.
static void wake_operation_round(long number) {
  static const struct { int operation, argument, compare, against; uint32_t before, after; int both; } cases[] = {
      {FUTEX_OP_SET, 5, FUTEX_OP_CMP_EQ, 0, 0, 5, 1},   {FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 0, 0, 3, 0},
      {FUTEX_OP_OR, 6, FUTEX_OP_CMP_LE, 0, 0, 6, 1},    {FUTEX_OP_ANDN, 1, FUTEX_OP_CMP_NE, 0, 0, 0, 0},
      {FUTEX_OP_XOR, 12, FUTEX_OP_CMP_LT, 1, 0, 12, 1}, {FUTEX_OP_ADD, -1, FUTEX_OP_CMP_GE, 1, 0, ~0u, 0},
      {FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 4, FUTEX_OP_CMP_EQ, 0, 0, 16, 1}};
  enum { CASES = sizeof cases / sizeof *cases };
  int which = (int)(number % CASES);
  pthread_t threads[4];
  words[0] = words[1] = asleep = awake = 0;
  for (int i = 0; i < 4; i++) threads[i] = start(sleep_on, &words[i % 2]);
  wait_until(&asleep, 4);
  doze(200);
  words[1] = cases[which].before;
  long woken = futex(
      &words[0], FUTEX_WAKE_OP_PRIVATE, 10, 10, &words[1],
      FUTEX_OP(cases[which].operation, cases[which].argument, cases[which].compare, cases[which].against));
  CHECK(woken >= 0 && woken <= (cases[which].both ? 4 : 2));
  CHECK(words[1] == cases[which].after);
  // Who had not fallen asleep yet sees the words changed, and sleeps no more.
  words[0] = words[1] = 1;
  while (awake < 4) {
    futex(&words[0], FUTEX_WAKE_PRIVATE, 10, 0, NULL, 0);
    futex(&words[1], FUTEX_WAKE_PRIVATE, 10, 0, NULL, 0);
    sched_yield();
  }
  for (int i = 0; i < 4; i++) finish(threads[i]);
  counted(0, cases[which].after);
  words[0] = words[1] = 0;
}

// Each sleeper has a bit, and only wakers with that bit wake it.
static uint32_t woken_bits;
static void *sleep_with_bit(void *argument) {
  uint32_t bit = 1u << (long)argument;
  struct timespec far;
  clock_gettime(CLOCK_REALTIME, &far);
  far.tv_sec += 3600;
  __atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
  long result;
  do {
    result = futex(&words[2], FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, (long)&far, NULL, bit);
  } while (result == -EINTR);
  CHECK(result == 0);
  __atomic_fetch_or(&woken_bits, bit, __ATOMIC_SEQ_CST);
  return NULL;
}

static void bits_round(long number) {
  pthread_t threads[SLEEPERS];
  asleep = woken_bits = 0;
  for (long i = 0; i < SLEEPERS; i++) threads[i] = start(sleep_with_bit, (void *)i);
  wait_until(&asleep, SLEEPERS);
  CHECK(futex(&words[2], FUTEX_WAKE_BITSET_PRIVATE, 1, 0, NULL, 0) == -EINVAL);
  CHECK(futex(&words[2], FUTEX_WAKE_BITSET_PRIVATE, 100, 0, NULL, 1u << 20) == 0);
  for (int i = 0; i < SLEEPERS; i++) {
    uint32_t bit = 1u << ((i + number) % SLEEPERS), before = woken_bits;
    while (futex(&words[2], FUTEX_WAKE_BITSET_PRIVATE, 100, 0, NULL, bit | 1u << 20) == 0) sched_yield();
    while (__atomic_load_n(&woken_bits, __ATOMIC_SEQ_CST) == before) sched_yield();
    CHECK(woken_bits == (before | bit));
    counted(0, 1);
  }
  for (int i = 0; i < SLEEPERS; i++) finish(threads[i]);
}

// futex_waitv(2): one sleeper on several words learns which one it was.
static uint32_t vector_words[8] __attribute__((aligned(64)));
static uint32_t acknowledged;
struct waiter { uint64_t value, address; uint32_t flags, reserved; };
static void *sleep_on_vector(void *argument) {
  long rounds = (long)argument;
  long before = -1;
  for (uint32_t i = 0; i < rounds;) {
    struct waiter waiters[8];
    memset(waiters, 0, sizeof waiters);
    for (int w = 0; w < 8; w++)
      waiters[w] = (struct waiter){.value = 0, .address = (uint64_t)&vector_words[w], .flags = 2 | 128};
    long which = syscall(449, waiters, 8, 0, NULL, CLOCK_MONOTONIC);
    if (which < 0 && errno == ENOSYS) return (void *)1;
    for (int w = 0; w < 8; w++)
      if (__atomic_exchange_n(&vector_words[w], 0, __ATOMIC_SEQ_CST) != 0) {
        // It was awake before it was woken for the one before; then it is woken for that now.
        CHECK(which == w || which == before || (which < 0 && errno == EAGAIN));
        counted(0, w);
        before = w;
        i++;
      }
    __atomic_store_n(&acknowledged, i, __ATOMIC_SEQ_CST);
    futex(&acknowledged, FUTEX_WAKE_PRIVATE, 1, 0, NULL, 0);
  }
  return NULL;
}

static void vector_round(long number) {
  enum { TURNS = 200 };
  acknowledged = 0;
  pthread_t thread = start(sleep_on_vector, (void *)TURNS);
  for (uint32_t i = 0; i < TURNS; i++) {
    int word = (int)((i * 5 + number) % 8);
    __atomic_store_n(&vector_words[word], 1, __ATOMIC_SEQ_CST);
    futex(&vector_words[word], FUTEX_WAKE_PRIVATE, 1, 0, NULL, 0);
    while (__atomic_load_n(&acknowledged, __ATOMIC_SEQ_CST) != i + 1)
      futex(&acknowledged, FUTEX_WAIT_PRIVATE, i, 0, NULL, 0);
  }
  finish(thread);
}

static int has_vector(void) {
  return !(syscall(449, NULL, 1, 0, NULL, 0) < 0 && errno == ENOSYS);
}
static void vector_or_not(long number) {
  if (has_vector()) vector_round(number); else doze(1000);
}

// Time-outs that come while wakers wake: nobody may be counted twice or get lost.
static uint32_t tokens, timed_out;
static void *take_tokens(void *argument) {
  (void)argument;
  for (int taken = 0; taken < 60;) {
    uint32_t seen = __atomic_load_n(&tokens, __ATOMIC_SEQ_CST);
    if (seen > 0) {
      if (__atomic_compare_exchange_n(&tokens, &seen, seen - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) taken++, counted(0, 1);
      continue;
    }
    struct timespec soon = {0, 50000 + taken * 1000};
    long result = futex(&tokens, FUTEX_WAIT_PRIVATE, 0, (long)&soon, NULL, 0);
    CHECK(result == 0 || result == -EAGAIN || result == -ETIMEDOUT || result == -EINTR);
    if (result == -ETIMEDOUT) __atomic_fetch_add(&timed_out, 1, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static void timeout_round(long number) {
  (void)number;
  pthread_t threads[4];
  tokens = 0;
  for (int i = 0; i < 4; i++) threads[i] = start(take_tokens, NULL);
  for (int i = 0; i < 240; i++) {
    __atomic_fetch_add(&tokens, 1, __ATOMIC_SEQ_CST);
    futex(&tokens, FUTEX_WAKE_PRIVATE, 1, 0, NULL, 0);
    if (i % 8 == 0) doze(60);
  }
  for (int i = 0; i < 4; i++) finish(threads[i]);
  CHECK(tokens == 0);
}

const storm futex_storms[] = {
    {"requeue", NULL, requeue_round}, {"requeue-inheriting", NULL, requeue_inheriting_round},
    {"wake-operation", NULL, wake_operation_round}, {"bits", NULL, bits_round}, {"vector", NULL, vector_or_not},
    {"timeouts", NULL, timeout_round}, {NULL, NULL, NULL}};
