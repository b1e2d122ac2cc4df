// What a program finds when it starts: arguments, environment, auxiliary vector, stack alignment. Exit code: argc.
#include <stdalign.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
#include "guest.h"

extern char **environ;

int main(int argc, char **argv) {
  for (int i = 0; i < argc; i++) printf("argument %d: <%s>\n", i, i ? argv[i] : strrchr(argv[0], '/') + 1);
  CHECK(argv[argc] == NULL);
  for (char **entry = environ; *entry; entry++)
    if (strncmp(*entry, "PATH=", 5) && strncmp(*entry, "PWD=", 4)) printf("environment: %s\n", *entry);
  printf("page size %lu, clock ticks %lu\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK));
  printf("ids %lu %lu %lu %lu secure %lu\n", getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID),
         getauxval(AT_EGID), getauxval(AT_SECURE));
  printf("platform %s\n", (const char *)getauxval(AT_PLATFORM));
  const char *name = (const char *)getauxval(AT_EXECFN);
  CHECK(name && !strcmp(name, argv[0]));
  const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
  CHECK(random);
  int different = 0;
  for (int i = 1; i < 16; i++) different += random[i] != random[0];
  CHECK(different > 0);
  CHECK(getauxval(AT_PHDR) && getauxval(AT_PHNUM) && getauxval(AT_ENTRY) && getauxval(AT_PHENT) == 56);
  printf("base %lu\n", getauxval(AT_BASE));
  alignas(64) char aligned[64];
  CHECK(((uintptr_t)aligned & 63) == 0);
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  CHECK(length > 0);
  path[length] = 0;
  printf("/proc/self/exe names %s\n", strrchr(path, '/') + 1);
  return argc;
}
