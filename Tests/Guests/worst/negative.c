// Code that the usual translation does not fit, without end: thousands of loads and of loops whose base registers are negative, so
// that only base and displacement together are an address. An emulator may take longer the first time, but must neither go
// wrong nor remember all of them for ever.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { LOADS = 70000, LOOPS = 2000, NUMBERS = 1 << 17 };
static const uint64_t data_address = 0x10000000;
static const int64_t base = -0x40000000;

static unsigned char *put(unsigned char *at, const void *bytes, size_t count) {
  memcpy(at, bytes, count);
  return at + count;
}

/// MOV EAX, [RDI + distance]; ADD ESI, EAX
static unsigned char *load(unsigned char *at, int32_t distance) {
  at = put(at, "\x8b\x87", 2);
  at = put(at, &distance, 4);
  return put(at, "\x01\xc6", 2);
}

int main(void) {
  uint32_t *data = mmap((void *)data_address, NUMBERS * 4, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  unsigned char *code = mmap(NULL, 1 << 21, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data != (void *)data_address || code == MAP_FAILED) return 1;
  uint64_t state = 88172645463325252u;
  for (int i = 0; i < NUMBERS; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    data[i] = (uint32_t)state;
  }
  int32_t distance = (int32_t)((int64_t)data_address - base);
  // unsigned (*)(int64_t base, unsigned sum): all loads, each in a block of its own, then the loops.
  unsigned char *at = code;
  for (int i = 0; i < LOADS; i++) {
    at = load(at, distance + 4 * i);
    at = put(at, "\xeb\x00", 2);
  }
  // MOV ECX, 3; 1: load; ADD RDI, 4; DEC ECX; JNZ 1b; SUB RDI, 12
  for (int i = 0; i < LOOPS; i++) {
    at = put(at, "\xb9\x03\x00\x00\x00", 5);
    at = load(at, distance + 4 * i);
    at = put(at, "\x48\x83\xc7\x04\xff\xc9\x75\xf0\x48\x83\xef\x0c", 12);
  }
  at = put(at, "\x89\xf0\xc3", 3);
  for (int turn = 0; turn < 2; turn++) {
    uint32_t expected = turn;
    for (int i = 0; i < LOADS; i++) expected += data[i];
    for (int i = 0; i < LOOPS; i++) expected += data[i] + data[i + 1] + data[i + 2];
    unsigned sum = ((unsigned (*)(int64_t, unsigned))code)(base, turn);
    printf("%u %s\n", sum, sum == expected ? "right" : "wrong");
    data[turn]++;
  }
  return 0;
}
