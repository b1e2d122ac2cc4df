// For source lines: loops, calls in calls, statements of several lines, recursion, branches. Prints one line.
#include <stdio.h>
#include <string.h>

static int total;

int leaf(int x)
{
  int y = x * 2;
  total += y;
  return y;
}

static int middle(int n) {
  int sum = 0;
  for (int i = 0; i < n; i++) sum += leaf(i);
  for (int i = 0; i < 2; i++) {
    if (i == 1)
      sum -= 1;
    else
      sum += 1;
  }
  return sum;
}

int recursive(int n) {
  if (n == 0) return 1;
  return n * recursive(n - 1);
}

static const char *classify(int value) {
  switch (value % 3) {
    case 0: return "none";
    case 1: return "one";
    default:
      while (value > 100)
        value -= 7;
      return value > 97 ? "many" : "some";
  }
}

static int never(int value) {
  if (value > 0) value++;
  return value;
}

int main(int argc, char **argv) {
  char text[64];
  int a = leaf(3);
  int b = middle(3) +
    leaf(a);
  int c = recursive(3);
  if (argc > 5)
    c += never(b);
  do {
    c--;
  } while (c > 2);
  strcpy(text, classify(a));
  strcat(text, classify(1001));
  printf("%s %d %d %d\n", text, a, b, c);
  return 0;
}
