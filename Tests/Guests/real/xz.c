// LZMA: compresses the first SIZE bytes of FILE with preset 6, expands them again and compares. `xz FILE SIZE`
#include <lzma.h>
#include "input.h"

int main(int argc, char **argv) {
  check(argc == 3, "usage");
  size_t size = strtoul(argv[2], NULL, 10), packed = 0, expanded = 0, read = 0;
  unsigned char *bytes = input(argv[1], &size);
  size_t room = lzma_stream_buffer_bound(size);
  unsigned char *target = malloc(room), *back = malloc(size + 1);
  uint64_t memory = UINT64_MAX;
  check(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, bytes, size, target, &packed, room) == LZMA_OK, "encode");
  check(lzma_stream_buffer_decode(&memory, 0, NULL, target, &read, packed, back, &expanded, size) == LZMA_OK, "decode");
  check(expanded == size && !memcmp(back, bytes, size), "comparison");
  printf("%zu to %zu bytes, %016lx\n", size, packed, digest(DIGEST, target, packed));
}
