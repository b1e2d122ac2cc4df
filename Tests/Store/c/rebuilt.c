// A program that is built with other values of VALUE: the same length, the same addresses, other immediates.
#include <stdio.h>
#include "many.h"

__attribute__((noinline)) static int answer(int x) { return (x ^ VALUE) + 5; }

int main(int count, char **words) {
  (void)words;
  unsigned long value = VALUE;
  for (int i = 0; i < STEPS; i++) value = steps[i](value);
  printf("%d %lx\n", answer(count), value);
  return VALUE & 63;
}
