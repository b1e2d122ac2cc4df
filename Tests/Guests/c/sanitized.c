// For compilers that instrument memory accesses: their libraries want shadow memory, allocators and stacks at addresses all over 47 bits.
// With an argument the program has the error of that name, which ends it with a code of its own.
#include "guest.h"
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static long shared, guarded;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *count(void *argument) {
  for (int i = 0; i < 20000; i++) {
    if (argument) shared++;
    pthread_mutex_lock(&lock);
    guarded++;
    pthread_mutex_unlock(&lock);
  }
  return 0;
}

__attribute__((noinline)) static int at(const int *numbers, long index) { return numbers[index]; }

int main(int argc, char **argv) {
  const char *error = argc > 1 ? argv[1] : "";
  // Reports have numbers of processes and addresses in them.
  dup2(open("/dev/null", O_WRONLY), 2);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, count, strcmp(error, "race") == 0 ? &shared : 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
  uint64_t digest = GUEST_DIGEST;
  int local[8] = {1, 2, 3, 4, 5, 6, 7, 8}, *heap = malloc(sizeof local);
  for (int i = 0; i < 1000; i++) {
    char *block = malloc(guest_number() % 10000 + 100);
    memset(block, i, 100);
    digest = guest_digest(digest, block, 100);
    free(block);
  }
  memcpy(heap, local, sizeof local);
  printf("%ld %016lx\n", guarded, digest);
  fflush(stdout);
  if (strcmp(error, "heap") == 0) return at(heap, 8);
  if (strcmp(error, "stack") == 0) return at(local, 8);
  if (strcmp(error, "overflow") == 0) return at(local, 7) + 0x7fffffff;
  free(heap);
  if (strcmp(error, "freed") == 0) return at(heap, 1);
  return 0;
}
