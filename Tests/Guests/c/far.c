// Far transfers within 64-bit code, returns from interrupts, and segment registers that are loaded with their offsets: where they go, which
// registers and flags they leave behind, and what the fault says when a selector is wrong.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { CODE = 0x10000000, LANDING = CODE + 0x800, STACK = 0x20000000, SIZE = 0x10000, TOP = STACK + 0x8000 };

// What the code of the test starts with and ends with.
struct state {
  uint64_t rsp, flags, rbx, caller;
} __attribute__((aligned(64)));
struct state before, after;
static sigjmp_buf back;

// Calls the code at CODE with RSP, RFLAGS and RBX as `before` has them; it ends at LANDING, which jumps to `landed`.
void execute(void);
void landed(void);
__asm__(
    "execute:\n"
    "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov %rsp, before+24(%rip)\n"
    "mov before+16(%rip), %rbx\n"
    "push before+8(%rip)\n"
    "mov $0x10000000, %eax\n"
    "popf\n"
    "mov before(%rip), %rsp\n"
    "jmp *%rax\n"
    "landed:\n"
    "mov %rsp, after(%rip)\n"
    "mov %rbx, after+16(%rip)\n"
    "mov before+24(%rip), %rsp\n"
    "pushf\n"
    "pop after+8(%rip)\n"
    "push $0x202\n"
    "popf\n"
    "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
    "ret\n");

static void handler(int number, siginfo_t *information, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  printf("signal %d, code %d, trap %lld, error %#llx, at %#llx, rsp %#llx", number, information->si_code, (long long)registers[REG_TRAPNO],
         (long long)registers[REG_ERR], (long long)registers[REG_RIP], (long long)registers[REG_RSP]);
  if (registers[REG_TRAPNO] == 14) printf(", address %p", information->si_addr);
  siglongjmp(back, 1);
}

static const char *what;

// Executes `size` bytes of code with `count` words of `width` bytes each on the stack.
static void try(const uint8_t *code, size_t size, const uint64_t *words, int count, int width, uint64_t flags) {
  memcpy((void *)CODE, code, size);
  memset((void *)(STACK), 0xcc, SIZE);
  for (int i = 0; i < count; i++) memcpy((uint8_t *)TOP + i * width, &words[i], width);
  before = (struct state){.rsp = TOP, .flags = flags, .rbx = TOP};
  printf("%s, %d bytes,", what, width);
  for (int i = 0; i < count; i++) printf(" %#lx", words[i] & (width == 8 ? ~0ul : (1ul << width * 8) - 1));
  printf(": ");
  // A fault leaves 0 of a null selector.
  __asm__ volatile("mov %0, %%gs" : : "r"(0));
  if (sigsetjmp(back, 1) == 0) {
    execute();
    printf("rsp %#lx, flags %#lx, rbx %#lx", after.rsp, after.flags, after.rbx);
    uint64_t pushed[2] = {0, 0};
    for (int i = 0; i < 2; i++) memcpy(&pushed[i], (uint8_t *)TOP - (2 - i) * width, width);
    printf(", below %#lx %#lx", pushed[0], pushed[1]);
  }
  printf("\n");
}

// All selectors that a process may meet, but those of 32-bit code.
static const uint64_t selectors[] = {0,    1,    2,    3,    7,    8,    0x10, 0x13, 0x18, 0x1b,   0x28,   0x29,   0x2a,   0x2b,    0x2f,
                                     0x30, 0x31, 0x32, 0x33, 0x37, 0x38, 0x3b, 0x43, 0x4b, 0x53,   0x5b,   0x7b,   0x83,    0xfff3,
                                     0xfff8, 0xffff, 0x10033, 0x12345670033};
enum { SELECTORS = sizeof selectors / sizeof *selectors };

static void interrupt_returns(void) {
  static const uint8_t wide[] = {0x48, 0xcf}, narrow[] = {0xcf}, short_[] = {0x66, 0xcf};
  what = "iret";
  for (int i = 0; i < SELECTORS; i++) {
    try(wide, 2, (uint64_t[]){LANDING, selectors[i], 0x202, TOP + 0x100, 0x2b}, 5, 8, 0x202);
    try(wide, 2, (uint64_t[]){LANDING, 0x33, 0x202, TOP + 0x100, selectors[i]}, 5, 8, 0x202);
    try(narrow, 1, (uint64_t[]){LANDING, selectors[i], 0x202, TOP + 0x100, 0x2b}, 5, 4, 0x202);
  }
  // Each flag in turn, but TF, which would trap behind it.
  for (int bit = 0; bit < 64; bit++) {
    if (bit == 8) continue;
    try(wide, 2, (uint64_t[]){LANDING, 0x33, 1ul << bit, TOP + 0x100, 0x2b}, 5, 8, 0x202);
    try(wide, 2, (uint64_t[]){LANDING, 0x33, 0x202, TOP + 0x100, 0x2b}, 5, 8, bit < 16 || bit == 21 ? 0x202 | 1ul << bit : 0x202);
    if (bit < 32) try(narrow, 1, (uint64_t[]){LANDING, 0x33, 1ul << bit, TOP + 0x100, 0x2b}, 5, 4, 0xcd7);
  }
  srand(1);
  for (int i = 0; i < 200; i++) {
    uint64_t flags = (uint64_t)rand() & ~0x100 & ~0x4000;
    try(wide, 2, (uint64_t[]){LANDING, 0x33, flags, TOP + (rand() & 0xff8), 0x2b}, 5, 8, rand() & 0x200cd5);
  }
  // Stacks and targets that are nowhere, and the form that can only go below 64 KiB.
  try(wide, 2, (uint64_t[]){LANDING, 0x33, 0x202, 0x123456789abcdef0, 0x2b}, 5, 8, 0x202);
  try(wide, 2, (uint64_t[]){LANDING, 0x33, 0x202, 1, 0x2b}, 5, 8, 0x202);
  try(wide, 2, (uint64_t[]){0x12345000, 0x33, 0x242, 16, 0x2b}, 5, 8, 0x202);
  try(wide, 2, (uint64_t[]){LANDING + (1ul << 32), 0x33, 0x202, TOP, 0x2b}, 5, 8, 0x202);
  try(short_, 2, (uint64_t[]){0x8000, 0x33, 0x202, 0x4560, 0x2b}, 5, 2, 0x202);
  try(short_, 2, (uint64_t[]){0x8000, 0x33, 0x202, 0x4560, 0x33}, 5, 2, 0x202);
}

static void returns(void) {
  static const uint8_t wide[] = {0x48, 0xcb}, narrow[] = {0xcb}, short_[] = {0x66, 0xcb};
  static const uint8_t releasing[] = {0x48, 0xca, 0x34, 0x12}, narrow_releasing[] = {0xca, 0xf8, 0xff};
  what = "retf";
  for (int i = 0; i < SELECTORS; i++) {
    try(wide, 2, (uint64_t[]){LANDING, selectors[i]}, 2, 8, 0x202);
    try(narrow, 1, (uint64_t[]){LANDING, selectors[i]}, 2, 4, 0x246);
  }
  try(releasing, 4, (uint64_t[]){LANDING, 0x33}, 2, 8, 0x202);
  try(narrow_releasing, 3, (uint64_t[]){LANDING, 0x33}, 2, 4, 0x202);
  try(short_, 2, (uint64_t[]){0x8000, 0x33}, 2, 2, 0x202);
  try(wide, 2, (uint64_t[]){0x12345000, 0x33}, 2, 8, 0x202);
}

// AMD's processors take pointers of 32 bits with REX.W, too, so that is not tried.
static void calls(void) {
  static const uint8_t call[] = {0xff, 0x1b}, jump[] = {0xff, 0x2b}, indexed[] = {0x31, 0xc0, 0xff, 0x5c, 0x83, 0x00};
  static const uint8_t short_call[] = {0x66, 0xff, 0x1b};
  for (int i = 0; i < SELECTORS; i++) {
    what = "call far";
    try(call, 2, (uint64_t[]){LANDING, selectors[i]}, 2, 4, 0x202);
    what = "jmp far";
    try(jump, 2, (uint64_t[]){LANDING, selectors[i]}, 2, 4, 0x202);
  }
  what = "call far";
  try(indexed, 6, (uint64_t[]){LANDING, 0x33}, 2, 4, 0x202);
  try(short_call, 3, (uint64_t[]){0x8000, 0x33}, 2, 2, 0x202);
  try(call, 2, (uint64_t[]){0x12345000, 0x33}, 2, 4, 0x202);
}

// LSS is tried with what leaves the stack segment usable.
static void segments(void) {
  static const uint8_t stack[] = {0x0f, 0xb2, 0x1b}, fourth[] = {0x0f, 0xb4, 0x1b}, fifth[] = {0x0f, 0xb5, 0x1b};
  static const uint8_t words[] = {0x66, 0x0f, 0xb5, 0x1b};
  static const uint8_t leaving[] = {0xb8, LANDING & 0xff, LANDING >> 8 & 0xff, LANDING >> 16 & 0xff, LANDING >> 24, 0xff, 0xe0};
  uint8_t code[16];
  for (int i = 0; i < SELECTORS; i++) {
    for (int which = 0; which < 4; which++) {
      const uint8_t *load = which == 0 ? stack : which == 1 ? fourth : which == 2 ? fifth : words;
      size_t size = which == 3 ? 4 : 3;
      // Without FS the C library ends.
      if (which == 1 && selectors[i] != 0x10 && selectors[i] != 0x3b) continue;
      memcpy(code, load, size);
      memcpy(code + size, leaving, sizeof leaving);
      what = which == 0 ? "lss" : which == 1 ? "lfs" : "lgs";
      try(code, size + sizeof leaving, (uint64_t[]){0x89abcdef, selectors[i]}, 2, which == 3 ? 2 : 4, 0x202);
      uint16_t gs;
      __asm__ volatile("mov %%gs, %0" : "=r"(gs));
      printf("  gs %#x\n", gs);
    }
  }
}

// INT goes nowhere either, but for three vectors.
static void interrupts(void) {
  what = "int";
  for (int vector = 0; vector < 256; vector++) {
    if (vector == 3 || vector == 0x80) continue;
    uint8_t code[] = {0xcd, (uint8_t)vector};
    try(code, 2, NULL, 0, 8, 0x202);
  }
}

int main(void) {
  setvbuf(stdout, malloc(1 << 20), _IOFBF, 1 << 20);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0) == MAP_FAILED) return 1;
  if (mmap((void *)STACK, SIZE, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return 1;
  // jmp *landed, whose address is aligned, for the sake of AC
  uint8_t *landing = (uint8_t *)LANDING;
  void *target = landed;
  memcpy(landing, "\xff\x25\2\0\0\0", 6);
  memcpy(landing + 8, &target, 8);
  sigaltstack(&(stack_t){.ss_sp = malloc(1 << 16), .ss_size = 1 << 16}, NULL);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  for (int i = 0; i < 5; i++) sigaction((int[]){SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE}[i], &action, NULL);
  interrupt_returns();
  returns();
  calls();
  segments();
  interrupts();
  return 0;
}
