// The x87 unit, instruction by instruction, under every rounding and precision mode; status, tags and images of the state.
#include <math.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include "guest.h"

static void show(const char *name, long double value, unsigned status) {
  uint16_t parts[8] = {0};
  memcpy(parts, &value, 10);
  printf("%-8s %04x %04x%04x%04x%04x status %04x\n", name, parts[4], parts[3], parts[2], parts[1], parts[0], status & 0x47ff);
}

static const long double values[] = {0.0L, -0.0L, 1.0L, -1.5L, 0.3L, 1e-4940L, 1e4000L, 12345.678L, -0.7071L, 3e-4951L};
#define VALUES (int)(sizeof values / sizeof *values)

#define UNARY(mnemonic)                                                                             \
  for (int i = 0; i < VALUES; i++) {                                                                \
    long double result;                                                                             \
    uint16_t status;                                                                                \
    __asm__ volatile("fnclex\n\t" mnemonic "\n\tfnstsw %1" : "=t"(result), "=a"(status) : "0"(values[i])); \
    show(mnemonic, result, status);                                                                 \
  }

#define BINARY(mnemonic)                                                                            \
  for (int i = 0; i < VALUES; i++)                                                                  \
    for (int k = 0; k < VALUES; k += 3) {                                                           \
      long double result;                                                                           \
      uint16_t status;                                                                              \
      __asm__ volatile("fnclex\n\t" mnemonic "\n\tfnstsw %1"                                        \
                       : "=t"(result), "=a"(status) : "0"(values[i]), "u"(values[k]) : "st(1)");    \
      show(mnemonic, result, status);                                                               \
    }

static void stack(void) {
  static unsigned char image[108], restored[108];
  __asm__ volatile("fninit\n\tfld1\n\tfldpi\n\tfldz\n\tfldl2e\n\tffree %%st(2)\n\tfincstp\n\tfnsave %0" : "=m"(image));
  uint16_t control = *(uint16_t *)image, status = *(uint16_t *)(image + 4), tags = *(uint16_t *)(image + 8);
  printf("saved: control %04x status %04x tags %04x\n", control, status, tags);
  printf("registers %016lx\n", guest_digest(GUEST_DIGEST, image + 28, 80));
  __asm__ volatile("frstor %1\n\tfnsave %0" : "=m"(restored) : "m"(image));
  printf("restored the same: %d\n", !memcmp(image + 28, restored + 28, 80) && !memcmp(image, restored, 2));
  static unsigned char wide[512] __attribute__((aligned(16)));
  __asm__ volatile("fninit\n\tfld1\n\tfldln2\n\tfxsave %0\n\tfninit" : "=m"(wide));
  printf("fxsave: %02x%02x top %d tags %02x\n", wide[1], wide[0], (wide[3] >> 3) & 7, wide[4]);
  uint16_t after;
  __asm__ volatile("fninit\n\tfaddp\n\tfnstsw %0\n\tfninit" : "=a"(after));
  printf("stack underflow %04x\n", after);
  __asm__ volatile("fninit\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfnstsw %0\n\tfninit" : "=a"(after));
  printf("stack overflow %04x\n", after);
}

static void conversions(void) {
  for (int i = 0; i < 40; i++) {
    long double value = ldexpl((long double)(int64_t)guest_number(), -(int)(guest_number() % 90));
    int16_t half;
    int32_t whole;
    int64_t big;
    unsigned char decimal[10];
    float single;
    double twice;
    uint16_t status;
    __asm__ volatile("fnclex\n\tfistps %1\n\tfnstsw %0" : "=a"(status), "=m"(half) : "t"(value) : "st");
    printf("%04x %d ", status & 0x3f, half);
    __asm__ volatile("fnclex\n\tfistpl %1\n\tfnstsw %0" : "=a"(status), "=m"(whole) : "t"(value) : "st");
    printf("%04x %d ", status & 0x3f, whole);
    __asm__ volatile("fnclex\n\tfistpll %1\n\tfnstsw %0" : "=a"(status), "=m"(big) : "t"(value) : "st");
    printf("%04x %ld ", status & 0x3f, big);
    __asm__ volatile("fnclex\n\tfbstp %1\n\tfnstsw %0" : "=a"(status), "=m"(decimal) : "t"(value) : "st");
    printf("%04x %016lx ", status & 0x3f, guest_digest(GUEST_DIGEST, decimal, 10));
    __asm__ volatile("fnclex\n\tfstps %1\n\tfnstsw %0" : "=a"(status), "=m"(single) : "t"(value) : "st");
    __asm__ volatile("fstpl %0" : "=m"(twice) : "t"(value) : "st");
    printf("%04x %a %a\n", status & 0x3f, (double)single, twice);
  }
}

static void modes(void) {
  for (unsigned precision = 0; precision < 4; precision++)
    for (unsigned rounding = 0; rounding < 4 && precision != 1; rounding++) {
      uint16_t control = (uint16_t)(0x7f | precision << 8 | rounding << 10);
      __asm__ volatile("fldcw %0" : : "m"(control));
      long double sum, quotient, root, product;
      __asm__ volatile("fadd %%st(1)" : "=t"(sum) : "0"(1.0L / 3), "u"(1e-9L / 7));
      __asm__ volatile("fdiv %%st(1)" : "=t"(quotient) : "0"(1.0L), "u"(-3.0L));
      __asm__ volatile("fmul %%st(1)" : "=t"(product) : "0"(0.1L), "u"(0.7L));
      __asm__ volatile("fsqrt" : "=t"(root) : "0"(2.0L));
      printf("mode %04x\n", control);
      show("sum", sum, 0); show("quotient", quotient, 0); show("product", product, 0); show("root", root, 0);
    }
  __asm__ volatile("fninit");
}

static volatile int caught;
static void on_error(int number, siginfo_t *info, void *context) {
  ucontext_t *user = context;
  caught = number * 100 + info->si_code;
  user->uc_mcontext.fpregs->swd &= (uint16_t)~0x80ff;
  user->uc_mcontext.fpregs->cwd |= 0x3f;
}

static void unmasked(void) {
  struct sigaction action = {.sa_sigaction = on_error, .sa_flags = SA_SIGINFO};
  sigaction(SIGFPE, &action, NULL);
  uint16_t control = 0x37f & ~4;
  __asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait\n\tfninit" : : "m"(control));
  printf("unmasked division by zero: %d\n", caught);
}

int main(void) {
  UNARY("fabs"); UNARY("fchs"); UNARY("fsqrt"); UNARY("frndint"); UNARY("f2xm1"); UNARY("fsin"); UNARY("fcos"); UNARY("fxam"); UNARY("ftst");
  BINARY("fadd %%st(1)"); BINARY("fsub %%st(1)"); BINARY("fmul %%st(1)"); BINARY("fdivr %%st(1)");
  BINARY("fprem"); BINARY("fprem1"); BINARY("fscale"); BINARY("fcom"); BINARY("fucom");
  long double x, y;
  __asm__ volatile("fsincos" : "=t"(x), "=u"(y) : "0"(0.7L));
  show("fsincos", x, 0); show("fsincos", y, 0);
  __asm__ volatile("fptan" : "=t"(x), "=u"(y) : "0"(0.7L));
  show("fptan", x, 0); show("fptan", y, 0);
  __asm__ volatile("fxtract" : "=t"(x), "=u"(y) : "0"(-1234.5L));
  show("fxtract", x, 0); show("fxtract", y, 0);
  __asm__ volatile("fpatan" : "=t"(x) : "0"(2.0L), "u"(-1.0L) : "st(1)");
  show("fpatan", x, 0);
  __asm__ volatile("fyl2x" : "=t"(x) : "0"(10.0L), "u"(3.0L) : "st(1)");
  show("fyl2x", x, 0);
  __asm__ volatile("fyl2xp1" : "=t"(x) : "0"(0.01L), "u"(3.0L) : "st(1)");
  show("fyl2xp1", x, 0);
  stack();
  conversions();
  modes();
  unmasked();
}
