// Calls of functions, system calls, signals and accesses in known numbers, for whoever looks for the next or the previous one.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int table[16], total;
volatile int cell = 7;

__attribute__((noinline)) int square(int number) { return number * number; }

__attribute__((noinline)) int work(int count) {
  int sum = 0;
  for (int i = 0; i < count; i++) {
    sum += square(i);
    table[i % 16] = sum;
    cell = 7;
    cell;
  }
  return sum;
}

static void handle(int signal) {
  (void)signal;
  total++;
}

int main(void) {
  signal(SIGUSR1, handle);
  total = work(10);
  raise(SIGUSR1);
  total += work(20);
  for (int i = 0; i < 5; i++) {
    int file = open(i % 2 ? "/dev/null" : "/nowhere/at all", O_RDONLY);
    if (file >= 0) close(file);
  }
  if (fork() == 0) _exit(3);
  wait(NULL);
  printf("%d\n", total);
  fflush(stdout);
  execl("/bin/true", "true", NULL);
  return 1;
}
