// Two threads or two processes that wait for each other in turn: by a byte in a pipe, or by futexes. And two that do not wait: the
// same work twice, one after the other or at the same time.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kernels.h"

typedef struct {
  int there[2], back[2];
  _Atomic uint32_t *turn;
  int operation;  // added to FUTEX_WAIT and FUTEX_WAKE
  uint64_t size, answered;
} table_tennis;

static void *answer_pipe(void *argument) {
  table_tennis *game = argument;
  unsigned char byte;
  while (read(game->there[0], &byte, 1) == 1) {
    byte++;
    if (write(game->back[1], &byte, 1) != 1) break;
    game->answered++;
  }
  return NULL;
}

static uint64_t ask_pipe(table_tennis *game) {
  uint64_t sum = 0;
  unsigned char byte = 0;
  for (uint64_t i = 0; i < game->size; i++) {
    byte = (unsigned char)i;
    if (write(game->there[1], &byte, 1) != 1 || read(game->back[0], &byte, 1) != 1) return 0;
    sum = sum * 31 + byte;
  }
  return sum;
}

static uint64_t pipes(uint64_t size, int threads) {
  table_tennis game = {.size = size};
  if (pipe(game.there) || pipe(game.back)) return 0;
  if (threads) {
    pthread_t other;
    if (pthread_create(&other, NULL, answer_pipe, &game)) return 0;
    uint64_t result = ask_pipe(&game);
    close(game.there[1]);
    pthread_join(other, NULL);
    return game.answered == size ? result : 0;
  }
  pid_t child = fork();
  if (!child) {
    close(game.there[1]);
    answer_pipe(&game);
    _exit(game.answered != size);
  }
  uint64_t result = ask_pipe(&game);
  close(game.there[1]);
  int status;
  waitpid(child, &status, 0);
  return status ? 0 : result;
}

uint64_t k_pipe_threads(uint64_t size) { return pipes(size, 1); }
uint64_t k_pipe_processes(uint64_t size) { return pipes(size, 0); }

// Waits until it is `whose` turn, then makes it the other one's.
static void play(table_tennis *game, uint32_t whose) {
  for (uint64_t i = 0; i < game->size; i++) {
    for (uint32_t turn; (turn = atomic_load(game->turn)) % 2 != whose;)
      syscall(SYS_futex, game->turn, FUTEX_WAIT | game->operation, turn, NULL, NULL, 0);
    atomic_fetch_add(game->turn, 1);
    syscall(SYS_futex, game->turn, FUTEX_WAKE | game->operation, 1, NULL, NULL, 0);
  }
}

static void *play_second(void *game) {
  play(game, 1);
  return NULL;
}

static uint64_t futexes(uint64_t size, int threads) {
  table_tennis game = {.size = size, .operation = threads ? FUTEX_PRIVATE_FLAG : 0};
  game.turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (game.turn == MAP_FAILED) return 0;
  if (threads) {
    pthread_t other;
    if (pthread_create(&other, NULL, play_second, &game)) return 0;
    play(&game, 0);
    pthread_join(other, NULL);
  } else {
    pid_t child = fork();
    if (!child) {
      play(&game, 1);
      _exit(0);
    }
    play(&game, 0);
    waitpid(child, NULL, 0);
  }
  return *game.turn;
}

uint64_t k_futex_threads(uint64_t size) { return futexes(size, 1); }
uint64_t k_futex_processes(uint64_t size) { return futexes(size, 0); }

static void *work(void *argument) {
  uint64_t *number = argument;
  uint64_t state = SEED, sum = 0;
  for (uint64_t i = 0; i < *number; i++) sum += next_number(&state) >> 60;
  *number = sum;
  return NULL;
}

uint64_t k_work_twice(uint64_t size) {
  uint64_t first = size, second = size;
  work(&first);
  work(&second);
  return first + second;
}

uint64_t k_work_two(uint64_t size) {
  uint64_t first = size, second = size;
  pthread_t other;
  if (pthread_create(&other, NULL, work, &second)) return 0;
  work(&first);
  pthread_join(other, NULL);
  return first + second;
}

// Bytes read one at a time, of a file that has no end.
uint64_t k_read_byte(uint64_t size) {
  int zero = open("/dev/zero", O_RDONLY);
  uint64_t sum = 0;
  unsigned char byte = 1;
  for (uint64_t i = 0; i < size; i++) sum += (uint64_t)read(zero, &byte, 1) + byte;
  close(zero);
  return sum;
}
