// Threads that do nothing but call, while another one comes back from a wait: it must get its turn, also while this is recorded.
#define _GNU_SOURCE
#include "guest.h"
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int stop;

static void *spin(void *argument) {
  while (!stop) syscall(SYS_getppid);
  return argument;
}

int main(void) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) pthread_create(threads + i, 0, spin, 0);
  for (int i = 0; i < 10; i++) usleep(1000);
  stop = 1;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
  puts("stopped");
}
