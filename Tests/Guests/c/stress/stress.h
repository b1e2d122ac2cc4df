// What the storms share. A storm is a function that does one round of a fixed amount of work, checks what must hold, and adds to
// counters that depend on nothing but the number of rounds; `stress.c` repeats it.
#ifndef STRESS_H
#define STRESS_H
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
// So that a thousand of them fit.
#define GUEST_STACK (128 << 10)
#include "../guest-threads.h"

enum { COUNTERS = 4, THREADS = 6 };
typedef struct {
  const char *name;
  void (*prepare)(void);
  void (*round)(long number);
} storm;
extern const storm locks_storms[], futex_storms[], signal_storms[], process_storms[], memory_storms[], order_storms[],
    traffic_storms[];

/// Counters that are printed in the end; `counted` may be called by several threads.
void counted(int counter, long amount);
/// Waits for `child` and returns its exit status, or 128 + signal.
int status_of(pid_t child);
long now(void);  // microseconds, monotonic
/// Sleeps a little: for those few places where nothing tells that another thread has fallen asleep.
void doze(long microseconds);

static inline long futex(void *word, int operation, uint32_t value, long fourth, void *second, uint32_t third) {
  long result = syscall(SYS_futex, word, operation, value, fourth, second, third);
  return result < 0 ? -errno : result;
}
#endif
