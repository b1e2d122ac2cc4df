// System calls about threads, futexes, scheduling and barriers, with good and bad arguments, also about other threads and other
// processes. Prints what each returns, which the harness compares with the host kernel.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "guest.h"

static long call(const char *name, long number, long a, long b, long c, long d, long e, long f) {
  long result = syscall(number, a, b, c, d, e, f);
  if (result < 0) printf("%s: %s\n", name, strerrorname_np(errno));
  else printf("%s: %ld\n", name, result);
  return result;
}
#define CALL(number, a, b, c, d, e, f) \
  call(#number " " #a " " #b " " #c " " #d " " #e " " #f, SYS_##number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define NEWER(name, number, a, b, c, d, e, f) \
  call(name " " #a " " #b " " #c " " #d " " #e " " #f, number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

enum { NOBODY = 0x3ffffff, PAGE = 4096 };
static sem_t ready, over;
static pid_t other;
static char *forbidden, *readonly;
static struct { struct robust_list_head head; } own_list;

static void *be_there(void *argument) {
  (void)argument;
  other = (pid_t)syscall(SYS_gettid);
  own_list.head.list.next = &own_list.head.list;
  syscall(SYS_set_robust_list, &own_list, sizeof own_list.head);
  sem_post(&ready);
  sem_wait(&over);
  return NULL;
}

static void robust_lists(void) {
  struct robust_list_head *head = NULL, *mine;
  size_t length = 7;
  CALL(get_robust_list, 0, &mine, &length, 0, 0, 0);
  printf("length %zu\n", length);
  CALL(get_robust_list, getpid(), &head, &length, 0, 0, 0);
  printf("the same: %d\n", head == mine);
  CALL(get_robust_list, other, &head, &length, 0, 0, 0);
  printf("the other's: %d\n", head == &own_list.head);
  CALL(get_robust_list, NOBODY, &head, &length, 0, 0, 0);
  CALL(get_robust_list, -1, &head, &length, 0, 0, 0);
  CALL(get_robust_list, 0, forbidden, &length, 0, 0, 0);
  length = 7;
  CALL(get_robust_list, 0, readonly, &length, 0, 0, 0);
  printf("length %zu\n", length);
  CALL(get_robust_list, 0, &head, forbidden, 0, 0, 0);
  CALL(get_robust_list, 0, &head, -8, 0, 0, 0);
  CALL(set_robust_list, &own_list, 0, 0, 0, 0, 0);
  CALL(set_robust_list, &own_list, 23, 0, 0, 0, 0);
  CALL(set_robust_list, &own_list, 25, 0, 0, 0, 0);
  CALL(set_robust_list, mine, 24, 0, 0, 0, 0);
}

static uint32_t word __attribute__((aligned(64))), second;
static struct timespec short_time = {0, 1000000}, negative = {-1, 0}, many_nanoseconds = {0, 1000000000}, past = {1, 0};

static void futexes(void) {
  static const int operations[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 63, 127};
  static const int flags[] = {0, 128, 256, 384, 512};
  for (size_t o = 0; o < sizeof operations / sizeof *operations; o++)
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++) {
      int operation = operations[o] | flags[f];
      int waits = operations[o] == 0 || operations[o] == 9 || operations[o] == 11 || operations[o] == 6 || operations[o] == 13;
      struct timespec *time = waits ? &past : NULL;
      printf("futex %d\n", operation);
      word = second = 0;
      // As it is meant, the word not being what is expected; then with every argument wrong in turn.
      CALL(futex, &word, operation, 5, time, &second, 5);
      printf("words %d %d\n", (word & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid), second);
      word = 0;
      CALL(futex, (char *)&word + 1, operation, 5, time, &second, 5);
      CALL(futex, forbidden, operation, 5, time, &second, 5);
      CALL(futex, NULL, operation, 5, time, &second, 5);
      CALL(futex, -4L, operation, 5, time, &second, 5);
      CALL(futex, 0x7ffffffff000, operation, 5, time, &second, 5);
      CALL(futex, readonly, operation, 5, time, &second, 5);
      word = 0;
      CALL(futex, &word, operation, 5, time, (char *)&second + 2, 5);
      word = 0;
      CALL(futex, &word, operation, 5, time, forbidden, 5);
      word = 0;
      CALL(futex, &word, operation, 5, time, &second, 0);
      if (!waits) continue;
      word = 0;
      CALL(futex, &word, operation, 5, forbidden, &second, 5);
      word = 0;
      CALL(futex, &word, operation, 5, &negative, &second, 5);
      word = 0;
      CALL(futex, &word, operation, 5, &many_nanoseconds, &second, 5);
      word = operations[o] == 6 || operations[o] == 13 ? (uint32_t)getppid() : 0;
      CALL(futex, &word, operation, word, &short_time, &second, 5);
    }
}

struct entry { uint64_t value, address; uint32_t flags, reserved; };
static void newer_futexes(void) {
  static struct entry entries[130];
  for (int i = 0; i < 130; i++) entries[i] = (struct entry){0, (uint64_t)&word, 2, 0};
  word = 1;
  NEWER("futex_waitv", 449, entries, 1, 0, NULL, 0, 0);
  NEWER("futex_waitv", 449, entries, 128, 0, NULL, 0, 0);
  NEWER("futex_waitv", 449, entries, 129, 0, NULL, 0, 0);
  NEWER("futex_waitv", 449, entries, 0, 0, NULL, 0, 0);
  NEWER("futex_waitv", 449, entries, -1, 0, NULL, 0, 0);
  NEWER("futex_waitv", 449, entries, 1, 1, NULL, 0, 0);
  NEWER("futex_waitv", 449, NULL, 1, 0, NULL, 0, 0);
  NEWER("futex_waitv", 449, forbidden, 1, 0, NULL, 0, 0);
  NEWER("futex_waitv", 449, forbidden - 24, 2, 0, NULL, 0, 0);
  word = 0;
  NEWER("futex_waitv", 449, entries, 2, 0, &past, CLOCK_MONOTONIC, 0);
  NEWER("futex_waitv", 449, entries, 2, 0, &past, CLOCK_REALTIME, 0);
  NEWER("futex_waitv", 449, entries, 2, 0, &past, CLOCK_BOOTTIME, 0);
  NEWER("futex_waitv", 449, entries, 2, 0, &negative, CLOCK_MONOTONIC, 0);
  NEWER("futex_waitv", 449, entries, 2, 0, forbidden, CLOCK_MONOTONIC, 0);
  entries[1].reserved = 1;
  NEWER("futex_waitv", 449, entries, 2, 0, &past, CLOCK_MONOTONIC, 0);
  entries[1] = (struct entry){0, (uint64_t)forbidden, 2, 0};
  NEWER("futex_waitv", 449, entries, 2, 0, &past, CLOCK_MONOTONIC, 0);
  entries[1] = (struct entry){0, (uint64_t)&word + 1, 2, 0};
  NEWER("futex_waitv", 449, entries, 2, 0, &past, CLOCK_MONOTONIC, 0);
  entries[1] = (struct entry){0, 0, 2, 0};
  NEWER("futex_waitv", 449, entries, 2, 0, &past, CLOCK_MONOTONIC, 0);
  for (uint32_t flags = 0; flags < 8; flags++) {
    entries[1] = (struct entry){0, (uint64_t)&word, flags, 0};
    NEWER("futex_waitv", 449, entries, 2, 0, &past, CLOCK_MONOTONIC, 0);
    NEWER("futex_wake", 454, &word, 1, 1, flags, 0, 0);
    NEWER("futex_wait", 455, &word, 0, 1, flags, &past, CLOCK_MONOTONIC);
  }
  entries[1] = entries[0];
  NEWER("futex_wake", 454, &word, 0, 1, 2, 0, 0);
  NEWER("futex_wake", 454, &word, -1L, 1, 2, 0, 0);
  NEWER("futex_wake", 454, &word, 0xffffffff, -1, 2 | 128, 0, 0);
  NEWER("futex_wake", 454, &word, 0xffffffff, 0, 2 | 128, 0, 0);
  NEWER("futex_wake", 454, forbidden, 1, 1, 2, 0, 0);
  NEWER("futex_wake", 454, NULL, 1, 1, 2, 0, 0);
  NEWER("futex_wake", 454, (char *)&word + 2, 1, 1, 2, 0, 0);
  NEWER("futex_wake", 454, &word, 1, 1, 1 << 20, 0, 0);
  NEWER("futex_wait", 455, &word, 1, 1, 2, NULL, 0);
  NEWER("futex_wait", 455, &word, 0, 0, 2, NULL, 0);
  NEWER("futex_wait", 455, &word, 1L << 32, 1, 2, NULL, 0);
  NEWER("futex_wait", 455, &word, 0, 1, 2, forbidden, CLOCK_MONOTONIC);
  NEWER("futex_wait", 455, &word, 0, 1, 2, &past, CLOCK_TAI);
  NEWER("futex_wait", 455, &word, 0, 1, 2, &many_nanoseconds, CLOCK_MONOTONIC);
  NEWER("futex_wait", 455, forbidden, 0, 1, 2, &past, CLOCK_MONOTONIC);
  NEWER("futex_requeue", 456, entries, 0, 1, 1, 0, 0);
  NEWER("futex_requeue", 456, entries, 1, 1, 1, 0, 0);
  NEWER("futex_requeue", 456, entries, 0, -1, 1, 0, 0);
  NEWER("futex_requeue", 456, entries, 0, 1, -1, 0, 0);
  NEWER("futex_requeue", 456, NULL, 0, 1, 1, 0, 0);
  NEWER("futex_requeue", 456, forbidden - 24, 0, 1, 1, 0, 0);
  entries[0].value = 1;
  NEWER("futex_requeue", 456, entries, 0, 1, 1, 0, 0);
  entries[0] = (struct entry){0, (uint64_t)forbidden, 2, 0};
  NEWER("futex_requeue", 456, entries, 0, 1, 1, 0, 0);
}

static void barriers(void) {
  // Those for rseq(2) exist where that does.
  const int restartable = 1 << 7 | 1 << 8, registered = 1 << 9;
  int has_sections = syscall(SYS_rseq, NULL, 0, 0, 0) == 0 || errno != ENOSYS;
  int supported = syscall(SYS_membarrier, 0, 0, 0);
  printf("%x %d\n", supported & ~restartable, (supported & restartable) == (has_sections ? restartable : 0));
  printf("%d\n", (syscall(SYS_membarrier, 1 << 8, 0, 0) == 0) == has_sections);
  printf("%d\n", (syscall(SYS_membarrier, 1 << 7, 0, 0) == 0) == has_sections);
  for (int before = 0; before < 2; before++)
    for (int command = 1; command < 1 << 11; command <<= 1)
      for (unsigned flags = 0; flags < 3 && !(command & (restartable | registered)); flags++) {
        printf("membarrier %d %u\n", command, flags);
        CALL(membarrier, command, flags, 0, 0, 0, 0);
      }
  CALL(membarrier, -1, 0, 0, 0, 0, 0);
  CALL(membarrier, 3, 0, 0, 0, 0, 0);
  CALL(membarrier, 0, 1, 0, 0, 0, 0);
  CALL(membarrier, registered, 1, 0, 0, 0, 0);
  printf("%ld\n", syscall(SYS_membarrier, registered, 0, 0) & ~restartable);
}

static void scheduling(pid_t of) {
  struct sched_param parameter = {0};
  unsigned long set[16];
  struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t times[3]; uint32_t bounds[2]; } attributes;
  memset(&attributes, 0, sizeof attributes);
  CALL(sched_getscheduler, of, 0, 0, 0, 0, 0);
  CALL(sched_getparam, of, &parameter, 0, 0, 0, 0);
  CALL(sched_getparam, of, NULL, 0, 0, 0, 0);
  CALL(sched_getparam, of, forbidden, 0, 0, 0, 0);
  CALL(sched_setscheduler, of, 3, &parameter, 0, 0, 0);
  CALL(sched_getscheduler, of, 0, 0, 0, 0, 0);
  CALL(sched_setscheduler, of, 0, &parameter, 0, 0, 0);
  CALL(sched_setscheduler, of, 77, &parameter, 0, 0, 0);
  CALL(sched_setscheduler, of, -1, &parameter, 0, 0, 0);
  CALL(sched_setscheduler, of, 0, NULL, 0, 0, 0);
  parameter.sched_priority = 1;
  CALL(sched_setscheduler, of, 0, &parameter, 0, 0, 0);
  CALL(sched_setparam, of, &parameter, 0, 0, 0, 0);
  CALL(sched_setparam, of, forbidden, 0, 0, 0, 0);
  memset(set, 0, sizeof set);
  CALL(sched_getaffinity, of, sizeof set, set, 0, 0, 0);
  unsigned long had = set[0];
  CALL(sched_getaffinity, of, 1, set, 0, 0, 0);
  CALL(sched_getaffinity, of, sizeof set, forbidden, 0, 0, 0);
  unsigned long lowest = had & -had;
  CALL(sched_setaffinity, of, sizeof lowest, &lowest, 0, 0, 0);
  CALL(sched_getaffinity, of, sizeof set, set, 0, 0, 0);
  printf("one processor: %d\n", set[0] == lowest);
  CALL(sched_setaffinity, of, sizeof had, &had, 0, 0, 0);
  lowest = 0;
  CALL(sched_setaffinity, of, sizeof lowest, &lowest, 0, 0, 0);
  CALL(sched_setaffinity, of, sizeof lowest, forbidden, 0, 0, 0);
  struct timespec interval;
  CALL(sched_rr_get_interval, of, &interval, 0, 0, 0, 0);
  CALL(sched_rr_get_interval, of, forbidden, 0, 0, 0, 0);
  CALL(sched_getattr, of, &attributes, sizeof attributes, 0, 0, 0);
  printf("policy %u nice %d\n", attributes.policy, attributes.nice);
  CALL(sched_getattr, of, &attributes, 8, 0, 0, 0);
  CALL(sched_getattr, of, &attributes, sizeof attributes, 1, 0, 0);
  CALL(sched_getattr, of, forbidden, sizeof attributes, 0, 0, 0);
  attributes.size = 48;
  attributes.nice = 3;
  CALL(sched_setattr, of, &attributes, 0, 0, 0, 0);
  CALL(sched_setattr, of, &attributes, 1, 0, 0, 0);
  CALL(sched_setattr, of, forbidden, 0, 0, 0, 0);
  CALL(getpriority, 0, of, 0, 0, 0, 0);
  CALL(getpriority, 3, of, 0, 0, 0, 0);
  CALL(setpriority, 0, of, 4, 0, 0, 0);
  CALL(ioprio_get, 1, of, 0, 0, 0, 0);
}

static void signals(void) {
  CALL(tgkill, getpid(), other, 0, 0, 0, 0);
  CALL(tgkill, getpid(), other, 65, 0, 0, 0);
  CALL(tgkill, getpid(), 0, 0, 0, 0, 0);
  CALL(tgkill, 0, other, 0, 0, 0, 0);
  CALL(tgkill, -1, other, 0, 0, 0, 0);
  CALL(tgkill, other, other, 0, 0, 0, 0);
  CALL(tgkill, getpid(), NOBODY, 0, 0, 0, 0);
  CALL(tkill, other, 0, 0, 0, 0, 0);
  CALL(tkill, 0, 0, 0, 0, 0, 0);
  CALL(tkill, NOBODY, 0, 0, 0, 0, 0);
  CALL(kill, other, 0, 0, 0, 0, 0);
  CALL(rt_tgsigqueueinfo, getpid(), other, 34, forbidden, 0, 0);
}

static void clones(void) {
  static const unsigned long flags[] = {
      0x10000, 0x10800, 0x800, 0x10900 | 0x80000000000, 0x20200, 0x10900 | 0x20000000, 0x10900 | 0x10000000,  0x1000 | 0x400000, 0x1000 | 0x100000};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
    printf("clone %lx\n", flags[i]);
    if (i != 3) CALL(clone, flags[i], 0, &word, &word, 0, 0);
  }
  struct clone_args arguments;
  memset(&arguments, 0, sizeof arguments);
  CALL(clone3, &arguments, 0, 0, 0, 0, 0);
  CALL(clone3, &arguments, 63, 0, 0, 0, 0);
  CALL(clone3, &arguments, 5000, 0, 0, 0, 0);
  CALL(clone3, forbidden, 64, 0, 0, 0, 0);
  CALL(clone3, NULL, 88, 0, 0, 0, 0);
  arguments.flags = 0x10000;
  CALL(clone3, &arguments, 88, 0, 0, 0, 0);
  arguments.flags = 0x10900;
  arguments.exit_signal = 17;
  CALL(clone3, &arguments, 88, 0, 0, 0, 0);
  arguments = (struct clone_args){.stack = 4096};
  CALL(clone3, &arguments, 88, 0, 0, 0, 0);
  arguments = (struct clone_args){.exit_signal = 65};
  CALL(clone3, &arguments, 88, 0, 0, 0, 0);
  arguments = (struct clone_args){.flags = 1ul << 40};
  CALL(clone3, &arguments, 88, 0, 0, 0, 0);
  arguments = (struct clone_args){.flags = 0x800};
  CALL(clone3, &arguments, 88, 0, 0, 0, 0);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  char *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  forbidden = pages + PAGE;
  readonly = pages + 2 * PAGE;
  mprotect(forbidden, PAGE, PROT_NONE);
  mprotect(readonly, PAGE, PROT_READ);
  sem_init(&ready, 0, 0);
  sem_init(&over, 0, 0);
  pthread_t thread;
  pthread_create(&thread, NULL, be_there, NULL);
  sem_wait(&ready);
  robust_lists();
  futexes();
  newer_futexes();
  barriers();
  scheduling(0);
  scheduling(other);
  scheduling(NOBODY);
  scheduling(-1);
  signals();
  clones();
  sem_post(&over);
  pthread_join(thread, NULL);
  return 0;
}
