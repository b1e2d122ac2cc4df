// Every call that takes a path, with paths of many shapes, from several directories: results, errors and
// what the calls tell are printed, and compared with what the kernel says inside a chroot
// (Tests/Root/check). Makes its own tree in "/", and makes it anew after each call that has made, removed
// or renamed something. With the argument "binds" the paths lead through /mnt, /romnt and /bound as well.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

static const char *names[] = {"file", "empty", "abs", "rel", "loop1", "loop2", "dangling", "danglingdir",
    "dirlink",
                              "dirlinkslash", "self", "parent", "out", "slashlink", "fileslash", "fifo",
                                  "chain1",
                              "chain2", "new", "made", "other", "locked/inside"};

static char n255[300], n256[300], longest[5000];

static void put(const char *path, const char *text, int mode) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return;
  write(file, text, strlen(text));
  fchmod(file, mode);
  close(file);
}

static void take_away(const char *path) {
  struct stat status;
  if (lstat(path, &status)) return;
  if (!S_ISDIR(status.st_mode)) {
    unlink(path);
    return;
  }
  chmod(path, 0755);
  DIR *directory = opendir(path);
  struct dirent *entry;
  char below[4096];
  while (directory && (entry = readdir(directory))) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
    take_away(below);
  }
  if (directory) closedir(directory);
  rmdir(path);
}

static void make_tree(void) {
  char path[64];
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "/%s", names[i]);
    take_away(path);
  }
  chmod("/", 0755);
  take_away(n255);
  take_away("/dir");
  take_away("/locked");
  mkdir("/dir", 0755);
  mkdir("/dir/sub", 0755);
  mkdir("/dir/sub/deep", 0755);
  mkdir("/dir/hollow", 0777);
  mkdir("/locked", 0755);
  put("/file", "12345", 0644);
  put("/empty", "", 0666);
  put("/dir/file", "in dir", 0640);
  put("/dir/sub/deep/file", "deep down", 0600);
  put("/locked/inside", "x", 0644);
  chmod("/locked", 0);
  symlink("/dir/file", "/abs");
  symlink("dir/file", "/rel");
  symlink("loop2", "/loop1");
  symlink("loop1", "/loop2");
  symlink("/nowhere", "/dangling");
  symlink("nowhere/below", "/danglingdir");
  symlink("dir", "/dirlink");
  symlink("/dir/", "/dirlinkslash");
  symlink(".", "/self");
  symlink("..", "/parent");
  symlink("/../../../../file", "/out");
  symlink("/", "/slashlink");
  symlink("file/", "/fileslash");
  symlink("chain2/sub", "/chain1");
  symlink("dirlink/../dir", "/chain2");
  symlink("../../../../../../file", "/dir/up");
  symlink("/self/self/dirlink/./sub//deep/file", "/dir/sub/long");
  mkfifo("/fifo", 0644);
}

static const char *shapes[] = {
  "/file", "file", "./file", "//file", "/file/", "/file/.", "/file/x", "/dir", "/dir/", "dir/.", "dir/..",
      "/dir/../file",
  "/dir/sub/../../file", "/..", "/../file", "/../../../../../../../../file", "..", "../file", "../..", ".",
      "./", "", "/",
  "/./", "/abs", "abs/", "rel", "/loop1", "loop1/x", "/dangling", "dangling/", "dangling/x", "/danglingdir",
      "/dirlink",
  "/dirlink/", "/dirlink/file", "dirlinkslash", "/dirlinkslash/file", "/self/self/self/file", "/self",
      "self/", "/parent",
  "/parent/file", "/parent/parent/dir/file", "/out", "/slashlink", "/slashlink/file", "/slashlink/",
      "/fileslash",
  "/dir/up", "/dir/sub/long", "/chain1/deep/file", "/chain1/../file", "/chain2", "/new", "new", "/new/",
      "/new/x", "/dir/new",
  "/dirlink/new", "/dir/sub/../new", "/locked", "/locked/inside", "/locked/..", "/fifo", "/empty",
      "/dir/hollow",
  "/dir/sub/deep/file", "/dir/sub/deep/../../../dir/./sub//deep///file", "sub", "sub/../file", "deep/file",
      "../sub/deep",
};
static const char *bound[] = {
  "/mnt", "/mnt/", "/mnt/.", "/mnt/..", "/mnt/../file", "/mnt/inner", "/mnt/new", "/mnt/sub/../..",
      "/mnt/sub/../../dir",
  "/romnt", "/romnt/", "/romnt/inner", "/romnt/new", "/romnt/sub", "/romnt/sub/new", "/romnt/../file",
      "/bound", "/bound/",
  "/robound", "/mnt/away", "/mnt/home", "/romnt/away", "/romnt/../mnt/inner", "/self/mnt/inner",
      "/dir/../romnt/inner",
};

static int quiet_errors;
static long lines;

static void tell(const char *call, int directory, const char *shape, long result) {
  char shown[40];
  snprintf(shown, sizeof shown, "%.30s%s", shape ? shape : "(null)", shape && strlen(shape) > 30 ? "…" : "");
  printf("%s %d %s = ", call, directory, shown);
  if (result < 0) printf("%s\n", strerrorname_np(errno));
  else printf("%ld\n", result);
  lines++;
}

static void facts(const struct stat *status) {
  printf("  %o %ld %ld\n", status->st_mode, (long)status->st_nlink,
         S_ISDIR(status->st_mode) ? 0 : (long)status->st_size);
}

static void looking(int at, const char *shape, const char *path) {
  struct stat status;
  struct statx more;
  struct statfs system;
  char text[256];
  long result;
  tell("stat", at, shape, result = syscall(SYS_newfstatat, at, path, &status, 0));
  if (!result) facts(&status);
  tell("lstat", at, shape, result = syscall(SYS_newfstatat, at, path, &status, AT_SYMLINK_NOFOLLOW));
  if (!result) facts(&status);
  tell("badflag", at, shape, syscall(SYS_newfstatat, at, path, &status, 0x40000));
  tell("badbuffer", at, shape, syscall(SYS_newfstatat, at, path, 8L, 0));
  tell("statx", at, shape, syscall(SYS_statx, at, path, 0, 0x7ff, &more));
  tell("statxlink", at, shape, syscall(SYS_statx, at, path, AT_SYMLINK_NOFOLLOW, 0x7ff, &more));
  for (int mode = 0; mode < 8; mode += mode ? 2 : 1) tell("faccessat", at, shape, syscall(SYS_faccessat, at,
      path, mode));
  tell("faccessat2", at, shape, syscall(SYS_faccessat2, at, path, 2, AT_SYMLINK_NOFOLLOW | AT_EACCESS));
  tell("readlinkat", at, shape, result = syscall(SYS_readlinkat, at, path, text, 200L));
  if (result > 0) printf("  %.*s\n", (int)result, text);
  static const int flags[] = {O_RDONLY, O_WRONLY | O_NONBLOCK, O_RDONLY | O_NOFOLLOW, O_PATH,
      O_PATH | O_NOFOLLOW,
                              O_DIRECTORY, O_DIRECTORY | O_NOFOLLOW, O_RDONLY | O_TRUNC, O_RDWR | 040000000};
  for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
    tell("openat", at, shape, result = syscall(SYS_openat, at, path, flags[i] | O_NONBLOCK, 0));
    if (result >= 0 && !fstat(result, &status)) facts(&status);
    if (result >= 0) close(result);
    if (i == 7 && !quiet_errors) make_tree();
  }
  static const int resolves[] = {0, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
      0x100};
  for (unsigned i = 0; i < sizeof resolves / sizeof *resolves; i++) {
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK, .resolve = resolves[i]};
    tell("openat2", at, shape, result = syscall(SYS_openat2, at, path, &how, sizeof how));
    if (result >= 0 && !fstat(result, &status)) facts(&status);
    if (result >= 0) close(result);
  }
  if (at != AT_FDCWD) return;
  tell("stat2", at, shape, syscall(SYS_stat, path, &status));
  tell("lstat2", at, shape, result = syscall(SYS_lstat, path, &status));
  if (!result) facts(&status);
  tell("access", at, shape, syscall(SYS_access, path, W_OK));
  tell("statfs", at, shape, statfs(path, &system));
  tell("readlink", at, shape, syscall(SYS_readlink, path, text, 200L));
  tell("getxattr", at, shape, getxattr(path, "user.none", text, 10));
  tell("lgetxattr", at, shape, lgetxattr(path, "user.none", text, 10));
  tell("listxattr", at, shape, listxattr(path, text, 200));
  tell("llistxattr", at, shape, llistxattr(path, text, 200));
  // One for all: closing one takes long.
  static int watch = -1;
  if (watch < 0) watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  tell("inotify", at, shape, syscall(SYS_inotify_add_watch, watch, path, IN_OPEN) < 0 ? -1 : 0);
  result = syscall(SYS_inotify_add_watch, watch, path, IN_OPEN | IN_DONT_FOLLOW | IN_ONLYDIR);
  tell("inotifylink", at, shape, result < 0 ? -1 : 0);
  int before = open(".", O_PATH);
  tell("chdir", at, shape, result = chdir(path));
  if (!result) {
    if (getcwd(text, sizeof text)) printf("  %s\n", text);
    tell("parent", at, shape, chdir(".."));
    if (getcwd(text, sizeof text)) printf("  %s\n", text);
  }
  fchdir(before);
  close(before);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
  tell("connect", at, shape, connect(socket_, (void *)&address, sizeof address));
  close(socket_);
}

#define CHANGING(name, call) \
  do { \
    tell(name, at, shape, result = (call)); \
    if (result >= 0 && !quiet_errors) make_tree(); \
  } while (0)

// Of attributes: what has been changed stays so.
#define KEEPING(name, call) tell(name, at, shape, result = (call))

static void changing(int at, const char *shape, const char *path) {
  long result;
  struct timespec times[2] = {{1, 2}, {3, 4}};
  struct timeval older[2] = {{1, 2}, {3, 4}};
  CHANGING("mkdirat", syscall(SYS_mkdirat, at, path, 0700));
  CHANGING("mknodat", syscall(SYS_mknodat, at, path, S_IFREG | 0600, 0));
  CHANGING("mkfifo", syscall(SYS_mknodat, at, path, S_IFIFO | 0600, 0));
  CHANGING("unlinkat", syscall(SYS_unlinkat, at, path, 0));
  CHANGING("rmdirat", syscall(SYS_unlinkat, at, path, AT_REMOVEDIR));
  CHANGING("symlinkat", syscall(SYS_symlinkat, "/some/where", at, path));
  CHANGING("linkfrom", syscall(SYS_linkat, at, path, AT_FDCWD, "/made", 0));
  CHANGING("linkfollow", syscall(SYS_linkat, at, path, AT_FDCWD, "/made", AT_SYMLINK_FOLLOW));
  CHANGING("linkto", syscall(SYS_linkat, AT_FDCWD, "/file", at, path, 0));
  CHANGING("renamefrom", syscall(SYS_renameat, at, path, AT_FDCWD, "/made"));
  CHANGING("renameto", syscall(SYS_renameat, AT_FDCWD, "/empty", at, path));
  CHANGING("renamedir", syscall(SYS_renameat, AT_FDCWD, "/dir/hollow", at, path));
  CHANGING("exchange", syscall(SYS_renameat2, at, path, AT_FDCWD, "/file", 2));
  CHANGING("noreplace", syscall(SYS_renameat2, AT_FDCWD, "/file", at, path, 1));
  CHANGING("renamebad", syscall(SYS_renameat2, AT_FDCWD, "/file", at, path, 64));
  KEEPING("fchmodat", syscall(SYS_fchmodat, at, path, 0711));
  KEEPING("fchmodat2", syscall(452, at, path, 0711, AT_SYMLINK_NOFOLLOW));
  KEEPING("fchownat", syscall(SYS_fchownat, at, path, -1, -1, 0));
  KEEPING("lchownat", syscall(SYS_fchownat, at, path, 0, 0, AT_SYMLINK_NOFOLLOW));
  KEEPING("utimensat", syscall(SYS_utimensat, at, path, times, 0));
  KEEPING("utimenslink", syscall(SYS_utimensat, at, path, times, AT_SYMLINK_NOFOLLOW));
  KEEPING("futimesat", syscall(SYS_futimesat, at, path, older));
  static const int flags[] = {O_CREAT | O_WRONLY, O_CREAT | O_EXCL | O_RDWR, O_CREAT | O_NOFOLLOW | O_WRONLY,
                              O_CREAT | O_DIRECTORY, O_TMPFILE | O_RDWR, O_CREAT | O_RDONLY,
                                  O_CREAT | O_PATH};
  for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
    tell("create", at, shape, result = syscall(SYS_openat, at, path, flags[i] | O_NONBLOCK, 0640));
    if (result >= 0) close(result);
    if (result >= 0 && !quiet_errors) make_tree();
  }
  struct open_how how = {.flags = O_CREAT | O_WRONLY, .mode = 0600, .resolve = RESOLVE_BENEATH};
  CHANGING("createbeneath", syscall(SYS_openat2, at, path, &how, sizeof how));
  if (result >= 0) close(result);
  if (at != AT_FDCWD) return;
  KEEPING("truncate", truncate(path, 3));
  KEEPING("truncatebad", truncate(path, -3));
  KEEPING("chmod", chmod(path, 0600));
  KEEPING("chown", chown(path, 0, 0));
  KEEPING("lchown", lchown(path, 0, 0));
  KEEPING("utime", utime(path, 0));
  KEEPING("utimes", syscall(SYS_utimes, path, older));
  KEEPING("setxattr", setxattr(path, "user.some", "x", 1, 0));
  KEEPING("lsetxattr", lsetxattr(path, "user.some", "x", 1, 0));
  KEEPING("removexattr", removexattr(path, "user.none"));
  KEEPING("lremovexattr", lremovexattr(path, "user.none"));
  CHANGING("mkdir", syscall(SYS_mkdir, path, 0755));
  CHANGING("rmdir", syscall(SYS_rmdir, path));
  CHANGING("unlink", syscall(SYS_unlink, path));
  CHANGING("symlink", syscall(SYS_symlink, "x", path));
  CHANGING("link", syscall(SYS_link, path, "/made"));
  CHANGING("rename", syscall(SYS_rename, path, "/made"));
  if (strcmp(shape, "/fifo")) {
    CHANGING("creat", syscall(SYS_creat, path, 0644));
    if (result >= 0) close(result);
  }
  struct sockaddr_un address = {.sun_family = AF_UNIX}, back = {0};
  socklen_t size = sizeof back;
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
  tell("bind", at, shape, result = bind(socket_, (void *)&address, sizeof address));
  if (!result && path[0]) {
    getsockname(socket_, (void *)&back, &size);
    printf("  %d %.100s\n", (int)size, back.sun_path);
    listen(socket_, 1);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    tell("connectbound", at, shape, connect(client, (void *)&address, sizeof address));
    size = sizeof back;
    tell("getpeername", at, shape, getpeername(client, (void *)&back, &size));
    printf("  %d %.100s\n", (int)size, back.sun_path);
    close(client);
    unlink(path);
  }
  close(socket_);
}

static void all(int at, int changes) {
  for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    looking(at, shapes[i], shapes[i]);
    if (changes) changing(at, shapes[i], shapes[i]);
  }
  static char *special[] = {n255, n256, longest, 0, (char *)8};
  static const char *called[] = {"n255", "n256", "longest", "null", "bad"};
  for (unsigned i = 0; i < 3; i++) {
    looking(at, called[i], special[i]);
    if (changes) changing(at, called[i], special[i]);
  }
  for (unsigned i = 3; i < 5; i++) {
    struct stat status;
    tell("stat", at, called[i], syscall(SYS_newfstatat, at, special[i], &status, 0));
    tell("openat", at, called[i], syscall(SYS_openat, at, special[i], 0, 0));
    tell("mkdirat", at, called[i], syscall(SYS_mkdirat, at, special[i], 0));
  }
}

static void through_binds(void) {
  long result;
  for (unsigned i = 0; i < sizeof bound / sizeof *bound; i++) {
    looking(AT_FDCWD, bound[i], bound[i]);
    changing(AT_FDCWD, bound[i], bound[i]);
    for (unsigned other = 0; other < sizeof bound / sizeof *bound; other++) {
      tell("across", (int)other, bound[i], result = rename(bound[i], bound[other]));
      if (!result) rename(bound[other], bound[i]);
      tell("linkacross", (int)other, bound[i], result = link(bound[i], bound[other]));
      if (!result) unlink(bound[other]);
    }
  }
  int file = open("/romnt/inner", O_RDONLY);
  struct timespec times[2] = {{1, 2}, {3, 4}};
  tell("fchmod", 0, "/romnt/inner", fchmod(file, 0600));
  tell("fchown", 0, "/romnt/inner", fchown(file, 0, 0));
  tell("futimens", 0, "/romnt/inner", futimens(file, times));
  tell("fsetxattr", 0, "/romnt/inner", fsetxattr(file, "user.x", "x", 1, 0));
  tell("fchownat", 0, "/romnt/inner", fchownat(file, "", 0, 0, AT_EMPTY_PATH));
  close(file);
  chdir("/romnt/sub");
  tell("mkdir", 0, "here", mkdir("here", 0755));
  tell("open", 0, "here", open("here", O_CREAT | O_RDWR, 0644));
  tell("mkdir", 0, "../../mnt/here", result = mkdir("../../mnt/here", 0755));
  if (!result) rmdir("/mnt/here");
  tell("mkdir", 0, "..", mkdir("../x", 0755));
  chdir("/");
}

// Makes `path` the root and working directory in a child made with `flags`, after `leaving` by unshare(2), and looks at what is left here.
static void sharing(int flags, int leaving, const char *path) {
  int status;
  fflush(stdout);
  if (syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0) == 0) _exit((leaving && unshare(leaving)) || chroot(path) || chdir("/"));
  wait(&status);
  printf("chroot %s in a child with flags %x: %d\n", path, flags, status);
  static const char *places[] = {"/", "/sub", "/sub/deep", "/deep", "/file", "sub", "deep", "..", "../file"};
  for (unsigned i = 0; i < sizeof places / sizeof *places; i++) looking(AT_FDCWD, places[i], places[i]);
  char text[256];
  printf("%ld %s\n", syscall(SYS_getcwd, text, sizeof text), text);
}

// Processes that share their root and working directory.
static void shared_roots(void) {
  fflush(stdout);
  if (fork() == 0) {
    sharing(0, 0, "/dir");
    sharing(CLONE_FS, CLONE_FS, "/dir");
    sharing(CLONE_FS, 0, "/dir");
    sharing(CLONE_FS | CLONE_VM | CLONE_VFORK, 0, "/sub");
    sharing(CLONE_FS, 0, "/nowhere");
    fflush(stdout);
    _exit(0);
  }
  wait(NULL);
}

int main(int count, char **words) {
  memset(n255, 'n', 255);
  memset(n256, 'n', 256);
  for (int i = 0; i < 4990; i++) longest[i] = i % 2 ? '/' : '.';
  umask(022);
  setvbuf(stdout, 0, _IOFBF, 1 << 16);
  if (chdir("/")) return 2;
  make_tree();
  if (count > 1 && !strcmp(words[1], "binds")) {
    through_binds();
    fprintf(stderr, "%ld results\n", lines);
    return 0;
  }
  all(AT_FDCWD, 1);
  chdir("/dir/sub");
  all(AT_FDCWD, 0);
  int directory = open("/dir", O_RDONLY | O_DIRECTORY), path = open("/dir/sub", O_PATH),
      file = open("/file", O_RDONLY);
  all(directory, 0);
  all(path, 0);
  all(file, 0);
  all(999, 0);
  rename("/dir/sub/deep", "/dir/moved");
  int moved = open("/dir/moved", O_PATH);
  rename("/dir/moved", "/moved");
  looking(moved, "../file", "../file");
  looking(moved, "../..", "../..");
  rmdir("/moved");
  unlink("/moved/file");
  rmdir("/moved");
  looking(moved, "..", "..");
  looking(moved, "../file", "../file");
  chdir("/dir");
  make_tree();
  shared_roots();
  if (!setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534)) {
    quiet_errors = 1;
    printf("nobody\n");
    all(AT_FDCWD, 0);
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) changing(AT_FDCWD, shapes[i], shapes[i]);
  }
  fprintf(stderr, "%ld results\n", lines);
  return 0;
}
