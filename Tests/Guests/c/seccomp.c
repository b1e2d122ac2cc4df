// seccomp(2): what becomes of the calls that filters refuse. All that sets a filter does so in a child of its own, because no filter
// is ever taken back.
#include "guest-seccomp.h"

// MARK: The call itself

static void arguments(void) {
  op allow[] = {ALLOW};
  struct sock_fprog program = {1, allow}, none = {0, allow};
  long good = (long)&program, empty = (long)&none;
  uint32_t actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_TRACE,
                        SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 1, 0x7fff0001, 0x12340000};
  for (size_t i = 0; i < COUNT(actions); i++) say("action", raw(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, (long)&actions[i], 0, 0, 0));
  say("action nowhere", raw(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, 8, 0, 0, 0));
  say("action with flags", raw(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, (long)actions, 0, 0, 0));
  say("sizes with flags", raw(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 1, (long)actions, 0, 0, 0));
  say("unknown operation", raw(SYS_seccomp, 4, 0, 0, 0, 0, 0));
  say("unknown operation, -1", raw(SYS_seccomp, -1, 0, 0, 0, 0, 0));
  say("strict with flags", raw(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, 0, 0, 0, 0));
  say("strict with a program", raw(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, good, 0, 0, 0));
  say("unknown flag", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 64, good, 0, 0, 0));
  say("unknown flag, nowhere", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1 << 30, 8, 0, 0, 0));
  say("listener and TSYNC", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 9, good, 0, 0, 0));
  say("killable without listener", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 32, good, 0, 0, 0));
  say("nowhere", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0, 0, 0, 0));
  for (long flag = 1; flag <= 16; flag <<= 1)
    if (flag != 8) say("a flag, nowhere", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, 0, 0, 0, 0));
  say("empty", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, empty, 0, 0, 0));
  say("mode 0", prctl(PR_SET_SECCOMP, 0L, good) ? -errno : 0);
  say("mode 3", prctl(PR_SET_SECCOMP, 3L, good) ? -errno : 0);
  say("mode with high bits", prctl(PR_SET_SECCOMP, 1L << 32 | 2, good) ? -errno : 0);
  say("mode filter, nowhere", prctl(PR_SET_SECCOMP, 2L, 0L) ? -errno : 0);
  fields();
  say("operation with high bits", raw(SYS_seccomp, 1L << 32 | SECCOMP_SET_MODE_FILTER, 1L << 40, good, 0, 0, 0));
  say("flag LOG", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, good, 0, 0, 0));
  say("flag SPEC_ALLOW", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, good, 0, 0, 0));
  say("flag TSYNC_ESRCH", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 16, good, 0, 0, 0));
  say("flag TSYNC", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1, good, 0, 0, 0));
  say("prctl", prctl(PR_SET_SECCOMP, 2L, good) ? -errno : 0);
  say("strict afterwards", raw(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0, 0, 0, 0));
  say("strict afterwards, prctl", prctl(PR_SET_SECCOMP, 1L, 0L) ? -errno : 0);
  fields();
}

// Not through `in_child`: without no_new_privs, as somebody without capabilities.
static void unprivileged(void) {
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    raw(SYS_setresgid, 65534, 65534, 65534, 0, 0, 0);
    raw(SYS_setresuid, 65534, 65534, 65534, 0, 0, 0);
    op allow[] = {ALLOW}, bad[] = {S(0xffff, 0)};
    struct sock_fprog none = {0, allow};
    say("without privileges", set(0, allow, 1));
    say("and with a bad program", set(0, bad, 1));
    say("and nowhere", set(0, NULL, 1));
    say("and without program", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0, 0, 0, 0));
    say("and an empty one", raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&none, 0, 0, 0));
    say("and an unknown flag", set(64, allow, 1));
    say("prctl", prctl(PR_SET_SECCOMP, 2L, &(struct sock_fprog){1, allow}) ? -errno : 0);
    fields();
    no_new_privileges();
    say("that cannot be gained", set(0, allow, 1));
    fields();
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  ended("unprivileged", status);
}

// MARK: Actions

static void errors(void) {
  for (int i = 0; i < 100; i++) CALL(PROBE);
  say("before", CALL(PROBE) > 0);
  SET(LOAD(NUMBER), WHEN(PROBE, FAIL(EXDEV)), ALLOW);
  for (int i = 0; i < 100; i++)
    if (CALL(PROBE) != -EXDEV) say("not refused", i);
  say("refused", CALL(PROBE));
  say("another call", CALL(SYS_getpgrp) > 0);
  SET(LOAD(NUMBER), WHEN(PROBE, FAIL(0)), ALLOW);
  say("0, the newer one's data", CALL(PROBE));
  SET(LOAD(NUMBER), WHEN(PROBE, FAIL(0xffff)), ALLOW);
  say("at most 4095", CALL(PROBE));
  SET(LOAD(NUMBER), WHEN(PROBE, FAIL(512)), ALLOW);
  say("512", CALL(PROBE));
  SET(LOAD(NUMBER), WHEN(SYS_pause, FAIL(EINTR)), WHEN(SYS_read, FAIL(EINTR)), ALLOW);
  say("interrupted", CALL(SYS_pause));
  say("interrupted, would begin again", raw(SYS_read, 0, 0, 0, 0, 0, 0));
  SET(LOAD(NUMBER), WHEN(5000, FAIL(EDOM)), WHEN(0x40000027, FAIL(ERANGE)), WHEN(0xffffffff, FAIL(ECHILD)), ALLOW);
  say("call 5000", CALL(5000));
  say("call 5001", CALL(5001));
  say("x32", CALL(0x40000027));
  say("call -1", CALL(-1));
  say("high bits", CALL(1L << 32 | PROBE));
  SET(LOAD(NUMBER), WHEN(SYS_rt_sigreturn, FAIL(EPERM)), WHEN(SYS_exit_group, FAIL(EBUSY)), WHEN(SYS_clone, FAIL(ENOSPC)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3), LOAD(LOW(0)), WHEN(99, FAIL(ENOTTY)), ALLOW);
  say("exit_group", CALL(SYS_exit_group));
  say("clone", CALL(SYS_clone));
  say("write to 99", raw(SYS_write, 99, 0, 0, 0, 0, 0));
  raw(SYS_exit, 5, 0, 0, 0, 0, 0);
}

static void unanswered(void) {
  SET(LOAD(NUMBER), WHEN(PROBE, RETURN(SECCOMP_RET_TRACE | 5)), WHEN(SYS_getpgrp, RETURN(SECCOMP_RET_USER_NOTIF | 5)),
      WHEN(SYS_getuid, RETURN(SECCOMP_RET_LOG | 5)), WHEN(SYS_getgid, RETURN(SECCOMP_RET_ALLOW | 5)), ALLOW);
  say("trace", CALL(PROBE));
  say("notify", CALL(SYS_getpgrp));
  yes("log", CALL(SYS_getuid) >= 0);
  yes("allow with data", CALL(SYS_getgid) >= 0);
}


static void kill_process(void) {
  ON_PROBE(SECCOMP_RET_KILL_PROCESS);
  say("killed", CALL(PROBE));
}
static void kill_last_thread(void) {
  ON_PROBE(SECCOMP_RET_KILL_THREAD);
  say("killed", CALL(PROBE));
}
static void unknown_action(void) {
  ON_PROBE(0x12340000);
  say("killed", CALL(PROBE));
}
static void unknown_action_below(void) {
  ON_PROBE(0x90000000);
  say("killed", CALL(PROBE));
}
static void unknown_action_above(void) {
  // Greater than SECCOMP_RET_ALLOW there is nothing.
  ON_PROBE(0x7fffffff);
  yes("allowed", CALL(PROBE) > 0);
  ON_PROBE(0x7ffe0000);
  say("killed", CALL(PROBE));
}
static void divided_by_zero(void) {
  SET(S(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW), S(BPF_ALU | BPF_DIV | BPF_X, 0), S(BPF_RET | BPF_A, 0));
  say("killed", CALL(PROBE));
}
static void kill_blocked(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  signal(SIGSYS, SIG_IGN);
  kill_process();
}

static void precedence(void) {
  ON_PROBE(SECCOMP_RET_ALLOW);
  ON_PROBE(SECCOMP_RET_LOG);
  yes("log", CALL(PROBE) > 0);
  ON_PROBE(SECCOMP_RET_TRACE);
  say("trace", CALL(PROBE));
  ON_PROBE(SECCOMP_RET_ERRNO | EDOM);
  ON_PROBE(SECCOMP_RET_TRACE);
  say("error", CALL(PROBE));
  ON_PROBE(SECCOMP_RET_ERRNO | ENOTDIR);
  ON_PROBE(SECCOMP_RET_ALLOW);
  say("newest error", CALL(PROBE));
  fields();
  ON_PROBE(SECCOMP_RET_KILL_PROCESS);
  ON_PROBE(SECCOMP_RET_TRAP);
  say("killed", CALL(PROBE));
}

// A size that only counts as a whole: both halves of an argument have to be looked at.
static void halves(void) {
  SET(LOAD(NUMBER), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE, 1, 0), ALLOW, LOAD(HIGH(2)), WHEN(0x10, FAIL(EFBIG)), LOAD(LOW(2)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x80000000, 0, 1), FAIL(E2BIG), ALLOW);
  yes("small", raw(PROBE, 0, 0, 0x7fffffff, 0, 0, 0) > 0);
  say("large", raw(PROBE, 0, 0, 0x80000000, 0, 0, 0));
  say("high half", raw(PROBE, 0, 0, 0x1000000000, 0, 0, 0));
  yes("another high half", raw(PROBE, 0, 0, 0x1100000000, 0, 0, 0) > 0);
  say("both", raw(PROBE, 0, 0, -1, 0, 0, 0));
}

// Where the call comes from.
extern const char here[], there[];
__attribute__((noipa)) static long probe_here(void) {
  long result;
  __asm__ volatile("syscall\n.globl here\nhere:" : "=a"(result) : "a"(PROBE) : "rcx", "r11", "memory");
  return result;
}
__attribute__((noipa)) static long probe_there(void) {
  long result;
  __asm__ volatile("syscall\n.globl there\nthere:" : "=a"(result) : "a"(PROBE) : "rcx", "r11", "memory");
  return result;
}
static void instruction_pointers(void) {
  SET(LOAD(NUMBER), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE, 1, 0), ALLOW, LOAD(8), WHEN((uint32_t)(uintptr_t)here, FAIL(EIDRM)), LOAD(12),
      WHEN((uint32_t)((uintptr_t)there >> 32), FAIL(ENOLCK)), ALLOW);
  say("here", probe_here());
  say("there", probe_there());
}

// MARK: SIGSYS

static volatile sig_atomic_t traps;
static void on_trap(int signal, siginfo_t *info, void *pointer) {
  greg_t *registers = ((ucontext_t *)pointer)->uc_mcontext.gregs;
  traps++;
  say("signal", signal);
  say("code", info->si_code);
  say("error", info->si_errno);
  say("call", info->si_syscall);
  yes("architecture", info->si_arch == AUDIT_ARCH_X86_64);
  yes("address is RIP", (greg_t)info->si_call_addr == registers[REG_RIP]);
  yes("behind SYSCALL", ((unsigned char *)info->si_call_addr)[-2] == 0x0f && ((unsigned char *)info->si_call_addr)[-1] == 0x05);
  say("RAX", registers[REG_RAX]);
  say("first argument", registers[REG_RDI]);
  say("sixth argument", registers[REG_R9]);
  yes("RCX is RIP", registers[REG_RCX] == registers[REG_RIP]);
  yes("R11 are the flags", registers[REG_R11] == registers[REG_EFL]);
  // The call's stead.
  registers[REG_RAX] = registers[REG_RDI] * 2 + registers[REG_R9];
}
static void handle_traps(int flags) {
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | flags};
  sigaction(SIGSYS, &action, NULL);
}
static void trap(void) {
  handle_traps(0);
  ON_PROBE(SECCOMP_RET_TRAP | 0x1234);
  say("emulated", raw(PROBE, 20, 2, 3, 4, 5, 2));
  say("emulated, high bits in RAX", raw(1L << 32 | PROBE, 30, 2, 3, 4, 5, 3));
  SET(LOAD(NUMBER), WHEN(0xffffffff, RETURN(SECCOMP_RET_TRAP)), WHEN(3000, RETURN(SECCOMP_RET_TRAP | 0xffff)), ALLOW);
  say("call 3000", raw(3000, 1, 0, 0, 0, 0, 0));
  say("call -1", raw(-1, 2, 0, 0, 0, 0, 0));
  say("traps", traps);
}
static void trap_once(void) {
  handle_traps(SA_RESETHAND | SA_NODEFER);
  ON_PROBE(SECCOMP_RET_TRAP | 1);
  say("emulated", raw(PROBE, 20, 2, 3, 4, 5, 2));
  say("killed", raw(PROBE, 20, 2, 3, 4, 5, 2));
}
static void trap_blocked(void) {
  handle_traps(0);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGSYS);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  ON_PROBE(SECCOMP_RET_TRAP | 1);
  say("killed", CALL(PROBE));
}
static void trap_ignored(void) {
  signal(SIGSYS, SIG_IGN);
  ON_PROBE(SECCOMP_RET_TRAP | 1);
  say("killed", CALL(PROBE));
}
static void trap_default(void) {
  ON_PROBE(SECCOMP_RET_TRAP | 1);
  say("killed", CALL(PROBE));
}
// The handler makes the refused call itself, from a place that the filter lets pass.
static void on_brokered(int signal, siginfo_t *info, void *pointer) {
  (void)signal;
  ((ucontext_t *)pointer)->uc_mcontext.gregs[REG_RAX] = probe_here() > 0 ? 4711 + info->si_errno : -1;
}
static void trap_brokered(void) {
  struct sigaction action = {.sa_sigaction = on_brokered, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  static char stack[65536];
  sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
  sigaction(SIGSYS, &action, NULL);
  SET(LOAD(NUMBER), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE, 1, 0), ALLOW, LOAD(8), WHEN((uint32_t)(uintptr_t)here, ALLOW),
      RETURN(SECCOMP_RET_TRAP | 9));
  long sum = 0;
  for (int i = 0; i < 100; i++) sum += CALL(PROBE);
  say("brokered", sum);
}

// MARK: Strict mode

static void strict_in(const char *what) {
  raw(SYS_write, 1, (long)what, (long)strlen(what), 0, 0, 0);
  say("read", raw(SYS_read, 98, 0, 0, 0, 0, 0));
}
static void strict_and_exit(void) {
  say("strict", raw(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0, 0, 0, 0));
  strict_in("inside\n");
  raw(SYS_exit, 3, 0, 0, 0, 0, 0);
}
static void strict_by_prctl(void) {
  // Its second argument does not count.
  say("strict", prctl(PR_SET_SECCOMP, 1L, 16L));
  strict_in("inside\n");
  say("killed", CALL(SYS_getpid));
}
static void strict_exit_group(void) {
  raw(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0, 0, 0, 0);
  CALL(SYS_exit_group);
}
static void strict_x32(void) {
  raw(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0, 0, 0, 0);
  say("high bits", raw(1L << 32 | SYS_read, 98, 0, 0, 0, 0, 0));
  CALL(5000);
}
// MARK: Threads, processes, programs

static pthread_barrier_t barrier;
static pid_t first_number, other_number;

static void *own_filter(void *unused) {
  (void)unused;
  ON_PROBE(SECCOMP_RET_ERRNO | EDOM);
  say("who has the filter", CALL(PROBE));
  field("/proc/thread-self/status", "\nSeccomp_filters:");
  field("/proc/self/status", "\nSeccomp_filters:");
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  return NULL;
}
static void *inherits(void *unused) {
  say("who was made by one that has it", CALL(PROBE));
  return unused;
}
static void threads(void) {
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, own_filter, NULL);
  pthread_barrier_wait(&barrier);
  yes("who has not", CALL(PROBE) > 0);
  say("mode", prctl(PR_GET_SECCOMP));
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
  ON_PROBE(SECCOMP_RET_ERRNO | EXDEV);
  pthread_create(&thread, NULL, inherits, NULL);
  pthread_join(thread, NULL);
}

static void *works_on(void *unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) CALL(PROBE);
  yes("before", CALL(PROBE) > 0);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  say("after", CALL(PROBE));
  say("privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  field("/proc/thread-self/status", "\nSeccomp_filters:");
  return NULL;
}
static void synchronized_threads(void) {
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, works_on, NULL);
  pthread_barrier_wait(&barrier);
  op program[] = {LOAD(NUMBER), WHEN(PROBE, FAIL(EXDEV)), ALLOW};
  say("synchronized", set(SECCOMP_FILTER_FLAG_TSYNC, program, COUNT(program)));
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
}

static void *goes_its_own_way(void *unused) {
  (void)unused;
  other_number = gettid();
  ON_PROBE(SECCOMP_RET_ERRNO | EDOM);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  say("as before", CALL(PROBE));
  op program[] = {ALLOW};
  yes("the other way round", set(SECCOMP_FILTER_FLAG_TSYNC, program, 1) == first_number);
  return NULL;
}
static void diverged_threads(void) {
  pthread_t thread;
  first_number = gettid();
  ON_PROBE(SECCOMP_RET_ALLOW);
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, goes_its_own_way, NULL);
  pthread_barrier_wait(&barrier);
  op program[] = {LOAD(NUMBER), WHEN(PROBE, FAIL(EXDEV)), ALLOW};
  yes("the one that differs", set(SECCOMP_FILTER_FLAG_TSYNC, program, COUNT(program)) == other_number);
  say("by an error", set(SECCOMP_FILTER_FLAG_TSYNC | 16, program, COUNT(program)));
  yes("nothing has changed", CALL(PROBE) > 0);
  fields();
  say("alone", set(0, program, COUNT(program)));
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
}

static void *is_killed(void *unused) {
  ON_PROBE(SECCOMP_RET_KILL_THREAD);
  CALL(PROBE);
  say("killed", 0);
  return unused;
}
static void kill_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, is_killed, NULL);
  say("joined", pthread_join(thread, NULL));
  yes("the process goes on", CALL(PROBE) > 0);
}
static void *is_strict(void *unused) {
  raw(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0, 0, 0, 0);
  strict_in("a strict thread\n");
  CALL(PROBE);
  say("killed", 0);
  return unused;
}
static void kill_strict_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, is_strict, NULL);
  say("joined", pthread_join(thread, NULL));
  yes("the process goes on", CALL(PROBE) > 0);
}
static void *kills_all(void *unused) {
  ON_PROBE(SECCOMP_RET_KILL_PROCESS);
  CALL(PROBE);
  return unused;
}
static void kill_process_by_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, kills_all, NULL);
  pthread_join(thread, NULL);
  say("killed", 0);
}
// The first thread is killed, the others go on.
static void *outlives(void *unused) {
  (void)unused;
  usleep(20000);
  say("the other one goes on", 0);
  raw(SYS_exit_group, 9, 0, 0, 0, 0, 0);
  return NULL;
}
static void kill_first_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, outlives, NULL);
  ON_PROBE(SECCOMP_RET_KILL_THREAD);
  CALL(PROBE);
}

static void processes(void) {
  ON_PROBE(SECCOMP_RET_ERRNO | EDOM);
  if (!fork()) {
    say("fork", CALL(PROBE));
    ON_PROBE(SECCOMP_RET_ERRNO | EXDEV);
    say("fork, more", CALL(PROBE));
    fields();
    _exit(0);
  }
  wait(NULL);
  say("parent", CALL(PROBE));
  if (!vfork()) {
    say("vfork", CALL(PROBE));
    _exit(0);
  }
  wait(NULL);
  long child = raw(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
  if (!child) {
    say("clone", CALL(PROBE));
    raw(SYS_exit_group, 0, 0, 0, 0, 0, 0);
  }
  wait(NULL);
  fields();
}

static void execution(void) {
  for (int i = 0; i < 10; i++) CALL(PROBE);
  ON_PROBE(SECCOMP_RET_ERRNO | EDOM);
  execl("/proc/self/exe", "seccomp", "executed", NULL);
  say("execve", -errno);
}
static void *executes(void *unused) {
  ON_PROBE(SECCOMP_RET_ERRNO | EXDEV);
  execl("/proc/self/exe", "seccomp", "executed", NULL);
  return unused;
}
static void execution_by_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, executes, NULL);
  pthread_join(thread, NULL);
}
static void execution_refused(void) {
  SET(LOAD(NUMBER), WHEN(SYS_execve, FAIL(EACCES)), ALLOW);
  execl("/proc/self/exe", "seccomp", "executed", NULL);
  say("execve", -errno);
}
static int executed(void) {
  for (int i = 0; i < 10; i++) CALL(PROBE);
  say("after execve", CALL(PROBE));
  fields();
  return 4;
}

// Calls that wait, and begin again: they are looked at each time, and let pass each time.
static void on_alarm(int signal) { say("signal", signal); }
static void waiting(void) {
  SET(LOAD(NUMBER), WHEN(PROBE, FAIL(EDOM)), ALLOW);
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  int ends[2];
  pipe(ends);
  pid_t self = getpid();
  if (!fork()) {
    usleep(20000);
    kill(self, SIGUSR1);
    usleep(20000);
    write(ends[1], "xy", 2);
    _exit(0);
  }
  char bytes[2];
  say("read", raw(SYS_read, ends[0], (long)bytes, 2, 0, 0, 0));
  wait(NULL);
  say("clock", raw(SYS_clock_gettime, 0, 0, 0, 0, 0, 0));
  struct iovec vector = {"written by a vector\n", 20};
  say("writev", writev(1, &vector, 1));
}

int main(int count, char **words) {
  if (count > 1 && !strcmp(words[1], "executed")) return executed();
  setvbuf(stdout, NULL, _IOLBF, 0);
#define CHILD(name) in_child(#name, name)
  CHILD(arguments);
  unprivileged();
  CHILD(errors), CHILD(unanswered), CHILD(kill_process), CHILD(kill_last_thread), CHILD(unknown_action), CHILD(unknown_action_below);
  CHILD(unknown_action_above), CHILD(divided_by_zero), CHILD(kill_blocked), CHILD(precedence);
  CHILD(halves), CHILD(instruction_pointers), CHILD(trap), CHILD(trap_once), CHILD(trap_blocked), CHILD(trap_ignored), CHILD(trap_default);
  CHILD(trap_brokered), CHILD(strict_and_exit), CHILD(strict_by_prctl), CHILD(strict_exit_group), CHILD(strict_x32);
  CHILD(threads), CHILD(synchronized_threads), CHILD(diverged_threads), CHILD(kill_thread), CHILD(kill_strict_thread);
  CHILD(kill_process_by_thread), CHILD(kill_first_thread), CHILD(processes), CHILD(execution), CHILD(execution_by_thread);
  CHILD(execution_refused), CHILD(waiting);
  fields();
  // The end of the first process, which the harness sees: by SIGSYS.
  no_new_privileges();
  ON_PROBE(SECCOMP_RET_KILL_PROCESS);
  say("the end", 0);
  CALL(PROBE);
  return 0;
}
