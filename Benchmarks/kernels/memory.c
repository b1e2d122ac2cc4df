// Kernels that wait for memory or move it.
#include <stdlib.h>
#include <string.h>
#include "kernels.h"

// Open addressing with linear probing; twice as many slots as keys.
uint64_t k_hash(uint64_t size) {
  enum { slots = 1 << 14 };
  static uint64_t keys[slots], values[slots];
  uint64_t state = SEED, found = 0;
  for (uint64_t i = 0; i < size; i++) {
    uint64_t key = (next_number(&state) & 8191) + 1;
    uint64_t at = key * 0x9e3779b97f4a7c15u >> 50;
    while (keys[at] && keys[at] != key) at = (at + 1) & (slots - 1);
    found += keys[at] == key;
    keys[at] = key;
    values[at] += i;
  }
  for (uint64_t i = 0; i < slots; i++) found = found * 31 + values[i];
  return found;
}

// A list in random order through 1 MB.
uint64_t k_chase(uint64_t size) {
  enum { nodes = 1 << 14 };
  struct node {
    struct node *next;
    uint64_t weight[7];
  };
  struct node *list = calloc(nodes, sizeof *list);
  uint32_t *order = malloc(nodes * sizeof *order);
  uint64_t state = SEED, sum = 0;
  for (uint32_t i = 0; i < nodes; i++) order[i] = i;
  for (uint32_t i = nodes - 1; i > 0; i--) {
    uint32_t k = (uint32_t)(next_number(&state) % (i + 1)), swap = order[i];
    order[i] = order[k];
    order[k] = swap;
  }
  for (uint32_t i = 0; i < nodes; i++) {
    list[order[i]].next = &list[order[(i + 1) % nodes]];
    list[order[i]].weight[0] = i;
  }
  struct node *at = list;
  for (uint64_t i = 0; i < size; i++) {
    sum += at->weight[0];
    at = at->next;
  }
  free(list);
  free(order);
  return sum;
}

// memcpy and memset of mixed sizes, as programs use them: mostly short, now and then a page.
uint64_t k_memcpy(uint64_t size) {
  static char from[8192], to[8192];
  uint64_t state = SEED, sum = 0;
  for (uint64_t i = 0; i < size; i++) {
    uint64_t number = next_number(&state);
    size_t length = number % 16 == 0 ? 4096 : number >> 8 & 127, offset = number >> 20 & 63;
    memcpy(to + offset, from + (number >> 30 & 63), length);
    memset(from + (number >> 40 & 1023), (int)i, length & 255);
    sum += (uint8_t)to[offset];
  }
  return sum;
}

uint64_t k_strlen(uint64_t size) {
  static char text[4096];
  memset(text, 'x', sizeof text - 1);
  uint64_t state = SEED, sum = 0;
  for (uint64_t i = 0; i < size; i++) {
    uint64_t at = next_number(&state) & 4095;
    char kept = text[at];
    text[at] = 0;
    sum += strlen(text) + (strchr(text + at / 2, 'y') != NULL) + (uint64_t)(memchr(text, 0, 4096) != NULL);
    text[at] = kept;
  }
  return sum;
}

uint64_t k_movs(uint64_t size) {
  static char from[4096], to[4096];
  uint64_t sum = 0;
  for (uint64_t i = 0; i < size; i++) {
    void *source = from, *target = to;
    size_t count = 64 + (i & 1023);
    from[i & 4095] = (char)i;
    __asm__ volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
    target = from + 2048;
    count = 32 + (i & 63);
    __asm__ volatile("rep stosq" : "+D"(target), "+c"(count) : "a"(i) : "memory");
    sum += (uint8_t)to[i & 1023];
  }
  return sum;
}

uint64_t k_malloc(uint64_t size) {
  static char *blocks[512];
  uint64_t state = SEED, sum = 0;
  for (uint64_t i = 0; i < size; i++) {
    uint64_t number = next_number(&state);
    char **slot = &blocks[number & 511];
    sum += *slot ? (uint8_t)**slot : 0;
    free(*slot);
    *slot = malloc((number >> 16 & 1023) + 1);
    **slot = (char)number;
  }
  return sum;
}
