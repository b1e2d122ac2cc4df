// For a debugger: three threads that call one function in turn, after all of them have begun.
#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long counter, turn = 1;

static void work(long amount) { counter += amount; }

static void *run(void *argument) {
  pthread_barrier_wait(&barrier);
  pthread_mutex_lock(&lock);
  while (turn != (long)argument) pthread_cond_wait(&changed, &lock);
  for (int i = 0; i < 2; i++) work((long)argument);
  turn++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void finished(void) {}

int main(void) {
  pthread_t threads[3];
  pthread_barrier_init(&barrier, NULL, 4);
  for (long i = 0; i < 3; i++) pthread_create(&threads[i], NULL, run, (void *)(i + 1));
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  finished();
  printf("%ld\n", counter);
  return 0;
}
