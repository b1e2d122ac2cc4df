// Code that runs once: `cold mixed COPIES` runs that many of the linked copies of a piece of mixed code (generate.py),
// `cold straight COPIES` makes a function of copies of a piece without branches and calls it once. Prints how many
// instructions that were and a digest of the registers and the memory after them, which is the same on every machine.
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include "../c/guest.h"

extern const unsigned char mixed[], mixed_end[], straight[], straight_end[];

// What the code computes: the buffer that it uses, then the registers as it left them.
struct result {
  unsigned char buffer[2048];
  unsigned char vectors[16][16];
  uint64_t registers[12];
};
static struct result result __attribute__((aligned(64)));

// Sets all registers, calls the code at rdi, and stores the registers into *rsi. The code may change them all.
void enter(const void *code, struct result *result);
__asm__(
    ".text\n.globl enter\nenter:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; sub $8, %rsp\n"
    "mov %rdi, %rax; mov %rsi, %rbx; lea 1024(%rsi), %rdi; mov $17, %esi\n"
    "mov $1, %ecx; mov $2, %edx; mov $3, %ebp; mov $4, %r8d; mov $5, %r9d; mov $6, %r10d; mov $7, %r11d\n"
    "mov $8, %r12d; mov $9, %r13d; mov $10, %r14d; mov $11, %r15d\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "movdqu (16*\\n)(%rbx), %xmm\\n\n"
    ".endr\n"
    "call *%rax\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "movdqu %xmm\\n, (2048+16*\\n)(%rbx)\n"
    ".endr\n"
    "mov %rax, 2304(%rbx); mov %rcx, 2312(%rbx); mov %rdx, 2320(%rbx); mov %rbp, 2328(%rbx); mov %r8, 2336(%rbx)\n"
    "mov %r9, 2344(%rbx); mov %r10, 2352(%rbx); mov %r11, 2360(%rbx); mov %r12, 2368(%rbx); mov %r13, 2376(%rbx)\n"
    "mov %r14, 2384(%rbx); mov %r15, 2392(%rbx)\n"
    "add $8, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

static const void *made(size_t copies) {
  size_t length = (size_t)(straight_end - straight), size = copies * length + 1;
  unsigned char *code = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(code != MAP_FAILED);
  for (size_t i = 0; i < copies; i++) memcpy(code + i * length, straight, length);
  code[size - 1] = 0xc3;
  CHECK(mprotect(code, size, PROT_READ | PROT_EXEC) == 0);
  return code;
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  size_t copies = strtoul(argv[2], NULL, 10), length = (size_t)(mixed_end - mixed) / COPIES;
  int straight_line = !strcmp(argv[1], "straight");
  CHECK(straight_line || copies <= COPIES);
  for (size_t i = 0; i < sizeof result.buffer; i += 8) {
    uint64_t number = guest_number();
    memcpy(result.buffer + i, &number, 8);
  }
  const unsigned char *code = straight_line ? made(copies) : mixed_end - copies * length;
  enter(code, &result);
  uint64_t count = copies * (straight_line ? STRAIGHT_COUNT : MIXED_COUNT);
  if (copies == 0) result.registers[0] = 0;  // still the address of the code, which differs from run to run
  printf("%lu instructions, %016lx\n", count, guest_digest(GUEST_DIGEST, &result, sizeof result));
}
