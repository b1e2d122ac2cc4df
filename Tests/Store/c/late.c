// Ends while signals are on their way, or is replaced by another program (argument 2): what it says at its end is its exit code, however
// long there is something to do behind it. Argument 1: microseconds until the signal.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>
#include "many.h"

int main(int count, char **words) {
  unsigned long value = 1;
  for (int i = 0; i < STEPS; i++) value = steps[i](value);
  printf("%lx\n", value);
  fflush(stdout);
  struct itimerval timer = {{0, 0}, {0, count > 1 ? atoi(words[1]) : 0}};
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGALRM);
  if (count > 2) sigprocmask(SIG_BLOCK, &signals, NULL);
  setitimer(ITIMER_REAL, &timer, NULL);
  if (count > 2) execv(words[2], words + 2);
  _exit(9);
}
