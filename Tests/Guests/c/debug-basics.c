// For a debugger: functions that call each other, variables of several kinds, loops, recursion, vectors. Prints one line.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct point { int x, y; const char *name; };
static int total;
static long table[16];
static char text[32];
static double ratio;

static int add(int a, int b) {
  int c = a + b;
  total += c;
  return c;
}

static long factorial(int n) {
  if (n <= 1) return 1;
  return n * factorial(n - 1);
}

static double mean(const double *values, int count) {
  double sum = 0;
  for (int i = 0; i < count; i++) sum += values[i];
  ratio = sum / count;
  return ratio;
}

static long double half(long double value) { return value / 2; }

static int locate(struct point *p) {
  p->x += 3;
  p->y *= 2;
  return p->x + p->y;
}

int main(int argc, char **argv) {
  int x = 0;
  for (int i = 0; i < 6; i++) x = add(x, i);
  struct point place = {4, 5, "here"};
  int found = locate(&place);
  for (int i = 0; i < 16; i++) table[i] = factorial(i % 10);
  double values[] = {1.5, 2.25, 3.75};
  double average = mean(values, 3);
  strcpy(text, "glass case");
  long double small = half(2.5L);
  int reads = 0;
  for (int i = 0; i < 16; i++)
    if (table[i] > 100) reads++;
  char line[128];
  int size = snprintf(line, sizeof line, "%d %d %d %.3f %.3Lf %s %d\n", x, total, found, average, small, text, reads);
  write(1, line, size);
  return argc > 1 ? 0 : 5;
}
