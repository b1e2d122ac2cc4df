// "Text file busy": what the kernel says of programs that run and are to be written, and of files that are open for writing and are
// to be executed. Copies of this very program play all the parts; each line is a call and what came of it.
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct how {
  uint64_t flags, mode, resolve;
};

static void say(const char *what, long result) {
  if (result < 0) printf("%-34s %s\n", what, strerrorname_np(errno));
  else printf("%-34s done\n", what);
  fflush(stdout);
}

static void opening(const char *what, long descriptor) {
  say(what, descriptor);
  if (descriptor >= 0) close((int)descriptor);
}

static void copy(const char *from, const char *to, mode_t mode) {
  static char buffer[1 << 16];
  int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
  for (ssize_t count; (count = read(in, buffer, sizeof buffer)) > 0;) write(out, buffer, (size_t)count);
  fchmod(out, mode);
  close(in);
  close(out);
}

static long size(const char *path) {
  struct stat status;
  return stat(path, &status) ? -1 : (long)status.st_size;
}

// All the ways of writing a file by its name. `what` says what state it is in.
static void writes(const char *what, const char *path) {
  printf("-- %s\n", what);
  struct how how = {O_WRONLY | O_TRUNC, 0, 0};
  opening("reading", open(path, O_RDONLY));
  opening("writing", open(path, O_WRONLY));
  opening("reading and writing", open(path, O_RDWR));
  opening("appending", open(path, O_WRONLY | O_APPEND));
  opening("truncating", open(path, O_WRONLY | O_TRUNC));
  opening("reading, truncating", open(path, O_RDONLY | O_TRUNC));
  opening("creating", open(path, O_WRONLY | O_CREAT, 0700));
  opening("creating exclusively", open(path, O_WRONLY | O_CREAT | O_EXCL, 0700));
  opening("a directory", open(path, O_WRONLY | O_TRUNC | O_DIRECTORY));
  opening("a path only", open(path, O_PATH | O_WRONLY | O_TRUNC));
  opening("creat", creat(path, 0700));
  opening("openat2", syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
  say("truncate", truncate(path, 5));
  say("truncate to nothing less", truncate(path, -1));
  say("chmod", chmod(path, 0755));
  printf("%ld bytes\n", size(path) < 100 ? size(path) : 100);
}

// Starts a copy that says so and waits; `hold` is the pipe's end whose closing ends it.
static pid_t start(const char *path, const char *role, int *hold) {
  int ready[2], stay[2];
  pipe(ready);
  pipe(stay);
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    dup2(ready[1], 7);
    dup2(stay[0], 8);
    close(ready[0]);
    close(stay[1]);
    if (ready[1] != 7) close(ready[1]);
    if (stay[0] != 8) close(stay[0]);
    execl(path, path, role, NULL);
    _exit(99);
  }
  close(ready[1]);
  close(stay[0]);
  char byte;
  read(ready[0], &byte, 1);
  close(ready[0]);
  *hold = stay[1];
  return child;
}

static void end(pid_t child, int hold) {
  close(hold);
  int status;
  waitpid(child, &status, 0);
  printf("ended with %d\n", status);
}

static int wait_for_end(void) {
  char byte = 'r';
  write(7, &byte, 1);
  close(7);
  read(8, &byte, 1);
  return 0;
}

static void execute(const char *what, const char *path) {
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    char *arguments[] = {(char *)path, "nothing", NULL};
    execv(path, arguments);
    printf("%-34s %s\n", what, strerrorname_np(errno));
    exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  if (status) printf("%-34s ended with %d\n", what, WEXITSTATUS(status));
}

static void executions(void) {
  puts("-- executing what is written");
  copy("/proc/self/exe", "written", 0755);
  int descriptor = open("written", O_RDWR);
  execute("a program", "./written");
  int script = open("script", O_WRONLY | O_CREAT | O_TRUNC, 0755);
  dprintf(script, "#!./written nothing\n");
  execute("a script", "./script");
  close(script);
  execute("a script's interpreter", "./script");
  execute("not executable", "./nothing");
  chmod("written", 0644);
  execute("without permission", "./written");
  chmod("written", 0755);
  close(descriptor);
  execute("a program, closed", "./written");
  execute("a script, closed", "./script");
  // Writing through a mapping counts as well, when the descriptor is closed; a private mapping does not.
  descriptor = open("written", O_RDWR);
  void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  execute("a program, mapped", "./written");
  munmap(shared, 4096);
  execute("a program, unmapped", "./written");
  descriptor = memfd_create("program", 0);
  int in = open("written", O_RDONLY);
  static char buffer[1 << 16];
  for (ssize_t count; (count = read(in, buffer, sizeof buffer)) > 0;) write(descriptor, buffer, (size_t)count);
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
  execute("a memory file", name);
  close(descriptor);
  close(in);
}

static void *closer(void *unused) {
  (void)unused;
  syscall(SYS_unshare, CLONE_FILES);
  syscall(SYS_close_range, 9, ~0u, 0);
  return NULL;
}

// In the copy that runs, about itself.
static int self(void) {
  writes("the program itself", "/proc/self/exe");
  writes("the program itself, by name", "./self");
  return 0;
}

int main(int count, char **arguments) {
  const char *role = count > 1 ? arguments[1] : "";
  if (!strcmp(role, "nothing")) return puts("executed") < 0;
  if (!strcmp(role, "wait")) return wait_for_end();
  if (!strcmp(role, "self")) return self();
  if (count > 1 && *role == 46) return 96;
  if (!strcmp(role, "closing")) {
    syscall(SYS_close_range, 9, ~0u, 0);
    return wait_for_end();
  }
  if (!strcmp(role, "forking")) {
    // Its maker ends first: the child runs the same program.
    if (fork()) return 0;
    return wait_for_end();
  }
  if (!strcmp(role, "changing")) {
    char *words[] = {"busy", "wait", NULL};
    execv("./other", words);
    return 98;
  }
  char place[] = "/tmp/vitrine-busy-XXXXXX";
  if (!mkdtemp(place) || chdir(place)) return 1;
  int hold;
  copy("/proc/self/exe", "running", 0755);
  copy("/proc/self/exe", "other", 0755);
  copy("/proc/self/exe", "self", 0755);
  pid_t child = start("./running", "wait", &hold);
  writes("a program that runs", "./running");
  say("its descriptor, for writing", open("/proc/self/exe", O_WRONLY) < 0 ? -1 : 0);
  say("rename", rename("running", "moved"));
  writes("the same by another name", "./moved");
  say("link", link("moved", "linked"));
  writes("the same by a link", "./linked");
  say("symlink", symlink("moved", "symbolic"));
  opening("by a symbolic link", open("symbolic", O_WRONLY));
  opening("the symbolic link", open("symbolic", O_WRONLY | O_NOFOLLOW | O_TRUNC));
  chmod("moved", 0644);
  opening("no program any more", open("moved", O_WRONLY));
  chmod("moved", 0755);
  end(child, hold);
  child = start("./moved", "closing", &hold);
  opening("that closes all descriptors", open("moved", O_RDWR));
  end(child, hold);
  child = start("./moved", "wait", &hold);
  kill(child, SIGKILL);
  end(child, hold);
  opening("of one that was killed", open("moved", O_RDWR));
  child = start("./moved", "forking", &hold);
  waitpid(child, NULL, 0);
  opening("of which a child is left", open("moved", O_RDWR | O_TRUNC));
  close(hold);
  for (int i = 0; i < 1000; i++) {
    int descriptor = open("moved", O_RDWR);
    if (descriptor >= 0) {
      close(descriptor);
      break;
    }
    usleep(5000);
  }
  opening("when that has ended", open("moved", O_RDWR));
  child = start("./moved", "changing", &hold);
  opening("that executed another", open("moved", O_RDWR));
  opening("which runs now", open("other", O_RDWR));
  // An open descriptor for reading, and a child without a program of its own.
  end(child, hold);
  child = start("./moved", "wait", &hold);
  unlink("moved");
  unlink("linked");
  copy("other", "moved", 0755);
  opening("another file of that name", open("moved", O_RDWR));
  end(child, hold);
  fflush(stdout);
  if (!(child = fork())) {
    execl("./self", "self", "self", NULL);
    _exit(97);
  }
  waitpid(child, NULL, 0);
  pthread_t thread;
  pthread_create(&thread, NULL, closer, NULL);
  pthread_join(thread, NULL);
  opening("after a thread closed its own", open("/proc/self/exe", O_WRONLY));
  executions();
  writes("a program that has ended", "./other");
  for (const char *const *name = (const char *const[]){"running", "moved", "linked", "symbolic", "other", "self", "written", "script", NULL}; *name;
       name++)
    unlink(*name);
  chdir("/");
  return rmdir(place);
}
