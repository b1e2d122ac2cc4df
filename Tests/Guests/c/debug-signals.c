// For a debugger: signals with handlers, a child process, a fault that a handler mends, another program at the end.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int hits, faults;
static sigjmp_buf back;

static void count(int number) { hits += number; }

static void mend(int number, siginfo_t *information, void *context) {
  faults++;
  siglongjmp(back, 1);
}

static void marker(void) {}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "again")) return 9;
  signal(SIGUSR1, count);
  signal(SIGUSR2, count);
  raise(SIGUSR1);
  raise(SIGUSR2);
  marker();
  struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  if (!sigsetjmp(back, 1)) *(volatile int *)16 = 1;
  pid_t child = argc > 1 && !strcmp(argv[1], "vfork") ? vfork() : fork();
  if (child == 0) {
    marker();
    _exit(7);
  }
  int status = 0;
  waitpid(child, &status, 0);
  marker();
  if (argc > 1 && !strcmp(argv[1], "exec")) execl(argv[0], argv[0], "again", NULL);
  return hits == 22 && faults == 1 ? WEXITSTATUS(status) : 1;
}
