// Storms: threads, futexes, signals, processes and mappings that change, over and over.
//
//     stress NAME seconds S     rounds for so long
//     stress NAME rounds N      so many rounds
//     stress --list             the names
//
// Printed is what depends on the number of rounds only, so that a native run of as many rounds prints the same. If descriptors 3
// and 4 are open, the guest writes a byte to 3 and waits for one from 4 after the first rounds and after the last, when only one
// thread runs: then it is looked at from outside.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include "stress.h"

static long counters[COUNTERS];
static const storm *const families[] = {
    locks_storms, futex_storms, signal_storms, process_storms, memory_storms, order_storms, traffic_storms};

void counted(int counter, long amount) { __atomic_fetch_add(&counters[counter], amount, __ATOMIC_SEQ_CST); }

int status_of(pid_t child) {
  int status;
  pid_t found;
  while ((found = waitpid(child, &status, __WALL)) < 0 && errno == EINTR) {}
  if (found != child) printf("waitpid: %d instead of %d, %s\n", found, child, strerror(errno));
  CHECK(found == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000L + time.tv_nsec / 1000;
}

void doze(long microseconds) {
  struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
  while (nanosleep(&time, &time) < 0 && errno == EINTR) {}
}

static void be_looked_at(void) {
  char byte = 'l';
  if (fcntl(4, F_GETFD) < 0) return;
  while (write(3, &byte, 1) < 0 && errno == EINTR) {}
  while (read(4, &byte, 1) < 0 && errno == EINTR) {}
}

static const storm *find(const char *name) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    for (const storm *storm = families[i]; storm->name != NULL; storm++) {
      if (name == NULL) puts(storm->name);
      else if (strcmp(storm->name, name) == 0) return storm;
    }
  return NULL;
}

int main(int count, char **words) {
  if (count == 2 && strcmp(words[1], "--list") == 0) return find(NULL), 0;
  // What the storm of programs executes.
  if (count == 3 && strcmp(words[1], "answer") == 0) return atoi(words[2]);
  const storm *storm = count == 4 ? find(words[1]) : NULL;
  if (storm == NULL) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  double end = atof(words[3]);
  long rounds = 0, begin = now(), looked = 0;
  int by_time = words[2][0] == 's';
  if (storm->prepare) storm->prepare();
  for (;; rounds++) {
    double done = by_time ? (double)(now() - begin) / 1e6 : (double)rounds;
    if (done >= end && (!by_time || looked)) break;
    if (!looked && rounds > 1 && done >= end * 0.4) be_looked_at(), looked = 1;
    storm->round(rounds);
  }
  be_looked_at();
  printf("%s: %ld rounds", storm->name, rounds);
  for (int i = 0; i < COUNTERS; i++) printf(" %ld", counters[i]);
  printf("\n");
  return 0;
}
