// What processes share and pass to each other: memory until they execute (vfork, posix_spawn), System V and POSIX shared memory,
// semaphores, queues, descriptors in messages, each other's memory and /proc; and what calls do to memory.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/filter.h>
#include <mqueue.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

extern char **environ;
static int global = 1;
static sigjmp_buf back;
static void on_fault(int number) { siglongjmp(back, number); }

// "ok" or the name of the error.
#define SAY(expression) ((expression) == -1 ? strerrorname_np(errno) : "ok")

static int status_of(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int work(void *words) {
  global = 7;
  strcpy(words, "written by the child");
  _exit(3);
}

static void borrowed_memory(void) {
  volatile int local = 1;
  int *heap = malloc(100000);
  heap[20000] = 1;
  pid_t child = vfork();
  if (child == 0) {
    local = 2, heap[20000] = 3, global = 4;
    _exit(5);
  }
  printf("vfork: %d %d %d, status %d\n", local, heap[20000], global, status_of(child));
  child = vfork();
  if (child == 0) {
    execl("/nonexistent/program", "x", NULL);
    local = errno;
    execl("/proc/self/exe", "sharing", "child", "status", NULL);
    _exit(99);
  }
  printf("vfork: exec gave %d, then status %d\n", local, status_of(child));
  char *stack = malloc(65536), text[64] = "";
  child = clone(work, stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, text);
  printf("clone: %d, %s, status %d\n", global, text, status_of(child));
  struct clone_args arguments = {.flags = CLONE_PIDFD, .exit_signal = SIGCHLD};
  int descriptor = -1;
  arguments.pidfd = (uintptr_t)&descriptor;
  child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0) _exit(12);
  siginfo_t information = {0};
  CHECK(waitid(P_PIDFD, (id_t)descriptor, &information, WEXITED) == 0);
  printf("clone3: %d %d\n", information.si_code == CLD_EXITED, information.si_status);
  char *words[] = {"sharing", "child", "echo", "spawned", NULL};
  printf("posix_spawn: %d", posix_spawn(&child, "/nonexistent", NULL, NULL, words, environ));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "spawned.txt", O_WRONLY | O_CREAT, 0644);
  printf(" %d", posix_spawn(&child, "/proc/self/exe", &actions, NULL, words, environ));
  printf(", status %d\n", status_of(child));
  posix_spawn_file_actions_addopen(&actions, 1, "/nonexistent/x", O_WRONLY, 0);
  printf("posix_spawn: %s\n", strerrorname_np(posix_spawn(&child, "/proc/self/exe", &actions, NULL, words, environ)));
}

static void shared_memory(void) {
  int identifier = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
  char *one = shmat(identifier, NULL, 0), *two = shmat(identifier, NULL, SHM_RDONLY);
  CHECK(one != (void *)-1 && two != (void *)-1);
  strcpy(one, "shared");
  pid_t child = fork();
  if (child == 0) {
    strcat(one, " with a child");
    _exit(0);
  }
  status_of(child);
  struct shmid_ds state;
  CHECK(shmctl(identifier, IPC_STAT, &state) == 0);
  printf("shm: %s, %zu bytes, %d attached\n", two, state.shm_segsz, (int)state.shm_nattch);
  signal(SIGSEGV, on_fault);
  if (sigsetjmp(back, 1) == 0) two[0] = 1; else printf("shm: read-only\n");
  printf("shm: detach %d", shmdt(two));
  printf(" %s\n", SAY(shmdt(two)));
  char *place = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("shm: taken %d", shmat(identifier, place, 0) == (void *)-1);
  printf(", unaligned %d", shmat(identifier, place + 100, 0) == (void *)-1);
  printf(", replaced %d", shmat(identifier, place + 100, SHM_RND | SHM_REMAP) == place);
  printf(", %s\n", place);
  CHECK(shmctl(identifier, IPC_RMID, NULL) == 0 && shmdt(one) == 0 && shmdt(place) == 0);
  printf("shm: gone %d\n", shmat(identifier, NULL, 0) == (void *)-1 && errno == EINVAL);
  int memory = shm_open("/vitrine-test", O_RDWR | O_CREAT, 0600);
  CHECK(memory >= 0 && ftruncate(memory, 4096) == 0);
  int *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  for (int i = 0; i < 4; i++)
    if (fork() == 0) {
      for (int j = 0; j < 1000; j++) __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
      _exit(0);
    }
  while (wait(NULL) > 0) {}
  printf("shm_open: %d %d\n", *count, shm_unlink("/vitrine-test"));
}

static void queues(void) {
  int set = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600);
  unsigned short values[3] = {1, 2, 3};
  CHECK(semctl(set, 0, SETALL, values) == 0);
  if (fork() == 0) {
    struct sembuf up = {0, 4, 0};
    usleep(10000);
    semop(set, &up, 1);
    _exit(0);
  }
  struct sembuf down[2] = {{0, -5, 0}, {2, 1, 0}};
  CHECK(semop(set, down, 2) == 0);
  CHECK(semctl(set, 0, GETALL, values) == 0);
  printf("sem: %d %d %d", values[0], values[1], values[2]);
  struct timespec brief = {0, 1000000};
  printf(", timed %s, value %d\n", SAY(semtimedop(set, down, 1, &brief)), semctl(set, 1, GETVAL));
  wait(NULL);
  CHECK(semctl(set, 0, IPC_RMID) == 0);
  int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  struct { long type; char text[16]; } message = {2, "second"}, first = {1, "first"};
  CHECK(msgsnd(queue, &message, 16, 0) == 0 && msgsnd(queue, &first, 16, 0) == 0);
  CHECK(msgrcv(queue, &message, 16, 1, 0) == 16);
  printf("msg: %s", message.text);
  printf(", %s\n", SAY(msgrcv(queue, &message, 4, 0, 0)));
  CHECK(msgctl(queue, IPC_RMID, NULL) == 0);
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
  mqd_t posix = mq_open("/vitrine-queue", O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attributes);
  CHECK(posix >= 0 && mq_unlink("/vitrine-queue") == 0);
  CHECK(mq_send(posix, "low", 4, 1) == 0 && mq_send(posix, "high", 5, 9) == 0);
  char text[16];
  unsigned priority;
  CHECK(mq_receive(posix, text, 16, &priority) == 5);
  CHECK(mq_getattr(posix, &attributes) == 0);
  printf("mq: %s %u, %ld left of %ld\n", text, priority, attributes.mq_curmsgs, attributes.mq_maxmsg);
}

// A filter of classic BPF on a socket lets three bytes of each message through.
static void socket_filter(void) {
  struct sock_filter cut[] = {{BPF_RET | BPF_K, 0, 0, 3}};
  struct sock_fprog filter = {1, cut}, nowhere = {1, (struct sock_filter *)8}, none = {0, cut};
  int pair[2];
  char text[16];
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
  printf("filter: %s", SAY(setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter)));
  printf(" %s", SAY(setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &filter, 8)));
  printf(" %s", SAY(setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &nowhere, sizeof nowhere)));
  printf(" %s", SAY(setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &none, sizeof none)));
  CHECK(write(pair[0], "a message", 9) == 9);
  printf(", lets %zd bytes through\n", read(pair[1], text, sizeof text));
}

static void descriptors(void) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  int memory = memfd_create("contents", MFD_ALLOW_SEALING);
  CHECK(write(memory, "in a file of memory", 19) == 19 && fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE) == 0);
  printf("memfd: sealed %s\n", SAY(write(memory, "x", 1)));
  char text[32] = "one two", control[CMSG_SPACE(2 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
  struct iovec parts[2] = {{text, 3}, {text + 3, 4}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = control, .msg_controllen = CMSG_SPACE(2 * sizeof(int))};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(header), (int[]){memory, 1}, 2 * sizeof(int));
  CHECK(sendmsg(pair[0], &message, 0) == 7);
  int on = 1;
  CHECK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
  memset(text, 0, sizeof text);
  message.msg_controllen = sizeof control;
  CHECK(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC) == 7);
  for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_type == SCM_CREDENTIALS) {
      printf("credentials: %d\n", ((struct ucred *)CMSG_DATA(header))->pid == getpid());
      continue;
    }
    int received[2];
    memcpy(received, CMSG_DATA(header), sizeof received);
    char contents[32] = "";
    CHECK(pread(received[0], contents, 31, 0) == 19);
    printf("passed: %s, %s, close on exec %d\n", text, contents, fcntl(received[0], F_GETFD));
  }
  struct mmsghdr several[3] = {{{.msg_iov = parts, .msg_iovlen = 1}, 0}, {{.msg_iov = parts, .msg_iovlen = 2}, 0}};
  printf("sendmmsg: %d", sendmmsg(pair[0], several, 2, 0));
  printf(", recvmmsg: %d", recvmmsg(pair[1], several, 3, MSG_DONTWAIT, NULL));
  printf(", lengths %u %u\n", several[0].msg_len, several[1].msg_len);
  int ends[2];
  CHECK(pipe(ends) == 0);
  off_t from = 3;
  ssize_t length;
  printf("splice: %zd", splice(memory, &from, ends[1], NULL, 4, 0));
  struct iovec piece = {"gifted", 6};
  printf(" %zd", vmsplice(ends[1], &piece, 1, 0));
  memset(text, 0, sizeof text);
  length = read(ends[0], text, 31);
  printf(" %zd %s\n", length, text);
  uint64_t number = 0;
  int event = eventfd(3, EFD_SEMAPHORE);
  CHECK(read(event, &number, 8) == 8);
  printf("eventfd: %d", (int)number);
  int epoll = epoll_create1(0);
  struct epoll_event interest = {EPOLLIN | EPOLLET, {.u64 = 0x123456789abcdef}}, found[4];
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &interest) == 0);
  printf(", epoll: %d", epoll_wait(epoll, found, 4, 0));
  printf(" %d", found[0].data.u64 == interest.data.u64);
  printf(" %d\n", epoll_wait(epoll, found, 4, 0));
  int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec soon = {{0, 0}, {0, 1000000}};
  CHECK(timerfd_settime(timer, 0, &soon, NULL) == 0 && read(timer, &number, 8) == 8);
  printf("timerfd: %d\n", (int)number);
  int notify = inotify_init1(IN_NONBLOCK);
  CHECK(inotify_add_watch(notify, ".", IN_CREATE | IN_DELETE) == 1);
  close(open("seen", O_CREAT | O_WRONLY, 0600));
  unlink("seen");
  char events[512];
  length = read(notify, events, sizeof events);
  for (char *at = events; at < events + length; at += sizeof(struct inotify_event) + ((struct inotify_event *)at)->len)
    printf("inotify: %x %s\n", ((struct inotify_event *)at)->mask, ((struct inotify_event *)at)->name);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int bell = signalfd(-1, &set, 0);
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 77});
  struct signalfd_siginfo information;
  CHECK(read(bell, &information, sizeof information) == sizeof information);
  printf("signalfd: %u %d %d\n", information.ssi_signo, information.ssi_int, information.ssi_pid == (unsigned)getpid());
}

static void line_of(const char *path) {
  char text[256] = "";
  int file = open(path, O_RDONLY);
  ssize_t length = read(file, text, sizeof text - 1);
  for (ssize_t i = 0; i < length; i++) if (text[i] == 0) text[i] = '|';
  printf("%s\n", length < 0 ? strerrorname_np(errno) : text);
  close(file);
}

static void each_other(const char *own) {
  int ready[2], go[2];
  CHECK(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
  pid_t child = fork();
  if (child == 0) {
    global = 4321;
    write(ready[1], "x", 1);
    char byte;
    read(go[0], &byte, 1);
    dup2(ready[1], 1);
    dup2(go[0], 0);
    execl(own, "changed name", "child", "wait", NULL);
    _exit(99);
  }
  char byte, path[64], text[4096] = "";
  CHECK(read(ready[0], &byte, 1) == 1);
  int value = 0;
  struct iovec local = {&value, 4}, remote = {&global, 4};
  printf("process_vm_readv: %zd", process_vm_readv(child, &local, 1, &remote, 1, 0));
  printf(" %d", value);
  value = 55;
  printf(", writev: %zd", process_vm_writev(child, &local, 1, &remote, 1, 0));
  value = 0;
  CHECK(process_vm_readv(child, &local, 1, &remote, 1, 0) == 4);
  printf(" %d\n", value);
  write(go[1], "x", 1);
  CHECK(read(ready[0], &byte, 1) == 1);
  snprintf(path, sizeof path, "/proc/%d/cmdline", child);
  line_of(path);
  snprintf(path, sizeof path, "/proc/%d/comm", child);
  line_of(path);
  snprintf(path, sizeof path, "/proc/%d/exe", child);
  ssize_t length = readlink(path, text, sizeof text - 1);
  char mine[4096] = "";
  ssize_t other = readlink("/proc/self/exe", mine, sizeof mine - 1);
  printf("exe: %d\n", length > 0 && length == other && memcmp(text, mine, (size_t)length) == 0);
  snprintf(path, sizeof path, "/proc/%d/maps", child);
  FILE *maps = fopen(path, "r");
  int named = 0, high = 0;
  while (fgets(text, sizeof text, maps)) {
    named += strstr(text, mine) != NULL;
    high += strtoull(text, NULL, 16) >> 47 != 0 && !strstr(text, "vsyscall");
  }
  fclose(maps);
  printf("maps: %d %d\n", named > 2, high);
  close(go[1]);
  printf("status %d\n", status_of(child));
}

static void memory(void) {
  char *area = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(area, 1, 16 * 4096);
  CHECK(madvise(area + 4096, 4096, MADV_DONTNEED) == 0);
  printf("madvise: %d %d %d\n", area[4095], area[4096], area[8192]);
  char *moved = mremap(area, 4096, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, area + 12 * 4096);
  printf("mremap: %d %d %d", moved == area + 12 * 4096, moved[0], moved[4096]);
  unsigned char resident[16];
  printf(", mincore: %s\n", SAY(mincore(area, 4096, resident)));
  char *kept = mremap(moved, 4096, 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  printf("mremap: %d %d %d\n", kept != MAP_FAILED, kept[0], moved[0]);
  printf("mlock: %d %d\n", mlock(moved, 4096), munlock(moved, 4096));
  struct rlimit limit = {64 << 20, 1 << 30}, old;
  CHECK(getrlimit(RLIMIT_AS, &old) == 0 && setrlimit(RLIMIT_AS, &limit) == 0);
  printf("RLIMIT_AS: %d", mmap(NULL, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
  printf(" %d %d\n", (int)(limit.rlim_cur >> 20), (int)(limit.rlim_max >> 20));
  int forbidden = open("/proc/self/mem", O_RDWR);
  // Vitrine refuses what the kernel allows; both are fine.
  printf("mem: %d\n", forbidden >= 0 || errno == EACCES);
}

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IONBF, 0);
  if (count > 2 && strcmp(words[1], "child") == 0) {
    char byte;
    if (strcmp(words[2], "status") == 0) return 33;
    if (strcmp(words[2], "echo") == 0) return printf("%s\n", words[3]) < 0;
    if (strcmp(words[2], "wait") == 0) return (int)write(1, "x", 1) + (int)read(0, &byte, 1);
  }
  borrowed_memory();
  shared_memory();
  queues();
  socket_filter();
  descriptors();
  each_other("/proc/self/exe");
  memory();
  return 0;
}
