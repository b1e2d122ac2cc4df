// Files and folders: every call that a small program uses, with its errors.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>
#include "guest.h"

#define FAILS(call, number) CHECK((call) == -1 && errno == (number))

static void contents(void) {
  int file = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
  CHECK(file >= 0);
  FAILS(open("a", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
  CHECK(write(file, "0123456789", 10) == 10);
  CHECK(lseek(file, -4, SEEK_END) == 6 && lseek(file, 0, SEEK_CUR) == 6);
  char text[32] = "";
  CHECK(read(file, text, 32) == 4 && !strcmp(text, "6789"));
  CHECK(pwrite(file, "XY", 2, 20) == 2 && pread(file, text, 32, 8) == 14);
  for (int i = 0; i < 14; i++) putchar(text[i] ? text[i] : '.');
  puts("");
  struct iovec parts[] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
  CHECK(writev(file, parts, 3) == 13);
  struct iovec places[] = {{text, 3}, {text + 10, 20}};
  CHECK(preadv(file, places, 2, 10) == 13);
  printf("%.3s|%.10s\n", text, text + 10);
  CHECK(ftruncate(file, 5) == 0 && lseek(file, 0, SEEK_END) == 5);
  CHECK(lseek(file, 100, SEEK_DATA) == -1 && errno == ENXIO);
  int twin = dup(file), high = fcntl(file, F_DUPFD_CLOEXEC, 50);
  CHECK(high >= 50 && (fcntl(high, F_GETFD) & FD_CLOEXEC) && !(fcntl(twin, F_GETFD) & FD_CLOEXEC));
  CHECK((fcntl(file, F_GETFL) & (O_ACCMODE | O_APPEND)) == O_RDWR);
  CHECK(fcntl(file, F_SETFL, O_APPEND) == 0 && write(twin, "end", 3) == 3 && lseek(file, 0, SEEK_END) == 8);
  CHECK(dup3(file, 60, O_CLOEXEC) == 60 && close(60) == 0);
  FAILS(close(60), EBADF);
  FAILS(read(61, text, 1), EBADF);
  FAILS(dup2(61, 5), EBADF);
  CHECK(fsync(file) == 0 && fdatasync(file) == 0 && flock(file, LOCK_EX) == 0);
  int pending = -1;
  CHECK(ioctl(file, FIONREAD, &pending) == 0);
  FAILS(ioctl(file, TIOCGWINSZ, text), ENOTTY);
  CHECK(!isatty(file) && errno == ENOTTY);
  int copy = creat("b", 0600);
  off_t from = 0;
  CHECK(sendfile(copy, file, &from, 100) == 8 && from == 8);
  FAILS(read(copy, text, 1), EBADF);
  char *volatile nowhere = (char *)8;
  FAILS(write(file, nowhere, 4), EFAULT);
  FAILS(open(nowhere, O_RDONLY), EFAULT);
}

static void names(void) {
  struct stat state;
  CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0700) == 0);
  FAILS(mkdir("d", 0755), EEXIST);
  FAILS(rmdir("d"), ENOTEMPTY);
  CHECK(symlink("../a", "d/link") == 0 && link("a", "d/hard") == 0);
  char text[64];
  printf("link says %.*s\n", (int)readlink("d/link", text, sizeof text), text);
  CHECK(lstat("d/link", &state) == 0 && S_ISLNK(state.st_mode) && state.st_size == 4);
  CHECK(stat("d/link", &state) == 0 && S_ISREG(state.st_mode) && state.st_nlink == 2);
  printf("mode %o size %ld blocks %d\n", state.st_mode, state.st_size, state.st_blksize > 0);
  struct statx more;
  CHECK(statx(AT_FDCWD, "d/hard", 0, STATX_BASIC_STATS, &more) == 0 && more.stx_nlink == 2 && more.stx_size == 8);
  CHECK(rename("d/hard", "d/e/moved") == 0);
  FAILS(rename("nothing", "x"), ENOENT);
  FAILS(rename("d", "d/e/inside"), EINVAL);
  FAILS(open("a/b", O_RDONLY), ENOTDIR);
  FAILS(open("d", O_WRONLY), EISDIR);
  FAILS(unlink("d"), EISDIR);
  CHECK(symlink("loop", "loop") == 0);
  FAILS(open("loop", O_RDONLY), ELOOP);
  CHECK(chmod("a", 0604) == 0 && stat("a", &state) == 0 && (state.st_mode & 0777) == 0604);
  CHECK(access("a", R_OK | W_OK) == 0);
  FAILS(access("nothing", F_OK), ENOENT);
  struct timespec times[2] = {{1000000000, 5}, {1234567890, 123456789}};
  CHECK(utimensat(AT_FDCWD, "a", times, 0) == 0 && stat("a", &state) == 0);
  printf("times %ld %ld.%09ld\n", state.st_atim.tv_sec, state.st_mtim.tv_sec, state.st_mtim.tv_nsec);
  int folder = open("d", O_RDONLY | O_DIRECTORY);
  int inside = openat(folder, "e/moved", O_RDONLY);
  CHECK(inside >= 0 && fstat(inside, &state) == 0 && state.st_size == 8);
  CHECK(mkdirat(folder, "f", 0711) == 0 && unlinkat(folder, "f", AT_REMOVEDIR) == 0);
  CHECK(fchdir(folder) == 0 && getcwd(text, sizeof text) && !strcmp(strrchr(text, '/'), "/d") && chdir("..") == 0);
  mode_t mask = umask(027);
  CHECK(mask == 022 && close(creat("masked", 0666)) == 0 && stat("masked", &state) == 0);
  printf("masked %o\n", state.st_mode & 0777);
  struct statfs system;
  CHECK(statfs(".", &system) == 0 && system.f_bsize > 0);
}

static int steps;
static int step(const char *path, const struct stat *state, int kind, struct FTW *place) {
  (void)state;
  steps += kind == FTW_F || kind == FTW_SL ? 1 : 100;
  (void)path;
  return place->level > 10;
}
static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void folders(void) {
  for (int i = 0; i < 300; i++) {
    char name[64];
    snprintf(name, sizeof name, "d/e/a-rather-long-name-for-a-file-%03d", i);
    CHECK(close(creat(name, 0600)) == 0);
  }
  DIR *folder = opendir("d/e");
  int count = 0;
  uint64_t sum = 0;
  for (struct dirent *entry; (entry = readdir(folder));) {
    count++;
    sum += guest_digest(GUEST_DIGEST, entry->d_name, strlen(entry->d_name));
  }
  printf("%d entries %016lx\n", count, sum);
  rewinddir(folder);
  CHECK(readdir(folder) != NULL && closedir(folder) == 0);
  struct dirent **list;
  int found = scandir("d/e", &list, visible, alphasort);
  printf("%d from %s to %s\n", found, list[0]->d_name, list[found - 1]->d_name);
  CHECK(nftw("d", step, 20, FTW_PHYS) == 0);
  printf("walked %d\n", steps);
  glob_t paths;
  CHECK(glob("d/e/*-00?", 0, NULL, &paths) == 0);
  printf("glob %zu, last %s\n", paths.gl_pathc, paths.gl_pathv[paths.gl_pathc - 1]);
}

int main(void) {
  contents();
  names();
  folders();
  puts("done");
}
