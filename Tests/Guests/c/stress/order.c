// The memory's order: litmus tests of what x86 forbids (Intel SDM 3A 9.2.3), pieces that are read whole, locked operations
// across cache lines and pages, between threads and between processes, membarrier(2). Outcomes that are allowed may be seen or not;
// what is counted is the forbidden ones, of which there must be none.
#define _GNU_SOURCE
#include <emmintrin.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "stress.h"

enum { TRIALS = 1500 };
typedef struct {
  volatile int x __attribute__((aligned(64)));
  volatile int y __attribute__((aligned(64)));
  int seen[4][2] __attribute__((aligned(64)));
} trial;
static trial trials[TRIALS];
static int test;
static pthread_barrier_t beginning;
#define FENCE() __asm__ volatile("mfence" ::: "memory")
#define COMPILER() __asm__ volatile("" ::: "memory")

static inline void exchange(volatile int *place, int value) {
  __asm__ volatile("xchg %0, %1" : "+r"(value), "+m"(*place) : : "memory");
}

static inline void locked(void) { __asm__ volatile("lock orl $0, -64(%%rsp)" ::: "memory", "cc"); }

enum { BUFFER_FENCE, BUFFER_LOCK, BUFFER_EXCHANGE, BUFFER_BARRIER, MESSAGE, LOAD, FAR_READERS, READ_WRITE, TWO_WRITES, TESTS };

static void first(trial *t) {
  switch (test) {
  case BUFFER_FENCE: t->x = 1; FENCE(); t->seen[0][0] = t->y; break;
  case BUFFER_LOCK: t->x = 1; locked(); t->seen[0][0] = t->y; break;
  case BUFFER_EXCHANGE: exchange(&t->x, 1); t->seen[0][0] = t->y; break;
  case BUFFER_BARRIER: t->x = 1; COMPILER(); t->seen[0][0] = t->y; break;
  case MESSAGE: case READ_WRITE: t->x = 1; t->y = 1; break;
  case LOAD: t->seen[0][0] = t->x; t->y = 1; break;
  case FAR_READERS: t->x = 1; break;
  case TWO_WRITES: t->x = 1; t->y = 2; break;
  }
}

static void second(trial *t) {
  switch (test) {
  case BUFFER_FENCE: t->y = 1; FENCE(); t->seen[1][0] = t->x; break;
  case BUFFER_LOCK: t->y = 1; locked(); t->seen[1][0] = t->x; break;
  case BUFFER_EXCHANGE: exchange(&t->y, 1); t->seen[1][0] = t->x; break;
  case BUFFER_BARRIER:
    t->y = 1;
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
    t->seen[1][0] = t->x;
    break;
  case MESSAGE: t->seen[1][0] = t->y; t->seen[1][1] = t->x; break;
  case LOAD: t->seen[1][0] = t->y; t->x = 1; break;
  case FAR_READERS: t->y = 1; break;
  case READ_WRITE: t->y = 2; FENCE(); t->seen[1][0] = t->x; break;
  case TWO_WRITES: t->y = 1; t->x = 2; break;
  }
}

static int is_forbidden(const trial *t) {
  switch (test) {
  case BUFFER_FENCE: case BUFFER_LOCK: case BUFFER_EXCHANGE: case BUFFER_BARRIER: return t->seen[0][0] == 0 && t->seen[1][0] == 0;
  case MESSAGE: return t->seen[1][0] == 1 && t->seen[1][1] == 0;
  case LOAD: return t->seen[0][0] == 1 && t->seen[1][0] == 1;
  case FAR_READERS: return t->seen[2][0] == 1 && t->seen[2][1] == 0 && t->seen[3][0] == 1 && t->seen[3][1] == 0;
  case READ_WRITE: return t->y == 2 && t->seen[1][0] == 0;
  default: return t->x == 1 && t->y == 1;
  }
}

static void *try_all(void *argument) {
  long me = (long)argument;
  pthread_barrier_wait(&beginning);
  for (int i = 0; i < TRIALS; i++) {
    trial *t = &trials[i];
    if (me == 0) first(t);
    if (me == 1) second(t);
    if (me == 2) t->seen[2][0] = t->x, t->seen[2][1] = t->y;
    if (me == 3) t->seen[3][0] = t->y, t->seen[3][1] = t->x;
  }
  return NULL;
}

static void litmus_round(long number) {
  test = (int)(number % TESTS);
  int threads = test == FAR_READERS ? 4 : 2;
  memset(trials, 0, sizeof trials);
  pthread_barrier_init(&beginning, NULL, (unsigned)threads);
  crowd(threads, try_all);
  pthread_barrier_destroy(&beginning);
  for (int i = 0; i < TRIALS; i++) {
    if (is_forbidden(&trials[i])) printf("forbidden outcome of test %d\n", test), counted(3, 1);
    counted(0, 1);
  }
}

static void prepare_litmus(void) {
  CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0);
}

// What is aligned, and what lies within a cache line, is written and read in one piece; 16 bytes are where there is AVX.
static volatile char line[64] __attribute__((aligned(64)));
static volatile int over;
static int piece;
static void *write_pieces(void *argument) {
  (void)argument;
  __m128i low = _mm_set1_epi8(0x11), high = _mm_set1_epi8((char)0xee);
  for (int i = 0; i < 40000; i++) {
    uint64_t value = i % 2 ? 0x1111111111111111u : 0xeeeeeeeeeeeeeeeeu;
    switch (piece) {
    case 0: *(volatile uint64_t *)(line + 8) = value; break;
    case 1: __asm__ volatile("movq %1, %0" : "=m"(line[19]) : "r"(value) : "memory"); break;
    case 2: __asm__ volatile("movl %k1, %0" : "=m"(line[33]) : "r"(value) : "memory"); break;
    case 3: __asm__ volatile("movw %w1, %0" : "=m"(line[41]) : "r"(value) : "memory"); break;
    default: __asm__ volatile("movdqa %1, %0" : "=m"(line[48]) : "x"(i % 2 ? low : high) : "memory"); break;
    }
  }
  over = 1;
  return NULL;
}

static void *read_pieces(void *argument) {
  uint64_t value = 0;
  __m128i both;
  (void)argument;
  while (!over) {
    switch (piece) {
    case 0: value = *(volatile uint64_t *)(line + 8); break;
    case 1: __asm__ volatile("movq %1, %0" : "=r"(value) : "m"(line[19]) : "memory"); break;
    case 2: __asm__ volatile("movl %1, %k0" : "=r"(value) : "m"(line[33]) : "memory"); value |= value << 32; break;
    case 3: __asm__ volatile("movzwl %1, %k0" : "=r"(value) : "m"(line[41]) : "memory"); value *= 0x1000100010001; break;
    default:
      __asm__ volatile("movdqa %1, %0" : "=x"(both) : "m"(line[48]) : "memory");
      value = (uint64_t)_mm_cvtsi128_si64(both);
      CHECK(value == (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(both, both)));
    }
    CHECK(value == 0x1111111111111111u || value == 0xeeeeeeeeeeeeeeeeu);
  }
  return NULL;
}

static void pieces_round(long number) {
  piece = (int)(number % (__builtin_cpu_supports("avx") ? 5 : 4));
  memset((void *)line, 0x11, sizeof line);
  over = 0;
  pthread_t reader = start(read_pieces, NULL), writer = start(write_pieces, NULL);
  finish(writer);
  finish(reader);
  counted(0, 1);
}

// Locked operations on words that lie in two cache lines or two pages, by threads and by another process at once.
static char *split;
enum { TIMES = 150 };
static void *add_across(void *argument) {
  long place = (long)argument;
  long *eight = (long *)(split + (place ? 4096 - 5 : 64 - 3));
  int *four = (int *)(split + (place ? 8192 - 2 : 128 - 1));
  short *two = (short *)(split + (place ? 12288 - 1 : 192 - 1));
  for (int i = 0; i < TIMES; i++) {
    __asm__ volatile("lock addq %1, %0" : "+m"(*eight) : "r"(0x100000001L) : "cc");
    int one = 1;
    __asm__ volatile("lock xaddl %0, %1" : "+r"(one), "+m"(*four) : : "memory", "cc");
    __asm__ volatile("lock incw %0" : "+m"(*two) : : "cc");
    long old = *(volatile long *)(eight + 2), now;
    do {
      now = old;
      __asm__ volatile("lock cmpxchgq %2, %1" : "+a"(old), "+m"(eight[2]) : "r"(old + 3) : "memory", "cc");
    } while (old != now);
  }
  return NULL;
}

static void *add_here(void *argument) { return add_across((void *)((long)argument % 2)); }

static void split_round(long number) {
  (void)number;
  memset(split, 0, 4 * 4096);
  pid_t child = fork();
  if (child == 0) {
    add_across((void *)0);
    add_across((void *)1);
    _exit(0);
  }
  crowd(4, add_here);
  CHECK(status_of(child) == 0);
  for (int place = 0; place < 2; place++) {
    long *eight = (long *)(split + (place ? 4096 - 5 : 64 - 3));
    CHECK(*eight == 3 * TIMES * 0x100000001L && eight[2] == 9 * TIMES);
    CHECK(*(int *)(split + (place ? 8192 - 2 : 128 - 1)) == 3 * TIMES);
    CHECK(*(short *)(split + (place ? 12288 - 1 : 192 - 1)) == 3 * TIMES);
    counted(place, *eight);
  }
}

static void prepare_split(void) {
  split = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(split != MAP_FAILED);
}

// 16 bytes at once: two words that are always equal.
static struct { uint64_t low, high; } wide __attribute__((aligned(16)));
static void *add_wide(void *argument) {
  (void)argument;
  for (int i = 0; i < 300; i++) {
    uint64_t low = wide.low, high = wide.high;
    unsigned char done;
    do {
      __asm__ volatile("lock cmpxchg16b %1; setz %0" : "=q"(done), "+m"(wide), "+a"(low), "+d"(high)
                       : "b"(low + 1), "c"(low + 1) : "memory", "cc");
      CHECK(done || low == high);
    } while (!done);
  }
  return NULL;
}

static void wide_round(long number) {
  (void)number;
  wide.low = wide.high = 0;
  crowd(4, add_wide);
  CHECK(wide.low == 4 * 300 && wide.high == wide.low);
  counted(0, (long)wide.low);
}

const storm order_storms[] = {
    {"litmus", prepare_litmus, litmus_round}, {"whole-pieces", NULL, pieces_round}, {"split-locks", prepare_split, split_round},
    {"wide-locks", NULL, wide_round}, {NULL, NULL, NULL}};
