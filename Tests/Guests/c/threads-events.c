// What happens to threads: signals, forks, new programs, the end in all its forms; and code and memory that change while other
// threads run. Each part is named by the first word.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest-threads.h"

enum { FEW = 4 };
static volatile int stop;
static volatile long counters[FEW];
static sem_t semaphore;

static void *spin(void *argument) {
  long me = (long)argument;
  sem_post(&semaphore);
  while (!stop) counters[me]++;
  return NULL;
}

static void *sleep_long(void *argument) {
  (void)argument;
  sem_post(&semaphore);
  for (;;) pause();
  return NULL;
}

static void start_all(pthread_t *threads) {
  for (long i = 0; i < FEW; i++) threads[i] = start(i % 2 ? sleep_long : spin, (void *)i);
  for (int i = 0; i < FEW; i++) sem_wait(&semaphore);
}

static void end_group(void) {
  pthread_t threads[FEW];
  start_all(threads);
  usleep(2000);
  printf("ends\n");
  exit(3);
}

static void *exit_group(void *argument) {
  (void)argument;
  usleep(2000);
  exit(5);
}

static void end_other(void) {
  pthread_t threads[FEW];
  start_all(threads);
  start(exit_group, NULL);
  for (;;) pause();
}

static void *outlive(void *argument) {
  (void)argument;
  usleep(5000);
  printf("outlived\n");
  return NULL;
}

static void end_first(void) {
  start(outlive, NULL);
  pthread_exit(NULL);
}

static void *fault(void *argument) {
  usleep(2000);
  *(volatile int *)argument = 1;
  return NULL;
}

static void end_fault(void) {
  pthread_t threads[FEW];
  start_all(threads);
  start(fault, (void *)16);
  for (;;) pause();
}

static pthread_t receivers[FEW];
static volatile int received[FEW], wrong;
static void on_signal(int signal, siginfo_t *information, void *context) {
  (void)context, (void)signal;
  for (int i = 0; i < FEW; i++)
    if (pthread_equal(pthread_self(), receivers[i])) {
      received[i]++;
      if (information->si_code == SI_QUEUE && information->si_value.sival_int != i) wrong = 1;
      return;
    }
  wrong = 2;
}

static void directed(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGRTMIN, &action, NULL);
  start_all(receivers);
  for (int round = 0; round < 200; round++)
    for (int i = 0; i < FEW; i++) {
      int before = received[i];
      if (round % 2) {
        CHECK(pthread_kill(receivers[i], SIGUSR1) == 0);
      } else {
        CHECK(pthread_sigqueue(receivers[i], SIGRTMIN, (union sigval){.sival_int = i}) == 0);
      }
      while (received[i] == before) usleep(20);
    }
  for (int i = 0; i < FEW; i++) printf("%d ", received[i]);
  printf("wrong %d\n", wrong);
}

static volatile int taken_by;
static void on_process_signal(int signal) {
  (void)signal;
  taken_by = (int)syscall(SYS_gettid);
}

static volatile int waiter_number;
static void *unblocked(void *argument) {
  sigset_t set;
  waiter_number = (int)syscall(SYS_gettid);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  sem_post(&semaphore);
  while (!stop) usleep(500);
  (void)argument;
  return NULL;
}

static void to_process(void) {
  sigset_t set;
  signal(SIGUSR2, on_process_signal);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  pthread_t thread = start(unblocked, NULL);
  sem_wait(&semaphore);
  for (int i = 0; i < 50; i++) {
    taken_by = 0;
    kill(getpid(), SIGUSR2);
    while (!taken_by) usleep(50);
    CHECK(taken_by == waiter_number);
  }
  stop = 1;
  pthread_join(thread, NULL);
  kill(getpid(), SIGUSR2);
  sigset_t waiting;
  CHECK(sigpending(&waiting) == 0 && sigismember(&waiting, SIGUSR2));
  int signal_taken;
  CHECK(sigwait(&set, &signal_taken) == 0 && signal_taken == SIGUSR2);
  printf("taken by whom it may concern\n");
}

static volatile long ticks;
static void on_tick(int signal) {
  (void)signal;
  ticks++;
}

static void storm(void) {
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
  pthread_t threads[FEW];
  start_all(threads);
  struct itimerval interval = {{0, 300}, {0, 300}};
  setitimer(ITIMER_REAL, &interval, NULL);
  for (int i = 0; i < 2000; i++) CHECK(pthread_kill(threads[i % FEW], SIGUSR1) == 0);
  while (ticks < 300) usleep(100);
  memset(&interval, 0, sizeof interval);
  setitimer(ITIMER_REAL, &interval, NULL);
  printf("weathered\n");
  exit(0);
}

static void forking(void) {
  pthread_t threads[FEW];
  start_all(threads);
  for (int i = 0; i < 30; i++) {
    pid_t child = fork();
    if (child == 0) {
      // Only this thread is here; it can make others.
      stop = 1;
      void *result = NULL;
      pthread_join(start(spin, (void *)0), &result);
      char *memory = malloc(100000);
      memset(memory, i, 100000);
      _exit(memory[99999] == i ? i : 99);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == i);
  }
  printf("forked\n");
}

static void *fork_here(void *argument) {
  (void)argument;
  for (int i = 0; i < 10; i++) {
    pid_t child = fork();
    if (child == 0) {
      if (i % 2) _exit(i);
      execl("/proc/self/exe", "again", i % 4 ? "say-no" : "say-yes", NULL);
      _exit(98);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == (i % 2 ? i : i % 4 ? 1 : 0));
  }
  return NULL;
}

static void fork_elsewhere(void) {
  pthread_t threads[FEW];
  start_all(threads);
  pthread_join(start(fork_here, NULL), NULL);
  printf("forked elsewhere\n");
}

static void executing(void) {
  pthread_t threads[FEW];
  start_all(threads);
  usleep(1000);
  execl("/proc/self/exe", "again", "say-yes", NULL);
}

static void *execute_here(void *argument) {
  (void)argument;
  execl("/proc/self/exe", "again", "say-identity", NULL);
  return NULL;
}

static void execute_elsewhere(void) {
  pthread_t threads[FEW];
  start_all(threads);
  start(execute_here, NULL);
  for (;;) pause();
}

static void say_identity(void) { printf("%s\n", syscall(SYS_gettid) == getpid() ? "the first thread" : "another thread"); }
static void say_yes(void) { printf("yes\n"); }
static void say_no(void) { exit(1); }

// mov eax, n; ret, changed by one thread and run by others: each sees a number that was there, and in the end the last one.
static unsigned char *code;
static void *run_code(void *argument) {
  int seen = 0;
  sem_post(&semaphore);
  // What was written before `stop` is seen after it.
  while (!stop) {
    seen = ((int (*)(void))code)();
    CHECK(seen >= 0 && seen <= 2000);
  }
  CHECK(((int (*)(void))code)() == 2000);
  (void)argument;
  return NULL;
}

static void patching(void) {
  code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(code, "\xb8\0\0\0\0\xc3", 6);
  pthread_t threads[FEW];
  for (int i = 0; i < FEW; i++) threads[i] = start(run_code, NULL);
  for (int i = 0; i < FEW; i++) sem_wait(&semaphore);
  for (int i = 1; i <= 2000; i++) {
    // The low half of the constant is a naturally aligned word: written in one piece.
    *(volatile unsigned short *)(code + 1) = (unsigned short)i;
    if (i % 50 == 0) usleep(100);
  }
  stop = 1;
  for (int i = 0; i < FEW; i++) pthread_join(threads[i], NULL);
  printf("patched\n");
}

// Code that comes and goes while others run other code; and memory that is mapped, protected and unmapped beside it.
static void *change_memory(void *argument) {
  long me = (long)argument;
  for (int i = 0; i < 400; i++) {
    unsigned char *place = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    int value = (int)me * 1000 + i;
    memcpy(place + 4094, "\xb8\0\0\0\0\xc3", 6);
    memcpy(place + 4095, &value, 4);
    CHECK(mprotect(place, 3 * 4096, PROT_READ | PROT_EXEC) == 0);
    CHECK(((int (*)(void))(place + 4094))() == value);
    CHECK(munmap(place + 8192, 4096) == 0);
    CHECK(mprotect(place, 4096, PROT_READ | PROT_WRITE) == 0);
    place[0] = 1;
    CHECK(munmap(place, 2 * 4096) == 0);
  }
  return NULL;
}

static void mapping(void) {
  pthread_t threads[FEW];
  for (long i = 0; i < FEW; i++) threads[i] = start(change_memory, (void *)i);
  for (int i = 0; i < FEW; i++) pthread_join(threads[i], NULL);
  printf("mapped\n");
}

// A loop that nobody leaves but by the fault that comes when its page is taken away.
static __thread sigjmp_buf way_out;
static void *loop_in(void *argument) {
  sem_post(&semaphore);
  if (sigsetjmp(way_out, 1) == 0) ((void (*)(void))argument)();
  return NULL;
}

static void on_fault(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)context;
  if (information->si_addr == code) __atomic_fetch_add(&counters[0], 1, __ATOMIC_RELAXED);
  siglongjmp(way_out, 1);
}

static void taking_away(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  for (int i = 0; i < 20; i++) {
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, "\xeb\xfe", 2);
    pthread_t first = start(loop_in, code), second = start(loop_in, code);
    sem_wait(&semaphore);
    sem_wait(&semaphore);
    usleep(500);
    if (i % 2) {
      CHECK(munmap(code, 4096) == 0);
    } else {
      CHECK(mprotect(code, 4096, PROT_READ) == 0);
    }
    pthread_join(first, NULL);
    pthread_join(second, NULL);
  }
  printf("faulted %ld\n", counters[0]);
}

static const struct { const char *name; void (*function)(void); } parts[] = {
    {"end-group", end_group}, {"end-other", end_other}, {"end-first", end_first}, {"end-fault", end_fault},
    {"directed", directed}, {"to-process", to_process}, {"storm", storm}, {"forking", forking},
    {"fork-elsewhere", fork_elsewhere}, {"executing", executing}, {"execute-elsewhere", execute_elsewhere},
    {"say-yes", say_yes}, {"say-no", say_no}, {"say-identity", say_identity}, {"patching", patching}, {"mapping", mapping},
    {"taking-away", taking_away},
};

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  CHECK(count == 2 && sem_init(&semaphore, 0, 0) == 0);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (strcmp(words[1], parts[i].name) == 0) return parts[i].function(), 0;
  return 2;
}
