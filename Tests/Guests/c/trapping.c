// The trap flag: a SIGTRAP behind each instruction, whatever it is, between the one that sets TF and the one that clears it.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define BEGIN "xor %%eax, %%eax\n pushf\n orq $0x100, (%%rsp)\n popf\n"
#define END "pushf\n andq $~0x100, (%%rsp)\n popf\n"

static volatile int count;
static uintptr_t places[4096];
static int is_printing = 1;

// Each trap's distance from the one before, and what the frame says; of the flags TF, IF, DF and RF. Behind SYSCALL there is none.
static void trapped(int number, siginfo_t *information, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  if (count < 4096) places[count] = registers[REG_RIP];
  if (is_printing) {
    printf("%d: %+ld, code %d, trap %lld, error %lld, address %d, flags %#llx, rax %#llx, rcx %#llx\n", count,
           count == 0 ? 0 : (long)(places[count] - places[count - 1]), information->si_code, (long long)registers[REG_TRAPNO],
           (long long)registers[REG_ERR], information->si_addr == (void *)registers[REG_RIP], (long long)registers[REG_EFL] & 0x10700,
           (long long)registers[REG_RAX], (long long)registers[REG_RCX] < 1 << 20 ? (long long)registers[REG_RCX] : -1);
  }
  count++;
}

// A fault is not followed by a trap; the handler goes on behind it, where TF is still set.
static void faulted(int number, siginfo_t *information, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  printf("signal %d, code %d, flags %#llx\n", number, information->si_code, (long long)registers[REG_EFL] & 0x10700);
  registers[REG_RIP] += 2;
}

static void finish(const char *what) {
  printf("%s: %d traps\n", what, count);
  count = 0;
}

#define TRY(what, code)                                                                                            \
  do {                                                                                                             \
    memset(data, 0, sizeof data);                                                                                  \
    __asm__ volatile(BEGIN code END                                                                                \
                     :                                                                                             \
                     : "S"(data)                                                                                   \
                     : "rax", "rbx", "rcx", "rdx", "rdi", "r8", "r11", "xmm0", "xmm1", "memory", "cc");             \
    finish(what);                                                                                                  \
  } while (0)

static uint64_t data[64] __attribute__((aligned(64)));

static void instructions(void) {
  TRY("nothing", "");
  TRY("arithmetic", "mov $5, %%eax\n add $7, %%eax\n cmp $12, %%eax\n mul %%rax\n xor %%ecx, %%ecx\n mov $9, %%ecx\n div %%ecx\n");
  TRY("memory", "movq $3, (%%rsi)\n lock xaddq %%rax, (%%rsi)\n push (%%rsi)\n pop 8(%%rsi)\n xchg %%rcx, 8(%%rsi)\n");
  TRY("branches", "xor %%eax, %%eax\n jz 1f\n nop\n 1: jnz 1b\n jmp 2f\n ud2\n 2: call 3f\n jmp 4f\n 3: ret\n 4: lea 5f(%%rip), %%rax\n jmp *%%rax\n ud2\n 5:\n");
  TRY("loop", "mov $4, %%ecx\n 1: inc %%rax\n loop 1b\n");
  TRY("vectors", "pxor %%xmm0, %%xmm0\n movdqa %%xmm0, (%%rsi)\n paddd (%%rsi), %%xmm0\n cvttsd2si %%xmm0, %%eax\n");
  TRY("x87", "fld1\n fadd %%st(0), %%st\n fistpll (%%rsi)\n mov (%%rsi), %%rax\n");
  TRY("flags", "pushf\n pop %%rax\n push %%rax\n popf\n std\n cld\n lahf\n");
  TRY("prefixes", "lock incl (%%rsi)\n data16 nop\n rep nop\n nopl 0(%%rax,%%rax,1)\n");
  TRY("calls", "mov $24, %%eax\n syscall\n xor %%eax, %%eax\n mov $24, %%eax\n syscall\n nop\n");
  TRY("faults", "nop\n ud2\n nop\n mov (%%rcx), %%al\n nop\n");
  TRY("breakpoints", "nop\n int3\n nop\n");
  TRY("iret", "mov %%ss, %%eax\n mov %%rsp, %%rcx\n push %%rax\n push %%rcx\n pushf\n mov %%cs, %%eax\n push %%rax\n lea 1f(%%rip), %%rax\n push %%rax\n iretq\n 1: nop\n");
  TRY("once more set", "pushf\n popf\n nop\n");
}

// Library functions, calls into the kernel and vector code of all sorts on the way.
static void library(void) {
  char text[256];
  is_printing = 0;
  __asm__ volatile("pushf\n orq $0x100, (%%rsp)\n popf" : : : "memory", "cc");
  snprintf(text, sizeof text, "%s %d %a", "text", 12345, 1.5);
  __asm__ volatile("pushf\n andq $~0x100, (%%rsp)\n popf" : : : "memory", "cc");
  printf("%s: %s\n", text, count > 300 ? "trapped" : "not trapped");
  count = 0;
  is_printing = 1;
}

// A child is born with the flag, and without a handler the first instruction is the last.
static void processes(void) {
  fflush(stdout);
  for (int has_handler = 0; has_handler < 2; has_handler++) {
    pid_t child = fork();
    if (child == 0) {
      if (!has_handler) signal(SIGTRAP, SIG_DFL);
      __asm__ volatile(BEGIN "nop\n" END : : : "memory", "cc");
      _exit(count);
    }
    int status;
    waitpid(child, &status, 0);
    printf("child: status %#x\n", status);
  }
}

int main(void) {
  struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
  sigaction(SIGTRAP, &action, NULL);
  action.sa_sigaction = faulted;
  sigaction(SIGILL, &action, NULL);
  sigaction(SIGSEGV, &action, NULL);
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  instructions();
  library();
  processes();
  return 0;
}
