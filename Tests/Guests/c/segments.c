// LAR, LSL, VERR and VERW of every selector that there is: what user code may know of the kernel's segments. Selectors that it may know
// of are printed, all others go into a digest, so that a destination or a flag that changes when it must not is seen.
#define _GNU_SOURCE
#include "guest.h"
#include <sched.h>

enum { PROCESSOR = 0x78 };  // Linux keeps the number of the processor in this segment's limit
#define OLD 0x123456789abcdef0

typedef int question(uint64_t *value, const uint32_t *selector);

// The flags behind the instruction: all but ZF stay as they were. ZF was 1 before the forms with registers, 0 before the others.
#define QUESTION(name, flags_before, text)                                                                                    \
  static int name(uint64_t *value, const uint32_t *selector) {                                                                \
    uint64_t result = OLD, flags;                                                                                             \
    __asm__ volatile("push $" #flags_before "\n popfq\n" text "\n pushfq\n pop %1" : "+r"(result), "=&r"(flags)               \
                     : "r"(*selector), "m"(*(const uint16_t *)selector) : "cc", "memory");                                    \
    *value = result;                                                                                                          \
    return (int)(flags & 0x8d5);                                                                                              \
  }
QUESTION(lar16, 0x8d5, "lar %w2, %w0")
QUESTION(lar32, 0x8d5, "lar %k2, %k0")
QUESTION(lar64, 0x8d5, "lar %q2, %q0")
QUESTION(lar_memory, 0x895, "lar %3, %k0")
QUESTION(lsl16, 0x8d5, "lsl %w2, %w0")
QUESTION(lsl32, 0x8d5, "lsl %k2, %k0")
QUESTION(lsl64, 0x8d5, "lsl %q2, %q0")
QUESTION(lsl_memory, 0x895, "lsl %3, %q0")
QUESTION(verr, 0x8d5, "verr %w2")
QUESTION(verr_memory, 0x895, "verr %3")
QUESTION(verw, 0x8d5, "verw %w2")
QUESTION(verw_memory, 0x895, "verw %3")

static const struct {
  const char *name;
  question *ask;
} questions[] = {
    {"lar16", lar16},   {"lar32", lar32},   {"lar64", lar64}, {"lar memory", lar_memory},   {"lsl16", lsl16}, {"lsl32", lsl32},
    {"lsl64", lsl64},   {"lsl memory", lsl_memory}, {"verr", verr},   {"verr memory", verr_memory}, {"verw", verw},
    {"verw memory", verw_memory},
};

int main(void) {
  uint64_t digest = GUEST_DIGEST;
  for (uint32_t selector = 0; selector < 0x10000; selector++) {
    // Low selectors are the kernel's; of the others, which are all beyond the tables' ends, some.
    if (selector >= 0x200 && selector % 61 != 0) continue;
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
      // What lies above the low 16 bits of a register does not count.
      uint32_t operand = selector | 0xabcd0000;
      uint64_t value;
      int flags = questions[i].ask(&value, &operand);
      int is_limit = questions[i].name[1] == 's';
      if (is_limit && (selector & ~3u) == PROCESSOR) continue;
      digest = guest_digest(digest, &flags, sizeof flags);
      digest = guest_digest(digest, &value, sizeof value);
      if (flags & 0x40) printf("%-12s %04x flags %03x value %016lx\n", questions[i].name, selector, flags, value);
    }
  }
  printf("digest %016lx\n", digest);
  // The processor's number, as the C library had it before there was a vdso. The thread may move meanwhile.
  uint32_t operand = PROCESSOR | 3;
  int found = 0;
  for (int attempt = 0; attempt < 1000 && !found; attempt++) {
    int before = sched_getcpu();
    uint64_t number = 0;
    if (!(lsl32(&number, &operand) & 0x40)) break;
    found = before == sched_getcpu() && (number & 0xfff) == (uint64_t)before;
  }
  printf("the processor's number %s\n", found ? "found" : "not found");
}
