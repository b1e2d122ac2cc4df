// Time and waiting: clocks that do not go back, sleeps that last, poll and select on pipes, calendars.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "guest.h"

static int64_t nanoseconds(clockid_t clock) {
  struct timespec now;
  CHECK(clock_gettime(clock, &now) == 0 && now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void clocks(void) {
  static const clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE,
                                  CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
  for (int i = 0; i < 7; i++) {
    int64_t last = nanoseconds(all[i]);
    for (int k = 0; k < 100; k++) {
      int64_t now = nanoseconds(all[i]);
      CHECK(now >= last);
      last = now;
    }
  }
  struct timespec resolution;
  CHECK(clock_getres(CLOCK_MONOTONIC, &resolution) == 0);
  CHECK(clock_gettime(99, &resolution) == -1 && errno == EINVAL);
  int64_t begin = nanoseconds(CLOCK_MONOTONIC);
  struct timespec pause = {0, 20000000};
  CHECK(nanosleep(&pause, NULL) == 0);
  CHECK(nanoseconds(CLOCK_MONOTONIC) - begin >= 20000000);
  begin = nanoseconds(CLOCK_MONOTONIC) + 10000000;
  struct timespec until = {begin / 1000000000, begin % 1000000000};
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0 && nanoseconds(CLOCK_MONOTONIC) >= begin);
  struct timeval day;
  CHECK(gettimeofday(&day, NULL) == 0 && llabs((long long)(day.tv_sec - time(NULL))) <= 1);
  struct tms used;
  CHECK(times(&used) != (clock_t)-1 && clock() >= 0);
}

static void pollers(void) {
  int ends[2], other[2];
  CHECK(pipe(ends) == 0 && pipe(other) == 0);
  struct pollfd watch[] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {other[0], POLLIN, 0}, {-1, POLLIN, 0}};
  int count = poll(watch, 4, 0);
  printf("poll %d:", count);
  for (int i = 0; i < 4; i++) printf(" %x", watch[i].revents);
  CHECK(write(ends[1], "abc", 3) == 3 && close(other[1]) == 0);
  count = poll(watch, 4, 1000);
  printf("\npoll %d:", count);
  for (int i = 0; i < 4; i++) printf(" %x", watch[i].revents);
  fd_set reads, writes;
  FD_ZERO(&reads); FD_ZERO(&writes);
  FD_SET(ends[0], &reads); FD_SET(other[0], &reads); FD_SET(ends[1], &writes);
  struct timeval limit = {1, 0};
  int ready = select(20, &reads, &writes, NULL, &limit);
  printf("\nselect %d: %d %d %d\n", ready, FD_ISSET(ends[0], &reads) != 0, FD_ISSET(other[0], &reads) != 0,
         FD_ISSET(ends[1], &writes) != 0);
  char text[8];
  CHECK(read(ends[0], text, 8) == 3 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  CHECK(read(ends[0], text, 8) == -1 && errno == EAGAIN);
  struct timespec little = {0, 5000000};
  int64_t begin = nanoseconds(CLOCK_MONOTONIC);
  CHECK(ppoll(watch, 1, &little, NULL) == 0 && nanoseconds(CLOCK_MONOTONIC) - begin >= 5000000);
  FD_ZERO(&reads); FD_SET(ends[0], &reads);
  CHECK(pselect(20, &reads, NULL, NULL, &little, NULL) == 0 && !FD_ISSET(ends[0], &reads));
  watch[0].fd = 77;
  int closed = poll(watch, 1, 0);
  printf("closed: %d %x\n", closed, watch[0].revents);
  long filled = 0;
  CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
  static char block[4096];
  while (write(ends[1], block, sizeof block) > 0) filled++;
  printf("pipe took %ld blocks, then %s\n", filled, strerror(errno));
}

int main(void) {
  clocks();
  pollers();
  char text[128];
  for (int i = 0; i < 12; i++) {
    time_t moment = (time_t)(guest_number() >> 31);
    struct tm parts;
    gmtime_r(&moment, &parts);
    strftime(text, sizeof text, "%F %T %j %a %V %G", &parts);
    CHECK(timegm(&parts) == moment);
    puts(text);
  }
  struct utsname system;
  CHECK(uname(&system) == 0);
  printf("%s %s\n", system.sysname, system.machine);
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 0);
  limit.rlim_cur = 40;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0 && dup2(1, 45) == -1 && errno == EBADF);
  printf("pages %ld, ids %d %d\n", sysconf(_SC_PAGESIZE), getuid() == geteuid(), getgid() == getegid());
}
