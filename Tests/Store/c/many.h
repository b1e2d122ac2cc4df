// Three hundred functions that differ, as code that is yet to be translated when something happens to the store.
#define ONE(n) \
  __attribute__((noinline)) static unsigned long step##n(unsigned long x) { \
    for (int i = 0; i < (n) % 7 + 2; i++) x = (x ^ (n) * 2654435761u) * ((n) | 1) + (x >> ((n) % 31 + 1)); \
    return x % ((n) + 3) == 0 ? x + (n) : x - (n) * 3; \
  }
#define TEN(n) ONE(n##0) ONE(n##1) ONE(n##2) ONE(n##3) ONE(n##4) ONE(n##5) ONE(n##6) ONE(n##7) ONE(n##8) ONE(n##9)
#define NAME(n) step##n,
#define NAMES(n) NAME(n##0) NAME(n##1) NAME(n##2) NAME(n##3) NAME(n##4) NAME(n##5) NAME(n##6) NAME(n##7) NAME(n##8) NAME(n##9)
#define ALL(what) \
  what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10) what(11) what(12) what(13) what(14) what(15) \
  what(16) what(17) what(18) what(19) what(20) what(21) what(22) what(23) what(24) what(25) what(26) what(27) what(28) what(29) \
  what(30)
ALL(TEN)
static unsigned long (*const steps[])(unsigned long) = {ALL(NAMES)};
enum { STEPS = sizeof steps / sizeof *steps };
