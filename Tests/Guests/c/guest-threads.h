// Threads as guest programs start and end them, and one piece of work that several of them do. A program whose threads need a
// stack of their own size defines GUEST_STACK, in bytes, before it includes this.
#ifndef GUEST_THREADS_H
#define GUEST_THREADS_H
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "guest.h"

#ifndef GUEST_STACK
#define GUEST_STACK 0
#endif

static inline pthread_t start(void *(*function)(void *), void *argument) {
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (GUEST_STACK != 0) CHECK(pthread_attr_setstacksize(&attributes, GUEST_STACK) == 0);
  int error = pthread_create(&thread, GUEST_STACK != 0 ? &attributes : NULL, function, argument);
  if (error != 0) printf("pthread_create: %s\n", strerror(error));
  CHECK(error == 0);
  pthread_attr_destroy(&attributes);
  return thread;
}

static inline void *finish(pthread_t thread) {
  void *result;
  CHECK(pthread_join(thread, &result) == 0);
  return result;
}

// Starts `number` threads with their index as the argument, and waits for all of them.
static inline void crowd(int number, void *(*function)(void *)) {
  pthread_t threads[number];
  for (long i = 0; i < number; i++) threads[i] = start(function, (void *)i);
  for (int i = 0; i < number; i++) finish(threads[i]);
}

// Two numbers that are equal whenever nobody writes them.
typedef struct {
  pthread_rwlock_t lock;
  long left, right;
} guarded_pair;

// `turns` times: a writer counts both up, in between giving way in every `pause`th turn; a reader finds them equal.
static inline void read_or_write(guarded_pair *pair, int writes, int turns, int pause) {
  for (int i = 0; i < turns; i++) {
    if (writes) {
      pthread_rwlock_wrlock(&pair->lock);
      pair->left++;
      if (i % pause == 0) sched_yield();
      pair->right++;
    } else {
      pthread_rwlock_rdlock(&pair->lock);
      CHECK(pair->left == pair->right);
    }
    pthread_rwlock_unlock(&pair->lock);
  }
}
#endif
