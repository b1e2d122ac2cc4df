// A wild write long before the crash: `fill` runs over the end of its buffer into the list's node behind it, and the list is
// walked a long while later. For whoever has to find out from the crash who wrote there.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
  struct node *next;
  char name[24];
};

static struct node *list;
static char *buffer;

__attribute__((noinline)) void fill(int last) {
  for (int i = 0; i <= last; i++) buffer[i] = (char)('A' + i % 26);
}

int main(void) {
  buffer = malloc(64);
  list = malloc(sizeof *list);
  list->next = NULL;
  strcpy(list->name, "first");
  printf("%p\n", (void *)list);
  fflush(stdout);
  for (int i = 0; i < 200; i++) fill(60);
  fill(84);
  volatile long sum = 0;
  for (long i = 0; i < 2000000; i++) sum += i;
  for (struct node *node = list; node; node = node->next) printf("%s\n", node->name);
  return 0;
}
