// Signals that a program sends to itself: handlers with information, masks, pending signals, one-shot and nested handlers,
// timers, sigsuspend, sigwaitinfo, queued values.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "guest.h"

static volatile sig_atomic_t count, last;
static volatile double kept = 1.0;

static void simple(int number) {
  count++;
  last = number;
  kept = kept * 1.5 + (double)number;  // a handler may use floating point; the interrupted code's registers survive
}

static void informed(int number, siginfo_t *info, void *context) {
  (void)context;
  printf("signal %d code %d own %d value %d\n", number, info->si_code, info->si_pid == getpid(), info->si_value.sival_int);
}

static void nested(int number) {
  static int depth;
  int mine = ++depth;
  if (depth < 4) raise(number);
  printf("depth %d of signal %d\n", mine, number);
}

static void install(int number, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  sigemptyset(&action.sa_mask);
  CHECK(sigaction(number, &action, NULL) == 0);
}

static void masks(void) {
  sigset_t mask, pending, old;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGRTMIN + 1);
  install(SIGUSR1, simple, 0);
  sigprocmask(SIG_BLOCK, &mask, &old);
  count = 0;
  for (int i = 0; i < 5; i++) raise(SIGUSR1);
  CHECK(count == 0);
  sigpending(&pending);
  printf("pending %d\n", sigismember(&pending, SIGUSR1));
  sigprocmask(SIG_SETMASK, &old, NULL);
  printf("handled %d times\n", count);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  for (int i = 0; i < 3; i++) sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + i});
  siginfo_t info;
  for (int i = 0; i < 3; i++) {
    CHECK(sigwaitinfo(&mask, &info) == SIGRTMIN + 1);
    printf("waited for value %d code %d\n", info.si_value.sival_int, info.si_code);
  }
  struct timespec moment = {0, 1000000};
  int result = sigtimedwait(&mask, &info, &moment);
  printf("nothing more: %d %s\n", result, strerror(errno));
  raise(SIGUSR1);
  count = 0;
  CHECK(sigsuspend(&old) == -1 && errno == EINTR);
  printf("suspended until %d\n", last);
  sigprocmask(SIG_SETMASK, &old, NULL);
}

static void timers(void) {
  install(SIGALRM, simple, 0);
  count = 0;
  struct itimerval interval = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_REAL, &interval, NULL);
  double sum = 0;
  uint64_t turns = 0;
  while (count < 5) sum += (double)(turns++ & 1);  // interrupted at arbitrary instructions
  interval = (struct itimerval){{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &interval, NULL);
  CHECK(sum == (double)(turns / 2) || sum == (double)((turns + 1) / 2));
  printf("timer rang\n");
  struct timespec second = {5, 0}, rest;
  ualarm(3000, 0);
  int result = nanosleep(&second, &rest);
  printf("sleep interrupted: %d %d, rest > 4: %d\n", result, errno == EINTR, rest.tv_sec >= 4);
}

int main(void) {
  struct sigaction action = {.sa_sigaction = informed, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR2, &action, NULL);
  kill(getpid(), SIGUSR2);
  sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 77});
  raise(SIGUSR2);
  install(SIGUSR1, nested, SA_NODEFER);
  raise(SIGUSR1);
  install(SIGUSR1, simple, SA_RESETHAND);
  raise(SIGUSR1);
  struct sigaction now;
  sigaction(SIGUSR1, NULL, &now);
  printf("after one shot: default %d\n", now.sa_handler == SIG_DFL);
  signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  masks();
  timers();
  int ends[2];
  CHECK(pipe(ends) == 0);
  char byte;
  install(SIGALRM, simple, SA_RESTART);
  ualarm(2000, 0);
  write(ends[1], "x", 1);
  printf("read %zd\n", read(ends[0], &byte, 1));
  install(SIGPIPE, simple, 0);
  close(ends[0]);
  ssize_t written = write(ends[1], "x", 1);
  printf("broken pipe: %zd %s, signal %d\n", written, strerror(errno), last);
  CHECK(kill(getpid(), 0) == 0);
  CHECK(sigaction(SIGKILL, &now, NULL) == -1 && errno == EINVAL);
  CHECK(kill(getpid(), 200) == -1 && errno == EINVAL);
  printf("kept %.3f\n", kept > 1 ? 1.0 : 0.0);
}
