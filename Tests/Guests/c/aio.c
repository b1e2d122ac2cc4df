// Native asynchronous I/O (io_submit(2)) without libaio: contexts, each kind of request with good and bad arguments, events taken by the
// kernel and out of the ring, waiting with signals, threads and children. Each line is a call and what came of it.
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct ring {
  unsigned id, nr, head, tail, magic, compat, incompat, header;
  struct io_event events[];
};

typedef struct iocb iocb;
static aio_context_t context;
static struct timespec nothing = {0, 0};
static char *page, *readonly, *hole;

static long setup(unsigned count, aio_context_t *place) { return syscall(SYS_io_setup, count, place); }
static long destroy(aio_context_t which) { return syscall(SYS_io_destroy, which); }
static long submit(aio_context_t which, long count, iocb **list) { return syscall(SYS_io_submit, which, count, list); }
static long cancel(aio_context_t which, iocb *block, struct io_event *event) {
  return syscall(SYS_io_cancel, which, block, event);
}
static long get(aio_context_t which, long least, long most, struct io_event *events, struct timespec *time) {
  return syscall(SYS_io_getevents, which, least, most, events, time);
}
static long get_masked(
    aio_context_t which, long least, long most, struct io_event *events, struct timespec *time, void *mask) {
  return syscall(SYS_io_pgetevents, which, least, most, events, time, mask);
}

static void say(const char *what, long result) {
  if (result < 0) printf("%-44s %s\n", what, strerrorname_np(errno));
  else printf("%-44s %ld\n", what, result);
  fflush(stdout);
}

static void outcome(struct io_event *event) {
  long result = (long)event->res;
  printf("  data %llx res ", (unsigned long long)event->data);
  if (result < 0) printf("%s", strerrorname_np((int)-result));
  else printf("%ld", result);
  printf(" res2 %lld\n", (long long)event->res2);
}

static iocb request(int operation, int descriptor, const void *buffer, size_t size, long long offset) {
  static unsigned long number;
  return (iocb){.aio_data = 0x1000 + number++, .aio_key = 5, .aio_lio_opcode = (unsigned short)operation,
    .aio_fildes = (unsigned)descriptor, .aio_buf = (uintptr_t)buffer, .aio_nbytes = size, .aio_offset = offset};
}

// Submits one request and, if it has been taken, prints its event.
static void one(const char *what, iocb *block) {
  iocb *list[] = {block};
  long result = submit(context, 1, list);
  say(what, result);
  if (result != 1) return;
  struct io_event event;
  memset(&event, 0, sizeof event);
  if (get(context, 1, 1, &event, NULL) != 1) puts("  no event");
  else outcome(&event);
  if (event.obj != (uintptr_t)block || block->aio_key) puts("  another request");
}

static void simple(const char *what, int operation, int descriptor, const void *buffer, size_t size, long long offset) {
  iocb block = request(operation, descriptor, buffer, size, offset);
  one(what, &block);
}

static void contexts(void) {
  puts("-- contexts");
  aio_context_t other = 0, used = 5;
  say("none at all", setup(0, &other));
  say("a place in use", setup(1, &used));
  say("no place", setup(1, NULL));
  say("a place in a hole", setup(1, (void *)hole));
  say("a place that cannot be written", setup(1, (void *)readonly));
  say("far too many", setup(0x7fffffff, &other));
  say("too many for a ring", setup(0x10000000, &other));
  say("good", setup(10, &other));
  struct ring *ring = (void *)other;
  printf("ring %u %u %u magic %x %u %u %u\n", ring->id, ring->head, ring->tail, ring->magic, ring->compat,
    ring->incompat, ring->header);
  printf("whole pages: %d\n", (ring->nr * 32 + 32) % 4096 == 0 && ring->nr >= 10);
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (fgets(line, sizeof line, maps))
    if (strstr(line, "/[aio]")) printf("%s", strchr(line, '/'));
  fclose(maps);
  aio_context_t third = 0;
  say("another", setup(1000, &third));
  printf("number %u, a larger ring: %d\n", ((struct ring *)third)->id, ((struct ring *)third)->nr > 1000);
  ring->id = 77;
  say("with another number", get(other, 0, 1, NULL, &nothing));
  say("destroying that", destroy(other));
  ring->id = 0;
  say("destroying", destroy(other));
  say("destroying again", destroy(other));
  say("its memory", madvise((void *)other, 4096, MADV_NORMAL));
  say("destroying nothing", destroy(0));
  say("destroying something else", destroy((aio_context_t)page));
  say("destroying a number", destroy(12345));
  say("destroying the other", destroy(third));
}

static void transfers(int file) {
  puts("-- transfers");
  char buffer[64] = "";
  simple("writing", IOCB_CMD_PWRITE, file, "the contents of it", 18, 0);
  simple("reading", IOCB_CMD_PREAD, file, buffer, 12, 4);
  printf("%.12s, position %ld\n", buffer, (long)lseek(file, 0, SEEK_CUR));
  simple("reading across the end", IOCB_CMD_PREAD, file, buffer, 60, 10);
  simple("reading behind the end", IOCB_CMD_PREAD, file, buffer, 60, 100);
  simple("reading nothing", IOCB_CMD_PREAD, file, buffer, 0, 0);
  struct iovec parts[] = {{buffer, 3}, {buffer + 20, 5}, {buffer + 40, 0}}, out[] = {{"first ", 6}, {"second", 6}};
  simple("writing a vector", IOCB_CMD_PWRITEV, file, out, 2, 20);
  simple("reading a vector", IOCB_CMD_PREADV, file, parts, 3, 20);
  printf("%.3s %.5s\n", buffer, buffer + 20);
  simple("a vector of none", IOCB_CMD_PREADV, file, parts, 0, 20);
  simple("a vector of too many", IOCB_CMD_PREADV, file, parts, 1025, 20);
  simple("a vector in a hole", IOCB_CMD_PREADV, file, hole, 2, 20);
  simple("a vector at nothing", IOCB_CMD_PWRITEV, file, NULL, 1, 20);
  struct iovec bad[] = {{buffer, 3}, {hole, 5}}, negative[] = {{buffer, (size_t)-1}};
  simple("a vector with a hole", IOCB_CMD_PREADV, file, bad, 2, 0);
  simple("a vector of negative size", IOCB_CMD_PREADV, file, negative, 1, 0);
  simple("a vector with 2^32 buffers", IOCB_CMD_PREADV, file, parts, 1ul << 32, 0);
  simple("reading into a hole", IOCB_CMD_PREAD, file, hole, 8, 0);
  simple("reading into what is read only", IOCB_CMD_PREAD, file, readonly, 8, 0);
  simple("reading to nothing", IOCB_CMD_PREAD, file, NULL, 8, 0);
  simple("reading beyond addresses", IOCB_CMD_PREAD, file, (void *)(1ul << 63), 8, 0);
  simple("writing from a hole", IOCB_CMD_PWRITE, file, hole, 8, 0);
  simple("writing what is read only", IOCB_CMD_PWRITE, file, readonly, 8, 0);
  simple("a negative size", IOCB_CMD_PREAD, file, buffer, (size_t)-1, 0);
  simple("a negative place", IOCB_CMD_PREAD, file, buffer, 8, -1);
  simple("a very negative place", IOCB_CMD_PWRITE, file, buffer, 8, -5000);
  simple("a place at the end of all", IOCB_CMD_PREAD, file, buffer, 8, 0x7fffffffffffffff);
  simple("synchronising", IOCB_CMD_FSYNC, file, NULL, 0, 0);
  simple("synchronising data", IOCB_CMD_FDSYNC, file, NULL, 0, 0);
  simple("synchronising with a size", IOCB_CMD_FSYNC, file, NULL, 5, 0);
  simple("synchronising with a buffer", IOCB_CMD_FDSYNC, file, buffer, 0, 0);
  simple("nothing to do", IOCB_CMD_NOOP, file, NULL, 0, 0);
  for (int operation = 4; operation < 12; operation++)
    if (operation == 4 || operation > 8) simple("an unknown operation", operation, file, buffer, 1, 0);
}

static void fields(int file) {
  puts("-- fields");
  char buffer[64] = "xyz";
  iocb block = request(IOCB_CMD_PREAD, file, buffer, 3, 0);
  block.aio_reserved2 = 1;
  one("a reserved field", &block);
  printf("key %u\n", block.aio_key);
  block.aio_reserved2 = 0;
  int flags[] = {RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_APPEND, 0x40000000, -1};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
    char what[40];
    snprintf(what, sizeof what, "flags %x", flags[i]);
    if (flags[i] == RWF_NOWAIT) continue;
    block = request(IOCB_CMD_PWRITE, file, buffer, 3, 0);
    block.aio_rw_flags = flags[i];
    one(what, &block);
  }
  block = request(IOCB_CMD_FSYNC, file, NULL, 0, 0);
  block.aio_rw_flags = RWF_SYNC;
  one("flags of fsync", &block);
  printf("appended: %ld\n", (long)lseek(file, 0, SEEK_END));
  block = request(IOCB_CMD_PREAD, file, buffer, 3, 0);
  block.aio_flags = 0x80;
  one("an unknown flag", &block);
  int priorities[] = {0, 3, 2 << 13 | 4, 3 << 13, 4 << 13, 7 << 13};
  for (size_t i = 0; i < sizeof priorities / sizeof *priorities; i++) {
    block = request(IOCB_CMD_PREAD, file, buffer, 3, 0);
    block.aio_reqprio = (short)priorities[i];
    block.aio_flags = IOCB_FLAG_IOPRIO;
    one("a priority", &block);
  }
  puts("-- descriptors");
  int only_read = open("file", O_RDONLY), only_write = open("file", O_WRONLY), path = open("file", O_PATH);
  int folder = open(".", O_RDONLY | O_DIRECTORY), event = eventfd(0, EFD_NONBLOCK), null = open("/dev/null", O_RDWR);
  simple("a closed one", IOCB_CMD_PREAD, 77, buffer, 3, 0);
  simple("a negative one", IOCB_CMD_PREAD, -1, buffer, 3, 0);
  simple("one of Vitrine's numbers", IOCB_CMD_PREAD, 1000, buffer, 3, 0);
  simple("closed, and nothing to do", IOCB_CMD_NOOP, 77, buffer, 3, 0);
  simple("a path", IOCB_CMD_PREAD, path, buffer, 3, 0);
  simple("a folder", IOCB_CMD_PREAD, folder, buffer, 3, 0);
  simple("a folder, synchronising", IOCB_CMD_FSYNC, folder, NULL, 0, 0);
  simple("writing one to read", IOCB_CMD_PWRITE, only_read, buffer, 3, 0);
  simple("writing one to read from a hole", IOCB_CMD_PWRITE, only_read, hole, 3, 0);
  simple("reading one to write", IOCB_CMD_PREAD, only_write, buffer, 3, 0);
  simple("reading an empty one", IOCB_CMD_PREAD, null, buffer, 3, 0);
  simple("writing an empty one", IOCB_CMD_PWRITE, null, buffer, 3, 0);
  simple("synchronising an empty one", IOCB_CMD_FSYNC, null, NULL, 0, 0);
  simple("reading a counter without count", IOCB_CMD_PREAD, event, buffer, 8, 0);
  uint64_t count = 3;
  simple("writing a counter", IOCB_CMD_PWRITE, event, &count, 8, 0);
  simple("reading a counter", IOCB_CMD_PREAD, event, &count, 8, 0);
  printf("count %lu\n", (unsigned long)count);
  puts("-- events");
  int bells[] = {event, event, 78, -1, file, 1000};
  for (size_t i = 0; i < sizeof bells / sizeof *bells; i++) {
    block = request(IOCB_CMD_PREAD, file, buffer, 3, 0);
    block.aio_flags = IOCB_FLAG_RESFD;
    block.aio_resfd = (unsigned)bells[i];
    one("with an event", &block);
  }
  block = request(IOCB_CMD_FSYNC, 77, NULL, 0, 0);
  block.aio_flags = IOCB_FLAG_RESFD;
  block.aio_resfd = (unsigned)file;
  one("both bad", &block);
  say("counted", read(event, &count, 8));
  printf("count %lu\n", (unsigned long)count);
  close(only_read), close(only_write), close(path), close(folder), close(event), close(null);
}

static void lists(int file) {
  puts("-- lists");
  char buffer[4][8];
  iocb blocks[4], *list[] = {&blocks[0], &blocks[1], &blocks[2], &blocks[3], NULL};
  for (int i = 0; i < 4; i++) blocks[i] = request(IOCB_CMD_PREAD, file, buffer[i], 2, i * 2);
  struct io_event events[8];
  say("none", submit(context, 0, list));
  say("less than none", submit(context, -1, list));
  say("none of nothing", submit(context, 0, NULL));
  say("a list at nothing", submit(context, 1, NULL));
  say("a list in a hole", submit(context, 1, (void *)hole));
  say("a request at nothing", submit(context, 1, list + 4));
  iocb *bad[] = {(void *)hole, &blocks[0]}, *fixed[] = {(void *)readonly};
  say("a request in a hole", submit(context, 2, bad));
  say("a request that is read only", submit(context, 1, fixed));
  say("no context", submit(0, 1, list));
  say("a bad context", submit((aio_context_t)page, 1, list));
  say("a bad context and a bad number", submit(0, -1, NULL));
  say("four and nothing", submit(context, 5, list));
  say("two of them", get(context, 1, 2, events, NULL));
  outcome(&events[0]), outcome(&events[1]);
  say("the others", get(context, 2, 8, events, NULL));
  outcome(&events[0]), outcome(&events[1]);
  blocks[2].aio_fildes = 77;
  say("the third is bad", submit(context, 4, list));
  say("two have been done", get(context, 0, 8, events, NULL));
  blocks[0].aio_fildes = 77;
  say("the first is bad", submit(context, 4, list));
  say("nothing has been done", get(context, 0, 8, events, NULL));
}

static void events(int file) {
  puts("-- taking events");
  char buffer[8];
  iocb block = request(IOCB_CMD_PREAD, file, buffer, 2, 0), *list[] = {&block, &block, &block};
  struct io_event events[8];
  struct timespec wrong = {0, 2000000000}, brief = {0, 3000000}, begin, end;
  say("no events", get(context, 0, 8, events, NULL));
  say("none of none", get(context, 0, 0, events, NULL));
  say("at once", get(context, 1, 8, events, &nothing));
  say("less than none", get(context, -1, 8, events, &nothing));
  say("negative number", get(context, 0, -1, events, &nothing));
  say("more than there is room for", get(context, 3, 2, events, &nothing));
  say("a time in a hole", get(context, 0, 1, events, (void *)hole));
  say("a time beyond", get(context, 0, 1, events, (void *)(1ul << 63)));
  say("no context", get(0, 0, 1, events, &nothing));
  say("no context, time in a hole", get(0, 0, 1, events, (void *)hole));
  say("none, a wrong time", get(context, 0, 1, events, &wrong));
  clock_gettime(CLOCK_MONOTONIC, &begin);
  say("a while", get(context, 1, 1, events, &brief));
  clock_gettime(CLOCK_MONOTONIC, &end);
  long waited = (end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
  printf("waited: %d\n", waited >= 3000000);
  say("three", submit(context, 3, list));
  say("into a hole", get(context, 1, 3, (void *)hole, NULL));
  say("into what is read only", get(context, 1, 3, (void *)readonly, NULL));
  say("more than there are", get(context, 4, 8, events, &brief));
  say("masked, at once", get_masked(context, 0, 8, events, &nothing, NULL));
  sigset_t set;
  sigemptyset(&set);
  struct {
    void *set;
    size_t size;
  } mask = {&set, 8}, odd = {&set, 7}, bad = {hole, 8}, none = {NULL, 99};
  say("a mask", get_masked(context, 1, 8, events, &nothing, &mask));
  say("a mask of another size", get_masked(context, 1, 8, events, &nothing, &odd));
  say("a mask in a hole", get_masked(context, 1, 8, events, &nothing, &bad));
  say("no mask in it", get_masked(context, 1, 8, events, &nothing, &none));
  say("nothing readable", get_masked(context, 1, 8, events, &nothing, hole));
  say("a bad mask, no context", get_masked(0, 1, 8, events, &nothing, &odd));
  puts("-- the ring");
  say("three", submit(context, 3, list));
  struct ring *ring = (void *)context;
  unsigned count = (ring->tail + ring->nr - ring->head) % ring->nr;
  printf("%u in the ring, magic %x\n", count, ring->magic);
  struct io_event seen = ring->events[ring->head];
  printf("ours: %d\n", seen.obj == (uintptr_t)&block);
  outcome(&seen);
  ring->head = (ring->head + 1) % ring->nr;
  say("the others", get(context, 0, 8, events, NULL));
  printf("empty: %d\n", ring->head == ring->tail);
  // More than there is room for at once, taken both ways; then around the ring.
  long taken = 0, rounds = 0;
  while (rounds < 1000 && submit(context, 1, list) == 1) rounds++;
  say("one more", submit(context, 1, list));
  printf("more than the wish: %d, less than the ring: %d\n", rounds >= 10, rounds < ring->nr);
  for (long more; (more = get(context, 0, 7, events, NULL)) > 0;) taken += more;
  printf("all: %d\n", taken == rounds);
  uint64_t digest = GUEST_DIGEST;
  for (int i = 0; i < 600; i++) {
    block.aio_data = (unsigned)i;
    block.aio_nbytes = (unsigned)i % 3;
    submit(context, 1, list);
    if (i % 3 == 0) {
      seen = ring->events[ring->head];
      ring->head = (ring->head + 1) % ring->nr;
    } else {
      get(context, 1, 1, &seen, NULL);
    }
    digest = guest_digest(digest, &seen.data, 8);
    digest = guest_digest(digest, &seen.res, 8);
  }
  printf("around the ring: %lx\n", (unsigned long)digest);
}

static void polls(void) {
  puts("-- polling");
  int ends[2], event = eventfd(0, EFD_NONBLOCK);
  pipe(ends);
  struct io_event events[8];
  iocb block = request(IOCB_CMD_POLL, ends[0], (void *)POLLIN, 0, 0), *list[] = {&block};
  say("a pipe", submit(context, 1, list));
  say("nothing yet", get(context, 0, 8, events, NULL));
  write(ends[1], "x", 1);
  say("a byte", get(context, 1, 8, events, NULL));
  outcome(&events[0]);
  one("there already", &block);
  simple("to write", IOCB_CMD_POLL, ends[1], (void *)POLLOUT, 0, 0);
  simple("nothing ever", IOCB_CMD_POLL, 77, (void *)POLLIN, 0, 0);
  simple("many bits", IOCB_CMD_POLL, ends[0], (void *)0x10001, 0, 0);
  simple("a size", IOCB_CMD_POLL, ends[0], (void *)POLLIN, 1, 0);
  simple("an offset", IOCB_CMD_POLL, ends[0], (void *)POLLIN, 0, 1);
  char byte;
  read(ends[0], &byte, 1);
  puts("-- cancelling");
  say("to be cancelled", submit(context, 1, list));
  say("another", cancel(context, (void *)page, events));
  say("in a hole", cancel(context, (void *)hole, events));
  say("no context", cancel(0, &block, events));
  block.aio_key = 5;
  say("another key", cancel(context, &block, events));
  block.aio_key = 0;
  say("cancelled", cancel(context, &block, events));
  say("its event", get(context, 1, 8, events, NULL));
  outcome(&events[0]);
  say("cancelled again", cancel(context, &block, NULL));
  puts("-- with an event");
  block.aio_flags = IOCB_FLAG_RESFD;
  block.aio_resfd = (unsigned)event;
  say("a pipe", submit(context, 1, list));
  uint64_t count = 0;
  say("not counted", read(event, &count, 8));
  write(ends[1], "y", 1);
  struct pollfd rings = {event, POLLIN, 0};
  poll(&rings, 1, 10000);
  say("counted", read(event, &count, 8));
  say("its event", get(context, 1, 8, events, NULL));
  outcome(&events[0]);
  block.aio_flags = 0;
  read(ends[0], &byte, 1);
  // Many at once, and some that are still there when the context ends.
  aio_context_t other = 0;
  setup(20, &other);
  iocb many[20], *all[20];
  for (int i = 0; i < 20; i++) many[i] = request(IOCB_CMD_POLL, ends[0], (void *)POLLIN, 0, 0), all[i] = &many[i];
  say("twenty", submit(other, 20, all));
  write(ends[1], "z", 1);
  int taken = 0;
  while (taken < 20) {
    long more = get(other, 1, 8, events, NULL);
    if (more <= 0) break;
    taken += (int)more;
  }
  printf("%d events\n", taken);
  read(ends[0], &byte, 1);
  say("twenty that stay", submit(other, 20, all));
  say("their end", destroy(other));
  say("events then", get(other, 0, 8, events, &nothing));
  close(ends[0]), close(ends[1]), close(event);
}

static volatile int handled;
static void handler(int signal) { handled += signal == SIGALRM; }

// A signal in so many milliseconds.
static void soon(int milliseconds) {
  timer_t timer;
  static struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  struct itimerspec time = {{0, 0}, {0, milliseconds * 1000000}};
  timer_create(CLOCK_MONOTONIC, &event, &timer);
  timer_settime(timer, 0, &time, NULL);
}

static void pipes(void) {
  puts("-- pipes and sockets");
  int ends[2], pair[2];
  char buffer[16] = "";
  pipe(ends);
  socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
  simple("writing a pipe", IOCB_CMD_PWRITE, ends[1], "through", 7, 0);
  simple("reading a pipe", IOCB_CMD_PREAD, ends[0], buffer, 16, 0);
  simple("writing at some place", IOCB_CMD_PWRITE, ends[1], "through", 7, 1000);
  simple("reading at a bad place", IOCB_CMD_PREAD, ends[0], buffer, 16, -1);
  simple("reading at another", IOCB_CMD_PREAD, ends[0], buffer, 16, 5);
  simple("the wrong end", IOCB_CMD_PREAD, ends[1], buffer, 16, 0);
  simple("synchronising a pipe", IOCB_CMD_FSYNC, ends[0], NULL, 0, 0);
  simple("an empty socket", IOCB_CMD_PREAD, pair[0], buffer, 16, 0);
  simple("writing a socket", IOCB_CMD_PWRITE, pair[1], "words", 5, 0);
  simple("reading a socket", IOCB_CMD_PREAD, pair[0], buffer, 16, 0);
  simple("a socket at some place", IOCB_CMD_PWRITE, pair[1], "words", 5, 7);
  printf("%.7s\n", buffer);
  puts("-- signals");
  struct io_event events[2];
  struct sigaction action = {.sa_handler = handler};
  sigaction(SIGALRM, &action, NULL);
  soon(30);
  say("waiting for an event", get(context, 1, 1, events, NULL));
  printf("handled %d\n", handled);
  soon(30);
  simple("a pipe with nothing in it", IOCB_CMD_PREAD, ends[0], buffer, 16, 0);
  printf("handled %d\n", handled);
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, NULL);
  soon(30);
  say("waiting, restarting", get(context, 1, 1, events, NULL));
  printf("handled %d\n", handled);
  sigset_t blocked, open;
  sigemptyset(&blocked);
  sigemptyset(&open);
  sigaddset(&blocked, SIGALRM);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  raise(SIGALRM);
  struct timespec brief = {0, 1000000};
  say("blocked", get(context, 1, 1, events, &brief));
  printf("handled %d\n", handled);
  struct {
    void *set;
    size_t size;
  } mask = {&open, 8};
  say("unblocked meanwhile", get_masked(context, 1, 1, events, NULL, &mask));
  printf("handled %d\n", handled);
  raise(SIGALRM);
  iocb block = request(IOCB_CMD_POLL, ends[1], (void *)POLLOUT, 0, 0), *list[] = {&block};
  say("something to get", submit(context, 1, list));
  say("an event comes first", get_masked(context, 1, 1, events, NULL, &mask));
  sigprocmask(SIG_SETMASK, NULL, &blocked);
  printf("handled %d, blocked %d\n", handled, sigismember(&blocked, SIGALRM));
  sigprocmask(SIG_UNBLOCK, &blocked, NULL);
  close(ends[0]), close(ends[1]), close(pair[0]), close(pair[1]);
}

static void *submitter(void *block) {
  usleep(20000);
  iocb *list[] = {block};
  return (void *)submit(context, 1, list);
}

static void *destroyer(void *which) {
  usleep(20000);
  return (void *)destroy((aio_context_t)which);
}

static void threads(int file) {
  puts("-- threads");
  pthread_t thread;
  char buffer[8];
  iocb block = request(IOCB_CMD_PREAD, file, buffer, 3, 0);
  struct io_event event;
  void *result;
  pthread_create(&thread, NULL, submitter, &block);
  say("another thread's request", get(context, 1, 1, &event, NULL));
  outcome(&event);
  pthread_join(thread, &result);
  say("it submitted", (long)result);
  aio_context_t other = 0;
  setup(1, &other);
  pthread_create(&thread, NULL, destroyer, (void *)other);
  say("a context that ends", get(other, 1, 1, &event, NULL));
  pthread_join(thread, &result);
  say("it destroyed", (long)result);
}

static void children(int file) {
  puts("-- children");
  char buffer[8];
  iocb block = request(IOCB_CMD_PREAD, file, buffer, 3, 0), *list[] = {&block};
  struct io_event event;
  say("a request", submit(context, 1, list));
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    say("in the child", get(context, 0, 1, &event, &nothing));
    say("submitting", submit(context, 1, list));
    say("destroying", destroy(context));
    printf("the ring: %x\n", ((struct ring *)context)->magic);
    aio_context_t own = 0;
    say("its own", setup(4, &own));
    say("submitting", submit(own, 1, list));
    say("its event", get(own, 1, 1, &event, NULL));
    exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  printf("ended with %d\n", status);
  say("the parent's event", get(context, 1, 1, &event, NULL));
  outcome(&event);
}

// What is mapped changes with the file, also when it is code.
static void mapped(void) {
  puts("-- mapped files");
  int file = open("code", O_RDWR | O_CREAT | O_TRUNC, 0700);
  static const unsigned char one_byte[] = {0xb8, 1, 0, 0, 0, 0xc3}, two_byte[] = {0xb8, 2, 0, 0, 0, 0xc3};
  ftruncate(file, 4096);
  simple("writing code", IOCB_CMD_PWRITE, file, one_byte, 6, 0);
  int (*function)(void) = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
  if ((void *)function == MAP_FAILED) {
    puts("not mapped");
    return;
  }
  printf("returns %d\n", function());
  simple("writing other code", IOCB_CMD_PWRITE, file, two_byte, 6, 0);
  printf("returns %d\n", function());
  struct iovec part = {(void *)one_byte, 6};
  simple("writing the first again", IOCB_CMD_PWRITEV, file, &part, 1, 0);
  printf("returns %d\n", function());
  unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(code, two_byte, 6);
  printf("returns %d\n", ((int (*)(void))code)());
  simple("reading code", IOCB_CMD_PREAD, file, code, 6, 0);
  printf("returns %d\n", ((int (*)(void))code)());
  munmap(function, 4096), munmap(code, 4096), close(file);
}

int main(void) {
  char place[] = "/tmp/vitrine-aio-XXXXXX";
  if (!mkdtemp(place) || chdir(place)) return 1;
  alarm(100);
  page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  readonly = page + 4096;
  hole = page + 2 * 4096;
  mprotect(hole, 4096, PROT_NONE);
  int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
  *(iocb *)readonly = request(IOCB_CMD_PREAD, file, page, 3, 0);
  memset(readonly + 64, 0, 64);
  mprotect(readonly, 4096, PROT_READ);
  contexts();
  say("the context", setup(40, &context));
  transfers(file);
  fields(file);
  lists(file);
  events(file);
  polls();
  pipes();
  threads(file);
  children(file);
  mapped();
  say("the end", destroy(context));
  unlink("file");
  unlink("code");
  chdir("/");
  return rmdir(place);
}
