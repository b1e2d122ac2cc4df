// setjmp and longjmp through many frames, sigsetjmp with masks, makecontext coroutines, and deep recursion.
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include "guest.h"

static jmp_buf escape;
static void dive(int depth) {
  volatile char weight[64];
  weight[0] = (char)depth;
  if (depth == 0) longjmp(escape, 42);
  dive(depth - 1);
  weight[1] = weight[0];
}

static sigjmp_buf restore;
static void on_signal(int number) { siglongjmp(restore, number); }

static ucontext_t caller, first, second;
static void generator(int from, int to) {
  for (int i = from; i < to; i++) {
    printf("generator gives %d\n", i);
    swapcontext(&first, &caller);
  }
}
static void partner(void) { puts("partner runs and ends"); }

static unsigned long ackermann(unsigned long m, unsigned long n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

static long deep(long depth) {
  volatile char weight[512];
  memset((void *)weight, (int)depth, sizeof weight);
  return depth == 0 ? weight[5] : deep(depth - 1) + weight[7];
}

int main(void) {
  volatile int tries = 0;
  int value = setjmp(escape);
  printf("setjmp gave %d\n", value);
  if (tries++ < 3) dive(100 * tries);
  signal(SIGUSR1, on_signal);
  sigset_t mask;
  for (volatile int i = 0; i < 3; i++) {
    if (sigsetjmp(restore, 1) == 0) raise(SIGUSR1);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    printf("back, SIGUSR1 %s\n", sigismember(&mask, SIGUSR1) ? "blocked" : "open");
  }
  static char stacks[2][65536];
  getcontext(&first);
  first.uc_stack.ss_sp = stacks[0];
  first.uc_stack.ss_size = sizeof stacks[0];
  first.uc_link = &caller;
  makecontext(&first, (void (*)(void))generator, 2, 10, 14);
  getcontext(&second);
  second.uc_stack.ss_sp = stacks[1];
  second.uc_stack.ss_size = sizeof stacks[1];
  second.uc_link = &caller;
  makecontext(&second, partner, 0);
  for (int i = 0; i < 4; i++) swapcontext(&caller, &first);
  swapcontext(&caller, &second);
  printf("ackermann %lu\n", ackermann(2, 200));
  printf("deep %ld\n", deep(10000));
}
