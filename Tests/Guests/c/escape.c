// A guest that tries to get out: every addressing form of escape-forms.c at wild addresses all over the 2^64 space. Each probe must
// fault, and the fault must name the guest's own address: 0 when it is not canonical, as Linux says. Prints what differs,
// and a summary that is the same everywhere.
//
//     escape          addresses from the rules, with guesses where an emulator's own memory may be
//     escape watched  prints `page ADDRESS COUNT`: a page of its own with known contents, the number of addresses from the rules;
//                     reads pairs of 64-bit numbers from standard input, start and end of a range, relative to the window, modulo
//                     2^64, up to a pair of zeros, which make three addresses each; then pairs of 32-bit numbers, the first and
//                     last address to be probed in a round, and says `done` after each
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "escape.h"
#include "guest.h"

/// What all registers and vectors hold during a probe, so that it would be found where it must not be.
#define PATTERN 0x5ca9e0f7d1b3u
enum { MOST_TARGETS = 4096, MOST_REGIONS = 4096 };

static uint64_t targets[MOST_TARGETS];
static int target_count, rule_count;
static struct { uint64_t start, end; } regions[MOST_REGIONS];
static int region_count;
static int lacks;
static long probes, wrong;
/// The form has a segment base, and its effective address alone is not canonical: which of the two the processor looks at
/// differs.
static int is_unclear;
static volatile uint64_t pattern_inverse = ~(uint64_t)(PATTERN << 16 | 0x7e57);

static void add(uint64_t target) {
  if (target_count < MOST_TARGETS) targets[target_count++] = target;
}

/// The guest's own memory, where probes would succeed: with a margin, and the room that the stack may grow into.
static void read_regions(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  char line[512];
  while (fgets(line, sizeof line, maps) && region_count < MOST_REGIONS) {
    unsigned long long start, end;
    if (sscanf(line, "%llx-%llx", &start, &end) != 2) continue;
    uint64_t below = strstr(line, "[stack]") ? 64 << 20 : 8192;
    regions[region_count].start = start - below;
    regions[region_count++].end = end + 8192;
  }
  fclose(maps);
}

static int is_mapped(uint64_t address, uint64_t size) {
  for (int i = 0; i < region_count; i++)
    if (address < regions[i].end && address + size > regions[i].start) return 1;
  return 0;
}

static int is_canonical(uint64_t address) { return (uint64_t)((int64_t)(address << 16) >> 16) == address; }

static void rules(void) {
  static const int64_t near[] = {0, 1, -1, 8, -8, 63, -64, 4096, -4096};
  for (int bit = 12; bit < 64; bit++)
    for (unsigned i = 0; i < sizeof near / sizeof *near; i++) {
      add((1ull << bit) + near[i]);
      add(-(1ull << bit) + near[i]);
    }
  add(0);
  for (int64_t i = 1; i < 64; i *= 3) add(-i);
  // Below the window: strides through 2^47, closer ones near by.
  for (uint64_t i = 1; i < 48; i++) {
    add(-(i << 41) - 0x1238);
    add(-(i << 34) - 0x4560);
    add(-(i << 30) + 0x789);
  }
  for (int i = 0; i < 150; i++) add(guest_number());
  for (int i = 0; i < 100; i++) add(-(guest_number() >> 17));
  for (int i = 0; i < 50; i++) add(guest_number() >> 17);
}

/// Where a 64-bit emulator's executable, heap and low mappings may be, for windows that begin at likely addresses.
static void guesses(void) {
  static const uint64_t bases[] = {
      0x3fe000000000, 0x400000000000, 0x100000000, 0x10000000000, 0x7f0000000000, 0x555555554000, 0x200000000000};
  for (unsigned b = 0; b < sizeof bases / sizeof *bases; b++) {
    for (uint64_t host = 0x400000; host < 0x2000000; host += 0x1f8000) add(host - bases[b]);
    for (uint64_t host = 0x40000000; host < 0x80000000; host += 0x3ff8000) add(host - bases[b]);
  }
}

static void report(const struct form *form, uint64_t target, const char *what) {
  wrong++;
  if (wrong <= 20)
    printf("%s at %#llx: %s (signal %d, code %d, address %#llx)\n", form->name, (unsigned long long)target, what,
           probe_signal, probe_reason, (unsigned long long)probe_address);
}

/// Sets the registers so that the form's address is `target`. 0: this form cannot reach it.
static int aim(const struct form *form, uint64_t target) {
  uint64_t pattern = ~pattern_inverse;
  for (int i = 0; i < 16; i++) probe_registers[i] = i == RSP ? 0 : pattern;
  for (int i = 0; i < 16; i++) probe_vectors[i] = pattern;
  probe_vectors[4] = pattern;
  uint64_t rest = target - form->displacement;
  probe_fs = probe_gs = 0;
  is_unclear = 0;
  if (form->flags & (INDEX_32 | INDEX_64)) {
    uint64_t index = form->flags & INDEX_32 ? (uint64_t)(int32_t)guest_number() : guest_number();
    if (form->base < 0) index = rest;
    memset(probe_vectors, 0, sizeof probe_vectors);
    probe_vectors[0] = form->flags & INDEX_32 ? (uint32_t)index : index;
    probe_vectors[8] = form->flags & INDEX_32 && form->flags & NEEDS_AVX2 && form->scale == 2 ? 0xffffffffu : ~0ull;
    rest -= index << form->scale;
    if (form->base < 0 && rest != 0) return 0;
    // Without an interpreter for AVX-512, a base or index that is no address is told instead of the sum (Docs/translator-guard.md).
    is_unclear = form->flags & NEEDS_AVX512 && (rest >> 60 || (form->flags & INDEX_64 && index >> 60));
  } else {
    memset(&probe_vectors[8], 0xff, 64);
  }
  if (form->flags & (USES_GS | USES_FS)) {
    // Bases must be user addresses.
    uint64_t base = form->base < 0 && form->index < 0 ? rest : guest_number() >> 18;
    if (base >= (1ull << 47) - 4096) return 0;
    rest -= base;
    is_unclear = !is_canonical(rest + form->displacement);
    if (form->flags & USES_FS) probe_fs = base == 0 ? 1 : base;
    if (form->flags & USES_FS && base == 0) return 0;
    if (form->flags & USES_GS) syscall(SYS_arch_prctl, ARCH_SET_GS, base);
    if (form->base < 0 && form->index < 0) return 1;
  }
  if (form->flags & ADDRESS_32) {
    if (target >> 32) return 0;
    probe_registers[form->base] = guest_number() << 32;
  }
  if (form->index >= 0) {
    uint64_t index = form->base < 0 ? rest >> form->scale : guest_number();
    if (form->base < 0 && form->index == RAX) {  // base and index at once
      if (rest & 1) return 0;
      probe_registers[RAX] = rest >> 1;
      return 1;
    }
    probe_registers[form->index] = index;
    rest -= index << form->scale;
    if (form->base < 0) return rest == 0;
  }
  if (form->flags & ADDRESS_32) rest = (uint32_t)rest | guest_number() << 32;
  if (form->flags & WALKS) {
    uint64_t steps = 0x11000;
    if (-target > 1ull << 37 && target >> 63) return 0;
    rest += steps << 20;
    probe_registers[RBX] = steps;
    memset(probe_vectors, 0, sizeof probe_vectors);
  }
  probe_registers[form->base] = rest;
  return 1;
}

static void probe(const struct form *form, uint64_t target) {
  if (form->flags & ALIGN_16) target &= ~15ull;
  if (form->flags & ALIGN_64) target &= ~63ull;
  if (form->flags & lacks || is_mapped(target - 4096, 8192 + 4096) || !aim(form, target)) return;
  // RSP of zero would mean: leave it.
  if (form->base == RSP && probe_registers[RSP] == 0) return;
  probe_signal = 0;
  probe_code = form->code;
  probes++;
  probe_run();
  // With a wild stack pointer the interpreter executes, which has no AVX-512 (Docs/translator-guard.md).
  if (probe_signal == SIGILL && form->flags & WALKS && form->flags & NEEDS_AVX512) return;
  if (probe_signal != SIGSEGV && probe_signal != SIGBUS) return report(form, target, "no fault");
  // And its PUSH may be reported eight bytes off.
  if (form->flags & WALKS && form->flags & NEEDS_AVX512) return;
  if (is_unclear) return;
  uint64_t last = target + (form->flags & LARGE ? 4095 : 63);
  if (!is_canonical(target) && !is_canonical(last)) {
    if (probe_address != 0 || probe_reason != SI_KERNEL) report(form, target, "not canonical, and yet an address");
  } else if (is_canonical(target) && is_canonical(last) && last > target) {
    if (probe_address < target || probe_address > (form->flags & LARGE ? last : target))
      report(form, target, "another address");
    else if (probe_signal != SIGSEGV)
      report(form, target, "another signal");
  }
}

/// Walks over the end of what is mapped, in both directions.
static void walks(void) {
  char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED);
  mprotect(pages, 4096, PROT_NONE);
  mprotect(pages + 8192, 4096, PROT_NONE);
  for (int i = 0; i < escape_form_count; i++) {
    const struct form *form = &escape_forms[i];
    int down = strstr(form->name, "down") != NULL;
    if (strncmp(form->name, "rep", 3) != 0) continue;
    uint64_t first = (uint64_t)pages + (down ? 4096 : 8192 - 8);
    uint64_t expected = down ? (uint64_t)pages + 4096 - (strstr(form->name, "mov") ? 4 : 1) : (uint64_t)pages + 8192;
    CHECK(aim(form, first));
    probe_signal = 0;
    probe_code = form->code;
    probe_run();
    if (strcmp(form->name, "repmovsource") == 0) continue;  // too few to reach the end
    printf("%s: signal %d at %s\n", form->name, probe_signal, probe_address == expected ? "the end" : "another place");
  }
}

/// Every form at targets `first` to `last`; the same in every round.
static void round_of_probes(int first, int last) {
  guest_state = 88172645463325252u;
  for (int i = 0; i < escape_form_count; i++) {
    int walked = 0;
    for (int j = first; j < last; j++) {
      // A walk takes some milliseconds.
      if (escape_forms[i].flags & WALKS && (walked >= 12 || -targets[j] > 1ull << 37)) continue;
      walked++;
      probe(&escape_forms[i], targets[j]);
    }
  }
  // Nothing of the pattern stays in registers.
  memset(probe_registers, 0, sizeof probe_registers);
  memset(probe_vectors, 0, sizeof probe_vectors);
  probe_signal = -1;
}

/// A loop that goes on behind a call, with another pointer than it was entered with.
static void loop_with_call(uint64_t target) {
  extern const char escape_loop[];
  for (int i = 0; i < 16; i++) probe_registers[i] = i == RAX ? (uint64_t)regions : i == RBX ? 3 : i == RSP ? 0 : target;
  probe_fs = probe_gs = 0;
  probe_signal = 0;
  probe_code = escape_loop;
  probe_run();
  int isRight = probe_signal == SIGSEGV && probe_address == target;
  printf("loop with a call: %s\n", isRight ? "the pointer's own fault" : "another ending");
  wrong += !isRight;
}
__asm__(".text\nescape_loop:\n1: mov (%rax), %rdx\ndec %rbx\njg 1b\ncall 2f\nmov %rsi, %rax\ncmp $-2, %rbx\njne 1b\n"
        "jmp probe_done\n2: ret\n");

int main(int count, char **arguments) {
  int watched = count > 1 && strcmp(arguments[1], "watched") == 0;
  static char page[4096] __attribute__((aligned(4096)));
  lacks = probe_prepare();
  rules();
  if (!watched) guesses();
  rule_count = target_count;
  if (watched) {
    for (unsigned i = 0; i < sizeof page / 8; i++) ((uint64_t *)page)[i] = 0x9e3779b97f4a7c15u * (i + 1);
    printf("page %llx %d\n", (unsigned long long)(uint64_t)page, rule_count);
    fflush(stdout);
    uint64_t range[2];
    while (fread(range, sizeof range, 1, stdin) == 1 && range[1] != 0) {
      uint64_t start = range[0], end = range[1];
      add(start);
      add(start + (guest_number() % (end - start) & ~7ull));
      add(end - 64);
    }
  }
  read_regions();
  if (!watched) round_of_probes(0, rule_count);
  unsigned round[2];
  while (watched && fread(round, sizeof round, 1, stdin) == 1) {
    CHECK(round[0] <= round[1] && round[1] <= (unsigned)target_count);
    round_of_probes(round[0], round[1]);
    puts("done");
    fflush(stdout);
  }
  if (watched) fprintf(stderr, "%ld probes of %d forms at %d addresses\n", probes, escape_form_count, target_count);
  walks();
  loop_with_call(0x400000 - 0x3fe000000000);
  printf("%s\n", probes > 10000 ? "more than 10000 probes" : "too few probes");
  printf("%ld wrong\n", wrong);
  return wrong != 0;
}
