// Starts a command over and over and measures each start: `launch RUNS OUTPUT COMMAND…`, with standard output in the file
// OUTPUT, prints the least and the median time from spawn to end in nanoseconds, the largest peak of resident memory in KiB,
// and the median processor time (user and system) in nanoseconds. Small, because Linux counts a launcher's own memory as
// its child's until the child executes its program. Ends a command that has taken two minutes of processor time.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static int ascending(const void *a, const void *b) {
  long x = *(const long *)a, y = *(const long *)b;
  return (x > y) - (x < y);
}

static long nanoseconds(struct timeval time) { return time.tv_sec * 1000000000 + time.tv_usec * 1000; }

int main(int argc, char **argv) {
  int runs = argc > 3 ? atoi(argv[1]) : 0;
  if (runs < 1) return 2;
  long *times = calloc((size_t)runs, sizeof *times), *spent = calloc((size_t)runs, sizeof *spent), peak = 0;
  struct rlimit most = {120, 120};
  setrlimit(RLIMIT_CPU, &most);
  char *environment[] = {"PATH=/usr/bin:/bin", NULL};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  for (int i = 0; i < runs; i++) {
    struct timespec begin, end;
    pid_t child;
    int status;
    struct rusage usage;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (posix_spawn(&child, argv[3], &actions, NULL, argv + 3, environment)) return 3;
    wait4(child, &status, 0, &usage);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (status) return 4;
    times[i] = (end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
    spent[i] = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    if (usage.ru_maxrss > peak) peak = usage.ru_maxrss;
  }
  qsort(times, (size_t)runs, sizeof *times, ascending);
  qsort(spent, (size_t)runs, sizeof *spent, ascending);
  printf("%ld %ld %ld %ld\n", times[0], times[runs / 2], peak, spent[runs / 2]);
}
