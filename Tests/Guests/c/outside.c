// Tries to get out of its root, in every way that is known, and by races: threads that exchange links,
// directories and descriptors under a path that another one opens. Outside, above the root, lies a file
// SECRET, and one in the host's /proc/1/root. Prints a line for each way out that was found; the last
// line counts the attempts, those in the races, and the ways out. `outside MILLISECONDS PID`, PID: a
// process of the host's.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_long attempts, ways;
static char host[32];

static void out(const char *how, const char *what) {
  ways++;
  printf("WAY OUT: %s: %s\n", how, what);
}

// Whether a descriptor is of the file outside, or of a directory that has it.
static int is_outside(int file) {
  char text[64] = "";
  struct stat status;
  if (fstat(file, &status)) return 0;
  if (S_ISDIR(status.st_mode)) {
    int below = openat(file, "SECRET", O_RDONLY);
    if (below < 0) return 0;
    close(below);
    return 1;
  }
  if (!S_ISREG(status.st_mode)) return 0;
  return pread(file, text, 60, 0) > 0 && strstr(text, "OUTSIDE");
}

static void try_open(const char *how, int directory, const char *path, int flags) {
  attempts++;
  int file = openat(directory, path, flags | O_NONBLOCK | O_CLOEXEC, 0600);
  if (file < 0) return;
  if (is_outside(file)) out(how, path);
  close(file);
}

static void try_path(const char *path) {
  struct stat status;
  char text[256];
  static const char *tails[] = {"", "/SECRET", "/../SECRET", "/../../SECRET",
      "/../../../../../../../../SECRET"};
  for (unsigned i = 0; i < sizeof tails / sizeof *tails; i++) {
    snprintf(text, sizeof text, "%s%s", path, tails[i]);
    try_open("open", AT_FDCWD, text, O_RDONLY);
    try_open("open", AT_FDCWD, text, O_PATH);
    attempts++;
    if (strstr(text, "SECRET")) {
      char *words[] = {text, 0};
      if (!stat(text, &status)) out("stat", text);
      if (!access(text, F_OK)) out("access", text);
      if (!truncate(text, 0)) out("truncate", text);
      if (!chmod(text, 0777)) out("chmod", text);
      if (execv(text, words) && errno != ENOENT && errno != ENOTDIR && errno != EACCES && errno != ELOOP)
        out("execve", text);
    }
    struct open_how how = {.flags = O_RDONLY};
    int file = syscall(SYS_openat2, AT_FDCWD, text, &how, sizeof how);
    if (file >= 0 && is_outside(file)) out("openat2", text);
    if (file >= 0) close(file);
  }
}

static void by_names(void) {
  static const char *plain[] = {"", "/..", "/../..", "..", "../..", "/proc/self/root", "/proc/self/root/..",
      "/proc/self/cwd/..",
    "/proc/thread-self/root/..", "/proc/self/task/../root/..", "/proc/1/root", "/proc/1/cwd",
        "/proc/self/exe/..", "/dev/..", "/dev/fd/..",
    "/dev/pts/..", "/dev/pts/../..", "/proc/..", "/proc/self/fd/..", "/proc/self/fd/../../../..",
        "/proc/self/map_files", "/mnt/..",
    "/mnt/../..", "/romnt/../..", "/proc/self/ns/mnt", "/proc/sys/../.."};
  char path[128];
  for (unsigned i = 0; i < sizeof plain / sizeof *plain; i++) try_path(plain[i]);
  static const char *links[] = {"root", "cwd", "fd/0", "fd/1000", "fd/1001", "task", "exe"};
  for (unsigned i = 0; i < sizeof links / sizeof *links; i++) {
    snprintf(path, sizeof path, "/proc/%s/%s", host, links[i]);
    try_path(path);
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)gettid(), links[i]);
    try_path(path);
  }
  snprintf(path, sizeof path, "/proc/%s/environ", host);
  attempts++;
  if (open(path, O_RDONLY) >= 0) out("a process of the host's", path);
  mkdir("/links", 0755);
  static const char *targets[] = {"..", "../..", "/..", "/../SECRET", "../../../../../SECRET",
      "/proc/self/root/../SECRET",
    "/proc/1/root/SECRET", "/dev/fd/1000/../SECRET", "//..//..//SECRET", "/links/../../SECRET"};
  for (unsigned i = 0; i < sizeof targets / sizeof *targets; i++) {
    snprintf(path, sizeof path, "/links/%u", i);
    unlink(path);
    if (!symlink(targets[i], path)) try_path(path);
  }
}

static void by_descriptors(void) {
  char path[64];
  int found = 0;
  for (int number = 3; number < 2100; number++) {
    attempts++;
    if (fcntl(number, F_GETFD) >= 0) {
      found++;
      if (is_outside(number)) out("an open descriptor", "");
      continue;
    }
    try_open("a hidden descriptor", number, "..", O_PATH);
    try_open("a hidden descriptor", number, ".", O_PATH);
    if (!fchdir(number)) out("fchdir", "hidden");
    if (!close(number)) out("close", "hidden");
    if (dup(number) >= 0) out("dup", "hidden");
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    try_path(path);
    int pair[2], pidfd = syscall(SYS_pidfd_open, getpid(), 0);
    int stolen = syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (stolen >= 0 && number != pidfd) out("pidfd_getfd", path);
    close(stolen);
    close(pidfd);
    if (number < 990 || number > 1040 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) continue;
    union {
      struct cmsghdr header;
      char room[CMSG_SPACE(4)];
    } control = {.header = {CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &number, 4);
    struct iovec text = {"x", 1};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = &control,
        .msg_controllen = sizeof control};
    if (sendmsg(pair[0], &message, 0) > 0) out("SCM_RIGHTS", path);
    close(pair[0]);
    close(pair[1]);
  }
  DIR *directory = opendir("/proc/self/fd");
  struct dirent *entry;
  while (directory && (entry = readdir(directory)))
    if (atoi(entry->d_name) > 100 && fcntl(atoi(entry->d_name), F_GETFD) < 0) out("listed", entry->d_name);
  if (directory) closedir(directory);
}

static void by_calls(void) {
  char text[4096] = "";
  struct {
    struct file_handle handle;
    unsigned char room[128];
  } handle = {{128, 0}};
  int mount_ = 0;
  attempts += 12;
  if (!name_to_handle_at(AT_FDCWD, "/..", &handle.handle, &mount_, 0)) {
    int root = open("/", O_RDONLY), file = open_by_handle_at(root, &handle.handle, O_RDONLY);
    if (file >= 0) out("open_by_handle_at", "/..");
    close(root);
  }
  if (syscall(SYS_fanotify_init, 0, 0) >= 0) out("fanotify", "");
  if (syscall(SYS_open_tree, AT_FDCWD, "/", 1) >= 0) out("open_tree", "");
  if (!mount("/", "/mnt", 0, MS_BIND, 0)) out("mount", "");
  if (!umount2("/proc", MNT_DETACH)) out("umount", "");
  if (!syscall(SYS_pivot_root, "/", "/mnt")) out("pivot_root", "");
  if (!mknod("/disk", S_IFBLK | 0600, makedev(254, 0))) out("mknod", "");
  int space = open("/proc/self/ns/mnt", O_RDONLY);
  if (space >= 0 && !setns(space, 0)) out("setns", "");
  if (space >= 0) close(space);
  if (open("/proc/kcore", O_RDONLY) >= 0) out("kcore", "");
  if (open("/proc/sys/kernel/core_pattern", O_WRONLY) >= 0) out("core_pattern", "");
  if (open("/proc/sysrq-trigger", O_WRONLY) >= 0) out("sysrq-trigger", "");
  if (open("/node", O_RDONLY) >= 0) out("a device in the tree", "");
  // Texts that name the host's directories.
  static const char *told[] = {"/proc/self/maps", "/proc/self/mountinfo", "/proc/self/mounts",
      "/proc/mounts", "/proc/self/smaps",
                               "/proc/self/mountstats", "/proc/self/environ", "/proc/self/cmdline",
                                   "/proc/net/unix"};
  for (unsigned i = 0; i < sizeof told / sizeof *told; i++) {
    int file = open(told[i], O_RDONLY);
    ssize_t length;
    attempts++;
    while (i < 8 && (length = read(file, text, sizeof text - 1)) > 0) {
      text[length] = 0;
      if (strstr(text, "vitrine-root")) out("told", told[i]);
    }
    close(file);
  }
  static const char *links[] = {"/proc/self/exe", "/proc/self/cwd", "/proc/self/root", "/proc/self/fd/9"};
  open("/proc", O_RDONLY);
  dup2(open("/file-inside", O_CREAT | O_RDWR, 0600), 9);
  for (unsigned i = 0; i < 4; i++) {
    memset(text, 0, sizeof text);
    attempts++;
    if (readlink(links[i], text, sizeof text - 1) > 0 && strstr(text, "vitrine-root")) out("readlink", text);
  }
  struct sockaddr_un address = {AF_UNIX, "/../SOCKET"};
  int socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
  attempts += 2;
  if (!connect(socket_, (void *)&address, sizeof address)) out("connect", address.sun_path);
  strcpy(address.sun_path, "/../../../MADE");
  if (!bind(socket_, (void *)&address, sizeof address) && access("/MADE", F_OK)) out("bind",
      address.sun_path);
  unlink("/MADE");
  close(socket_);
}

// The classical way out of a chroot: a second one below the working directory.
static void by_chroot(void) {
  long before = ways;
  if (fork() == 0) {
    mkdir("/cell", 0755);
    int above = open("/", O_RDONLY);
    if (!chroot("/cell")) {
      fchdir(above);
      for (int i = 0; i < 20; i++) {
        attempts++;
        if (chdir("..")) break;
        try_open("chroot", AT_FDCWD, "SECRET", O_RDONLY);
      }
      if (!chroot(".")) try_path("/..");
    }
    _exit(ways != before);
  }
  int status;
  wait(&status);
  if (status) out("chroot", "in a child");
}

// A namespace of processes, in which the guest's first one has the number of another process outside.
static void by_namespaces(void) {
  static const char *links[] = {"/proc/1/cwd", "/proc/1/root", "/proc/1/cwd/..", "/proc/1/fd/3", "/proc/1/fd/4"};
  fflush(stdout);
  pid_t child = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    long before = ways;
    for (unsigned i = 0; i < sizeof links / sizeof *links; i++) try_path(links[i]);
    // Whatever process 1 is, it is none of the guest's.
    if (!access("/proc/1/status", F_OK)) out("a namespace of processes", "/proc/1");
    _exit(ways != before);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status) ways++;
}

static atomic_int ending;

static void *flip_link(void *unused) {
  while (!ending) {
    unlink("/race/x.new");
    symlink("..", "/race/x.new");
    rename("/race/x.new", "/race/x");
    unlink("/race/x.new");
    symlink("/../..", "/race/x.new");
    rename("/race/x.new", "/race/x");
    rmdir("/race/y");
    unlink("/race/x");
    mkdir("/race/x", 0755);
    rename("/race/x", "/race/y");
  }
  return unused;
}

static void *move_directories(void *unused) {
  while (!ending) {
    rename("/race/a/b/c", "/race/moved");
    rename("/race/moved", "/race/a/b/c");
    rename("/race/a", "/mnt/a");
    syscall(SYS_renameat2, AT_FDCWD, "/race/a/b", AT_FDCWD, "/race/swap", 2);
  }
  return unused;
}

static void *replace_descriptors(void *unused) {
  int root = open("/", O_PATH), below = open("/race", O_PATH);
  while (!ending) {
    for (int number = 5; number < 24; number++) {
      dup2(number & 1 ? root : below, number);
      close(number ^ 1);
    }
    dup2(root, 1002);
    close(1003);
  }
  return unused;
}

static void *change_directory(void *unused) {
  while (!ending) {
    chdir("/race/a/b");
    chdir("/");
    chdir("/romnt");
  }
  return unused;
}

static void *open_all(void *unused) {
  static const char *paths[] = {"/race/x/../../SECRET", "/race/x/SECRET", "/race/a/b/c/../../../../SECRET",
      "/race/a/b/c/../../../../../SECRET",
    "../SECRET", "../../SECRET", "../../../SECRET", "../../../../SECRET", "/race/x/x/../SECRET",
        "/race/a/../x/../../SECRET",
    "/race/moved/../../SECRET", "/race/swap/../../../SECRET", "/mnt/a/../../SECRET",
        "/proc/self/cwd/../../SECRET"};
  while (!ending) {
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
      try_open("race", AT_FDCWD, paths[i], O_RDONLY);
      int directory = open("/race/a/b/c", O_PATH);
      if (directory >= 0) {
        try_open("race", directory, "../../../../SECRET", O_RDONLY);
        try_open("race", directory, "../../../..", O_PATH);
        close(directory);
      }
      attempts++;
      if (!mkdir("made", 0700)) rmdir("made");
      int file = open("made", O_CREAT | O_WRONLY, 0600);
      if (file >= 0) close(file);
      unlink("made");
    }
    if (!access("/romnt/made", F_OK)) out("race", "something was made in a read-only directory");
  }
  return unused;
}

static void by_races(int milliseconds) {
  mkdir("/race", 0755);
  mkdir("/race/swap", 0755);
  mkdir("/race/a", 0755);
  mkdir("/race/a/b", 0755);
  mkdir("/race/a/b/c", 0755);
  void *(*bodies[])(void *) = {flip_link, move_directories, replace_descriptors, change_directory, open_all,
      open_all};
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) pthread_create(&threads[i], 0, bodies[i], 0);
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&time, 0);
  ending = 1;
  for (int i = 0; i < 6; i++) pthread_join(threads[i], 0);
}

int main(int count, char **words) {
  if (count < 3) return 2;
  snprintf(host, sizeof host, "%s", words[2]);
  setvbuf(stdout, 0, _IOLBF, 0);
  by_names();
  chdir("/links");
  by_names();
  chdir("/");
  by_descriptors();
  by_calls();
  by_chroot();
  by_namespaces();
  long alone = attempts;
  by_races(atoi(words[1]));
  long racing = attempts - alone;
  printf("%ld attempts, %ld of them racing, %ld ways out\n", alone + racing, racing, (long)ways);
  return ways != 0;
}
