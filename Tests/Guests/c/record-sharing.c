// A guest of several processes that share memory and write it: anonymous memory, a file, segments of System V attached twice, what the
// kernel writes there, and pages that change between two forks. What the processes see depends on who runs when, and is
// printed: a replay has to know each store of another process by the time it is seen.
//
//     record-sharing [race|handoff|segments|kernel|forks|killed|growing]
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

enum { PAGE = 4096, CHILDREN = 3 };

static void *anonymous(size_t size) {
  void *place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(place != MAP_FAILED);
  return place;
}

/// What all processes have to say, in shared memory as well: the first one prints it.
static struct {
  atomic_int count;
  struct {
    const char *who;
    int number;
    uint64_t value;
  } lines[1024];
} *board;

static void say(const char *who, int number, uint64_t value) {
  int line = atomic_fetch_add(&board->count, 1);
  CHECK(line < 1024);
  board->lines[line].who = who;
  board->lines[line].number = number;
  board->lines[line].value = value;
}

/// Waits for all children: a number made of their states.
static uint64_t wait_for_all(void) {
  int state;
  uint64_t sum = 0;
  while (wait(&state) > 0) sum = sum * 31 + (uint64_t)state;
  return sum;
}

/// Counters that three children and their parent add to, and read, without any order.
static void race(void) {
  enum { WORDS = 16 * PAGE / 8, STEPS = 200000 };
  _Atomic uint64_t *words = anonymous(WORDS * 8);
  for (int child = 0; child < CHILDREN; child++) {
    if (fork() != 0) continue;
    uint64_t sum = 0;
    guest_state += (uint64_t)child;
    for (int i = 0; i < STEPS; i++) sum = sum * 31 + atomic_fetch_add(&words[guest_number() % WORDS], (uint64_t)child + 1);
    say("child", child, sum);
    _exit(child);
  }
  uint64_t seen = 0;
  for (int i = 0; i < 2000; i++) {
    seen = seen * 31 + words[guest_number() % WORDS];
    if (i % 100 == 0) sched_yield();
  }
  say("parent", 0, seen ^ wait_for_all());
  uint64_t total = 0;
  for (int i = 0; i < WORDS; i++) total += words[i];
  CHECK(total == STEPS * (1 + 2 + 3));
}

typedef struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int turn, count;
  uint64_t log[2048];
} table;

static void prepare(table *shared) {
  pthread_mutexattr_t mutex;
  pthread_mutexattr_init(&mutex);
  pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
  pthread_condattr_t condition;
  pthread_condattr_init(&condition);
  pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
  CHECK(pthread_mutex_init(&shared->mutex, &mutex) == 0 && pthread_cond_init(&shared->changed, &condition) == 0);
}

/// Three processes write in a fixed order.
static void take_turns(table *shared, int number, int rounds) {
  for (int i = 0; i < rounds; i++) {
    CHECK(pthread_mutex_lock(&shared->mutex) == 0);
    while (shared->turn % CHILDREN != number) pthread_cond_wait(&shared->changed, &shared->mutex);
    shared->log[shared->count++] = (uint64_t)(i * 10 + number);
    shared->turn++;
    pthread_cond_broadcast(&shared->changed);
    pthread_mutex_unlock(&shared->mutex);
  }
}

/// A mutex and a condition variable in anonymous memory, then in a file that each child maps for itself, while others write it. The
/// last owner of the first one dies with it.
static void handoff(void) {
  table *first = anonymous(sizeof *first);
  prepare(first);
  int file = open("record-sharing.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0 && ftruncate(file, sizeof(table)) == 0);
  table *second = mmap(NULL, sizeof *second, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(second != MAP_FAILED);
  prepare(second);
  for (int child = 0; child < CHILDREN; child++) {
    if (fork() != 0) continue;
    take_turns(first, child, 100);
    CHECK(munmap(second, sizeof *second) == 0 && close(file) == 0);
    file = open("record-sharing.data", O_RDWR);
    second = mmap(NULL, sizeof *second, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(second != MAP_FAILED);
    take_turns(second, child, 100);
    CHECK(pthread_mutex_lock(&first->mutex) == 0);
    say("child", child, guest_digest((uint64_t)second->count, second->log, (size_t)second->count * 8));
    if (child != 2) pthread_mutex_unlock(&first->mutex);
    _exit(child);
  }
  uint64_t states = wait_for_all();
  int result = pthread_mutex_lock(&first->mutex);
  CHECK(first->count == CHILDREN * 100 && second->count == CHILDREN * 100);
  say("parent", result, guest_digest(states, first->log, sizeof first->log));
}

/// A segment that each process attaches twice: a store through one place is seen through the other.
static void segments(void) {
  int segment = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
  _Atomic uint64_t *one = shmat(segment, NULL, 0), *two = shmat(segment, NULL, SHM_RDONLY);
  CHECK(one != (void *)-1 && two != (void *)-1);
  for (int child = 0; child < CHILDREN; child++) {
    if (fork() != 0) continue;
    uint64_t sum = 0;
    _Atomic uint64_t *own = shmat(segment, NULL, 0);
    for (int i = 0; i < 3000; i++) {
      int place = i % (3 * PAGE / 8);
      (i % 2 ? own : one)[place] += (uint64_t)child + 1;
      sum = sum * 31 + two[place];
      if (i % 500 == 0) sched_yield();
    }
    say("child", child, sum);
    _exit(child);
  }
  say("parent", 0, wait_for_all() + two[17]);
  CHECK(shmctl(segment, IPC_RMID, NULL) == 0);
}

/// What system calls put into shared memory: read(2), vmsplice(2) from a pipe, capget(2), pipe(2).
static void by_the_kernel(void) {
  unsigned char *area = anonymous(4 * PAGE);
  int to_child[2], to_parent[2];
  CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
  if (fork() == 0) {
    for (unsigned char round = 0; round < 50; round++) {
      char go;
      CHECK(read(to_child[0], &go, 1) == 1);
      say("child", round, guest_digest(GUEST_DIGEST, area, 4 * PAGE));
      area[3 * PAGE + round] = round;
      CHECK(write(to_parent[1], &round, 1) == 1);
    }
    _exit(0);
  }
  int noise = open("/dev/urandom", O_RDONLY), data[2];
  CHECK(noise >= 0 && pipe(data) == 0);
  for (int round = 0; round < 50; round++) {
    CHECK(read(noise, area + round * 100, 100) == 100);
    CHECK(write(data[1], area + round * 100, 64) == 64);
    struct iovec vector = {area + 2 * PAGE + round, 64};
    CHECK(vmsplice(data[0], &vector, 1, 0) == 64);
    struct __user_cap_header_struct *header = (void *)(area + PAGE + 3000);
    header->version = _LINUX_CAPABILITY_VERSION_3;
    CHECK(syscall(SYS_capget, header, area + PAGE + 3100) == 0);
    CHECK(pipe((int *)(area + PAGE + 3200)) == 0);
    close(((int *)(area + PAGE + 3200))[0]);
    close(((int *)(area + PAGE + 3200))[1]);
    // Not into shared memory: a call that waits puts its data there when nobody expects it.
    char answer;
    CHECK(write(to_child[1], "x", 1) == 1 && read(to_parent[0], &answer, 1) == 1);
  }
  say("parent", 0, guest_digest(wait_for_all(), area, 4 * PAGE));
}

/// The parent writes the same page before and behind each fork.
static void forks(void) {
  _Atomic uint64_t *words = anonymous(PAGE);
  for (int child = 0; child < 8; child++) {
    words[child]++;
    if (fork() == 0) {
      uint64_t sum = 0;
      for (int i = 0; i < 400; i++) {
        sum = sum * 31 + words[i % 16];
        if (i % 50 == 0) sched_yield();
      }
      words[8 + child] = sum;
      say("child", child, sum);
      _exit(child);
    }
    for (int i = 0; i < 5; i++) words[(child + i) % 8] += guest_number() % 100;
  }
  uint64_t states = wait_for_all();
  say("parent", 0, guest_digest(states, (void *)words, PAGE));
}

/// Children that write all the time are killed, one after it has been stopped; another one stops itself.
static void killed(void) {
  _Atomic uint64_t *words = anonymous(2 * PAGE);
  pid_t children[CHILDREN + 1];
  for (int child = 0; child <= CHILDREN; child++) {
    children[child] = fork();
    if (children[child] != 0) continue;
    if (child == CHILDREN) {
      words[30]++;
      raise(SIGSTOP);
      words[31] = words[30];
      _exit(9);
    }
    for (;;) words[child] = words[child] * 5 + words[20], words[PAGE / 8 + child]++;
  }
  int state;
  CHECK(waitpid(children[CHILDREN], &state, WUNTRACED) > 0 && WIFSTOPPED(state));
  for (int round = 0; round < 20; round++) {
    words[20] = (uint64_t)round;
    usleep(1000);
    say("parent", round, words[0] ^ words[1] ^ words[PAGE / 8]);
    if (round == 5) CHECK(kill(children[0], SIGSTOP) == 0 && waitpid(children[0], &state, WUNTRACED) > 0 && WIFSTOPPED(state));
    if (round == 8) CHECK(kill(children[0], SIGCONT) == 0 && kill(children[CHILDREN], SIGCONT) == 0);
    if (round >= 10 && round < 10 + CHILDREN) CHECK(kill(children[round - 10], SIGKILL) == 0);
  }
  say("parent", (int)words[31], wait_for_all());
}

/// A file that one process makes longer while another one has it mapped, which then sees and maps what is new.
static void growing(void) {
  int file = open("record-sharing.more", O_RDWR | O_CREAT | O_TRUNC, 0600), noise = open("/dev/urandom", O_RDONLY);
  CHECK(file >= 0 && noise >= 0 && ftruncate(file, 2 * PAGE) == 0);
  unsigned char *first = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(first != MAP_FAILED);
  for (int size = 4; size <= 16; size *= 2) {
    if (fork() == 0) {
      CHECK(ftruncate(file, size * PAGE) == 0);
      unsigned char *all = mmap(NULL, (size_t)size * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      CHECK(all != MAP_FAILED && read(noise, all + (size - 1) * PAGE, 100) == 100 && read(noise, all + 3 * PAGE, 100) == 100);
      for (int page = 0; page < size; page++) all[page * PAGE + 200]++;
      _exit(size);
    }
    uint64_t state = wait_for_all();
    say("existing", size, guest_digest(state, first, 4 * PAGE));
    unsigned char *more = mmap(NULL, (size_t)size * PAGE, PROT_READ, MAP_SHARED, file, 0);
    CHECK(more != MAP_FAILED);
    say("new", size, guest_digest(GUEST_DIGEST, more, (size_t)size * PAGE));
  }
}

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    void (*run)(void);
  } parts[] = {{"race", race},   {"handoff", handoff}, {"segments", segments}, {"kernel", by_the_kernel},
               {"forks", forks}, {"killed", killed},   {"growing", growing}};
  board = anonymous(sizeof *board);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (count < 2 || strcmp(arguments[1], parts[i].name) == 0) parts[i].run();
  for (int i = 0; i < board->count; i++)
    printf("%s %d: %016lx\n", board->lines[i].who, board->lines[i].number, (unsigned long)board->lines[i].value);
  return 0;
}
