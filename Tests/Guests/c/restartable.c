// rseq(2): registering, critical sections of many threads that must not be torn apart, aborts by signals and membarrier(2), descriptors
// that end a program, and the processor's number in the area. What depends on chance is only compared with what it must be.
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define SIGNATURE 0x53053053u
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define THREADS 4
#define PROCESSORS 4096

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

static __thread struct { _Alignas(32) unsigned char bytes[64]; } own;
#define AREA ((volatile struct rseq *)(void *)&own)

static void say(const char *what, long result) {
  if (result < 0) printf("%-44s %s\n", what, strerrorname_np(errno));
  else printf("%-44s %ld\n", what, result);
  fflush(stdout);
}
#define SAY(call) say(#call, call)
static void yes(const char *what, int is) { printf("%-44s %s\n", what, is ? "yes" : "no"), fflush(stdout); }

static long rseq(volatile void *area, unsigned size, int flags, unsigned signature) {
  return syscall(SYS_rseq, area, size, flags, signature);
}

// What the C library has registered gives way to the area of ours.
static void leave(void) {
  if (&__rseq_offset) rseq((char *)__builtin_thread_pointer() + __rseq_offset, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE);
}
static void enter(void) {
  leave();
  rseq(&own, 32, 0, SIGNATURE);
}

// A section: its descriptor, which `area` is to hold, and its code up to the commit; FLAGS are the descriptor's.
#define SECTION(FLAGS, CODE)                                                                                                   \
  ".pushsection __rseq_cs, \"aw\"\n.balign 32\n3:\n.long 0, " #FLAGS "\n.quad 1f, 2f - 1f, 4f\n.popsection\n"                  \
  "leaq 3b(%%rip), %%rax\nmovq %%rax, 8(%[area])\n1:\n" CODE "2:\n"                                                            \
  ".pushsection .text.unlikely, \"ax\"\n.byte 0x0f, 0xb9, 0x3d\n.long " TEXT(SIGNATURE_) "\n4:\njmp %l[aborted]\n.popsection\n"
#define SIGNATURE_ 0x53053053
#define SAME_PROCESSOR "cmpl %[processor], 4(%[area])\njnz %l[aborted]\n"

static long counters[PROCESSORS][8];
struct node { struct node *next; };
static struct { struct node *first; long fill[7]; } lists[PROCESSORS];

// Reads, dawdles and writes: a section that is torn loses counts.
static int add(unsigned processor) {
  __asm__ goto(SECTION(0, SAME_PROCESSOR "movq (%[counter]), %%rdx\nmovl $30, %%ecx\n5:\ndecl %%ecx\njnz 5b\nincq %%rdx\nmovq %%rdx, (%[counter])\n")
               : : [area] "r"(AREA), [processor] "r"(processor), [counter] "r"(counters[processor])
               : "rax", "rcx", "rdx", "cc", "memory" : aborted);
  return 1;
aborted:
  return 0;
}

static int push(unsigned processor, struct node *node) {
  __asm__ goto(SECTION(0, SAME_PROCESSOR "movq (%[list]), %%rdx\nmovq %%rdx, (%[node])\nmovq %[node], (%[list])\n")
               : : [area] "r"(AREA), [processor] "r"(processor), [list] "r"(&lists[processor]), [node] "r"(node)
               : "rax", "rdx", "cc", "memory" : aborted);
  return 1;
aborted:
  return 0;
}

// 1, with a node or null; 0 when aborted.
static int pop(unsigned processor, struct node **node) {
  __asm__ goto(SECTION(0, SAME_PROCESSOR "movq (%[list]), %%rdx\nmovq %%rdx, (%[node])\ntestq %%rdx, %%rdx\njz %l[empty]\n"
                          "movq (%%rdx), %%rdx\nmovq %%rdx, (%[list])\n")
               : : [area] "r"(AREA), [processor] "r"(processor), [list] "r"(&lists[processor]), [node] "r"(node)
               : "rax", "rdx", "cc", "memory" : aborted, empty);
empty:
  return 1;
aborted:
  return 0;
}

static void *work(void *argument) {
  long rounds = (long)argument;
  enter();
  for (long round = 0; round < rounds; round++) {
    while (!add(AREA->cpu_id_start)) {}
    struct node *node = 0;
    while (!pop(AREA->cpu_id_start, &node)) {}
    if (node) while (!push(AREA->cpu_id_start, node)) {}
  }
  return 0;
}

static void sections(long rounds) {
  static struct node nodes[100];
  for (int i = 0; i < 100; i++) {
    nodes[i].next = lists[i % 2].first;
    lists[i % 2].first = &nodes[i];
  }
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, work, (void *)rounds);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
  long sum = 0, left = 0;
  for (int i = 0; i < PROCESSORS; i++) {
    sum += counters[i][0];
    for (struct node *node = lists[i].first; node && left <= 100; node = node->next) left++;
  }
  say("counted in sections", sum);
  say("nodes on the lists", left);
}

static volatile int ready, interrupted_in_section;
extern char spinning[], spun[], spin_aborted[];

// Never ends by itself.
static int spin(void) {
  ready = 1;
  __asm__ goto(SECTION(0, ".globl spinning, spun\nspinning:\n5:\npause\njmp 5b\nspun:\n") : : [area] "r"(AREA) : "rax", "cc", "memory" : aborted);
aborted:
  return 0;
}

static int spin_with_flags(void) {
  __asm__ goto(SECTION(1, "5:\npause\njmp 5b\n") : : [area] "r"(AREA) : "rax", "cc", "memory" : aborted);
aborted:
  return 0;
}

static void handler(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)information;
  char *place = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  if (place >= spinning && place < spun) interrupted_in_section = 1;
}

static volatile int finish, aborts;
static void *spinner(void *argument) {
  (void)argument;
  enter();
  while (!finish) {
    spin();
    aborts++;
  }
  return 0;
}

static void disturb(const char *what, long (*how)(pthread_t)) {
  pthread_t thread;
  ready = finish = aborts = 0;
  pthread_create(&thread, 0, spinner, 0);
  while (!ready) usleep(1000);
  long failures = 0;
  for (int i = 0; i < 20; i++) failures += how(thread) != 0;
  finish = 1;
  how(thread);
  pthread_join(thread, 0);
  say(what, failures);
  yes("aborted", aborts > 0);
}

static long by_signal(pthread_t thread) { return pthread_kill(thread, SIGUSR1); }
static long by_barrier(pthread_t thread) {
  (void)thread;
  usleep(100);
  return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0);
}

static void aborting(void) {
  disturb("signals", by_signal);
  yes("a handler saw the section", interrupted_in_section);
  SAY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0));
  SAY(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0));
  SAY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0));
  SAY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0));
  SAY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0));
  disturb("barriers", by_barrier);
}

// What a signal makes of a thread with this descriptor.
static void described(const char *what, const void *descriptor, int (*code)(void)) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    alarm(10);
    enter();
    AREA->rseq_cs = (uintptr_t)descriptor;
    if (code) {
      if (fork() == 0) {
        usleep(20000);
        kill(getppid(), SIGUSR1);
        _exit(0);
      }
      code();
    }
    raise(SIGUSR1);
    _exit(AREA->rseq_cs ? 1 : 0);
  }
  int status;
  waitpid(child, &status, 0);
  printf("%-44s %s %d\n", what, WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static struct rseq_cs description(uint32_t version, uint32_t flags, uint64_t start, uint64_t size, uint64_t abort) {
  struct rseq_cs all = {version, flags, start, size, abort};
  return all;
}

static void descriptors(void) {
  static char page[4096] __attribute__((aligned(4096)));
  memcpy(page + 100, &(uint32_t){SIGNATURE}, 4);
  uint64_t there = (uintptr_t)page, abort = there + 104, high = 0x7ffffffff000;
  struct { const char *what; struct rseq_cs all; } cases[] = {
      {"a section elsewhere", description(0, 0, there, 50, abort)}, {"an empty one", description(0, 0, there, 0, abort)},
      {"version 1", description(1, 0, there, 50, abort)}, {"flags, elsewhere", description(0, 7, there, 50, abort)},
      {"no signature", description(0, 0, there, 50, abort + 1)}, {"abort inside", description(0, 0, there, 200, abort)},
      {"abort at its end", description(0, 0, there, 104, abort)}, {"abort unmapped", description(0, 0, there, 50, 0x10)},
      {"abort in the kernel", description(0, 0, there, 50, ~0ul)}, {"start in the kernel", description(0, 0, ~0ul - 100, 50, abort)},
      {"longer than memory", description(0, 0, there, ~0ul, abort)}, {"up to the kernel", description(0, 0, there, high - there, abort)},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) described(cases[i].what, &cases[i].all, 0);
  described("none", 0, 0);
  described("a wild pointer", (void *)8, 0);
  described("a pointer into the kernel", (void *)-4096, 0);
  described("flags, inside", 0, spin_with_flags);
}

static void registering(void) {
  static char space[4096 * 2] __attribute__((aligned(4096)));
  struct rseq *area = (struct rseq *)(void *)space;
  leave();
  SAY(rseq(area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE));
  SAY(rseq(area, 31, 0, SIGNATURE));
  SAY(rseq(area, 0, 0, SIGNATURE));
  SAY(rseq(space + 8, 32, 0, SIGNATURE));
  SAY(rseq(space + 16, 64, 0, SIGNATURE));
  SAY(rseq(area, 32, 2, SIGNATURE));
  SAY(rseq(area, 32, 4, SIGNATURE));
  SAY(rseq((void *)0xffff800000000000, 32, 0, SIGNATURE));
  SAY(rseq((void *)-32, 32, 0, SIGNATURE));
  SAY(rseq(area, 32, 0, SIGNATURE));
  yes("a processor", area->cpu_id < PROCESSORS && area->cpu_id == area->cpu_id_start);
  SAY(rseq(area, 32, 0, SIGNATURE));
  SAY(rseq(area, 32, 0, 1));
  SAY(rseq(area, 64, 0, SIGNATURE));
  SAY(rseq(space + 32, 32, 0, SIGNATURE));
  SAY(rseq(space + 32, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE));
  SAY(rseq(area, 64, RSEQ_FLAG_UNREGISTER, SIGNATURE));
  SAY(rseq(area, 32, RSEQ_FLAG_UNREGISTER, 1));
  SAY(rseq(area, 32, 3, SIGNATURE));
  pid_t child = fork();
  if (child == 0) {
    SAY(rseq(area, 32, 0, SIGNATURE));
    _exit(0);
  }
  waitpid(child, 0, 0);
  child = vfork();
  if (child == 0) {
    errno = 0;
    long result = rseq(area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE);
    _exit(result == 0 ? 0 : errno);
  }
  int status;
  waitpid(child, &status, 0);
  say("unregister in a child of vfork", WEXITSTATUS(status));
  SAY(rseq(area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE));
  printf("%d %d\n", (int)area->cpu_id, (int)area->cpu_id_start);
  SAY(rseq(area, 32, RSEQ_FLAG_UNREGISTER, SIGNATURE));
  SAY(rseq(area, 64, 0, 1));
  SAY(rseq(area, 64, RSEQ_FLAG_UNREGISTER, 1));
}

// The number of each processor that the program may use, in the area and by sched_getcpu(3), right after moving there.
static void moving(void) {
  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  int wrong = 0;
  enter();
  for (int i = 0; i < 200; i++)
    for (unsigned processor = 0; processor < CPU_SETSIZE; processor++) {
      if (!CPU_ISSET(processor, &all)) continue;
      CPU_ZERO(&one);
      CPU_SET(processor, &one);
      sched_setaffinity(0, sizeof one, &one);
      wrong += AREA->cpu_id != processor || AREA->cpu_id_start != processor || sched_getcpu() != (int)processor;
    }
  sched_setaffinity(0, sizeof all, &all);
  say("wrong processors", wrong);
}

// A processor's number can be waited for.
static volatile unsigned wanted;
static void *watch(void *argument) {
  (void)argument;
  enter();
  ready = 1;
  for (unsigned i = 0; i < 2; i++) {
    while (wanted != i) {}
    while (AREA->cpu_id != i) {}
    ready = 2 + (int)i;
  }
  return 0;
}

static void moved(void) {
  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  if (!CPU_ISSET(0, &all) || !CPU_ISSET(1, &all)) return;
  pthread_t thread;
  ready = 0;
  wanted = 2;
  pthread_create(&thread, 0, watch, 0);
  while (!ready) usleep(1000);
  for (unsigned i = 0; i < 2; i++) {
    CPU_ZERO(&one);
    CPU_SET(i, &one);
    pthread_setaffinity_np(thread, sizeof one, &one);
    wanted = i;
    while (ready != 2 + (int)i) usleep(1000);
  }
  pthread_join(thread, 0);
}

int main(int count, char **arguments) {
  struct utsname name;
  int major = 0, minor = 0;
  uname(&name);
  sscanf(name.release, "%d.%d", &major, &minor);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, 0);
  yes("the C library has an area", &__rseq_size && __rseq_size > 0);
  if (major > 6 || (major == 6 && minor >= 14)) {
    say("AT_RSEQ_FEATURE_SIZE", (long)getauxval(27));
    say("AT_RSEQ_ALIGN", (long)getauxval(28));
    registering();
  }
  descriptors();
  sections(count > 1 ? atol(arguments[1]) : 20000);
  aborting();
  moving();
  moved();
  return 0;
}
