// Storms of messages: pipes, sockets and event descriptors between threads and processes, with every byte counted.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include "stress.h"

static int there[2], back[2];
enum { TURNS = 300 };
static void *echo(void *argument) {
  (void)argument;
  long value;
  for (int i = 0; i < TURNS; i++) {
    CHECK(read(there[0], &value, sizeof value) == sizeof value);
    value++;
    CHECK(write(back[1], &value, sizeof value) == sizeof value);
  }
  return NULL;
}

static void call_out(void) {
  long value = 0;
  for (int i = 0; i < TURNS; i++) {
    CHECK(write(there[1], &value, sizeof value) == sizeof value);
    CHECK(read(back[0], &value, sizeof value) == sizeof value);
  }
  counted(0, value);
}

static void close_both(void) {
  for (int i = 0; i < 2; i++) close(there[i]), close(back[i]);
}

static void ping_pong_round(long number) {
  if (number % 3 == 0) CHECK(pipe2(there, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0);
  if (number % 3 == 1) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, there) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, back) == 0);
  }
  if (number % 3 == 2) {
    // The other process's way.
    CHECK(pipe2(there, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) echo(NULL), _exit(0);
    call_out();
    CHECK(status_of(child) == 0);
    close_both();
    return;
  }
  pthread_t thread = start(echo, NULL);
  call_out();
  finish(thread);
  close_both();
}

static int event_there, event_back;
static void *echo_events(void *argument) {
  (void)argument;
  uint64_t value;
  for (int i = 0; i < TURNS; i++) {
    CHECK(read(event_there, &value, 8) == 8);
    CHECK(write(event_back, &value, 8) == 8);
  }
  return NULL;
}

static void events_round(long number) {
  (void)number;
  event_there = eventfd(0, EFD_CLOEXEC);
  event_back = eventfd(0, EFD_CLOEXEC);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 7};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, event_back, &event) == 0);
  pthread_t thread = start(echo_events, NULL);
  for (uint64_t i = 1; i <= TURNS; i++) {
    uint64_t value = i;
    CHECK(write(event_there, &value, 8) == 8);
    int found;
    while ((found = epoll_wait(epoll, &event, 1, 10000)) < 0) CHECK(errno == EINTR);
    CHECK(found == 1 && event.data.u64 == 7 && read(event_back, &value, 8) == 8 && value == i);
    counted(0, (long)value);
  }
  finish(thread);
  close(event_there);
  close(event_back);
  close(epoll);
}

// Several writers and several readers at one pipe; pieces of up to PIPE_BUF bytes arrive whole.
enum { PIECES = 200 };
static void *write_pieces(void *argument) {
  long me = (long)argument;
  char piece[512];
  memset(piece, 'a' + (int)me, sizeof piece);
  for (int i = 0; i < PIECES; i++) CHECK(write(there[1], piece, sizeof piece) == sizeof piece);
  return NULL;
}

static void *read_pieces(void *argument) {
  char piece[512];
  long result;
  (void)argument;
  while ((result = read(there[0], piece, sizeof piece)) > 0) {
    CHECK(result == sizeof piece && piece[0] == piece[511] && memcmp(piece, piece + 1, 511) == 0);
    counted(0, result);
    counted(1, piece[0]);
  }
  CHECK(result == 0);
  return NULL;
}

static void pieces_round(long number) {
  (void)number;
  CHECK(pipe2(there, O_CLOEXEC) == 0);
  pthread_t writers[3], readers[3];
  for (long i = 0; i < 3; i++) readers[i] = start(read_pieces, NULL);
  for (long i = 0; i < 3; i++) writers[i] = start(write_pieces, (void *)i);
  for (int i = 0; i < 3; i++) finish(writers[i]);
  close(there[1]);
  for (int i = 0; i < 3; i++) finish(readers[i]);
  close(there[0]);
}

// Descriptors of timers, read by threads that wait together in one epoll.
static int timers[4], timer_epoll;
static long expirations[4];
static void *read_timers(void *argument) {
  (void)argument;
  struct epoll_event event;
  for (;;) {
    int found = epoll_wait(timer_epoll, &event, 1, 5);
    uint64_t value;
    if (found == 1 && read(timers[event.data.u32], &value, 8) == 8)
      __atomic_fetch_add(&expirations[event.data.u32], (long)value, __ATOMIC_SEQ_CST);
    int enough = 1;
    for (int i = 0; i < 4; i++) enough &= __atomic_load_n(&expirations[i], __ATOMIC_SEQ_CST) >= 20;
    if (enough) return NULL;
  }
}

static void timer_descriptors_round(long number) {
  (void)number;
  timer_epoll = epoll_create1(EPOLL_CLOEXEC);
  memset(expirations, 0, sizeof expirations);
  long begin = now();
  for (int i = 0; i < 4; i++) {
    struct itimerspec interval = {{0, 300000 + i * 100000}, {0, 300000}};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    timers[i] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(timerfd_settime(timers[i], 0, &interval, NULL) == 0);
    CHECK(epoll_ctl(timer_epoll, EPOLL_CTL_ADD, timers[i], &event) == 0);
  }
  crowd(3, read_timers);
  for (int i = 0; i < 4; i++) {
    CHECK(expirations[i] <= (now() - begin) / 300 + 1);
    close(timers[i]);
  }
  close(timer_epoll);
  counted(0, 4);
}

const storm traffic_storms[] = {
    {"ping-pong", NULL, ping_pong_round}, {"events", NULL, events_round}, {"pieces", NULL, pieces_round},
    {"timer-descriptors", NULL, timer_descriptors_round}, {NULL, NULL, NULL}};
