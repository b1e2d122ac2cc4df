// Zstandard: compresses the first SIZE bytes of FILE at level 9, expands them again and compares. `zstd FILE SIZE`
#include <zstd.h>
#include "input.h"

int main(int argc, char **argv) {
  check(argc == 3, "usage");
  size_t size = strtoul(argv[2], NULL, 10);
  unsigned char *bytes = input(argv[1], &size);
  size_t room = ZSTD_compressBound(size);
  unsigned char *target = malloc(room), *back = malloc(size + 1);
  size_t packed = ZSTD_compress(target, room, bytes, size, 9);
  check(!ZSTD_isError(packed), "compress");
  check(ZSTD_decompress(back, size, target, packed) == size, "decompress");
  check(!memcmp(back, bytes, size), "comparison");
  printf("%zu to %zu bytes, %016lx\n", size, packed, digest(DIGEST, target, packed));
}
