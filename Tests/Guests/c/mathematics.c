// The functions of libm over many arguments in the type REAL; every result's bits go into a digest, and some are printed.
#include <fenv.h>
#include <math.h>
#include <string.h>
#include "guest.h"

#ifndef REAL
#define REAL double
#define F(name) name
#define BYTES 8
#endif
#ifndef COUNT
#define COUNT 400
#endif

typedef REAL real;

static void report(const char *name, uint64_t digest, real sample) {
  printf("%-10s %016lx %La\n", name, digest, (long double)sample);
}

// Arguments of many sizes; some are special.
static real argument(int i) {
  static const double special[] = {0, -0.0, 1, -1, 0.5, 2, 1e-30, -1e30, INFINITY, -INFINITY, 0.7853981633974483, 100};
  if (i < 12) return (real)special[i];
  real fraction = (real)(int64_t)guest_number() / (real)9223372036854775808.0;
  return i % 4 == 0 ? F(ldexp)(fraction, (int)(guest_number() % 80) - 40) : fraction * (i % 4 == 1 ? 1 : 20);
}

#define ONE(function)                                                                \
  do {                                                                               \
    uint64_t digest = GUEST_DIGEST;                                                  \
    real sample = 0;                                                                 \
    guest_state = 88172645463325252u;                                                \
    for (int i = 0; i < COUNT; i++) {                                                \
      real result = F(function)(argument(i));                                        \
      if (isnan(result)) result = 7;                                                 \
      if (i == COUNT - 2) sample = result;                                           \
      digest = guest_digest(digest, &result, BYTES);                                 \
    }                                                                                \
    report(#function, digest, sample);                                               \
  } while (0)

#define TWO(function)                                                                \
  do {                                                                               \
    uint64_t digest = GUEST_DIGEST;                                                  \
    real sample = 0;                                                                 \
    guest_state = 88172645463325252u;                                                \
    for (int i = 0; i < COUNT; i++) {                                                \
      real first = argument(i), second = argument((i * 7) % COUNT);                  \
      real result = F(function)(first, second);                                      \
      if (isnan(result)) result = 7;                                                 \
      if (i == COUNT - 2) sample = result;                                           \
      digest = guest_digest(digest, &result, BYTES);                                 \
    }                                                                                \
    report(#function, digest, sample);                                               \
  } while (0)

static void rounding(void) {
  static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
  for (int mode = 0; mode < 4; mode++) {
    fesetround(modes[mode]);
    ONE(rint);
    ONE(nearbyint);
    uint64_t digest = GUEST_DIGEST;
    guest_state = 1;
    for (int i = 1; i < COUNT; i++) {
      volatile real a = argument(i), b = argument(i + 12);
      real values[] = {a + b, a - b, a * b, a / b, F(sqrt)(F(fabs)(b))};
      long whole = F(fabs)(a) < 1e9 ? F(lrint)(a) : 0;
      for (int k = 0; k < 5; k++) {
        if (isnan(values[k])) values[k] = 7;
        digest = guest_digest(digest, &values[k], BYTES);
      }
      digest = guest_digest(digest, &whole, sizeof whole);
    }
    report("arithmetic", digest, (real)mode);
  }
  fesetround(FE_TONEAREST);
}

int main(void) {
  ONE(sin); ONE(cos); ONE(tan); ONE(asin); ONE(acos); ONE(atan);
  ONE(sinh); ONE(cosh); ONE(tanh); ONE(asinh); ONE(acosh); ONE(atanh);
  ONE(exp); ONE(exp2); ONE(expm1); ONE(log); ONE(log2); ONE(log10); ONE(log1p);
  ONE(sqrt); ONE(cbrt); ONE(erf); ONE(erfc); ONE(tgamma); ONE(lgamma);
  ONE(floor); ONE(ceil); ONE(trunc); ONE(round); ONE(logb); ONE(fabs);
  TWO(pow); TWO(atan2); TWO(fmod); TWO(remainder); TWO(hypot); TWO(fdim); TWO(fmin); TWO(fmax); TWO(copysign); TWO(nextafter);
  rounding();
  int exponent, quotient;
  printf("%La ", (long double)F(frexp)((real)-1234.5, &exponent));
  printf("%d %d ", exponent, F(ilogb)((real)1e10));
  printf("%La ", (long double)F(remquo)((real)29.5, (real)4, &quotient));
  real whole;
  printf("%d %La ", quotient, (long double)F(modf)((real)-3.75, &whole));
  printf("%La %La\n", (long double)whole, (long double)F(fma)((real)1.1, (real)1.3, (real)-1.43));
  feclearexcept(FE_ALL_EXCEPT);
  volatile real zero = 0, big = 1e30f, tenth = (real)0.1, result;
  result = 1 / zero;
  printf("divide by zero %d\n", fetestexcept(FE_DIVBYZERO) != 0);
  result = zero / zero;
  printf("invalid %d\n", fetestexcept(FE_INVALID) != 0);
  result = big * tenth;
  printf("inexact %d overflow %d\n", fetestexcept(FE_INEXACT) != 0, fetestexcept(FE_OVERFLOW) != 0);
  (void)result;
}
