// System calls that Vitrine's translated code makes by itself: everything that could tell. Each call is made several times,
// since only the second one is direct. What is printed is the same natively.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMES = 3 };

static volatile sig_atomic_t handled;
static void on_signal(int number) { handled = number; }

static void catch(int number, int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  sigaction(number, &action, NULL);
}

static void alarm_in(int milliseconds) {
  struct itimerval timer = {.it_value.tv_usec = milliseconds * 1000};
  setitimer(ITIMER_REAL, &timer, NULL);
}

// MARK: Registers and flags

typedef struct {
  uint64_t before[8], after[8];  // rbx rbp r8 r9 r10 r12 r14 r15
  uint64_t flags, result, rcx, r11, flags_after, here;
  uint8_t vectors[6][16];  // xmm0 xmm7 xmm15 before, and after
} registers;

static void around(registers *all, uint64_t number, uint64_t a, uint64_t b, uint64_t c) {
  register uint64_t rdi __asm__("rdi") = a;
  register uint64_t rsi __asm__("rsi") = b;
  register uint64_t rdx __asm__("rdx") = c;
  register registers *r13 __asm__("r13") = all;
  __asm__ volatile(
      "push %%rbx\n push %%rbp\n"
      "mov 0(%%r13), %%rbx\n mov 8(%%r13), %%rbp\n mov 16(%%r13), %%r8\n mov 24(%%r13), %%r9\n"
      "mov 32(%%r13), %%r10\n mov 40(%%r13), %%r12\n mov 48(%%r13), %%r14\n mov 56(%%r13), %%r15\n"
      "movups 176(%%r13), %%xmm0\n movups 192(%%r13), %%xmm7\n movups 208(%%r13), %%xmm15\n"
      "push 128(%%r13)\n popfq\n"
      "syscall\n"
      "1: pushfq\n pop 160(%%r13)\n"
      "mov %%rbx, 64(%%r13)\n mov %%rbp, 72(%%r13)\n mov %%r8, 80(%%r13)\n mov %%r9, 88(%%r13)\n"
      "mov %%r10, 96(%%r13)\n mov %%r12, 104(%%r13)\n mov %%r14, 112(%%r13)\n mov %%r15, 120(%%r13)\n"
      "mov %%rax, 136(%%r13)\n mov %%rcx, 144(%%r13)\n mov %%r11, 152(%%r13)\n"
      "lea 1b(%%rip), %%rax\n mov %%rax, 168(%%r13)\n"
      "movups %%xmm0, 224(%%r13)\n movups %%xmm7, 240(%%r13)\n movups %%xmm15, 256(%%r13)\n"
      "cld\n push $0x202\n popfq\n"
      "pop %%rbp\n pop %%rbx\n"
      : "+r"(rdi), "+r"(rsi), "+r"(rdx), "+r"(r13)
      : "a"(number)
      : "rcx", "r8", "r9", "r10", "r11", "r12", "r14", "r15", "xmm0", "xmm7", "xmm15", "memory", "cc");
  if (rdi != a || rsi != b || rdx != c) printf("  arguments changed\n");
}

static void keeps(const char *name, uint64_t number, uint64_t a, uint64_t b, uint64_t c) {
  // CF PF AF ZF SF DF OF, AC, ID.
  static const uint64_t flags[] = {0x202, 0x2d7, 0xed7, 0x602, 0x200a02 | 0x40, 0x40202};
  int wrong = 0;
  for (unsigned i = 0; i < TIMES * sizeof flags / sizeof *flags; i++) {
    registers all = {.flags = flags[i % (sizeof flags / sizeof *flags)]};
    for (int n = 0; n < 8; n++) all.before[n] = 0x1122334455667788u * (n + 1u) + i;
    for (int n = 0; n < 3; n++) memset(all.vectors[n], 0x41 + n + (int)i, 16);
    around(&all, number, a, b, c);
    wrong += memcmp(all.before, all.after, sizeof all.before) != 0;
    wrong += memcmp(all.vectors[0], all.vectors[3], 48) != 0;
    wrong += (all.flags_after ^ all.flags) != 0 || (all.r11 ^ all.flags) != 0 || all.rcx != all.here;
    if ((all.flags_after ^ all.flags) || (all.r11 ^ all.flags))
      printf("  flags %lx behind %lx r11 %lx\n", all.flags, all.flags_after, all.r11);
  }
  printf("registers around %s: %d wrong\n", name, wrong);
}

static void registers_stay(void) {
  char byte = 0;
  int zero = open("/dev/zero", O_RDWR);
  keeps("getpid", SYS_getpid, 1, 2, 3);
  keeps("read", SYS_read, zero, (uint64_t)&byte, 1);
  keeps("write", SYS_write, zero, (uint64_t)&byte, 1);
  keeps("lseek", SYS_lseek, zero, 0, 0);
  keeps("read of nothing there", SYS_read, 77, (uint64_t)&byte, 1);
  struct stat status;
  struct timespec now;
  keeps("fstat", SYS_fstat, zero, (uint64_t)&status, 0);
  keeps("clock_gettime", SYS_clock_gettime, CLOCK_MONOTONIC, (uint64_t)&now, 0);
  close(zero);
}

// MARK: Results

static void say(const char *name, long result) { printf("%s: %ld %s\n", name, result, result < 0 ? strerror(errno) : ""); }

static void errors(void) {
  int zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR);
  char *page = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page + 8192, 8192);
  mprotect(page + 4096, 4096, PROT_READ);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 0; i < TIMES; i++) {
    say("no descriptor", syscall(SYS_read, -1, page, 1));
    say("wide descriptor", syscall(SYS_read, 0xff00000000 | (unsigned)zero, page, 1));
    say("descriptor at the limit", syscall(SYS_read, limit.rlim_cur, page, 1));
    say("last descriptor", syscall(SYS_read, 0x7fffffff, page, 1));
    say("close at the limit", syscall(SYS_close, limit.rlim_cur));
    say("null", syscall(SYS_read, zero, NULL, 1));
    say("null, nothing", syscall(SYS_read, zero, NULL, 0));
    say("read-only", syscall(SYS_read, zero, page + 4096, 1));
    say("into read-only", syscall(SYS_read, zero, page + 4000, 200));
    say("unmapped", syscall(SYS_read, zero, page + 8192, 1));
    say("from unmapped", syscall(SYS_write, null, page + 8192, 1) >= 0);
    say("not canonical", syscall(SYS_read, zero, 0x800000000000, 1));
    say("kernel", syscall(SYS_read, zero, 0xffff800000000000, 1));
    say("beyond the window", syscall(SYS_read, zero, 0x7ffffffde000, 1));
    say("large", syscall(SYS_read, zero, page, 0x7fffffff) >= 0);
    say("negative size", syscall(SYS_read, zero, page, -1L));
    say("more than 2 GiB", syscall(SYS_write, null, page, 0x100000000) >= 0);
    say("seek", syscall(SYS_lseek, zero, 5, 99));
    say("wide number", syscall(SYS_getpid | 0x100000000) == getpid());
  }
  close(zero);
  close(null);
}

/// Calls that fill a structure: whole, in part, and not at all.
static void structures(void) {
  int zero = open("/dev/zero", O_RDWR);
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page + 4096, 4096);
  struct stat wanted, *status = (struct stat *)page;
  stat("/dev/zero", &wanted);
  struct timespec before = {0}, *now = (struct timespec *)(page + 1024);
  struct rusage *usage = (struct rusage *)(page + 2048);
  struct itimerval *timer = (struct itimerval *)(page + 3072);
  for (int i = 0; i < TIMES; i++) {
    memset(page, 0x55 + i, 4096);
    say("fstat", syscall(SYS_fstat, zero, status));
    printf("  %d %d\n", status->st_ino == wanted.st_ino, page[sizeof *status] == 0x55 + i);
    say("fstat of nothing", syscall(SYS_fstat, 77, page + 512));
    say("fstat to nowhere", syscall(SYS_fstat, zero, page + 4000));
    say("fstat to null", syscall(SYS_fstat, zero, NULL));
    printf("  %d\n", page[512] == 0x55 + i);
    say("clock", syscall(SYS_clock_gettime, CLOCK_MONOTONIC, now));
    printf("  %d\n", now->tv_sec > before.tv_sec || (now->tv_sec == before.tv_sec && now->tv_nsec > before.tv_nsec));
    before = *now;
    say("time of processor", syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, now));
    say("clock of a process", syscall(SYS_clock_gettime, (-1 << 3) | 2, now) == 0);
    say("no clock", syscall(SYS_clock_gettime, 99, now));
    say("clock's steps", syscall(SYS_clock_getres, CLOCK_MONOTONIC, now));
    say("without a place", syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL));
    say("usage", syscall(SYS_getrusage, RUSAGE_SELF, usage));
    say("children's usage", syscall(SYS_getrusage, RUSAGE_CHILDREN, usage));
    say("nobody's usage", syscall(SYS_getrusage, 5, usage));
    say("timer", syscall(SYS_getitimer, ITIMER_REAL, timer));
    printf("  %ld %d\n", timer->it_value.tv_sec, page[3072 + sizeof *timer] == 0x55 + i);
  }
  munmap(page, 4096);
  close(zero);
}

/// The number is EAX alone, also for calls of which several share a handler that asks for it.
static void wide_numbers(void) {
  const unsigned long high = 1ul << 63;
  int pipes[2], epoll = epoll_create1(0);
  pipe(pipes);
  char read_back[8] = "";
  struct iovec vector = {.iov_base = "wide", .iov_len = 4}, target = {.iov_base = read_back, .iov_len = 8};
  struct epoll_event event;
  sigset_t set;
  sigemptyset(&set);
  say("wide dup2", syscall(SYS_dup2 | high, pipes[0], 40));
  say("wide dup3", syscall(SYS_dup3 | high, pipes[0], 41, 0));
  say("wide writev", syscall(SYS_writev | high, pipes[1], &vector, 1));
  say("wide readv", syscall(SYS_readv | high, pipes[0], &target, 1));
  puts(read_back);
  say("wide signalfd", syscall(SYS_signalfd4 | high, -1, &set, 8, 0) >= 0);
  say("wide epoll_pwait", syscall(SYS_epoll_pwait | high, epoll, &event, 1, 0, NULL, 8));
  siginfo_t information = {.si_code = SI_QUEUE, .si_signo = SIGUSR1};
  catch(SIGUSR1, 0);
  say("wide rt_tgsigqueueinfo", syscall(SYS_rt_tgsigqueueinfo | high, getpid(), getpid(), SIGUSR1, &information));
  printf("handled %d\n", handled == SIGUSR1);
}

// MARK: futex(2)

static long futex(void *word, uint64_t operation, uint32_t value, const struct timespec *timeout) {
  return syscall(SYS_futex, word, operation, value, timeout, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void futex_errors(void) {
  static uint32_t word = 5;
  const struct timespec short_time = {.tv_nsec = 1000000}, wrong_time = {.tv_nsec = -1};
  const uint64_t kinds[] = {0, FUTEX_PRIVATE_FLAG, 0xff00000000};
  for (int i = 0; i < TIMES; i++)
    for (int k = 0; k < 3; k++) {
      say("wake nobody", futex(&word, FUTEX_WAKE | kinds[k], 1, NULL));
      say("other value", futex(&word, FUTEX_WAIT | kinds[k], 6, NULL));
      say("other value, bits", futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | kinds[k], 6, NULL));
      say("no bits", syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | kinds[k], 5, NULL, NULL, 0));
      say("too long", futex(&word, FUTEX_WAIT | kinds[k], 5, &short_time));
      say("no time", futex(&word, FUTEX_WAIT | kinds[k], 5, &wrong_time));
      say("wild time", futex(&word, FUTEX_WAIT | kinds[k], 5, (void *)0x10));
      say("misaligned", futex((char *)&word + 1, FUTEX_WAIT | kinds[k], 5, NULL));
      say("null", futex(NULL, FUTEX_WAIT | kinds[k], 5, NULL));
      say("not canonical", futex((void *)0x800000000000, FUTEX_WAIT | kinds[k], 5, NULL));
      say("beyond the window", futex((void *)0x7ffffffde000, FUTEX_WAIT | kinds[k], 5, NULL));
      say("kernel", futex((void *)0xffff800000000000, FUTEX_WAKE | kinds[k], 5, NULL));
      say("requeue", futex(&word, FUTEX_CMP_REQUEUE | kinds[k], 0, NULL));
      say("unknown", futex(&word, 0x7f | kinds[k], 0, NULL));
      say("realtime wake", futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME | kinds[k], 0, NULL));
    }
}

static uint32_t *turn;

/// Two threads, or processes, in turn.
static void take_turns(uint32_t own, uint64_t kind, int rounds) {
  for (int i = 0; i < rounds; i++) {
    while (__atomic_load_n(turn, __ATOMIC_ACQUIRE) != own)
      if (futex(turn, FUTEX_WAIT | kind, !own, NULL) < 0 && errno != EAGAIN && errno != EINTR) printf("wait: %m\n");
    __atomic_store_n(turn, !own, __ATOMIC_RELEASE);
    if (futex(turn, FUTEX_WAKE | kind, 1, NULL) < 0) printf("wake: %m\n");
  }
}

static void *second(void *kind) {
  take_turns(1, (uintptr_t)kind, 5000);
  return NULL;
}

static void futex_turns(void) {
  turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (uintptr_t kind = 0; kind <= FUTEX_PRIVATE_FLAG; kind += FUTEX_PRIVATE_FLAG) {
    pthread_t thread;
    pthread_create(&thread, NULL, second, (void *)kind);
    take_turns(0, kind, 5000);
    pthread_join(thread, NULL);
  }
  pid_t child = fork();
  if (child == 0) {
    take_turns(1, 0, 5000);
    _exit(0);
  }
  take_turns(0, 0, 5000);
  int status;
  waitpid(child, &status, 0);
  printf("turns: %u %d\n", *turn, status);
}

/// A wait that a signal ends: with SA_RESTART it goes on, until the handler has changed the word.
static uint32_t awaited;
static void on_alarm(int number) {
  handled = number;
  if (++awaited < 4) alarm_in(5);
}

static void futex_signals(void) {
  for (int restarts = 0; restarts < 2; restarts++)
    for (int i = 0; i < TIMES; i++) {
      struct sigaction action = {.sa_handler = on_alarm, .sa_flags = restarts ? SA_RESTART : 0};
      sigaction(SIGALRM, &action, NULL);
      static uint32_t word;
      word = awaited = 0;
      alarm_in(5);
      // The handler's own count is what is waited for: it changes before the call begins again.
      say("interrupted", restarts ? futex(&awaited, FUTEX_WAIT, 0, NULL) : futex(&word, FUTEX_WAIT, 0, NULL));
      while (awaited < 4) usleep(1000);
    }
}

static void stack_grows(void) {
  int zero = open("/dev/zero", O_RDONLY);
  for (int i = 1; i <= TIMES; i++) {
    volatile char buffer[200000 * i];
    printf("into a stack that has not grown: %ld\n", (long)syscall(SYS_read, zero, buffer, 100));
  }
  close(zero);
}

// MARK: Signals

static void interrupted(void) {
  int pipes[2];
  char byte = 0;
  pipe(pipes);
  catch(SIGALRM, 0);
  for (int i = 0; i < TIMES; i++) {
    handled = 0;
    alarm_in(20);
    long result = read(pipes[0], &byte, 1);
    printf("read with a handler: %ld %s, handled %d\n", result, strerror(errno), handled == SIGALRM);
  }
  catch(SIGALRM, SA_RESTART);
  for (int i = 0; i < TIMES; i++) {
    handled = 0;
    if (fork() == 0) {
      usleep(60000);
      write(pipes[1], "x", 1);
      _exit(0);
    }
    alarm_in(20);
    long result = read(pipes[0], &byte, 1);
    printf("read that begins again: %ld, handled %d\n", result, handled == SIGALRM);
    wait(NULL);
  }
  catch(SIGUSR1, 0);
  catch(SIGUSR2, SA_NODEFER);
  for (int i = 0; i < TIMES; i++) {
    handled = 0;
    long result = syscall(SYS_kill, getpid(), SIGUSR1);
    int first = handled;
    handled = 0;
    result += syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2);
    printf("own signals: %ld, handled at once %d %d\n", result, first == SIGUSR1, handled == SIGUSR2);
  }
  signal(SIGPIPE, SIG_IGN);
  close(pipes[0]);
  for (int i = 0; i < TIMES; i++) say("broken pipe", write(pipes[1], "x", 1));
  catch(SIGPIPE, 0);
  for (int i = 0; i < TIMES; i++) {
    handled = 0;
    long result = write(pipes[1], "x", 1);
    printf("broken pipe: %ld %s, handled %d\n", result, strerror(errno), handled == SIGPIPE);
  }
  close(pipes[1]);
}

/// Sockets, with and without addresses; waiting, which does not begin again whatever the handler's flags say.
static void messages(void) {
  int ends[2], epoll = epoll_create1(0), timer = eventfd(0, EFD_NONBLOCK);
  char bytes[32];
  struct sockaddr_un { unsigned short family; char path[108]; } own = {1, ""}, other;
  struct epoll_event event = {.events = EPOLLIN};
  memcpy(own.path, "\0direct-calls", 13);
  socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
  int named = socket(AF_UNIX, SOCK_DGRAM, 0);
  say("bind", bind(named, (struct sockaddr *)&own, 15) == 0 || errno == EADDRINUSE);
  epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
  catch(SIGALRM, SA_RESTART);
  for (int i = 0; i < TIMES; i++) {
    socklen_t length = sizeof other;
    say("send", send(ends[0], "abc", 3, 0));
    say("recv", recv(ends[1], bytes, sizeof bytes, 0));
    say("recv of nothing", recv(ends[1], bytes, sizeof bytes, MSG_DONTWAIT));
    say("sendto", sendto(named, "defg", 4, 0, (struct sockaddr *)&own, 15));
    say("recvfrom", recvfrom(named, bytes, sizeof bytes, 0, (struct sockaddr *)&other, &length));
    printf("from %d, %.4s\n", (int)length, bytes);
    say("sendto a wild address", sendto(named, "defg", 4, 0, (struct sockaddr *)0x7fffffffe000, 15));
    handled = 0;
    alarm_in(20);
    say("epoll_wait", epoll_wait(epoll, &event, 1, 1000));
    printf("handled %d\n", handled == SIGALRM);
    say("epoll_wait in vain", epoll_wait(epoll, &event, 1, 5));
    eventfd_write(timer, 1);
    say("epoll_wait for an event", epoll_wait(epoll, &event, 1, 1000));
    eventfd_t value;
    eventfd_read(timer, &value);
  }
  close(ends[0]), close(ends[1]), close(epoll), close(timer), close(named);
}

/// Signals as fast as they come, while calls are made: none may be lost or change a result.
static void storm(void) {
  int pipes[2];
  char byte = 0;
  pipe(pipes);
  catch(SIGALRM, SA_RESTART);
  struct itimerval timer = {{0, 100}, {0, 100}};
  setitimer(ITIMER_REAL, &timer, NULL);
  long wrong = 0;
  int own = getpid();
  for (int i = 0; i < 30000; i++) {
    char sent = (char)i;
    wrong += syscall(SYS_getpid) != own;
    wrong += write(pipes[1], &sent, 1) != 1;
    wrong += read(pipes[0], &byte, 1) != 1 || byte != sent;
    wrong += syscall(SYS_lseek, pipes[0], 0, 0) != -1 || errno != ESPIPE;
  }
  timer = (struct itimerval){0};
  setitimer(ITIMER_REAL, &timer, NULL);
  printf("storm: %ld wrong\n", wrong);
}

// MARK: Code

static const uint8_t one[] = {0xb8, 1, 0, 0, 0, 0xc3}, two[] = {0xb8, 2, 0, 0, 0, 0xc3};

/// Code that read(2) replaces, in a page that is written by the host only, and a datagram that must not be lost.
static void code_is_read(void) {
  int pipes[2], ends[2];
  pipe(pipes);
  socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
  int counter = eventfd(0, 0);
  uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int (*function)(void) = (int (*)(void))page;
  for (int i = 0; i < TIMES; i++) {
    write(pipes[1], one, sizeof one);
    long got = read(pipes[0], page, sizeof one);
    int first = function();
    write(pipes[1], two, sizeof two);
    got += read(pipes[0], page, sizeof two);
    int second = function();
    write(ends[0], one, sizeof one);
    got += read(ends[1], page, sizeof one);
    int third = function();
    uint64_t value = 0xc300000003b8;
    write(counter, &value, 8);
    got += read(counter, page, 8);
    printf("code that was read: %d %d %d %d, %ld bytes\n", first, second, third, function(), got);
  }
  close(pipes[0]), close(pipes[1]), close(ends[0]), close(ends[1]), close(counter);
}

/// Code in a shared mapping of a file that write(2) changes.
static void code_is_written(void) {
  char name[] = "direct-calls.XXXXXX";
  int file = mkstemp(name);
  unlink(name);
  ftruncate(file, 4096);
  uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
  int (*function)(void) = (int (*)(void))page;
  for (int i = 0; i < TIMES; i++) {
    pwrite(file, one, sizeof one, 0);
    int first = function();
    lseek(file, 0, SEEK_SET);
    write(file, two, sizeof two);
    printf("code in a file: %d %d\n", first, function());
  }
  close(file);
}

// MARK: Threads and processes

static int between[2];

static void *reader(void *result) {
  char bytes[4];
  for (int i = 0; i < TIMES; i++) *(long *)result += read(between[0], bytes, 1);
  return NULL;
}

/// Code is made, found and changed while a thread waits in read(2).
static void waiting_thread(void) {
  pthread_t thread;
  long count = 0;
  pipe(between);
  pthread_create(&thread, NULL, reader, &count);
  uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int sum = 0;
  for (int i = 0; i < 50; i++) {
    memcpy(page, i & 1 ? one : two, sizeof one);
    sum += ((int (*)(void))page)();
    if (i % 20 == 10) usleep(3000), write(between[1], "x", 1);
  }
  write(between[1], "xx", 2);
  pthread_join(thread, NULL);
  printf("a thread that waits: %ld bytes, sum %d\n", count, sum);
}

static void *forever(void *unused) {
  char byte;
  for (;;) syscall(SYS_getpid), read(between[0], &byte, 1);
  return unused;
}

/// A child has other numbers; a process ends, or becomes another program, while its threads are in calls.
static void processes(const char *self) {
  for (int i = 0; i < TIMES; i++) {
    int parent = syscall(SYS_getpid), status = 0;
    fflush(stdout);
    int child = fork();
    if (child == 0) _exit((syscall(SYS_getpid) != parent) + 2 * (syscall(SYS_getppid) == parent));
    waitpid(child, &status, 0);
    printf("a child's numbers: %d\n", WEXITSTATUS(status));
  }
  for (int i = 0; i < 2 * TIMES; i++) {
    int status = 0;
    fflush(stdout);
    int child = fork();
    if (child == 0) {
      pthread_t threads[4];
      pipe(between);
      for (int n = 0; n < 4; n++) pthread_create(&threads[n], NULL, forever, NULL);
      usleep(2000);
      if (i & 1) _exit(9);
      execl(self, self, "executed", NULL);
    }
    waitpid(child, &status, 0);
    printf("ended with threads in calls: %x\n", status);
  }
}

int main(int count, char **arguments) {
  if (count > 1 && strcmp(arguments[1], "executed") == 0) return 8;
  setvbuf(stdout, NULL, _IOLBF, 4096);
  registers_stay();
  errors();
  structures();
  wide_numbers();
  futex_errors();
  futex_turns();
  futex_signals();
  stack_grows();
  interrupted();
  messages();
  storm();
  waiting_thread();
  code_is_read();
  code_is_written();
  processes("/proc/self/exe");
  // Once more, with code in writable pages.
  errors();
  structures();
  interrupted();
  messages();
  storm();
  return 0;
}
