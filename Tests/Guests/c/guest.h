// What every guest program shares: numbers that are the same in every run, a checksum of what a loop computed, and a
// check that ends the program when it fails. Guests print only what is the same in every native run.
#ifndef GUEST_H
#define GUEST_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t guest_state = 88172645463325252u;

// Marsaglia's xorshift64.
static inline uint64_t guest_number(void) {
  guest_state ^= guest_state << 13;
  guest_state ^= guest_state >> 7;
  guest_state ^= guest_state << 17;
  return guest_state;
}

// FNV-1a over the bytes of an object.
static inline uint64_t guest_digest(uint64_t digest, const void *bytes, size_t count) {
  const unsigned char *byte = bytes;
  for (size_t i = 0; i < count; i++) digest = (digest ^ byte[i]) * 1099511628211u;
  return digest;
}
#define GUEST_DIGEST 14695981039346656037u

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);      \
      exit(99);                                                                 \
    }                                                                           \
  } while (0)
#endif
