// What is changed in its past makes another course of events: which way it goes, what it asks the system for, whether it crashes,
// depends on variables. For tests of timelines.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile int other_way = 0;
volatile int asks = 0;
volatile int extra = 0;
volatile long sum = 0;
char message[] = "as recorded\n";
struct node {
  long value;
} node = {5};
struct node *volatile pointer = &node;

__attribute__((noinline)) long work(long count) {
  long total = 0;
  for (long i = 0; i < count; i++) total += i ^ (total << 1);
  return total;
}

__attribute__((noinline)) int twice(int number) { return number * 2; }

__attribute__((noinline)) void start(void) { __asm__ volatile(""); }

__attribute__((noinline)) void use(void) {
  // The pointer is null when there is an argument.
  printf("value %ld\n", pointer->value);
}

int main(int argc, char **argv) {
  char line[32] = "";
  printf("begin\n");
  fflush(stdout);
  start();
  sum = work(20000);
  if (other_way) {
    // More memory than the heap has, and less.
    char *large = malloc(1 << 20), *small = malloc(300);
    memset(large, 'x', 1 << 20);
    strcpy(small, "the other way");
    printf("%s %d\n", small, large[1000]);
    free(large);
  } else {
    printf("the usual way\n");
  }
  fflush(stdout);
  for (int i = 0; i < extra; i++) {
    printf("extra %d\n", i);
    fflush(stdout);
  }
  int random = open("/dev/urandom", O_RDONLY);
  if (read(random, line, 8) == 8) sum += line[0];
  close(random);
  if (asks) {
    int file = open("/no/such/file", O_RDONLY);
    printf("asked: %d\n", file);
  }
  if (write(1, message, sizeof message - 1) < 0) return 1;
  printf("twice: %d\n", twice(20 + argc));
  fflush(stdout);
  if (argc > 1) pointer = NULL;
  use();
  return 40 + other_way;
}
