// Runs one kernel and prints its result.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernels.h"

static const struct {
  const char *name;
  kernel *run;
} table[] = {
    {"null", k_null},         {"calls", k_calls},     {"sieve", k_sieve},   {"mixing", k_mixing}, {"insertion", k_insertion},
    {"quicksort", k_quicksort}, {"bytecode", k_bytecode}, {"sha256", k_sha256}, {"getpid", k_getpid}, {"clock", k_clock},
    {"hash", k_hash},
    {"chase", k_chase},       {"memcpy", k_memcpy},   {"strlen", k_strlen}, {"movs", k_movs},     {"malloc", k_malloc},
    {"matrix", k_matrix},     {"libm", k_libm},       {"x87", k_x87},       {"sse", k_sse},       {"avx2", k_avx2},
    {"pipe-threads", k_pipe_threads}, {"pipe-processes", k_pipe_processes}, {"futex-threads", k_futex_threads},
    {"futex-processes", k_futex_processes}, {"work-twice", k_work_twice}, {"work-two", k_work_two}, {"read-byte", k_read_byte},
};

int main(int argc, char **argv) {
  for (size_t i = 0; argc == 3 && i < sizeof table / sizeof *table; i++)
    if (!strcmp(argv[1], table[i].name)) {
      printf("%016lx\n", table[i].run(strtoull(argv[2], NULL, 10)));
      return 0;
    }
  fprintf(stderr, "usage: kernels NAME SIZE\n");
  return 2;
}
