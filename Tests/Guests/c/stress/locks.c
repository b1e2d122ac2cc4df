// Storms of the C library's own means: mutexes of all kinds, condition variables, barriers, reader-writer locks, semaphores;
// owners of robust mutexes who die.
#define _GNU_SOURCE
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "stress.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
enum { ROOM = 8, ITEMS = 600 };
static long items[ROOM], first, length;

static void *trade(void *argument) {
  long me = (long)argument;
  for (long i = 1; i <= ITEMS; i++) {
    pthread_mutex_lock(&mutex);
    if (me < THREADS / 2) {
      while (length == ROOM) pthread_cond_wait(&emptied, &mutex);
      items[(first + length++) % ROOM] = i;
      pthread_cond_signal(&filled);
    } else {
      while (length == 0) pthread_cond_wait(&filled, &mutex);
      counted(0, items[first++ % ROOM]);
      length--;
      if (i % 16) pthread_cond_signal(&emptied); else pthread_cond_broadcast(&emptied);
    }
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

static void condition_round(long number) {
  (void)number;
  crowd(THREADS, trade);
  CHECK(length == 0);
}

static pthread_barrier_t barrier;
static long together;
static void *meet(void *argument) {
  long me = (long)argument;
  for (int i = 0; i < 100; i++) {
    __atomic_fetch_add(&together, me + 1, __ATOMIC_SEQ_CST);
    int serial = pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
    CHECK(together == (i + 1) * THREADS * (THREADS + 1) / 2);
    pthread_barrier_wait(&barrier);
    counted(serial, 1);
  }
  return NULL;
}

static void barrier_round(long number) {
  (void)number;
  together = 0;
  pthread_barrier_init(&barrier, NULL, THREADS);
  crowd(THREADS, meet);
  pthread_barrier_destroy(&barrier);
}

static guarded_pair pair = {.lock = PTHREAD_RWLOCK_INITIALIZER};
static void *read_write(void *argument) {
  read_or_write(&pair, (long)argument < 2, 400, 50);
  return NULL;
}

static void readers_round(long number) {
  (void)number;
  long before = pair.left;
  crowd(THREADS, read_write);
  counted(0, pair.left - before);
}

// Priority inheritance, which the kernel does whenever the lock is taken, and conditions on top of it.
static pthread_mutex_t inheriting;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long guarded, turn;
static void *inherit(void *argument) {
  long me = (long)argument;
  for (int i = 0; i < 300; i++) {
    if (me == 0 && i % 3 == 0) {
      if (pthread_mutex_trylock(&inheriting) != 0) CHECK(pthread_mutex_lock(&inheriting) == 0);
    } else {
      CHECK(pthread_mutex_lock(&inheriting) == 0);
    }
    long seen = guarded;
    if (i % 64 == 0) sched_yield();
    guarded = seen + 1;
    CHECK(pthread_mutex_unlock(&inheriting) == 0);
  }
  for (int i = 0; i < 40; i++) {
    pthread_mutex_lock(&inheriting);
    while (turn % THREADS != me) pthread_cond_wait(&turned, &inheriting);
    turn++;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&inheriting);
  }
  return NULL;
}

static void prepare_inheritance(void) {
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  CHECK(pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT) == 0);
  CHECK(pthread_mutex_init(&inheriting, &kind) == 0);
}

static void inheritance_round(long number) {
  (void)number;
  guarded = turn = 0;
  crowd(THREADS, inherit);
  counted(0, guarded);
  counted(1, turn);
}

static sem_t ring[THREADS];
static void *pass(void *argument) {
  long me = (long)argument;
  for (int i = 0; i < 200; i++) {
    while (sem_wait(&ring[me]) != 0) {}
    counted(0, 1);
    sem_post(&ring[(me + 1) % THREADS]);
  }
  return NULL;
}

static void semaphore_round(long number) {
  (void)number;
  for (int i = 0; i < THREADS; i++) sem_init(&ring[i], 0, i % 2);
  crowd(THREADS, pass);
  int value, sum = 0;
  for (int i = 0; i < THREADS; i++) sem_getvalue(&ring[i], &value), sum += value;
  counted(1, sum);
}

// Robust mutexes in memory that processes share. Owners end in every way that there is: by leaving their thread, the process, by
// a fault, by executing a program, while other threads of theirs still run; the next one learns of it, once.
typedef struct {
  pthread_mutex_t mutex, inheriting;
  long taken, recovered;
  sem_t ready;
} shared_state;
static shared_state *shared;

static void take(pthread_mutex_t *mutex) {
  int result = pthread_mutex_lock(mutex);
  if (result == EOWNERDEAD) {
    shared->recovered++;
    CHECK(pthread_mutex_consistent(mutex) == 0);
  } else {
    CHECK(result == 0);
  }
  shared->taken++;
}

static void *take_and_leave(void *argument) {
  take(argument);
  return NULL;
}

static void *take_and_stay(void *argument) {
  take(argument);
  sem_post(&shared->ready);
  for (;;) pause();
  return NULL;
}

static void *take_and_run(void *argument) {
  take(argument);
  sem_post(&shared->ready);
  for (volatile long i = 0;; i++) {}
  return NULL;
}

static void *outlast(void *argument) {
  (void)argument;
  doze(500);
  return NULL;
}

enum { WAYS = 9 };
static void die(int way, pthread_mutex_t *mutex) {
  char *words[] = {"stress", "answer", "0", NULL};
  static char *none[] = {NULL};
  if (way == 0) {
    start(take_and_leave, mutex);
    pthread_exit(NULL);
  }
  if (way >= 1 && way <= 3) {
    pthread_t other = start(way == 2 ? take_and_run : take_and_stay, mutex);
    (void)other;
    while (sem_wait(&shared->ready) != 0) {}
    if (way == 3) execve("/proc/self/exe", words, none);
    _exit(0);
  }
  take(mutex);
  if (way == 4) execve("/proc/self/exe", words, none);
  if (way == 5) __asm__ volatile("movl $1, 16" ::: "memory");
  if (way == 6) raise(SIGTERM);
  if (way == 7) {
    start(outlast, NULL);
    pthread_exit(NULL);
  }
  _exit(0);
}

static void prepare_robust(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
  CHECK(pthread_mutex_init(&shared->mutex, &kind) == 0);
  CHECK(pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT) == 0);
  CHECK(pthread_mutex_init(&shared->inheriting, &kind) == 0);
  CHECK(sem_init(&shared->ready, 1, 0) == 0);
}

static void *wait_for_owner(void *argument) {
  take(argument);
  pthread_mutex_unlock(argument);
  return NULL;
}

static void robust_round(long number) {
  for (int way = 0; way < WAYS; way++) {
    // The first thread's host thread goes on after these: Vitrine hands an inheriting mutex over itself (Docs/linux.md).
    int remains = way == 4 || way == 7;
    pthread_mutex_t *mutex = number % 2 && !remains ? &shared->inheriting : &shared->mutex;
    shared->taken = shared->recovered = 0;
    pid_t child = fork();
    if (child == 0) die(way, mutex);
    // Some wait while the owner dies, some come later.
    if (way % 2) doze(300);
    pthread_t waiters[3];
    for (int i = 0; i < 3; i++) waiters[i] = start(wait_for_owner, mutex);
    int status = status_of(child);
    for (int i = 0; i < 3; i++) finish(waiters[i]);
    // A waiter may have been there before the child; then it has died after it.
    take(mutex);
    pthread_mutex_unlock(mutex);
    if (shared->taken != 5 || shared->recovered != 1)
      printf("way %d of round %ld: taken %ld, recovered %ld\n", way, number, shared->taken, shared->recovered);
    CHECK(shared->taken == 5 && shared->recovered == 1);
    counted(0, shared->recovered);
    counted(1, status);
  }
}

const storm locks_storms[] = {
    {"condition", NULL, condition_round}, {"barrier", NULL, barrier_round}, {"readers", NULL, readers_round},
    {"inheritance", prepare_inheritance, inheritance_round}, {"semaphore", NULL, semaphore_round},
    {"robust", prepare_robust, robust_round}, {NULL, NULL, NULL}};
