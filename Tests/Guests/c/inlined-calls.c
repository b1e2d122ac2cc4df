// For inlined functions: calls in calls, several on a line, in loops and conditions, around real ones, and one that crashes when it is
// told to. Prints one line.
#include <stdio.h>
#include <stdlib.h>

#define INLINED static inline __attribute__((always_inline))
#define OUTLINED __attribute__((noinline))

static volatile int total;
static volatile int *nowhere;

OUTLINED int real(int value)
{
  total += value;
  return total * 2;
}

INLINED int innermost(int value)
{
  total += value;
  int result = real(value + 1);
  total -= 1;
  return result;
}

INLINED int middle(int value)
{
  int first = value * 3;
  total ^= first;
  int second = innermost(first);
  total ^= second;
  return second;
}

INLINED void count(int limit)
{
  for (int i = 0; i < limit; i++) {
    total += i;
    if (total & 1)
      total += middle(i);
  }
}

INLINED void fault(int code)
{
  total = code;
  *nowhere = code;
  total = 0;
}

OUTLINED int around(int value)
{
  total = 1;
  int one = middle(value);
  total += innermost(one) + innermost(value);
  count(3);
  return total;
}

OUTLINED int last(int value)
{
  if (value > 100)
    fault(value);
  total += value;
  return middle(total);
}

int main(int argc, char **argv)
{
  int limit = argc > 1 ? atoi(argv[1]) : 3;
  int sum = around(limit);
  sum += last(limit);
  printf("%d %d\n", sum, total);
  return 0;
}
