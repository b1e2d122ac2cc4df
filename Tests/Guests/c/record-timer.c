// A guest whose output depends on when its signals come: a timer of half a millisecond interrupts a loop 300 times (`syscalls`: a loop
// that makes system calls), and the handler mixes the place of the loop, the interrupted address and vector registers
// into what is printed. No two runs print the same.
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include "guest.h"

static volatile unsigned signals;
static volatile uint64_t digest = GUEST_DIGEST;
static volatile uint64_t place;
static char stack[65536];

static void handle(int number, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *state = context;
  uint64_t words[3] = {place, (uint64_t)state->uc_mcontext.gregs[REG_RIP], (uint64_t)number};
  digest = guest_digest(digest, words, sizeof words);
  digest = guest_digest(digest, state->uc_mcontext.fpregs->_xmm, 64);
  signals++;
}

int main(int count, char **words) {
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  CHECK(sigaltstack(&alternate, 0) == 0);
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  CHECK(sigaction(SIGALRM, &action, 0) == 0);
  struct itimerval interval = {{0, 500}, {0, 500}};
  CHECK(setitimer(ITIMER_REAL, &interval, 0) == 0);
  int calls = count > 1 && !strcmp(words[1], "syscalls");
  double sum = 0;
  char text[64];
  while (signals < 300) {
    place++;
    sum += (double)(guest_number() >> 40) * 1e-3;
    memcpy(text, &sum, sizeof sum);
    memset(text + sizeof sum, (int)place, sizeof text - sizeof sum);
    if (calls) {
      struct timespec now;
      clock_gettime(CLOCK_MONOTONIC, &now);
      digest = guest_digest(digest, &now, sizeof now);
      // Interrupted and continued by the kernel, or not.
      struct timespec wait = {0, 20000};
      if (nanosleep(&wait, &wait) != 0) digest = guest_digest(digest, &wait, sizeof wait);
    }
  }
  memset(&interval, 0, sizeof interval);
  setitimer(ITIMER_REAL, &interval, 0);
  printf("%u signals, %lu rounds, %.3f, %016lx\n", signals, (unsigned long)place, sum, (unsigned long)digest);
  return (int)(digest & 63);
}
