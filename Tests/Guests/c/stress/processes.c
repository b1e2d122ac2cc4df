// Storms of processes: forks from several threads, a fork bomb up to its limit, spawned programs, execve and exit that race, a
// thousand
// threads, ten thousand descriptors.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "stress.h"

static char *const no_environment[] = {NULL};

static void *fork_some(void *argument) {
  long me = (long)argument;
  for (int i = 0; i < 6; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      char *memory = malloc(50000);
      memset(memory, (int)me, 50000);
      _exit(memory[49999] + i);
    }
    counted(0, status_of(child));
  }
  return NULL;
}

static void forks_round(long number) {
  (void)number;
  crowd(3, fork_some);
}

static void *spawn_some(void *argument) {
  long me = (long)argument;
  char code[24];
  snprintf(code, sizeof code, "%ld", me + 3);
  char *words[] = {"stress", "answer", code, NULL};
  for (int i = 0; i < 3; i++) {
    pid_t child;
    if (i == 1) {
      CHECK(posix_spawn(&child, "/nowhere/at/all", NULL, NULL, words, no_environment) == ENOENT);
      counted(1, 1);
      continue;
    }
    CHECK(posix_spawn(&child, "/proc/self/exe", NULL, NULL, words, no_environment) == 0);
    counted(0, status_of(child));
  }
  return NULL;
}

static void spawn_round(long number) {
  (void)number;
  crowd(3, spawn_some);
}

// Every process forks two more until the limit says EAGAIN. Each announces a child before it makes it, and takes the word back
// when it
// cannot; it says when it will make no more, and when it ends.
static void say(int to, char word) { CHECK(write(to, &word, 1) == 1); }

static void bomb(int to, int depth, int gate) {
  char byte;
  for (int i = 0; i < 2 && depth > 0; i++) {
    say(to, 'b');
    pid_t child = fork();
    if (child == 0) {
      bomb(to, depth - 1, gate);
      _exit(0);
    }
    if (child < 0) {
      CHECK(errno == EAGAIN);
      say(to, 'u');
      break;
    }
  }
  say(to, 'f');
  // All stay until the tree is full.
  CHECK(read(gate, &byte, 1) == 0);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
  say(to, 'e');
}

static void bomb_round(long number) {
  (void)number;
  int reports[2], gate[2];
  char byte;
  CHECK(pipe(reports) == 0 && pipe(gate) == 0);
  pid_t first = fork();
  CHECK(first >= 0);
  if (first == 0) {
    close(gate[1]);
    bomb(reports[1], 12, gate[0]);
    _exit(0);
  }
  close(reports[1]);
  long begun = 1, finished = 0, ended = 0;
  while (finished < begun) {
    CHECK(read(reports[0], &byte, 1) == 1 && byte != 'e');
    begun += byte == 'b' ? 1 : byte == 'u' ? -1 : 0;
    finished += byte == 'f';
  }
  CHECK(begun > 20);
  CHECK(fork() < 0 && errno == EAGAIN);
  close(gate[1]);
  close(gate[0]);
  while (read(reports[0], &byte, 1) == 1) {
    CHECK(byte == 'e');
    ended++;
  }
  CHECK(status_of(first) == 0 && begun == ended);
  close(reports[0]);
  counted(0, 1);
}

static void prepare_bomb(void) {
  // Whoever is too mighty for the limit cannot be tested.
  struct rlimit limit = {100, 100};
  CHECK(geteuid() != 0 && setrlimit(RLIMIT_NPROC, &limit) == 0);
}

// Programs executed and groups ended by several threads at once: one of them wins, wholly.
static volatile int mode, off;
static void *race(void *argument) {
  long me = (long)argument;
  char code[24];
  snprintf(code, sizeof code, "%ld", 40 + me);
  char *words[] = {"stress", "answer", code, NULL};
  while (!off) sched_yield();
  if (me % 2 == 0) sched_yield();
  if (mode == 0 || (mode == 2 && me % 2)) execve("/proc/self/exe", words, no_environment);
  if (mode == 1 || mode == 2) _exit(40 + (int)me);
  if (mode == 3 && me == 3) execve("/proc/self/exe", words, no_environment);
  if (mode == 4 && me == 3) _exit(43);
  if (me == 0) for (volatile long i = 0;; i++) {}
  if (me == 1) for (;;) pause();
  for (;;) sched_yield();
}

static void endings_round(long number) {
  mode = (int)(number % 5);
  off = 0;
  pid_t child = fork();
  if (child == 0) {
    for (long i = 1; i < 5; i++) start(race, (void *)i);
    off = 1;
    race((void *)0);
  }
  int status = status_of(child);
  CHECK(status >= 40 && status <= 44);
  if (mode >= 3) CHECK(status == 43);
  counted(0, 1);
}

// A thousand threads at a time.
static uint32_t gate_word, arrived;
static void *stand(void *argument) {
  __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&gate_word, __ATOMIC_SEQ_CST) == 0) futex(&gate_word, 128, 0, 0, NULL, 0);
  counted(0, (long)argument);
  return NULL;
}

static void thousand_round(long number) {
  enum { MANY = 1000 };
  (void)number;
  static pthread_t threads[MANY];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 32 << 10);
  gate_word = arrived = 0;
  for (long i = 0; i < MANY; i++) CHECK(pthread_create(&threads[i], &attributes, stand, (void *)i) == 0);
  while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < MANY) doze(1000);
  __atomic_store_n(&gate_word, 1, __ATOMIC_SEQ_CST);
  futex(&gate_word, 129, 1 << 30, 0, NULL, 0);
  for (int i = 0; i < MANY; i++) finish(threads[i]);
  counted(1, arrived);
}

// Ten thousand descriptors, all of them watched.
enum { DESCRIPTORS = 10000 };
static void descriptors_round(long number) {
  static int descriptors[DESCRIPTORS];
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < DESCRIPTORS; i++) {
    descriptors[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(descriptors[i] >= 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptors[i], &event) == 0);
  }
  uint64_t one = 1;
  for (int i = (int)(number % 97); i < DESCRIPTORS; i += 97) CHECK(write(descriptors[i], &one, 8) == 8);
  static struct epoll_event events[DESCRIPTORS];
  int found = epoll_wait(epoll, events, DESCRIPTORS, 1000);
  for (int i = 0; i < found; i++) {
    CHECK(events[i].data.u32 % 97 == number % 97);
    counted(0, events[i].data.u32);
  }
  static struct pollfd polled[DESCRIPTORS];
  for (int i = 0; i < DESCRIPTORS; i++) polled[i] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
  CHECK(poll(polled, DESCRIPTORS, 0) == found);
  counted(1, found);
  if (number % 2) CHECK(close_range((unsigned)descriptors[0], (unsigned)descriptors[DESCRIPTORS - 1], 0) == 0);
  else for (int i = 0; i < DESCRIPTORS; i++) CHECK(close(descriptors[i]) == 0);
  if (fcntl(epoll, F_GETFD) >= 0) CHECK(close(epoll) == 0);
}

static void prepare_descriptors(void) {
  struct rlimit limit = {DESCRIPTORS + 100, DESCRIPTORS + 100};
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

const storm process_storms[] = {
    {"forks", NULL, forks_round}, {"spawn", NULL, spawn_round}, {"bomb", prepare_bomb, bomb_round},
    {"endings", NULL, endings_round}, {"thousand", NULL, thousand_round},
    {"descriptors", prepare_descriptors, descriptors_round}, {NULL, NULL, NULL}};
