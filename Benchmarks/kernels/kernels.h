// A kernel is a function of one size; its result is printed, so that engines can be compared for correctness as well and
// nothing is optimised away. One process runs one kernel: `kernels NAME SIZE`.
#ifndef KERNELS_H
#define KERNELS_H
#include <stddef.h>
#include <stdint.h>

typedef uint64_t kernel(uint64_t size);

// Marsaglia's xorshift64, the numbers that kernels work on.
static inline uint64_t next_number(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}
#define SEED 88172645463325252u

kernel k_null, k_calls, k_sieve, k_mixing, k_insertion, k_quicksort, k_bytecode, k_sha256, k_getpid, k_clock;
kernel k_hash, k_chase, k_memcpy, k_strlen, k_movs, k_malloc;
kernel k_pipe_threads, k_pipe_processes, k_futex_threads, k_futex_processes, k_work_twice, k_work_two, k_read_byte;
kernel k_matrix, k_libm, k_x87, k_sse, k_avx2;
#endif
