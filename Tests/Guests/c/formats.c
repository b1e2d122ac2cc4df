// printf and strtod over thousands of float, double and long double values: what is printed is the same digit for digit,
// and reading it back gives the same bits.
#include <float.h>
#include <math.h>
#include <string.h>
#include "guest.h"

static double any_double(void) {
  uint64_t bits = guest_number();
  double value;
  memcpy(&value, &bits, 8);
  return isnan(value) ? 1.5 : value;
}

static void doubles(void) {
  uint64_t digest = GUEST_DIGEST;
  char text[512];
  for (int i = 0; i < 1500; i++) {
    double value = i % 3 ? any_double() : (double)(int64_t)guest_number() / 1048576;
    int length = snprintf(text, sizeof text, "%.17g %a %.6e %g", value, value, value, value);
    digest = guest_digest(digest, text, (size_t)length);
    CHECK(strtod(text, NULL) == value);
    if (i < 40) puts(text);
  }
  printf("doubles %016lx\n", digest);
}

static void long_doubles(void) {
  uint64_t digest = GUEST_DIGEST;
  char text[512];
  for (int i = 0; i < 600; i++) {
    long double value = ldexpl((long double)guest_number(), (int)(guest_number() % 2000) - 1000);
    int length = snprintf(text, sizeof text, "%.21Lg %La %Lf", value, value, i % 7 ? 1.25L : value / 3e200L);
    digest = guest_digest(digest, text, (size_t)length);
    CHECK(strtold(text, NULL) == value);
    if (i < 20) puts(text);
  }
  printf("long doubles %016lx\n", digest);
  printf("%Lg %Lg %La %Lg %Lg\n", LDBL_MAX, LDBL_MIN, LDBL_EPSILON, (long double)INFINITY, LDBL_TRUE_MIN);
}

static void floats(void) {
  uint64_t digest = GUEST_DIGEST;
  char text[128];
  for (int i = 0; i < 1500; i++) {
    uint32_t bits = (uint32_t)guest_number();
    float value;
    memcpy(&value, &bits, 4);
    if (isnan(value)) continue;
    int length = snprintf(text, sizeof text, "%.9g %a", value, value);
    digest = guest_digest(digest, text, (size_t)length);
    CHECK(strtof(text, NULL) == value);
  }
  printf("floats %016lx\n", digest);
}

static void integers(void) {
  for (int i = 0; i < 20; i++) {
    uint64_t value = guest_number() >> (i * 3);
    printf("%lu %ld %lx %#lo %+d %'d %8.3d %-12hd| %hhu %zu %jd\n", value, (long)value, value, value, (int)value,
           (int)value, (int)value, (short)value, (unsigned char)value, (size_t)value, (intmax_t)value);
  }
  printf("%5.1f|%-8.3f|%+.0f|%#.0f|% f|%010.2f|%.0e|%G|%A\n", 2.25, 3.14159, 2.5, 3.0, 1.0, -7.125, 12345.0, 1e-10, 1.0);
  printf("%*d|%-*d|%.*f|%c|%10s|%-10s|%.3s|%%|%n\n", 6, 42, 6, 42, 3, 2.0, 'x', "right", "left", "cut off", &(int){0});
  printf("%f %f %f %f\n", INFINITY, -INFINITY, NAN, -0.0);
}

static void scanning(void) {
  int a, b, used;
  unsigned hex;
  double x;
  long double y;
  char word[32], set[32];
  int count = sscanf("12 -7 0xff 3.5e3 1.25 word [a-z] rest", "%d %d %x %lf %Lf %31s %31[^ ] %n", &a, &b, &hex, &x, &y, word,
                     set, &used);
  printf("%d: %d %d %x %g %Lg %s %s %d\n", count, a, b, hex, x, y, word, set, used);
  const char *words[] = {"1e400", "-1e-400", "0x1.8p3", "nan", "inf", "1e", ".5", "4.9e-324", "2.4703282292062327e-324",
                         "179769313486231580793728971405301e276", "9007199254740993", "0x1.fffffffffffff8p1023"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    char *end;
    double value = strtod(words[i], &end);
    printf("%s -> %a (%td)\n", words[i], value, end - words[i]);
  }
  printf("%ld %lu %ld\n", strtol("-0x7fzz", NULL, 0), strtoul("777", NULL, 8), strtol("99999999999999999999", NULL, 10));
}

int main(void) {
  doubles();
  long_doubles();
  floats();
  integers();
  scanning();
}
