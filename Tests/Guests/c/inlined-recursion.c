// For steps by lines where a function that calls itself has inlined calls in it, also right behind where one returns. Prints one line.
#include <stdio.h>

static volatile int total;

static inline __attribute__((always_inline)) int body(int count)
{
  int sum = 0;
  for (int i = 0; i < count; i++) {
    total += i;
    sum += total;
  }
  return sum;
}

__attribute__((noinline)) int around(int value)
{
  if (value < 1)
    return body(2);
  int below = around(value - 1);
  int here = body(value);
  return below + here;
}

int main(void)
{
  int sum = around(3);
  printf("%d %d\n", sum, total);
  return 0;
}
