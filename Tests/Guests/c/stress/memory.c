// Storms of mappings: memory and code that come, go and change while other threads use them.
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "stress.h"

enum { PAGE = 4096 };
static unsigned char *fresh(size_t pages, int protection) {
  unsigned char *place = mmap(NULL, pages * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(place != MAP_FAILED);
  return place;
}

static void put_answer(unsigned char *place, int value) {
  place[0] = 0xb8;  // mov eax, value; ret
  memcpy(place + 1, &value, 4);
  place[5] = 0xc3;
}

static int answer(const unsigned char *place) { return ((int (*)(void))(uintptr_t)place)(); }

// Each thread's own mappings, next to everybody's: data and code in pieces that are split, joined, moved, protected.
static void *map_own(void *argument) {
  long me = (long)argument;
  for (int i = 0; i < 30; i++) {
    unsigned char *place = fresh(6, PROT_READ | PROT_WRITE);
    int value = (int)me * 1000 + i;
    memset(place, i, 6 * PAGE);
    put_answer(place + 2 * PAGE - 3, value);
    CHECK(mprotect(place + PAGE, 2 * PAGE, PROT_READ | PROT_EXEC) == 0);
    CHECK(answer(place + 2 * PAGE - 3) == value);
    CHECK(munmap(place, PAGE) == 0);
    unsigned char *moved = mremap(place + 3 * PAGE, 3 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved[0] == i && moved[3 * PAGE - 1] == i && moved[3 * PAGE] == 0);
    CHECK(madvise(moved, PAGE, MADV_DONTNEED) == 0 && moved[0] == 0 && moved[PAGE] == i);
    CHECK(answer(place + 2 * PAGE - 3) == value);
    CHECK(mprotect(place + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
    put_answer(place + 2 * PAGE - 3, ~value);
    CHECK(mprotect(place + PAGE, 2 * PAGE, PROT_READ | PROT_EXEC) == 0);
    CHECK(answer(place + 2 * PAGE - 3) == ~value);
    CHECK(munmap(place + PAGE, 2 * PAGE) == 0 && munmap(moved, 8 * PAGE) == 0);
    counted(0, 1);
  }
  return NULL;
}

static void mappings_round(long number) {
  (void)number;
  crowd(4, map_own);
}

// Pages that are taken away under readers and writers, whose fault handlers give them back. Exactly what was written is there.
static unsigned char *arena;
enum { SLOTS = 16 };
static volatile long faults;
static void on_protected(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)context;
  unsigned char *page = (unsigned char *)((uintptr_t)information->si_addr & ~(uintptr_t)(PAGE - 1));
  if (page < arena || page >= arena + SLOTS * PAGE) _exit(77);
  __atomic_fetch_add(&faults, 1, __ATOMIC_SEQ_CST);
  if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) != 0) _exit(78);
}

static volatile int over;
static void *take_access_away(void *argument) {
  (void)argument;
  for (unsigned i = 0; !over; i++) CHECK(mprotect(arena + i * 7 % SLOTS * PAGE, PAGE, i % 3 ? PROT_READ : PROT_NONE) == 0);
  return NULL;
}

static void *add_up(void *argument) {
  long me = (long)argument;
  for (int i = 0; i < 400; i++) {
    long *cell = (long *)(arena + (i * 5 + me) % SLOTS * PAGE) + me;
    *cell += i;
    __asm__ volatile("lock addq %1, %0" : "+m"(*(long *)(arena + i % SLOTS * PAGE + 512)) : "r"(1L));
  }
  return NULL;
}

static void protection_round(long number) {
  (void)number;
  arena = fresh(SLOTS, PROT_READ | PROT_WRITE);
  over = 0;
  faults = 0;
  pthread_t thief = start(take_access_away, NULL);
  crowd(3, add_up);
  over = 1;
  finish(thief);
  CHECK(mprotect(arena, SLOTS * PAGE, PROT_READ) == 0);
  for (int slot = 0; slot < SLOTS; slot++) {
    for (int me = 0; me < 3; me++) counted(0, ((long *)(arena + slot * PAGE))[me]);
    counted(1, *(long *)(arena + slot * PAGE + 512));
  }
  CHECK(munmap(arena, SLOTS * PAGE) == 0);
}

static void prepare_protection(void) {
  struct sigaction action = {.sa_sigaction = on_protected, .sa_flags = SA_SIGINFO};
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
}

// Code that one thread writes and others run. Each answer is one that was there; and who has seen the number published runs code no
// older than that.
static unsigned char *code;
static volatile int published, entered;
static __thread sigjmp_buf way_out;
static __thread volatile int may_fault;
static void on_gone(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)context;
  if (!may_fault || information->si_addr < (void *)code || information->si_addr >= (void *)(code + PAGE)) _exit(79);
  siglongjmp(way_out, 1);
}

static void *run_published(void *argument) {
  long number = (long)argument;
  __atomic_fetch_add(&entered, 1, __ATOMIC_SEQ_CST);
  while (!over) {
    int before = __atomic_load_n(&published, __ATOMIC_SEQ_CST), value = before;
    // Code that another processor has changed is fetched anew after a serialising instruction (Intel SDM 3A 9.1.3).
    unsigned a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
    may_fault = number % 2;
    if (sigsetjmp(way_out, 1) == 0) value = answer(code);
    may_fault = 0;
    if (value < before) printf("code of %d after %d was published\n", value, before);
    CHECK(value >= before);
  }
  return NULL;
}

static void patch(int version, long number) {
  switch (number % 4) {
  case 0:
    // The low half of the constant is an aligned word: written in one piece.
    *(volatile unsigned short *)(code + 2) = (unsigned short)version;
    break;
  case 1:
    CHECK(mprotect(code, PAGE, PROT_READ | PROT_WRITE) == 0);
    *(volatile unsigned short *)(code + 2) = (unsigned short)version;
    CHECK(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
    break;
  case 2: __atomic_exchange_n((unsigned short *)(code + 2), (unsigned short)version, __ATOMIC_SEQ_CST); break;
  default: {
    // A new page takes the old one's place; between them is nothing.
    unsigned char *next = fresh(1, PROT_READ | PROT_WRITE);
    memcpy(next, "\x90\xb8\0\0\0\0\xc3", 7);
    *(volatile unsigned short *)(next + 2) = (unsigned short)version;
    CHECK(mprotect(next, PAGE, PROT_READ | PROT_EXEC) == 0);
    if (version % 2) CHECK(munmap(code, PAGE) == 0);
    CHECK(mremap(next, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, code) == code);
  }
  }
}

static void code_round(long number) {
  enum { RUNNERS = 3, VERSIONS = 60 };
  pthread_t threads[RUNNERS];
  if (code == NULL) code = fresh(1, PROT_READ | PROT_WRITE | PROT_EXEC);
  CHECK(mprotect(code, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
  memcpy(code, "\x90\xb8\0\0\0\0\xc3", 7);
  over = published = entered = 0;
  for (int i = 0; i < RUNNERS; i++) threads[i] = start(run_published, (void *)number);
  while (entered < RUNNERS) sched_yield();
  for (int version = 1; version <= VERSIONS; version++) {
    patch(version, number);
    __atomic_store_n(&published, version, __ATOMIC_SEQ_CST);
    if (version % 16 == 0) sched_yield();
  }
  over = 1;
  for (int i = 0; i < RUNNERS; i++) finish(threads[i]);
  if (number % 4 == 3) munmap(code, PAGE), code = NULL;
  counted(0, VERSIONS);
}

static void prepare_code(void) {
  struct sigaction action = {.sa_sigaction = on_gone, .sa_flags = SA_SIGINFO | SA_NODEFER};
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
}

// A just-in-time compiler: small functions made, run by all threads, and thrown away; some are the same pages again.
enum { FUNCTIONS = 24 };
static unsigned char *pool;
static volatile int generation[FUNCTIONS];
static pthread_rwlock_t pool_lock = PTHREAD_RWLOCK_INITIALIZER;
static void *compile_and_run(void *argument) {
  unsigned long state = (unsigned long)argument * 77 + 1;
  for (int i = 0; i < 200; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    int which = (int)((state >> 33) % FUNCTIONS);
    if (i % 8 == 0) {
      pthread_rwlock_wrlock(&pool_lock);
      generation[which]++;
      put_answer(pool + which * 128, generation[which] * 100 + which);
      pthread_rwlock_unlock(&pool_lock);
      counted(0, 1);
    } else {
      pthread_rwlock_rdlock(&pool_lock);
      CHECK(answer(pool + which * 128) == generation[which] * 100 + which);
      pthread_rwlock_unlock(&pool_lock);
      counted(1, 1);
    }
  }
  return NULL;
}

static void compiler_round(long number) {
  if (pool == NULL || number % 5 == 0) {
    if (pool != NULL) CHECK(munmap(pool, PAGE) == 0);
    pool = fresh(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (int i = 0; i < FUNCTIONS; i++) put_answer(pool + i * 128, generation[i] * 100 + i);
  }
  crowd(4, compile_and_run);
}

// Processes that are forked while code and mappings change, and that change theirs.
static void *change_for_ever(void *argument) {
  (void)argument;
  while (!over) {
    unsigned char *place = fresh(2, PROT_READ | PROT_WRITE | PROT_EXEC);
    put_answer(place, 5);
    CHECK(answer(place) == 5);
    CHECK(munmap(place, 2 * PAGE) == 0);
  }
  return NULL;
}

static void fork_changing_round(long number) {
  pthread_t threads[2];
  unsigned char *own = fresh(1, PROT_READ | PROT_WRITE | PROT_EXEC);
  put_answer(own, 1);
  CHECK(answer(own) == 1);
  over = 0;
  for (int i = 0; i < 2; i++) threads[i] = start(change_for_ever, NULL);
  for (int i = 0; i < 5; i++) {
    pid_t child = fork();
    if (child == 0) {
      CHECK(answer(own) == 1);
      put_answer(own, 2 + i);
      _exit(answer(own));
    }
    CHECK(status_of(child) == 2 + i && answer(own) == 1);
    counted(0, 1);
  }
  over = 1;
  for (int i = 0; i < 2; i++) finish(threads[i]);
  CHECK(munmap(own, PAGE) == 0);
  (void)number;
}

// Files that are mapped once and never again: nothing is to be remembered of them.
static void files_round(long number) {
  for (int i = 0; i < 200; i++) {
    int file = memfd_create("once", MFD_CLOEXEC);
    CHECK(file >= 0 && ftruncate(file, 2 * PAGE) == 0 && pwrite(file, &i, sizeof i, PAGE) == sizeof i);
    int *place = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, i % 2 ? MAP_SHARED : MAP_PRIVATE, file, 0);
    CHECK(place != MAP_FAILED && place[PAGE / sizeof i] == i);
    counted(0, place[PAGE / sizeof i]);
    CHECK(munmap(place, 2 * PAGE) == 0 && close(file) == 0);
  }
  (void)number;
}

const storm memory_storms[] = {
    {"mappings", NULL, mappings_round}, {"protection", prepare_protection, protection_round}, {"code", prepare_code, code_round},
    {"compiler", NULL, compiler_round}, {"files", NULL, files_round}, {"fork-changing", NULL, fork_changing_round},
    {NULL, NULL, NULL}};
