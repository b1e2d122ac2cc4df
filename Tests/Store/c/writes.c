// Writes to a file (argument 1) until a limit or the device's end; tells the signals and errors it got. Argument 2: RLIMIT_FSIZE to set.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "many.h"

static volatile sig_atomic_t signals;
static void note(int number) { (void)number, signals++; }

int main(int count, char **words) {
  if (count < 3) return 2;
  signal(SIGXFSZ, note);
  struct rlimit limit = {strtoul(words[2], NULL, 0), strtoul(words[2], NULL, 0)};
  setrlimit(RLIMIT_FSIZE, &limit);
  unsigned long value = 1;
  for (int i = 0; i < STEPS; i++) value = steps[i](value);
  printf("before: %d\n", (int)signals);
  int file = open(words[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
  long written = 0, one;
  for (int i = 0; i < 64 && (one = write(file, words, 512)) > 0; i++) written += one;
  printf("%ld written, error %d, signals %d, %lx\n", written, errno, (int)signals, value);
  fflush(stdout);
  close(file);
  signal(SIGXFSZ, SIG_DFL);
  return 0;
}
