// What the guests that set filters of seccomp(2) share: instructions by short names, calls without the C library between, a child for each filter.
#ifndef GUEST_SECCOMP_H
#define GUEST_SECCOMP_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

typedef struct sock_filter op;
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NUMBER offsetof(struct seccomp_data, nr)
#define LOW(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define HIGH(n) (LOW(n) + 4)
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define ALLOW RETURN(SECCOMP_RET_ALLOW)
#define FAIL(error) RETURN(SECCOMP_RET_ERRNO | (error))
// If the value in A is this one, one instruction more; a RETURN mostly.
#define WHEN(value, what) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1), what
// A call without any other effect, which nobody else makes; one of those that translated code makes by itself.
#define PROBE SYS_getppid

static inline long raw(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
#define CALL(number) raw(number, 0, 0, 0, 0, 0, 0)

static inline void say(const char *what, long result) {
  char text[128];
  if (result < 0 && result >= -133) snprintf(text, sizeof text, "%-44s %s\n", what, strerrorname_np((int)-result));
  else snprintf(text, sizeof text, "%-44s %ld\n", what, result);
  raw(SYS_write, 1, (long)text, (long)strlen(text), 0, 0, 0);
}
// What a filter says of the probe; it allows all else.
#define ON_PROBE(result) SET(LOAD(NUMBER), WHEN(PROBE, RETURN(result)), ALLOW)
static inline void yes(const char *what, int is) { say(what, is ? 1 : 0); }

static inline long set(unsigned flags, const op *program, size_t count) {
  struct sock_fprog all = {(unsigned short)count, (op *)program};
  return raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, (long)&all, 0, 0, 0);
}
#define SET(...) set(0, (op[]){__VA_ARGS__}, COUNT(((op[]){__VA_ARGS__})))
static inline void no_new_privileges(void) { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

static inline void ended(const char *what, int status) {
  char text[128];
  if (WIFSIGNALED(status)) snprintf(text, sizeof text, "%s: killed by SIG%s", what, sigabbrev_np(WTERMSIG(status)));
  else snprintf(text, sizeof text, "%s: ended with %d", what, WEXITSTATUS(status));
  puts(text);
  fflush(stdout);
}

// Runs `body` in a child of its own, which cannot gain privileges.
static inline void in_child(const char *what, void (*body)(void)) {
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    no_new_privileges();
    alarm(20);
    body();
    fflush(stdout);
    raw(SYS_exit_group, 7, 0, 0, 0, 0, 0);
  }
  int status;
  waitpid(child, &status, 0);
  ended(what, status);
}

static inline void field(const char *file, const char *name) {
  char text[8192], what[64];
  int descriptor = open(file, O_RDONLY);
  ssize_t size = read(descriptor, text, sizeof text - 1);
  close(descriptor);
  text[size < 0 ? 0 : size] = 0;
  char *line = strstr(text, name);
  snprintf(what, sizeof what, "%s", name + 1);
  say(what, line ? atol(line + strlen(name) + 1) : -1);
}
static inline void fields(void) {
  field("/proc/self/status", "\nNoNewPrivs:");
  field("/proc/self/status", "\nSeccomp:");
  field("/proc/self/status", "\nSeccomp_filters:");
  say("PR_GET_SECCOMP", prctl(PR_GET_SECCOMP));
}
#define S(code, k) BPF_STMT(code, k)
#endif
