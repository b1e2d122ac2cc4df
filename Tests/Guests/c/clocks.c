// What the C library gets from the vdso, compared with the system calls themselves: clock_gettime, gettimeofday, time, getcpu,
// their resolutions and errors; in threads, after fork and exec, while signals arrive; the vdso's place among the mappings, in
// the auxiliary vector and in the list of loaded objects; its symbols. Prints only what is the same in every run.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const clockid_t clocks[] = {
  CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI,
  CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
};
enum { CLOCKS = sizeof clocks / sizeof *clocks };

static long long nanoseconds(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }

static long long by_call(clockid_t clock) {
  struct timespec t;
  if (syscall(SYS_clock_gettime, clock, &t) != 0) abort();
  return nanoseconds(t);
}

static long long by_library(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) != 0) abort();
  return nanoseconds(t);
}

// How often a reading of the library is not between those of two system calls around it.
static int disagreements(clockid_t clock, int count) {
  int wrong = 0;
  for (int i = 0; i < count; i++) {
    long long before = by_call(clock), between = by_library(clock), after = by_call(clock);
    if (between < before || after < between) wrong++;
  }
  return wrong;
}

static void agreement(void) {
  for (int i = 0; i < CLOCKS; i++) {
    struct timespec resolution, other;
    int wrong = disagreements(clocks[i], 2000);
    clock_getres(clocks[i], &resolution);
    syscall(SYS_clock_getres, clocks[i], &other);
    printf("clock %d: %d disagreements, resolution %s\n", (int)clocks[i], wrong,
        nanoseconds(resolution) == nanoseconds(other) ? "equal" : "different");
  }
  struct timespec t;
  errno = 0;
  int result = clock_gettime(77, &t);
  printf("unknown clock: %d %s\n", result, strerror(errno));
  int wrong = 0;
  for (int i = 0; i < 2000; i++) {
    struct timeval a, b, c;
    struct timezone zone = {99, 99};
    syscall(SYS_gettimeofday, &a, NULL);
    gettimeofday(&b, &zone);
    syscall(SYS_gettimeofday, &c, NULL);
    if (timercmp(&b, &a, <) || timercmp(&c, &b, <)) wrong++;
    time_t d = time(NULL), e = d;
    if (time(&e) < d || e - d > 1 || labs((long)(d - a.tv_sec)) > 1) wrong++;
  }
  printf("gettimeofday and time: %d disagreements\n", wrong);
  wrong = 0;
  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &all)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    unsigned number, node, number2, node2;
    if (sched_getcpu() != cpu || getcpu(&number, &node) != 0 || syscall(SYS_getcpu, &number2, &node2, NULL) != 0) wrong++;
    if (number != (unsigned)cpu || number2 != number || node != node2) wrong++;
  }
  sched_setaffinity(0, sizeof all, &all);
  printf("getcpu: %d disagreements\n", wrong);
}

// RDTSC, RDTSCP and RDPID themselves: whole registers, flags, and RCX in between.
static void counters(void) {
  int wrong = 0, cpu = sched_getcpu(), hasRDPID = __builtin_cpu_supports("rdpid");
  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof one, &one);
  unsigned long last = 0;
  for (int i = 0; i < 10000; i++) {
    unsigned long a = ~0ul, d = ~0ul, c = 0x123456789abcdef0ul, number = ~0ul, after = 0, flags;
    __asm__ volatile("cmp $1, %3; stc; rdtsc; pushf; pop %4"
        : "+a"(a), "+d"(d), "+c"(c), "+r"(after), "=r"(flags) : : "cc");
    if (a >> 32 || d >> 32 || c != 0x123456789abcdef0ul || !(flags & 1) || (d << 32 | a) < last) wrong++;
    last = d << 32 | a;
    a = d = c = ~0ul;
    __asm__ volatile("rdtscp; mov %2, %3" : "+a"(a), "+d"(d), "+c"(c), "=r"(after));
    if (a >> 32 || d >> 32 || c != after || (int)(c & 0xfff) != cpu || c >> 32 || (d << 32 | a) < last) wrong++;
    last = d << 32 | a;
    if (!hasRDPID) continue;
    __asm__ volatile("rdpid %0" : "+r"(number));
    if (number != c) wrong++;
    register unsigned long high __asm__("r15") = ~0ul;
    __asm__ volatile("rdpid %0" : "+r"(high));
    if (high != c) wrong++;
    number = ~0ul;
    __asm__ volatile("rdpid %%rcx; mov %%rcx, %0" : "=r"(number) : : "rcx");
    if (number != c) wrong++;
  }
  sched_setaffinity(0, sizeof all, &all);
  printf("counters: %d wrong\n", wrong);
}

static void *climb(void *result) {
  long long last = 0, backwards = 0;
  for (int i = 0; i < 200000; i++) {
    long long now = by_library(CLOCK_MONOTONIC);
    if (now < last) backwards++;
    last = now;
  }
  *(long long *)result = backwards + disagreements(CLOCK_MONOTONIC, 500);
  return NULL;
}

static void threads(void) {
  pthread_t thread[4];
  long long wrong[4];
  for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, climb, &wrong[i]);
  for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
  printf("threads: %lld %lld %lld %lld\n", wrong[0], wrong[1], wrong[2], wrong[3]);
}

static volatile sig_atomic_t ticks;
static volatile long long in_handler;
static uintptr_t data_start, vdso_start, vdso_end;
// Start and size of each of the kernel's mappings.
static uintptr_t part[8][2];
static int parts;
static volatile sig_atomic_t ticks_in_vdso;

static void tick(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  uintptr_t place = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  if (place >= vdso_start && place < vdso_end) ticks_in_vdso++;
  in_handler = by_library(CLOCK_MONOTONIC);
  ticks++;
}

static void signals(void) {
  struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_RESTART | SA_SIGINFO};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  long long last = 0;
  int wrong = 0;
  for (long i = 0; ticks < 300 || (ticks_in_vdso == 0 && ticks < 3000); i++) {
    long long now = by_library(CLOCK_MONOTONIC);
    if (now < last) wrong++;
    last = now;
  }
  setitimer(ITIMER_REAL, &never, NULL);
  printf("signals: %d wrong, %s inside the vdso\n", wrong, ticks_in_vdso > 0 ? "some" : "none");
}

static int find_names(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  int *found = data;
  if (strcmp(info->dlpi_name, "linux-vdso.so.1") == 0 || info->dlpi_addr == getauxval(AT_SYSINFO_EHDR)) found[0]++;
  return 0;
}

// The value of a symbol of the vdso, by its tables.
static void *vdso_symbol(const char *wanted) {
  uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  const Elf64_Ehdr *header = (void *)base;
  const Elf64_Phdr *segment = (void *)(base + header->e_phoff);
  const Elf64_Dyn *dynamic = NULL;
  uintptr_t bias = base;
  for (int i = 0; i < header->e_phnum; i++) {
    if (segment[i].p_type == PT_LOAD) bias = base + segment[i].p_offset - segment[i].p_vaddr;
    if (segment[i].p_type == PT_DYNAMIC) dynamic = (void *)(base + segment[i].p_offset);
  }
  const Elf64_Sym *symbols = NULL;
  const char *names = NULL;
  for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++) {
    if (dynamic->d_tag == DT_SYMTAB) symbols = (void *)(bias + dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_STRTAB) names = (void *)(bias + dynamic->d_un.d_ptr);
  }
  // The string table follows the symbols.
  for (const Elf64_Sym *symbol = symbols; symbol != NULL && (const char *)symbol < names; symbol++)
    if (strcmp(names + symbol->st_name, wanted) == 0) return (void *)(bias + symbol->st_value);
  return NULL;
}

static void image(void) {
  uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  printf("vdso: %s, magic %d\n", base & 4095 ? "not aligned" : "aligned", base && memcmp((void *)base, ELFMAG, 4) == 0);
  char line[512], kinds[256] = "";
  FILE *maps = fopen("/proc/self/maps", "r");
  while (fgets(line, sizeof line, maps)) {
    unsigned long start, end;
    char rights[8];
    sscanf(line, "%lx-%lx %7s", &start, &end, rights);
    char *name = strrchr(line, '[');
    if (name == NULL || (strncmp(name, "[vvar", 5) != 0 && strncmp(name, "[vdso]", 6) != 0)) continue;
    name[strcspn(name, "\n")] = 0;
    if (data_start == 0) data_start = start;
    if (parts < 8) part[parts][0] = start, part[parts++][1] = end - start;
    snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), " %s %s %lu", name, rights, (end - start) / 4096);
    if (strcmp(name, "[vdso]") == 0) vdso_start = start, vdso_end = end;
  }
  fclose(maps);
  printf("maps:%s; the vector's %d\n", kinds, vdso_start == base);
  int found[2] = {0, 0};
  dl_iterate_phdr(find_names, found);
  printf("loaded objects: %d\n", found[0]);
  unsigned long vector[64];
  int file = open("/proc/self/auxv", O_RDONLY), agrees = 0;
  ssize_t size = read(file, vector, sizeof vector);
  for (int i = 0; i + 1 < (int)(size / 8); i += 2) if (vector[i] == AT_SYSINFO_EHDR) agrees = vector[i + 1] == base;
  close(file);
  printf("/proc/self/auxv: %d\n", agrees);
  const char *names[] = {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu", "__vdso_nothing"};
  for (int i = 0; i < 5; i++) printf("%s: %d\n", names[i], vdso_symbol(names[i]) != NULL);
  int (*direct)(clockid_t, struct timespec *) = vdso_symbol("__vdso_clock_gettime");
  struct timespec t;
  long long before = by_call(CLOCK_REALTIME);
  int result = direct(CLOCK_REALTIME, &t);
  printf("called directly: %d %d\n", result, before <= nanoseconds(t) && nanoseconds(t) <= by_call(CLOCK_REALTIME));
}

// Changes to the mappings themselves; last, because the library goes on believing in them.
static void changes(void) {
  uintptr_t base = getauxval(AT_SYSINFO_EHDR);
  size_t size = vdso_end - vdso_start;
  int (*direct)(clockid_t, struct timespec *) = vdso_symbol("__vdso_clock_gettime");
  errno = 0;
  int result = mprotect((void *)(base - 4096), 4096, PROT_READ | PROT_WRITE);
  printf("a page of the data made writable: %d %s\n", result, strerror(errno));
  errno = 0;
  result = size > 4096 ? munmap((void *)base, 4096) : -1;
  printf("half of it unmapped: %d %s\n", result, strerror(errno));
  errno = 0;
  long again = syscall(SYS_arch_prctl, 0x2003, 0x500000000ul);
  printf("a second one: %ld %s\n", again, strerror(errno));
  // Moved, it works on, and moved back; the distance to its data counts.
  uintptr_t total = vdso_end - data_start, elsewhere = 0x600000000ul;
  int moves = 0;
  for (int i = 0; i < parts; i++) {
    void *target = (void *)(elsewhere + part[i][0] - data_start);
    moves += mremap((void *)part[i][0], part[i][1], part[i][1], MREMAP_MAYMOVE | MREMAP_FIXED, target) == target;
  }
  struct timespec t;
  int (*moved)(clockid_t, struct timespec *) = (void *)((uintptr_t)direct - data_start + elsewhere);
  printf("moved: %d, %d\n", moves == parts, moved(CLOCK_MONOTONIC, &t));
  for (int i = 0; i < parts; i++)
    mremap((void *)(elsewhere + part[i][0] - data_start), part[i][1], part[i][1], MREMAP_MAYMOVE | MREMAP_FIXED,
        (void *)part[i][0]);
  printf("moved back: %d\n", direct(CLOCK_MONOTONIC, &t));
  // A breakpoint as debuggers set it.
  volatile unsigned char *code = (void *)direct;
  result = mprotect((void *)vdso_start, size, PROT_READ | PROT_WRITE | PROT_EXEC);
  unsigned char old = code[0];
  if (result == 0) code[0] = 0xc3, direct(CLOCK_REALTIME, NULL), code[0] = old;
  printf("written to: %d\n", result);
  printf("works again: %d\n", direct(CLOCK_MONOTONIC, &t));
  result = munmap((void *)vdso_start, size);
  int left = 0;
  int file = open("/proc/self/maps", O_RDONLY);
  static char text[1 << 16];
  ssize_t got, length = 0;
  while ((got = read(file, text + length, sizeof text - 1 - length)) > 0) length += got;
  text[length] = 0;
  for (char *p = text; (p = strstr(p, "[vdso]")) != NULL; p++) left++;
  printf("unmapped: %d, %d left\n", result, left);
  munmap((void *)data_start, total - size);
  errno = 0;
  again = syscall(SYS_arch_prctl, 0x2003, 0x500000000ul);
  printf("mapped again: %d %s\n", again == (long)size, strerror(errno));
  moved = (void *)((uintptr_t)direct - data_start + 0x500000000ul);
  printf("works there: %d\n", again < 0 ? -1 : moved(CLOCK_MONOTONIC, &t));
}

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IONBF, 0);
  if (count > 1 && strcmp(words[1], "changes") == 0) {
    image();
    changes();
    return 0;
  }
  if (count > 1 && strcmp(words[1], "again") == 0) {
    image();
    printf("after exec: %d\n", disagreements(CLOCK_MONOTONIC, 500));
    return 0;
  }
  image();
  agreement();
  counters();
  threads();
  signals();
  pid_t child = fork();
  if (child == 0) {
    printf("after fork: %d\n", disagreements(CLOCK_MONOTONIC, 500));
    // What one program does with its vdso does not reach the next one.
    munmap((void *)vdso_start, vdso_end - vdso_start);
    execl("/proc/self/exe", words[0], "again", (char *)NULL);
    _exit(1);
  }
  int status;
  waitpid(child, &status, 0);
  printf("child: %d\n", status);
  return 0;
}
