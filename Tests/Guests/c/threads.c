// Threads as programs use them: each part is named by the first word, prints what does not depend on their order, and checks
// the rest.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "guest-threads.h"

enum { FEW = 8 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long counter;
static __thread int own = 7;
static __thread char own_bytes[3000];

static void all(void *(*function)(void *)) { crowd(FEW, function); }

static void *count(void *argument) {
  (void)argument;
  for (int i = 0; i < 20000; i++) {
    pthread_mutex_lock(&mutex);
    counter++;
    pthread_mutex_unlock(&mutex);
    __atomic_fetch_add(&counter, 0, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static void mutexes(void) {
  all(count);
  printf("counted %ld\n", counter);
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t checked;
  pthread_mutex_init(&checked, &kind);
  CHECK(pthread_mutex_lock(&checked) == 0 && pthread_mutex_lock(&checked) == EDEADLK);
  CHECK(pthread_mutex_unlock(&checked) == 0 && pthread_mutex_unlock(&checked) == EPERM);
  struct timespec soon;
  clock_gettime(CLOCK_REALTIME, &soon);
  soon.tv_nsec += 10000000;
  if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
  pthread_mutex_lock(&mutex);
  CHECK(pthread_mutex_timedlock(&mutex, &soon) == ETIMEDOUT);
  pthread_mutex_unlock(&mutex);
}

static void *atomic(void *argument) {
  (void)argument;
  static char line[256] __attribute__((aligned(64)));
  long *across = (long *)(line + 60);  // crosses a cache line
  for (int i = 0; i < 20000; i++) __asm__ volatile("lock incq %0" : "+m"(*across));
  for (int i = 0; i < 20000; i++) __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 20000; i++) {
    long old = __atomic_load_n(&counter, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&counter, &old, old + 2, 1, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {}
  }
  return across;
}

static void atomics(void) {
  pthread_t threads[FEW];
  long *across = NULL;
  for (long i = 0; i < FEW; i++) threads[i] = start(atomic, NULL);
  for (int i = 0; i < FEW; i++) across = finish(threads[i]);
  printf("added %ld, across lines %ld\n", counter, *across);
}

// Dekker's algorithm is right only if stores and loads are ordered as x86 orders them.
static volatile int wants[2], turn;
static volatile long guarded;
static void *dekker(void *argument) {
  int me = (int)(long)argument;
  for (int i = 0; i < 20000; i++) {
    wants[me] = 1;
    __sync_synchronize();
    while (wants[!me]) {
      if (turn != me) {
        wants[me] = 0;
        while (turn != me) sched_yield();
        wants[me] = 1;
        __sync_synchronize();
      }
    }
    guarded = guarded + 1;
    turn = !me;
    wants[me] = 0;
  }
  return NULL;
}

static void ordering(void) {
  pthread_t first = start(dekker, (void *)0), second = start(dekker, (void *)1);
  finish(first);
  // The other one may still have to wait for its turn.
  finish(second);
  printf("guarded %ld\n", guarded);
}

static int turn_of;
static void *ping_pong(void *argument) {
  int me = (int)(long)argument;
  for (int i = 0; i < 3000; i++) {
    pthread_mutex_lock(&mutex);
    while (turn_of != me) pthread_cond_wait(&condition, &mutex);
    turn_of = !me;
    counter++;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

static void conditions(void) {
  pthread_t first = start(ping_pong, (void *)0), second = start(ping_pong, (void *)1);
  finish(first);
  finish(second);
  printf("turns %ld\n", counter);
  struct timespec soon;
  clock_gettime(CLOCK_REALTIME, &soon);
  soon.tv_nsec += 5000000;
  if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
  pthread_mutex_lock(&mutex);
  CHECK(pthread_cond_timedwait(&condition, &mutex, &soon) == ETIMEDOUT);
  pthread_mutex_unlock(&mutex);
}

static pthread_barrier_t barrier;
static long rounds[64];
static void *meet(void *argument) {
  long me = (long)argument, serial = 0;
  for (int i = 0; i < 64; i++) {
    __atomic_fetch_add(&rounds[i], me + 1, __ATOMIC_RELAXED);
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) serial++;
    CHECK(rounds[i] == FEW * (FEW + 1) / 2);
  }
  __atomic_fetch_add(&counter, serial, __ATOMIC_RELAXED);
  return NULL;
}

static void barriers(void) {
  pthread_barrier_init(&barrier, NULL, FEW);
  all(meet);
  printf("met %ld times\n", counter);
}

static guarded_pair pair = {.lock = PTHREAD_RWLOCK_INITIALIZER};
static void *read_write(void *argument) {
  read_or_write(&pair, (long)argument < 2, 2000, 100);
  return NULL;
}

static void readers(void) {
  all(read_write);
  printf("written %ld\n", pair.left);
}

static sem_t semaphore;
static void *post(void *argument) {
  (void)argument;
  for (int i = 0; i < 500; i++) sem_post(&semaphore);
  return NULL;
}

static void semaphores(void) {
  sem_init(&semaphore, 0, 0);
  pthread_t threads[FEW];
  for (int i = 0; i < FEW; i++) threads[i] = start(post, NULL);
  for (int i = 0; i < FEW * 500; i++) CHECK(sem_wait(&semaphore) == 0);
  for (int i = 0; i < FEW; i++) finish(threads[i]);
  CHECK(sem_trywait(&semaphore) == -1 && errno == EAGAIN);
  printf("all posted\n");
}

static pthread_key_t key;
static int destroyed;
static void destroy(void *value) { __atomic_fetch_add(&destroyed, (int)(long)value, __ATOMIC_RELAXED); }
static void *keep(void *argument) {
  long me = (long)argument;
  CHECK(own == 7 && own_bytes[2999] == 0);
  own += (int)me;
  memset(own_bytes, (int)me, sizeof own_bytes);
  pthread_setspecific(key, (void *)(me + 1));
  for (int i = 0; i < 1000; i++) {
    errno = (int)me + 1;
    CHECK(close(-1) == -1 && errno == EBADF);
    errno = (int)me + 1;
    if (i % 10 == 0) sched_yield();
    CHECK(errno == (int)me + 1 && own == 7 + me && own_bytes[i] == (char)me);
  }
  double x = 1.0 + (double)me;
  for (int i = 0; i < 1000; i++) x = x * 1.0000001 + 0.5;
  long double y = x;
  for (int i = 0; i < 100; i++) y = y / 3.0L * 3.0L;
  CHECK(y > x - 1e-6 && y < x + 1e-6);
  return NULL;
}

static void locals(void) {
  CHECK(pthread_key_create(&key, destroy) == 0);
  all(keep);
  CHECK(own == 7);
  printf("destroyed %d\n", destroyed);
}

static void clean(void *argument) {
  (void)argument;
  __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
}

static void *wait_for_ever(void *argument) {
  pthread_cleanup_push(clean, NULL);
  if (argument) {
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    read(ends[0], &byte, 1);
  } else {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;) __asm__ volatile("" ::: "memory");
  }
  pthread_cleanup_pop(1);
  return NULL;
}

static void cancelling(void) {
  for (long how = 0; how < 2; how++) {
    pthread_t threads[FEW];
    for (int i = 0; i < FEW; i++) threads[i] = start(wait_for_ever, (void *)how);
    usleep(10000);
    for (int i = 0; i < FEW; i++) CHECK(pthread_cancel(threads[i]) == 0);
    for (int i = 0; i < FEW; i++) CHECK(finish(threads[i]) == PTHREAD_CANCELED);
  }
  printf("cleaned up %ld\n", counter);
}

static void *pass(void *argument) { return (char *)argument + 1; }

static void many(void) {
  enum { MANY = 1000 };
  static pthread_t threads[MANY];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  // One after the other, then all at once.
  for (long i = 0; i < 200; i++) CHECK(finish(start(pass, (void *)i)) == (void *)(i + 1));
  sem_init(&semaphore, 0, 0);
  extern void *hold(void *);
  for (long i = 0; i < MANY; i++) CHECK(pthread_create(&threads[i], &attributes, hold, (void *)i) == 0);
  for (int i = 0; i < MANY; i++) sem_post(&semaphore);
  long sum = 0;
  for (int i = 0; i < MANY; i++) sum += (long)finish(threads[i]);
  printf("sum %ld\n", sum);
}

void *hold(void *argument) {
  while (sem_wait(&semaphore) != 0) {}
  return argument;
}

static void *detached(void *argument) {
  pthread_detach(pthread_self());
  sem_post(argument);
  return NULL;
}

static void identities(void) {
  sem_init(&semaphore, 0, 0);
  for (int i = 0; i < FEW; i++) start(detached, &semaphore);
  for (int i = 0; i < FEW; i++) sem_wait(&semaphore);
  CHECK(syscall(SYS_gettid) == getpid());
  cpu_set_t set;
  CHECK(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0);
  CHECK(pthread_getaffinity_np(pthread_self(), sizeof set, &set) == 0);
  char name[16];
  CHECK(pthread_setname_np(pthread_self(), "first") == 0);
  CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
  pthread_attr_t attributes;
  void *stack;
  size_t size;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHECK(pthread_attr_getstack(&attributes, &stack, &size) == 0);
  CHECK((char *)&size > (char *)stack && (char *)&size < (char *)stack + size);
  printf("%s\n", name);
}

static void *own_robust(void *argument) {
  pthread_mutex_lock(argument);
  return NULL;
}

static void robust(void) {
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_t owned;
  for (int inherits = 0; inherits < 2; inherits++) {
    if (inherits) pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&owned, &kind);
    finish(start(own_robust, &owned));
    int error = pthread_mutex_lock(&owned);
    printf("%s\n", error == EOWNERDEAD ? "owner dead" : strerror(error));
    if (error != EOWNERDEAD) continue;
    CHECK(pthread_mutex_consistent(&owned) == 0 && pthread_mutex_unlock(&owned) == 0);
    CHECK(pthread_mutex_lock(&owned) == 0 && pthread_mutex_unlock(&owned) == 0);
  }
}

static void *inherit(void *argument) {
  for (int i = 0; i < 2000; i++) {
    pthread_mutex_lock(argument);
    counter++;
    pthread_mutex_unlock(argument);
  }
  return NULL;
}

static void inheritance(void) {
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
  pthread_mutex_t shared;
  pthread_mutex_init(&shared, &kind);
  pthread_t threads[FEW];
  for (int i = 0; i < FEW; i++) threads[i] = start(inherit, &shared);
  for (int i = 0; i < FEW; i++) finish(threads[i]);
  printf("counted %ld\n", counter);
}

static pthread_mutex_t held;
static int released;
static void *sleep_somehow(void *argument) {
  sem_post(&semaphore);
  switch ((long)argument % 4) {
    case 0:
      pthread_mutex_lock(&mutex);
      while (!released) pthread_cond_wait(&condition, &mutex);
      pthread_mutex_unlock(&mutex);
      break;
    case 1:
      pthread_mutex_lock(&held);
      pthread_mutex_unlock(&held);
      break;
    case 2:
      pthread_rwlock_rdlock(&pair.lock);
      pthread_rwlock_unlock(&pair.lock);
      break;
    default: pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static long processor_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Waiting costs nothing: sixty threads that wait use no processor time.
static void sleepers(void) {
  enum { MANY = 60 };
  pthread_t threads[MANY];
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&held, &kind);
  sem_init(&semaphore, 0, 0);
  pthread_barrier_init(&barrier, NULL, MANY / 4 + 1);
  pthread_mutex_lock(&held);
  pthread_rwlock_wrlock(&pair.lock);
  for (long i = 0; i < MANY; i++) threads[i] = start(sleep_somehow, (void *)i);
  for (int i = 0; i < MANY; i++) sem_wait(&semaphore);
  usleep(200000);
  long before = processor_time();
  usleep(500000);
  CHECK(processor_time() - before < 50);
  pthread_mutex_lock(&mutex);
  released = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  pthread_mutex_unlock(&held);
  pthread_rwlock_unlock(&pair.lock);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < MANY; i++) finish(threads[i]);
  printf("slept\n");
}

static const struct { const char *name; void (*function)(void); } parts[] = {
    {"mutexes", mutexes}, {"atomics", atomics}, {"conditions", conditions}, {"barriers", barriers}, {"readers", readers},
    {"semaphores", semaphores}, {"locals", locals}, {"cancelling", cancelling}, {"many", many}, {"identities", identities},
    {"robust", robust}, {"inheritance", inheritance}, {"ordering", ordering}, {"sleepers", sleepers},
};

int main(int count_, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  CHECK(count_ == 2);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (strcmp(words[1], parts[i].name) == 0) return parts[i].function(), 0;
  return 2;
}
