// zlib: compresses the first SIZE bytes of FILE at level 6, expands them again and compares. `gzip FILE SIZE`
#include <zlib.h>
#include "input.h"

int main(int argc, char **argv) {
  check(argc == 3, "usage");
  size_t size = strtoul(argv[2], NULL, 10);
  unsigned char *bytes = input(argv[1], &size);
  uLongf packed = compressBound(size), expanded = size;
  unsigned char *target = malloc(packed), *back = malloc(size + 1);
  check(compress2(target, &packed, bytes, size, 6) == Z_OK, "compress2");
  check(uncompress(back, &expanded, target, packed) == Z_OK, "uncompress");
  check(expanded == size && !memcmp(back, bytes, size), "comparison");
  printf("%zu to %lu bytes, %016lx, crc %08lx\n", size, packed, digest(DIGEST, target, packed), crc32(0, bytes, (uInt)size));
}
