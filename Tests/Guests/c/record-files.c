// A guest whose memory changes behind its back: files mapped privately and shared that write(2), pwrite(2) and ftruncate(2) change,
// a shared mapping that reaches the file, memory that mremap(2) moves, brk(2), madvise(2), vectors of buffers, and a file that
// holds random bytes, so that no two runs print the same.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "guest.h"

static uint64_t digest = GUEST_DIGEST;

static void show(const char *what, const void *bytes, size_t count) {
  digest = guest_digest(digest, bytes, count);
  printf("%-20s %016lx\n", what, (unsigned long)digest);
}

int main(void) {
  enum { page = 4096, pages = 8, size = page * pages };
  static unsigned char noise[size], first[100], second[size];
  CHECK(getrandom(noise, sizeof noise, 0) == sizeof noise);
  int file = open("record-files.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0 && write(file, noise, size) == size);
  unsigned char *private = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  unsigned char *shared = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  unsigned char *middle = mmap(0, 2 * page, PROT_READ, MAP_SHARED, file, 3 * page);
  CHECK(private != MAP_FAILED && shared != MAP_FAILED && middle != MAP_FAILED);
  show("mapped", private, size);

  private[5 * page] ^= 0xff;
  shared[3 * page + 7] ^= 0x55;
  show("other view", middle, 2 * page);
  CHECK(getrandom(noise, page, 0) == page);
  CHECK(pwrite(file, noise, page, 4 * page + 100) == page);
  show("pwrite", shared, size);
  // The kernel looks at the lower half of a number alone.
  CHECK(syscall(SYS_pwrite64 | 1L << 32, file, noise, page, page + 100) == page);
  show("pwrite, wide number", shared, size);
  CHECK(lseek(file, 6 * page, SEEK_SET) == 6 * page && write(file, noise, 64) == 64);
  show("write", shared, size);
  show("private", private + 5 * page, page);

  struct iovec parts[2] = {{first, sizeof first}, {second, sizeof second}};
  CHECK(preadv(file, parts, 2, 50) == size - 50);
  show("preadv", first, sizeof first);
  show("its rest", second, sizeof second);
  // Into a mapping of the same file.
  CHECK(pread(file, shared, page, 4 * page) == page);
  show("read into itself", middle, 2 * page);

  unsigned char *moved = mremap(shared, size, 2 * size, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED && ftruncate(file, 2 * size) == 0);
  show("moved", moved, 2 * size);
  unsigned char *heap = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(heap, noise, size);
  CHECK(madvise(heap + page, 2 * page, MADV_DONTNEED) == 0);
  // Advice that is refused, in whole or from a place on.
  CHECK(madvise(heap + 3 * page, page, MADV_REMOVE) == -1 && errno == EINVAL);
  show("not removed", heap, size);
  unsigned char *holes = mmap(0, 5 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(holes, noise, 5 * page);
  CHECK(mlock(holes + page, page) == 0);
  CHECK(madvise(holes, 3 * page, MADV_DONTNEED) == -1 && errno == EINVAL);
  show("up to what is locked", holes, 5 * page);
  CHECK(munmap(holes + 3 * page, page) == 0);
  CHECK(madvise(holes + 2 * page, 3 * page, MADV_DONTNEED) == -1 && errno == ENOMEM);
  show("over a hole", holes + 2 * page, page);
  show("behind it", holes + 4 * page, page);
  CHECK(munmap(holes, 5 * page) == 0);
  unsigned char *larger = mremap(heap, size, 4 * size, MREMAP_MAYMOVE);
  CHECK(larger != MAP_FAILED);
  show("mremap", larger, 4 * size);
  unsigned char *smaller = mremap(larger, 4 * size, page, 0);
  CHECK(smaller == larger && mprotect(smaller, page, PROT_READ) == 0);
  show("shrunk", smaller, page);
  unsigned char *break_before = sbrk(3 * page);
  memset(break_before, 7, 3 * page);
  CHECK(brk(break_before + page) == 0 && sbrk(2 * page) == break_before + page);
  show("brk", break_before, 3 * page);
  CHECK(munmap(private, size) == 0 && munmap(moved, 2 * size) == 0 && munmap(middle, 2 * page) == 0);
  CHECK(close(file) == 0 && unlink("record-files.data") == 0);
  return (int)(digest & 63);
}
