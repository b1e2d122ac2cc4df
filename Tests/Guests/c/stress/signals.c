// Storms of signals: none may get lost, whatever the receiver does: it waits in a call, is about to, runs a loop, holds a lock.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include "stress.h"

static volatile long received, sum, disordered;
static long last_value[8];
static void on_queued(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)context;
  int value = information->si_value.sival_int, sender = value >> 20;
  if ((value & 0xfffff) <= last_value[sender]) disordered++;
  last_value[sender] = value & 0xfffff;
  sum += value & 0xfffff;
  received++;
}

static void catch(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
  CHECK(sigaction(signal, &action, NULL) == 0);
}

static void send_queued(pid_t to, int sender, int number) {
  for (int i = 1; i <= number; i++)
    while (sigqueue(to, SIGRTMIN + 2, (union sigval){.sival_int = sender << 20 | i}) < 0) {
      CHECK(errno == EAGAIN);
      sched_yield();
    }
}

// Processes send real-time signals, which queue, with values in order, to a thread that loops, sleeps, computes or polls.
static void queued_round(long number) {
  enum { SENDERS = 3, EACH = 300 };
  pid_t to = getpid(), children[SENDERS];
  received = sum = 0;
  memset(last_value, 0, sizeof last_value);
  for (int i = 0; i < SENDERS; i++)
    if ((children[i] = fork()) == 0) {
      send_queued(to, i, EACH);
      _exit(0);
    }
  double value = 1;
  for (long turn = 0; received < SENDERS * EACH; turn++) {
    if (number % 4 == 0) value = value * 1.0000001 + turn;
    if (number % 4 == 1) poll(NULL, 0, 1);
    if (number % 4 == 2) syscall(SYS_getppid);
    if (number % 4 == 3) doze(100);
  }
  CHECK(value != 0);
  for (int i = 0; i < SENDERS; i++) CHECK(status_of(children[i]) == 0);
  counted(0, received);
  counted(1, sum);
  counted(2, disordered);
}

static void prepare_queued(void) { catch(SIGRTMIN + 2, on_queued, 0); }

// Two threads throw one signal to and fro. Each waits in another way for it; a lost one would be the end.
static pthread_t players[2];
static volatile int caught[2];
static __thread int player;
static void on_ball(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)information, (void)context;
  caught[player]++;
}

static int way, ball_pipe[2];
static void await_ball(int turn) {
  sigset_t none, ball;
  struct timespec far = {100, 0};
  struct epoll_event event;
  char byte;
  sigemptyset(&none);
  sigemptyset(&ball);
  sigaddset(&ball, SIGUSR1);
  while (caught[player] <= turn) {
    switch (way) {
    case 0: sigsuspend(&none); break;
    case 1: ppoll(NULL, 0, &far, &none); break;
    case 2: pselect(0, NULL, NULL, NULL, &far, &none); break;
    case 3: if (sigtimedwait(&ball, NULL, &far) == SIGUSR1) caught[player]++; break;
    case 4: {
      int epoll = epoll_create1(EPOLL_CLOEXEC);
      epoll_pwait(epoll, &event, 1, 100000, &none);
      close(epoll);
      break;
    }
    case 5: {
      // The pipe stays empty: only the signal ends the call, and if it came before, the handler has made the pipe readable.
      pthread_sigmask(SIG_UNBLOCK, &ball, NULL);
      if (caught[player] <= turn) read(ball_pipe[0], &byte, 0);
      while (caught[player] <= turn) {}
      pthread_sigmask(SIG_BLOCK, &ball, NULL);
      break;
    }
    }
  }
}

static void *play(void *argument) {
  sigset_t ball;
  player = (int)(long)argument;
  sigemptyset(&ball);
  sigaddset(&ball, SIGUSR1);
  for (int turn = 0; turn < 150; turn++) {
    if (player == 0) CHECK(pthread_kill(players[1], SIGUSR1) == 0);
    await_ball(turn);
    if (player == 1) CHECK(pthread_kill(players[0], SIGUSR1) == 0);
  }
  counted(0, caught[player]);
  return NULL;
}

static void *begin_to_play(void *argument) {
  while (!__atomic_load_n((long *)&players[!(long)argument], __ATOMIC_SEQ_CST)) sched_yield();
  return play(argument);
}

static void ball_round(long number) {
  sigset_t ball;
  way = (int)(number % 6);
  memset((void *)caught, 0, sizeof caught);
  memset(players, 0, sizeof players);
  sigemptyset(&ball);
  sigaddset(&ball, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &ball, NULL) == 0);
  for (long i = 0; i < 2; i++) players[i] = start(begin_to_play, (void *)i);
  for (int i = 0; i < 2; i++) finish(players[i]);
}

static void prepare_ball(void) {
  CHECK(pipe2(ball_pipe, O_CLOEXEC) == 0);
  catch(SIGUSR1, on_ball, 0);
}

// A handler writes to a pipe that the interrupted thread reads: data that comes from the handler of the very thread that waits, so
// the call has to be ended, or begun again, by the signal.
static int self_pipe[2];
static void on_self(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)information, (void)context;
  char byte = 's';
  write(self_pipe[1], &byte, 1);
}

static volatile int reading;
static void *read_own(void *argument) {
  (void)argument;
  char byte;
  for (int i = 0; i < 300; i++) {
    reading = i;
    long result;
    while ((result = read(self_pipe[0], &byte, 1)) < 0) CHECK(errno == EINTR);
    CHECK(result == 1);
    counted(0, 1);
  }
  reading = 300;
  return NULL;
}

static void self_round(long number) {
  catch(SIGUSR2, on_self, number % 2 ? SA_RESTART : 0);
  reading = -1;
  pthread_t thread = start(read_own, NULL);
  while (reading < 0) sched_yield();
  for (int i = 0; i < 300; i++) {
    // Sometimes it sleeps in the call, sometimes it is on its way there.
    if (i % 10 == 0) doze(50);
    CHECK(pthread_kill(thread, SIGUSR2) == 0);
    while (reading <= i) sched_yield();
  }
  finish(thread);
}

static void prepare_self(void) { CHECK(pipe2(self_pipe, O_CLOEXEC) == 0); }

// Loops whose registers, flags, vectors and red zone must survive any number of signals at any instruction.
static volatile long ticks;
static void on_tick(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)information, (void)context;
  volatile double use = ticks;
  char place[64];
  memset(place, (int)ticks, sizeof place);
  __asm__ volatile("pxor %%xmm0, %%xmm0; pcmpeqd %%xmm1, %%xmm1; fldpi; fstp %%st(0); cmp %0, %0" : : "r"(place) : "xmm0", "xmm1");
  ticks = (long)use + 1;
}

static void *hum(void *argument) {
  long me = (long)argument, end = __atomic_load_n(&ticks, __ATOMIC_SEQ_CST) + 40;
  do {
    uint64_t a = 1, b = 2, c = 3, left = 20000, carry = 0;
    double x = (double)me, red = 0;
    __asm__ volatile(
        "movq %5, %%xmm0\n movq %0, %%xmm1\n"
        "mov %0, -8(%%rsp)\n"
        "1: lea 1(%0), %0\n add %0, %1\n adc $0, %4\n rol $7, %2\n xor %1, %2\n mov %1, -16(%%rsp)\n"
        "paddq %%xmm1, %%xmm1\n cmp -16(%%rsp), %1\n jne 2f\n dec %3\n jnz 1b\n jmp 3f\n"
        "2: ud2\n"
        "3: movq %%xmm0, %5\n"
        : "+r"(a), "+r"(b), "+r"(c), "+r"(left), "+r"(carry), "+x"(x), "+x"(red)
        :
        : "xmm2", "memory", "cc");
    if (a != 20001 || b != 2 + 20001ull * 20002 / 2 - 1 || left != 0 || x != (double)me)
      printf("a %lu b %lu left %lu x %f\n", a, b, left, x);
    CHECK(a == 20001 && b == 2 + 20001ull * 20002 / 2 - 1 && left == 0 && x == (double)me);
  } while (ticks < end);
  return NULL;
}

static void loops_round(long number) {
  struct itimerval interval = {{0, 500 + number % 7 * 50}, {0, 500}}, none = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &interval, NULL);
  crowd(3, hum);
  setitimer(ITIMER_REAL, &none, NULL);
  counted(0, 3);
}

static void prepare_loops(void) { catch(SIGALRM, on_tick, SA_RESTART); }

// Signals, read as data, for the process, from children that end: SIGCHLD by signalfd and sigwaitinfo, one event at least each.
static void data_round(long number) {
  (void)number;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGRTMIN + 5);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  int descriptor = signalfd(-1, &set, SFD_CLOEXEC);
  pid_t to = getpid();
  int ended = 0, values = 0;
  enum { CHILDREN = 4 };
  for (int i = 0; i < CHILDREN; i++)
    if (fork() == 0) {
      sigqueue(to, SIGRTMIN + 5, (union sigval){.sival_int = i + 1});
      _exit(i);
    }
  while (ended < CHILDREN || values < CHILDREN * (CHILDREN + 1) / 2) {
    struct signalfd_siginfo information;
    CHECK(read(descriptor, &information, sizeof information) == sizeof information);
    if (information.ssi_signo == (uint32_t)SIGRTMIN + 5) values += information.ssi_int;
    int status;
    while (waitpid(-1, &status, WNOHANG) > 0) ended++;
  }
  close(descriptor);
  counted(0, ended);
  counted(1, values);
}

// Signals for the process while its threads lock and unlock: whoever takes one, none is lost.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long taken;
static volatile int over;
static void on_process(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)information, (void)context;
  __atomic_fetch_add(&taken, 1, __ATOMIC_SEQ_CST);
}

static void *lock_and_unlock(void *argument) {
  (void)argument;
  while (!over) {
    pthread_mutex_lock(&mutex);
    counted(3, 0);
    pthread_mutex_unlock(&mutex);
    if ((long)argument % 2) doze(50);
  }
  return NULL;
}

static void anyone_round(long number) {
  (void)number;
  pthread_t threads[4];
  taken = over = 0;
  for (long i = 0; i < 4; i++) threads[i] = start(lock_and_unlock, (void *)i);
  for (int i = 0; i < 200; i++) {
    while (sigqueue(getpid(), SIGRTMIN + 6, (union sigval){.sival_int = i}) < 0) CHECK(errno == EAGAIN);
    if (i % 50 == 0) doze(100);
  }
  while (__atomic_load_n(&taken, __ATOMIC_SEQ_CST) < 200) sched_yield();
  over = 1;
  for (int i = 0; i < 4; i++) finish(threads[i]);
  CHECK(taken == 200);
  counted(0, taken);
}

static void prepare_anyone(void) { catch(SIGRTMIN + 6, on_process, SA_RESTART); }

// Timers of all kinds: each expires as often as it should, not before its time.
static volatile long expired;
static void on_timer(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)context;
  expired += 1 + information->si_overrun;
}

static void timers_round(long number) {
  timer_t timer;
  int realtime = number % 2;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = realtime ? SIGRTMIN + 7 : SIGUSR1};
  struct itimerspec interval = {{0, 300000}, {0, 300000}}, none = {{0, 0}, {0, 0}};
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  expired = 0;
  long begin = now();
  CHECK(timer_settime(timer, 0, &interval, NULL) == 0);
  while (expired < 40) if (number % 4 < 2) pause(); else sched_yield();
  long elapsed = now() - begin;
  CHECK(timer_settime(timer, 0, &none, NULL) == 0 && timer_delete(timer) == 0);
  // As many as fit into the time, give or take the one that is just coming.
  CHECK(elapsed >= 40 * 300 - 1000 && expired <= (now() - begin) / 300 + 1);
  counted(0, 1);
}

static void prepare_timers(void) {
  catch(SIGUSR1, on_timer, SA_RESTART);
  catch(SIGRTMIN + 7, on_timer, 0);
}

const storm signal_storms[] = {
    {"queued", prepare_queued, queued_round}, {"ball", prepare_ball, ball_round}, {"self-pipe", prepare_self, self_round},
    {"loops", prepare_loops, loops_round}, {"signals-as-data", NULL, data_round}, {"anyone", prepare_anyone, anyone_round},
    {"timers", prepare_timers, timers_round}, {NULL, NULL, NULL}};
