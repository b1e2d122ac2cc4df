// The C library's algorithms: qsort, qsort_r, bsearch, tsearch, twalk, hsearch, random numbers.
#define _GNU_SOURCE
#include <search.h>
#include <string.h>
#include "guest.h"

static long comparisons;
static int by_value(const void *a, const void *b) {
  comparisons++;
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}
static int by_text(const void *a, const void *b) { return strcmp(a, b); }
static int reversed(const void *a, const void *b, void *context) {
  ++*(int *)context;
  return by_value(b, a);
}
static uint64_t walked = GUEST_DIGEST;
static void visit(const void *node, VISIT order, int level) {
  if (order == postorder || order == leaf) {
    walked = guest_digest(walked, *(const void *const *)node, 4);
    walked = guest_digest(walked, &level, 1);
  }
}

int main(void) {
  static uint32_t numbers[4000];
  for (int i = 0; i < 4000; i++) numbers[i] = (uint32_t)guest_number() % 10000;
  void *tree = NULL;
  for (int i = 0; i < 1000; i++) tsearch(&numbers[i], &tree, by_value);
  twalk(tree, visit);
  printf("tree %016lx\n", walked);
  for (int i = 0; i < 1000; i += 2) tdelete(&numbers[i], &tree, by_value);
  qsort(numbers, 4000, 4, by_value);
  printf("sorted %016lx\n", guest_digest(GUEST_DIGEST, numbers, sizeof numbers));
  int found = 0;
  for (uint32_t key = 0; key < 10000; key++) found += bsearch(&key, numbers, 4000, 4, by_value) != NULL;
  printf("found %d\n", found);
  int calls = 0;
  qsort_r(numbers, 4000, 4, reversed, &calls);
  printf("reversed %016lx\n", guest_digest(GUEST_DIGEST, numbers, sizeof numbers));
  static char words[500][16];
  for (int i = 0; i < 500; i++) snprintf(words[i], 16, "w%lx", guest_number() & 0xfffff);
  qsort(words, 500, 16, by_text);
  printf("%s … %s\n", words[0], words[499]);
  hcreate(1000);
  for (int i = 0; i < 500; i++) hsearch((ENTRY){words[i], words[i]}, ENTER);
  int there = 0;
  for (int i = 0; i < 500; i += 3) there += hsearch((ENTRY){words[i], NULL}, FIND) != NULL;
  printf("hash %d\n", there);
  srand(7); srandom(7); srand48(7);
  printf("%d %ld %ld %.17g\n", rand(), random(), lrand48(), drand48());
}
