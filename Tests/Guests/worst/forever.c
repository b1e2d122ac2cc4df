// A program that makes code for ever, as a just-in-time compiler does: `forever KIND COUNT` writes COUNT functions one after
// the other into 64 KiB that are used again and again, calls each once and checks what it computed. Kinds: `open`, memory that
// is writable and executable; `toggle`, made writable and then executable again by mprotect; `twin`, two mappings of one memfd, one to
// write, one to run; `fresh`, a new mapping for every function; `beside`, one function, which counts in a word of its own page.
// Prints only what is the same in every run.
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../c/guest.h"

enum { room = 1 << 16, slot = 128, page = 4096 };

// Writes a function that computes x * a + b by a loop of additions, then mixes in c.
static void compile(unsigned char *at, uint32_t a, uint32_t b, uint32_t c) {
  static const unsigned char pattern[] = {
      0xb8, 0, 0, 0, 0,                    //    mov eax, b
      0xb9, 0, 0, 0, 0,                    //    mov ecx, a
      0x01, 0xf8, 0xff, 0xc9, 0x75, 0xfa,  // l: add eax, edi; dec ecx; jnz l
      0x35, 0, 0, 0, 0,                    //    xor eax, c
      0xa9, 1, 0, 0, 0, 0x74, 0x02,        //    test eax, 1; jz out
      0xf7, 0xd0,                          //    not eax
      0xc3};                               // out: ret
  memcpy(at, pattern, sizeof pattern);
  memcpy(at + 1, &b, 4);
  memcpy(at + 6, &a, 4);
  memcpy(at + 17, &c, 4);
}

static uint32_t expected(uint32_t x, uint32_t a, uint32_t b, uint32_t c) {
  uint32_t value = (x * a + b) ^ c;
  return value & 1 ? ~value : value;
}

typedef uint32_t function(uint32_t);

static void *mapping(int protection, int file) {
  int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void *at = mmap(NULL, room, protection, flags, file, 0);
  CHECK(at != MAP_FAILED);
  return at;
}

// Code that is also written as data: a function counts its calls in the page in which it lies.
static int beside(size_t count) {
  static const unsigned char pattern[] = {
      0xff, 0x05, 0x3a, 0, 0, 0,  // inc dword [rip + 58]: 64 bytes after the function's begin
      0x8b, 0x05, 0x34, 0, 0, 0,  // mov eax, [rip + 52]
      0xc3};
  unsigned char *at = mapping(PROT_READ | PROT_WRITE | PROT_EXEC, -1);
  memcpy(at, pattern, sizeof pattern);
  for (size_t i = 0; i < count; i++)
    if (((function *)(void *)at)(0) != (uint32_t)i + 1) {
      printf("wrong count at %zu\n", i);
      return 1;
    }
  printf("beside: %zu calls\n", count);
  return 0;
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  const char *kind = argv[1];
  size_t count = strtoul(argv[2], NULL, 10);
  if (!strcmp(kind, "beside")) return beside(count);
  int toggle = !strcmp(kind, "toggle"), twin = !strcmp(kind, "twin"), fresh = !strcmp(kind, "fresh");
  unsigned char *write, *run;
  if (twin) {
    int file = memfd_create("code", 0);
    CHECK(file >= 0 && ftruncate(file, room) == 0);
    write = mapping(PROT_READ | PROT_WRITE, file);
    run = mapping(PROT_READ | PROT_EXEC, file);
  } else {
    write = run = mapping(toggle ? PROT_READ | PROT_WRITE : PROT_READ | PROT_WRITE | PROT_EXEC, -1);
  }
  uint64_t digest = GUEST_DIGEST;
  for (size_t i = 0; i < count; i++) {
    uint64_t number = guest_number();
    uint32_t a = (uint32_t)(number & 7) + 1, b = (uint32_t)(number >> 8), c = (uint32_t)(number >> 32), x = (uint32_t)i;
    size_t at = i * slot % room;
    if (fresh) write = run = mapping(PROT_READ | PROT_WRITE | PROT_EXEC, -1);
    if (toggle) CHECK(mprotect(write + at / page * page, page, PROT_READ | PROT_WRITE) == 0);
    compile(write + at, a, b, c);
    if (toggle) CHECK(mprotect(write + at / page * page, page, PROT_READ | PROT_EXEC) == 0);
    uint32_t value = ((function *)(void *)(run + at))(x);
    if (value != expected(x, a, b, c)) {
      printf("function %zu gave %08x instead of %08x\n", i, value, expected(x, a, b, c));
      return 1;
    }
    digest = guest_digest(digest, &value, sizeof value);
    if (fresh) CHECK(munmap(run, room) == 0);
  }
  printf("%s: %zu functions, %016lx\n", kind, count, digest);
}
