// Flags that programs set to find out what processor they have (ID, AC), and what happens while they are set: branches, calls,
// interpreted instructions.
#define _GNU_SOURCE
#include "guest.h"

// The compiler's own code accesses memory as it likes: what runs with AC set is all here.
__attribute__((noinline)) static void toggle(unsigned long *results, unsigned long flag) {
  __asm__ volatile(
      "lea -256(%%rsp), %%rsp\n"
      "pushf\n pop %%rcx\n mov %%rcx, %%rax\n xor %1, %%rax\n"
      "push %%rax\n popf\n pushf\n pop %%rax\n mov %%rax, 0(%0)\n"
      "xor %%edx, %%edx\n"
      "1: call 2f\n inc %%edx\n cmp $100, %%edx\n jne 1b\n jmp 3f\n"
      "2: lea 4f(%%rip), %%rbx\n jmp *%%rbx\n 4: ret\n"
      "3: mov %%rdx, 8(%0)\n"
      "mov %%rcx, %%r8\n xor %%eax, %%eax\n cpuid\n pushf\n pop %%rax\n mov %%rax, 16(%0)\n"
      "push %%r8\n popf\n pushf\n pop %%rax\n mov %%rax, 24(%0)\n"
      "lea 256(%%rsp), %%rsp\n"
      : : "r"(results), "r"(flag) : "rax", "rbx", "rcx", "rdx", "r8", "memory", "cc");
}

int main(void) {
  static const unsigned long flags[] = {0x200000, 0x40000, 0x240000};
  unsigned long results[4] __attribute__((aligned(8)));
  for (int i = 0; i < 3; i++) {
    toggle(results, flags[i]);
    printf("%lx: set %lx, turns %lu, kept %lx, clear %lx\n", flags[i], results[0] & flags[i], results[1],
           results[2] & flags[i], results[3] & flags[i]);
  }
}
