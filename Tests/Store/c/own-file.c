// Damages the files of a store (argument 1: a folder) while it runs from them, as the letters of argument 2 say, and prints what its
// own functions compute. Without the folder it computes the same.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "many.h"

static void damage(const char *path, char how) {
  static char junk[1 << 16];
  int file = open(path, O_RDWR);
  struct stat status;
  if (file < 0 || fstat(file, &status)) return;
  switch (how) {
  case 't': (void)!ftruncate(file, 0); break;
  case 'h': (void)!ftruncate(file, status.st_size / 2 | 1); break;
  case 'p': (void)!ftruncate(file, 4096); break;
  case 'g':
    if (status.st_size < 50 << 20) (void)!ftruncate(file, status.st_size * 3 + 5);
    break;
  case 'd': unlink(path); break;
  case 'l': unlink(path), (void)!symlink("/dev/zero", path); break;
  case 'f': unlink(path), mkfifo(path, 0600); break;
  case 'D': unlink(path), mkdir(path, 0700); break;
  case 'j':
    memset(junk, 0xa5, sizeof junk);
    for (off_t at = 0; at < status.st_size; at += sizeof junk) (void)!pwrite(file, junk, sizeof junk, at);
    break;
  case 'o':  // One byte in each block, through a mapping.
    if (status.st_size > 0) {
      char *bytes = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      for (off_t at = 4096; bytes != MAP_FAILED && at < status.st_size; at += 97) bytes[at]++;
      if (bytes != MAP_FAILED) munmap(bytes, status.st_size);
    }
    break;
  }
  close(file);
}

int main(int count, char **words) {
  unsigned long value = 1;
  size_t kinds = count > 2 ? strlen(words[2]) : 0;
  for (int i = 0; i < STEPS; i++) {
    value = steps[i](value);
    if (i % 10 || !kinds) continue;
    DIR *folder = opendir(words[1]);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
      char path[4096];
      snprintf(path, sizeof path, "%s/%s", words[1], entry->d_name);
      if (entry->d_name[0] != '.') damage(path, words[2][i / 10 % kinds]);
    }
    if (folder) closedir(folder);
  }
  printf("%lx\n", value);
  return (int)(value & 63);
}
