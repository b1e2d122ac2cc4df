// Faults that a program causes, catches and survives: the handler sees signal, code and address, repairs the cause or moves
// the instruction pointer, and the program goes on. With an argument the fault is not caught and ends the program.
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include "guest.h"

static char *page, *shut;
static volatile int repairs;
static sigjmp_buf out;
static volatile int onStack;
static char alternate[65536];

static const char *place(const void *address) {
  static char text[64];
  if (address == NULL) return "null";
  if ((char *)address >= page && (char *)address < page + 8192) {
    snprintf(text, sizeof text, "page+%td", (char *)address - page);
    return text;
  }
  if ((char *)address >= shut && (char *)address < shut + 4096) {
    snprintf(text, sizeof text, "shut+%td", (char *)address - shut);
    return text;
  }
  return "elsewhere";
}

static void handler(int number, siginfo_t *info, void *context) {
  ucontext_t *user = context;
  greg_t *registers = user->uc_mcontext.gregs;
  onStack = (char *)&user >= alternate && (char *)&user < alternate + sizeof alternate;
  unsigned char *at = (unsigned char *)registers[REG_RIP];
  printf("signal %d code %d at %s", number, info->si_code, place(info->si_addr));
  if (number == SIGSEGV) printf(" trap %lld error %lld", registers[REG_TRAPNO],
                                   registers[REG_ERR] & ~1ll)  /* bit 0 tells whether the kernel had filled the page */;
  puts("");
  if (number == SIGSEGV && (char *)info->si_addr >= shut && (char *)info->si_addr < shut + 4096 && info->si_code == 2) {
    repairs++;
    mprotect(shut, 4096, PROT_READ | PROT_WRITE);  // the instruction is tried again
    return;
  }
  if (number == SIGILL && at[0] == 0x0f && at[1] == 0x0b) {
    registers[REG_RIP] += 2;  // over ud2
    registers[REG_RAX] = 4711;
    return;
  }
  if (number == SIGTRAP) return;
  siglongjmp(out, number);
}

#define TRY(text, statement)              \
  do {                                    \
    fputs(text ": ", stdout);             \
    if (sigsetjmp(out, 1) == 0) {         \
      statement;                          \
      puts("went on");                    \
    }                                     \
  } while (0)

static volatile int zero, one = 1;
static volatile long least = INT64_MIN;
static int recurse(int depth) {
  volatile char weight[1024];
  weight[0] = (char)depth;
  return recurse(depth + 1) + weight[0];
}

static void cause(const char *fault) {
  if (!strcmp(fault, "null")) *(volatile int *)0 = 1;
  if (!strcmp(fault, "divide")) zero = one / zero;
  if (!strcmp(fault, "illegal")) __asm__ volatile("ud2");
  if (!strcmp(fault, "trap")) __asm__ volatile("int3");
  if (!strcmp(fault, "privileged")) __asm__ volatile("hlt");
  if (!strcmp(fault, "execute")) ((void (*)(void))page)();
  if (!strcmp(fault, "canonical")) *(volatile char *)0x8000000000000000u = 1;
  if (!strcmp(fault, "stack")) zero = recurse(0);
  if (!strcmp(fault, "abort")) abort();
  if (!strcmp(fault, "kill")) kill(getpid(), SIGKILL);
  if (!strcmp(fault, "term")) raise(SIGTERM);
}

int main(int argc, char **argv) {
  page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  shut = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc > 1) {
    cause(argv[1]);
    return 1;
  }
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  CHECK(sigaltstack(&stack, NULL) == 0);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, NULL);

  TRY("null write", *(volatile int *)0 = 1);
  TRY("null read", zero = *(volatile int *)0);
  TRY("protected write, repaired", shut[100] = 7);
  CHECK(shut[100] == 7 && repairs == 1 && onStack);
  TRY("divide by zero", zero = one / zero);
  TRY("quotient too big", least = least / (zero - 1));
  static long answer;
  TRY("ud2, skipped", __asm__ volatile("ud2" : "=a"(answer)));
  CHECK(answer == 4711);
  TRY("int3", __asm__ volatile("int3"));
  TRY("privileged", __asm__ volatile("hlt"));
  TRY("not canonical", zero = *(volatile char *)0x4000000000000000u);
  TRY("not executable", ((void (*)(void))page)());
  mprotect(page, 4096, PROT_READ);
  TRY("read-only", page[17] = 1);
  mprotect(page, 4096, PROT_READ | PROT_WRITE);
  munmap(page + 4096, 4096);
  TRY("half over the end", *(volatile uint64_t *)(page + 4092) = 5);
  CHECK(*(uint32_t *)(page + 4092) == 0);  // nothing half-done
  int file = open("short", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(ftruncate(file, 100) == 0);
  shut = mmap(NULL, 8192, PROT_READ, MAP_SHARED, file, 0);
  TRY("within the file's page", zero = shut[200]);
  TRY("behind the file's end", zero = shut[4097]);
  zero = 0;
  TRY("stack overflow", zero = recurse(0));
  unlink("short");
  puts("survived");
}
