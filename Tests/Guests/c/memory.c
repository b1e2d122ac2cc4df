// Memory calls: mapping, moving, protecting, unmapping, files mapped privately and shared, huge reservations, the break.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "guest.h"

static char *map(size_t size, int flags) {
  char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  CHECK(at != MAP_FAILED);
  return at;
}

static void anonymous(void) {
  char *at = map(16 * 4096, 0);
  for (int i = 0; i < 16; i++) at[i * 4096] = (char)(i + 1);
  CHECK(munmap(at + 4 * 4096, 4 * 4096) == 0);
  CHECK(mprotect(at, 4096, PROT_READ) == 0);
  char *again = mmap(at + 4 * 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(again == at + 4 * 4096 && again[0] == 0);
  void *taken = mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  printf("no replace: %d %s\n", taken == MAP_FAILED, strerror(errno));
  char *moved = mremap(at + 8 * 4096, 8 * 4096, 64 * 4096, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  for (int i = 0; i < 8; i++) printf("%d ", moved[i * 4096]);
  printf("and %d\n", moved[40 * 4096]);
  char *smaller = mremap(moved, 64 * 4096, 4096, 0);
  CHECK(smaller == moved && smaller[0] == 9);
  unsigned char residency[1];
  CHECK(mincore(moved, 4096, residency) == 0 && (residency[0] & 1));
  CHECK(mincore(moved + 4096, 4096, residency) == -1 && errno == ENOMEM);
  smaller[5] = 5;
  CHECK(madvise(smaller, 4096, MADV_DONTNEED) == 0 && smaller[5] == 0 && smaller[0] == 0);
  CHECK(munmap(smaller, 4095) == 0);
  CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(munmap((void *)123, 4096) == -1 && errno == EINVAL);
  CHECK(mprotect((void *)0x10000, 4096, PROT_READ) == -1 && errno == ENOMEM);
}

// Where mmap puts what may lie in the first 2 GiB only: where it is wished for, if there is room, or else in the second GiB.
static void low(void) {
  static const uintptr_t wishes[] = {0x7fff0000, 0, 0x50000000, 0x50001000, 0x30000000, 0x80000000, 0x200000000};
  for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
    void *wish = (void *)wishes[i];
    uintptr_t at = (uintptr_t)mmap(wish, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    printf("low %#lx: %s\n", wishes[i], at == wishes[i] ? "as wished" : at >= 1 << 30 && at + (1 << 16) <= 1ul << 31 ? "elsewhere" : "wrong");
  }
}

static void files(void) {
  int file = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0644);
  CHECK(ftruncate(file, 3 * 4096) == 0);
  char *shared = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  char *copy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 4096);
  CHECK(shared != MAP_FAILED && copy != MAP_FAILED);
  strcpy(shared + 4096, "written through the mapping");
  CHECK(msync(shared, 3 * 4096, MS_SYNC) == 0);
  char text[64];
  CHECK(pread(file, text, 28, 4096) == 28);
  printf("file has: %s\nprivate sees: %s\n", text, copy);
  strcpy(copy, "only in the copy");
  CHECK(!strcmp(shared + 4096, "written through the mapping"));
  CHECK(pwrite(file, "WRITTEN", 7, 4096) == 7);
  printf("shared sees: %s\ncopy keeps: %s\n", shared + 4096, copy);
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, open("prose.txt", O_RDONLY), 0) == MAP_FAILED && errno == EACCES);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED && errno == EBADF);
}

static void reservations(void) {
  size_t size = (size_t)100 << 30;
  char *huge = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(huge != MAP_FAILED);
  for (size_t at = 0; at < size; at += (size_t)10 << 30) huge[at] = (char)(at >> 30);
  uint64_t digest = GUEST_DIGEST;
  for (size_t at = 0; at < size; at += (size_t)5 << 30) digest = guest_digest(digest, huge + at, 1);
  printf("reservation %016lx\n", digest);
  CHECK(munmap(huge, size) == 0);
  char *closed = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(closed != MAP_FAILED && mprotect(closed + 4096, 4096, PROT_READ | PROT_WRITE) == 0);
  closed[4096] = 1;
  CHECK(munmap(closed, size) == 0);
}

static void stress(void) {
  static char *blocks[256];
  static size_t sizes[256];
  uint64_t digest = GUEST_DIGEST;
  for (int turn = 0; turn < 6000; turn++) {
    size_t slot = guest_number() % 256, size = guest_number() % (turn % 100 ? 2000 : 300000);
    if (blocks[slot]) {
      for (size_t i = 0; i < sizes[slot]; i += 97) CHECK(blocks[slot][i] == (char)(slot + i));
      digest = guest_digest(digest, blocks[slot], sizes[slot] < 8 ? sizes[slot] : 8);
      if (turn % 3) {
        free(blocks[slot]);
        blocks[slot] = turn % 5 ? malloc(size) : calloc(1, size);
      } else {
        blocks[slot] = realloc(blocks[slot], size + 1);
      }
    } else {
      blocks[slot] = turn % 7 ? malloc(size) : aligned_alloc(64, (size + 63) & ~63ul);
    }
    sizes[slot] = size;
    for (size_t i = 0; i < size; i++) blocks[slot][i] = (char)(slot + i);
  }
  printf("malloc %016lx\n", digest);
}

int main(void) {
  anonymous();
  low();
  files();
  reservations();
  char *first = sbrk(0);
  CHECK(sbrk(100000) == first);
  memset(first, 1, 100000);
  CHECK(sbrk(-100000) == first + 100000 && sbrk(0) == first);
  stress();
}
