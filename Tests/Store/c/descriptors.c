// How many descriptors it can open and which numbers they have, what closing all of them does to it, and what is open afterwards.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "many.h"

static void count(const char *what) {
  int numbers[4096], opened = 0, last;
  errno = 0;
  while (opened < 4096 && (last = open("/dev/null", O_RDONLY)) >= 0) numbers[opened++] = last;
  printf("%s: %d, error %d:", what, opened, errno);
  for (int i = 0; i < opened && i < 40; i++) printf(" %d", numbers[i]);
  printf("\n");
  for (int i = 0; i < opened; i++) close(numbers[i]);
}

int main(int words, char **arguments) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  count("opened");
  for (int i = 3; i < 5000; i++) close(i);
  count("after closing each");
  syscall(SYS_close_range, 3, ~0u, 0);
  count("after close_range");
  closefrom(3);
  unsigned long value = 1;
  for (int i = 0; i < STEPS; i++) value = steps[i](value);
  for (int i = 3; i < 2000; i++) {
    errno = 0;
    if (fcntl(i, F_GETFD) >= 0 || errno != EBADF) printf("%d is open\n", i);
  }
  fflush(stdout);
  if (fork() == 0) {
    count("in a child");
    fflush(stdout);
    if (words > 1) execv(arguments[1], arguments + 1);
    _exit(3);
  }
  int status;
  wait(&status);
  printf("%lx %d, the limit is %lu\n", value, status, (unsigned long)limit.rlim_cur);
  fflush(stdout);
  // The last thing it does: nothing is left open.
  syscall(SYS_close_range, 0, ~0u, 0);
  return 7;
}
