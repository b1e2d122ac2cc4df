// AVX-512 state: ZMM and opmask registers survive a signal handler that clobbers them, a handler finds and changes them in
// its frame, XSAVE and XSAVEC keep them. Places in areas come from CPUID and are not printed: processors differ in them.
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "guest.h"

typedef struct {
  uint8_t zmm[32][64];
  uint64_t k[8];
} registers;

static registers wanted, found;
static uint8_t area[16384] __attribute__((aligned(64)));
static volatile sig_atomic_t handled;
static int changes_frame;

#define EACH_ZMM(DO)                                                                                              \
  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16)     \
  DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24) DO(25) DO(26) DO(27) DO(28) DO(29) DO(30) DO(31)
#define EACH_K(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define LOAD_ZMM(n) "vmovdqu64 64*" #n "(%[from]), %%zmm" #n "\n"
#define STORE_ZMM(n) "vmovdqu64 %%zmm" #n ", 64*" #n "(%[to])\n"
#define LOAD_K(n) "kmovq 2048+8*" #n "(%[from]), %%k" #n "\n"
#define STORE_K(n) "kmovq %%k" #n ", 2048+8*" #n "(%[to])\n"
#define CLOBBER_ZMM(n) "vpternlogd $0xff, %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n"
#define CLOBBER_K(n) "kxnorq %%k" #n ", %%k" #n ", %%k" #n "\n"
#define SELECT(components) "mov $" #components ", %%eax\nxor %%edx, %%edx\n"
#define CLOBBER EACH_ZMM(CLOBBER_ZMM) EACH_K(CLOBBER_K)
// Loads all registers, executes `middle`, stores them all.
#define AROUND(middle, ...)                                                                                      \
  __asm__ volatile(EACH_ZMM(LOAD_ZMM) EACH_K(LOAD_K) middle EACH_ZMM(STORE_ZMM) EACH_K(STORE_K) "vzeroupper\n"     \
                   : : [from] "r"(&wanted), [to] "r"(&found), ##__VA_ARGS__                                      \
                   : "memory", "cc", "rax", "rcx", "rdx", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", \
                     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

static uint32_t offset_of(int component, uint32_t size) {
  uint32_t a, b, c, d;
  __cpuid_count(0xd, component, a, b, c, d);
  CHECK(a == size);
  return b;
}

static void look_into(ucontext_t *context) {
  uint8_t *state = (uint8_t *)context->uc_mcontext.fpregs;
  uint32_t words[5], end;
  memcpy(words, state + 464, sizeof words);
  uint64_t features = words[2] | (uint64_t)words[3] << 32;
  CHECK(words[0] == 0x46505853 && words[1] == words[4] + 4 && (features & 0xe7) == 0xe7);
  uint32_t a, b, c, d;
  __cpuid_count(0xd, 0, a, b, c, d);
  // CPUID also counts what a process has to ask for first (AMX), and the frame does not.
  CHECK(words[4] <= b && words[4] >= offset_of(7, 1024) + 1024);
  memcpy(&end, state + words[4], 4);
  CHECK(end == 0x46505845);
  uint8_t *masks = state + offset_of(5, 64), *high = state + offset_of(6, 512), *upper = state + offset_of(7, 1024);
  uint64_t present;
  memcpy(&present, state + 512, 8);
  // Processors differ in whether a component that was set to zero counts as in use.
  if (wanted.k[0] != 0) CHECK((present & 0xe6) == 0xe6);
  CHECK(memcmp(masks, wanted.k, 64) == 0);
  CHECK(memcmp(upper, wanted.zmm[16], 1024) == 0);
  for (int i = 0; i < 16; i++) CHECK(memcmp(high + 32 * i, wanted.zmm[i] + 32, 32) == 0);
  if (!changes_frame) return;
  for (int i = 0; i < 64; i++) masks[i] ^= 0x5a;
  for (int i = 0; i < 512; i++) high[i] ^= 0x11;
  for (int i = 0; i < 1024; i++) upper[i] ^= 0x22;
}

static void handler(int number, siginfo_t *information, void *context) {
  (void)information;
  handled++;
  look_into(context);
  if (number == SIGILL) ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
  __asm__ volatile(CLOBBER : : : "memory");
}

static void fill(void) {
  uint8_t *bytes = (uint8_t *)&wanted;
  for (size_t i = 0; i < sizeof wanted; i++) bytes[i] = (uint8_t)guest_number();
  memset(&found, 0, sizeof found);
}

static void report(const char *what) {
  printf("%-28s %s %016lx\n", what, memcmp(&wanted, &found, sizeof wanted) == 0 ? "kept" : "changed",
         guest_digest(GUEST_DIGEST, &found, sizeof found));
}

static void signals(void) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGILL, &action, NULL) == 0);
  for (changes_frame = 0; changes_frame < 2; changes_frame++) {
    fill();
    AROUND("mov %[number], %%eax\nsyscall\n", [number] "i"(SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1));
    report(changes_frame ? "kill, frame changed" : "kill");
    fill();
    AROUND("ud2\n");
    report(changes_frame ? "undefined, frame changed" : "undefined");
  }
  // Nothing in use but XMM and YMM: the frame leaves the rest out, and the handler's registers do not come back.
  memset(&wanted, 0, sizeof wanted);
  for (int i = 0; i < 16; i++) memset(wanted.zmm[i], i + 1, 32);
  memset(&found, 1, sizeof found);
  changes_frame = 0;
  AROUND("ud2\n");
  report("in their initial state");
  printf("handled %d\n", (int)handled);
}

static void areas(void) {
  fill();
  AROUND(SELECT(-1) "xsave64 (%[area])\n" CLOBBER "xrstor64 (%[area])\n", [area] "r"(area));
  report("xsave");
  fill();
  memset(area, 0, sizeof area);
  AROUND(SELECT(-1) "xsavec64 (%[area])\n" CLOBBER "xrstor64 (%[area])\n", [area] "r"(area));
  report("xsavec");
  // The compacted format is the same everywhere: opmask registers at once behind the header when AVX is left out.
  fill();
  memset(area, 0, sizeof area);
  AROUND(SELECT(0xa0) "xsavec64 (%[area])\n", [area] "r"(area));
  CHECK(memcmp(area + 576, wanted.k, 64) == 0 && memcmp(area + 640, wanted.zmm[16], 1024) == 0);
  // Restoring what the area does not hold initialises it.
  AROUND(SELECT(0xe6) "xrstor64 (%[area])\n", [area] "r"(area));
  report("xrstor of components left out");
}

int main(void) {
  signals();
  areas();
  __m512d sum = _mm512_set1_pd(0.5);
  for (int i = 1; i < 100; i++) sum = _mm512_mask_fmadd_pd(sum, (__mmask8)(i * 37), _mm512_set1_pd(1.0 / i), sum);
  printf("sum %.17g\n", _mm512_reduce_add_pd(sum));
}
