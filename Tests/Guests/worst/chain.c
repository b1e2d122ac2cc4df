// Chains of conditional jumps: `chain KIND COUNT` makes COUNT pieces of code that end in a conditional jump each, runs them,
// and prints how many ran and a digest of which. Kinds: `through`, no jump is taken; `next`, each is taken to the next piece;
// `same`, taken or not, the next piece follows; `skip`, each is taken over some pieces; `back`, pieces lie in reverse order;
// `scattered`, in random order; `both`, both ends of every jump are pieces, half of which never run.
// A translator that follows both ends of a jump before it runs either must not need more than linear time and memory.
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include "../c/guest.h"

enum { piece_size = 20 };

// Piece `index` at its place: count it in eax, mix its number into rdx, jump; what is left over is never reached.
static void emit(unsigned char *code, size_t place, uint32_t index, int taken, size_t target, size_t following) {
  unsigned char *at = code + place * piece_size;
  memset(at, 0xcc, piece_size);
  memcpy(at, "\x01\xc8\x69\xd2\0\0\0\0", 8);  // add eax, ecx; imul edx, edx, number
  uint32_t number = index * 2 + 3;
  memcpy(at + 4, &number, 4);
  at[8] = 0x85, at[9] = 0xc9;               // test ecx, ecx: ecx is 1
  at[10] = 0x0f, at[11] = taken ? 0x85 : 0x84;  // jnz or jz
  int32_t distance = (int32_t)(((long)target - (long)place) * piece_size - 16);
  memcpy(at + 12, &distance, 4);
  if (following == place + 1) {
    at[16] = 0x66, at[17] = 0x0f, at[18] = 0x1f, at[19] = 0xc0;  // nop to the next piece
  } else if (!taken) {
    CHECK(0);  // a jump that is not taken needs its successor behind it
  }
}

static size_t *places(size_t count, const char *kind) {
  size_t *place = malloc((count + 1) * sizeof *place);
  for (size_t i = 0; i < count; i++) place[i] = strcmp(kind, "back") ? i : count - 1 - i;
  for (size_t i = count - 1; i > 0 && !strcmp(kind, "scattered"); i--) {
    size_t k = guest_number() % (i + 1), swap = place[i];
    place[i] = place[k];
    place[k] = swap;
  }
  place[count] = count;  // the end
  return place;
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  const char *kind = argv[1];
  size_t count = strtoul(argv[2], NULL, 10), size = (count + 1) * piece_size;
  CHECK(count > 0 && count < 100000000);
  unsigned char *code = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(code != MAP_FAILED);
  size_t *place = places(count, kind);
  int through = !strcmp(kind, "through"), both = !strcmp(kind, "both"), skip = !strcmp(kind, "skip");
  for (size_t i = 0; i < count; i++) {
    size_t jump = i + 1;
    if (skip) jump = i + 1 + guest_number() % 50;
    int taken = !through && !(both && guest_number() % 2);
    if (both) jump = taken ? i + 2 : i + 1 + guest_number() % 1000;
    if (!strcmp(kind, "same")) taken = (int)(guest_number() & 1);
    if (through) jump = guest_number() % count;
    if (jump > count) jump = count;
    emit(code, place[i], (uint32_t)i, taken, place[jump], place[i + 1]);
  }
  code[count * piece_size] = 0xc3;
  CHECK(mprotect(code, size, PROT_READ | PROT_EXEC) == 0);
  uint32_t ran = 0, mix = 1;
  __asm__ volatile("call *%2" : "+a"(ran), "+d"(mix) : "r"(code + place[0] * piece_size), "c"(1) : "memory", "cc");
  printf("%s %zu: %u pieces ran, %08x\n", kind, count, ran, mix);
}
