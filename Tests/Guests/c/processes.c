// Processes: fork, wait, exit statuses, pipes between parent and child, exec of itself, sessions, SIGCHLD.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

static volatile sig_atomic_t children;
static void on_child(int number) { children += number == SIGCHLD; }

static void statuses(void) {
  for (int i = 0; i < 4; i++) {
    pid_t child = fork();
    if (child == 0) {
      if (i == 1) _exit(33);
      if (i == 2) raise(SIGKILL);
      if (i == 3) *(volatile int *)8 = 1;
      _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) printf("child %d exited with %d\n", i, WEXITSTATUS(status));
    if (WIFSIGNALED(status)) printf("child %d was ended by %d\n", i, WTERMSIG(status));
  }
  CHECK(wait(NULL) == -1 && errno == ECHILD);
}

static void conversation(void) {
  int down[2], up[2];
  CHECK(pipe(down) == 0 && pipe2(up, O_CLOEXEC) == 0);
  pid_t child = fork();
  if (child == 0) {
    close(down[1]);
    char line[64];
    ssize_t length;
    while ((length = read(down[0], line, sizeof line)) > 0) {
      for (ssize_t i = 0; i < length; i++) line[i] ^= 0x20;
      write(up[1], line, (size_t)length);
    }
    _exit(5);
  }
  close(down[0]);
  char answer[64] = "";
  for (int i = 0; i < 3; i++) {
    write(down[1], "GlassCase", 9);
    ssize_t length = read(up[0], answer, sizeof answer);
    printf("answer %.*s\n", (int)length, answer);
  }
  close(down[1]);
  siginfo_t info;
  CHECK(waitid(P_PID, (id_t)child, &info, WEXITED) == 0);
  printf("waitid: code %d status %d own child %d\n", info.si_code, info.si_status, info.si_pid == child);
}

static void memory(void) {
  int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int own = 1;
  pid_t child = fork();
  if (child == 0) {
    shared[0] = 11;
    own = 2;
    _exit(own);
  }
  int status;
  waitpid(child, &status, 0);
  printf("shared %d own %d child's %d\n", shared[0], own, WEXITSTATUS(status));
}

// What a program hands on to the next one: ignored signals, but no flags and masks, not even those of signals that were never caught.
static void set_actions(void) {
  struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  action.sa_handler = SIG_IGN;
  CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
}

static void print_actions(void) {
  for (int number = SIGUSR1; number <= SIGUSR2; number += SIGUSR2 - SIGUSR1) {
    struct sigaction action;
    CHECK(sigaction(number, NULL, &action) == 0);
    printf("%s: %s, flags %x, mask %d\n", strsignal(number), action.sa_handler == SIG_IGN ? "ignored" : "default", action.sa_flags,
           sigismember(&action.sa_mask, SIGHUP));
  }
}

static void again(char *self) {
  pid_t child = fork();
  if (child == 0) {
    char *words[] = {"renamed", "second", "life", NULL}, *environment[] = {"ONLY=this", NULL};
    dup2(open("out", O_WRONLY | O_CREAT | O_TRUNC, 0644), 1);
    set_actions();
    execve(self, words, environment);
    _exit(127);
  }
  int status;
  waitpid(child, &status, 0);
  char text[512];
  int file = open("out", O_RDONLY);
  ssize_t length = read(file, text, sizeof text);
  printf("exec gave %d: %.*s", WEXITSTATUS(status), (int)length, text);
  CHECK(execve("/nowhere/at/all", (char *[]){NULL}, (char *[]){NULL}) == -1 && errno == ENOENT);
  CHECK(execve("prose.txt", (char *[]){NULL}, (char *[]){NULL}) == -1 && errno == EACCES);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    printf("%s %s %s %s\n", argv[0], argv[1], argv[2], getenv("ONLY"));
    print_actions();
    return 66;
  }
  setvbuf(stdout, NULL, _IONBF, 0);
  statuses();
  conversation();
  memory();
  again(argv[0]);
  signal(SIGCHLD, on_child);
  pid_t child = fork();
  if (child == 0) {
    setsid();
    CHECK(getsid(0) == getpid() && getpgrp() == getpid());
    pause();
  }
  kill(child, SIGTERM);
  int status;
  while (waitpid(child, &status, 0) == -1) CHECK(errno == EINTR);
  printf("SIGCHLD %d, ended by %d\n", children, WTERMSIG(status));
  child = vfork();
  if (child == 0) _exit(9);
  waitpid(child, &status, 0);
  struct rusage usage;
  CHECK(getrusage(RUSAGE_CHILDREN, &usage) == 0);
  printf("vfork %d parent %d\n", WEXITSTATUS(status), getppid() > 0);
}
