// Executes a program in one of four ways and says why that failed: `executing HOW PROGRAM ARGUMENT...`, where HOW is `path`,
// `descriptor` (execveat of an open file), `folder` (execveat with the program's folder) or `child` (posix_spawn).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int count, char **words) {
  if (count < 3) return 2;
  char folder[4096], name[4096];
  snprintf(folder, sizeof folder, "%s", words[2]);
  snprintf(name, sizeof name, "%s", words[2]);
  errno = 0;
  if (strcmp(words[1], "path") == 0) {
    execve(words[2], words + 2, environ);
  } else if (strcmp(words[1], "descriptor") == 0) {
    int file = open(words[2], O_RDONLY);
    syscall(SYS_execveat, file, "", words + 2, environ, AT_EMPTY_PATH);
  } else if (strcmp(words[1], "folder") == 0) {
    int place = open(dirname(folder), O_PATH | O_DIRECTORY | O_CLOEXEC);
    syscall(SYS_execveat, place, basename(name), words + 2, environ, 0);
  } else {
    pid_t child;
    int status;
    errno = posix_spawn(&child, words[2], NULL, NULL, words + 2, environ);
    if (errno == 0) {
      waitpid(child, &status, 0);
      printf("status %x\n", status);
      return 0;
    }
  }
  printf("%s\n", strerrorname_np(errno));
  return 1;
}
