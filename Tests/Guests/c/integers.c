// Integer arithmetic of every width, and the instructions that compilers seldom choose, over many numbers.
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include "guest.h"

static uint64_t digest = GUEST_DIGEST;
static void add(uint64_t value) { digest = guest_digest(digest, &value, 8); }
static void report(const char *name) {
  printf("%-14s %016lx\n", name, digest);
  digest = GUEST_DIGEST;
}

#define FLAGS 0x8d5ul  // OF SF ZF AF PF CF
#define DEFINED(expression, mask) add((expression) & (mask))

static void widths(void) {
  for (int i = 0; i < 3000; i++) {
    uint64_t a = guest_number() >> (i % 61), b = (guest_number() >> (i % 59)) | 1;
    unsigned __int128 product = (unsigned __int128)a * b;
    add((uint64_t)(product >> 64)); add((uint64_t)product);
    add((uint64_t)(product / (b + 2))); add((uint64_t)(product % (a | 1)));
    __int128 negative = (__int128)(int64_t)a * (int64_t)b;
    add((uint64_t)(negative >> 70)); add((uint64_t)(negative / ((int64_t)a | 1)));
    add(a / b); add(a % b); add((uint64_t)((int64_t)a / (int64_t)b)); add((uint64_t)((int32_t)a / ((int32_t)b | 1)));
    add((uint16_t)a / ((uint16_t)b | 1)); add((uint8_t)((uint8_t)a / ((uint8_t)b | 1))); add((uint64_t)((int8_t)a % ((int8_t)b | 1)));
    add(a << (b & 63)); add(a >> (b & 63)); add((uint64_t)((int64_t)a >> (b & 63))); add((uint32_t)a << (b & 31));
    add((a << (b & 63)) | (a >> (-b & 63))); add(__builtin_bswap64(a)); add(__builtin_bswap32((uint32_t)a));
    add((uint64_t)__builtin_popcountll(a)); add((uint64_t)__builtin_clzll(b)); add((uint64_t)__builtin_ctzll(b));
    add((uint64_t)__builtin_parityll(a)); add((uint64_t)__builtin_ffsll((long long)a));
    long sum;
    add((uint64_t)__builtin_saddl_overflow((long)a, (long)b, &sum) + (uint64_t)sum);
    add((uint64_t)__builtin_smull_overflow((long)a, (long)b, &sum) ^ (uint64_t)sum);
    short small;
    add((uint64_t)__builtin_sub_overflow((short)a, (short)b, &small) + (uint64_t)small);
  }
  report("widths");
}

// One instruction on two registers, with all flags going in and coming out.
#define EACH(text, instruction, mask)                                                             \
  for (int i = 0; i < 400; i++) {                                                                 \
    uint64_t a = guest_number() >> (i % 64), b = guest_number(), flags = guest_number() & FLAGS;  \
    uint64_t count = guest_number();                                                              \
    __asm__ volatile("pushq %2\n\tpopfq\n\t" instruction "\n\tpushfq\n\tpopq %2"                  \
                     : "+a"(a), "+d"(b), "+r"(flags), "+c"(count) : : "cc", "memory");            \
    add(a); add(b); add(count); DEFINED(flags, mask);                                             \
  }                                                                                               \
  report(text)

static void flags(void) {
  EACH("adc sbb", "adcq %1, %0\n\tsbbl %k1, %k0\n\tadcb %b0, %b1", FLAGS);
  EACH("inc dec neg", "incl %k0\n\tdecw %w1\n\tnegq %0\n\tnotq %1", FLAGS);
  EACH("rcl rcr", "rclq $3, %0\n\trcrl %%cl, %k1\n\trclb $1, %b0\n\trcrw $17, %w1", 0xd4);
  EACH("rol ror", "rolq %%cl, %0\n\trorl $5, %k1\n\trolw $1, %w0", 0x0d4);
  EACH("shld shrd", "shldq $7, %1, %0\n\tshrdl $9, %k0, %k1", 0xc5);
  EACH("shifts", "shlq $1, %0\n\tsarl $1, %k1\n\tshrw $1, %w0\n\tsarb $1, %b1", 0x8c5);
  EACH("bt btc", "btq %1, %0\n\tsetc %b1\n\tbtcl $7, %k0\n\tbtsw $3, %w0\n\tbtrq $40, %0", 1);
  EACH("bsf bsr", "orq $1, %1\n\tbsfq %1, %0\n\tbsrl %k1, %k0", 0x40);
  EACH("xadd cmpxchg", "xaddq %1, %0\n\tcmpxchgl %k1, %k0\n\txchgw %w0, %w1", FLAGS);
  EACH("lahf sahf", "lahf\n\taddb $0x31, %%ah\n\tsahf\n\tcmc", 0xd5);
  EACH("cbw cqo", "cbtw\n\tcwtl\n\tcltq\n\tcqto\n\tcwtd", FLAGS);
  EACH("cmov set", "cmovbeq %1, %0\n\tsetle %b1\n\tcmovpl %k0, %k1", FLAGS);
  EACH("mul imul", "mulb %b1\n\timulw $-7, %w1, %w0\n\timulq %1, %0", 0x801);
  EACH("high bytes", "addb %%ah, %%dl\n\txorb %%dh, %%al\n\tmovb %%ch, %%dh\n\tsubb %%cl, %%ah", FLAGS);
  EACH("enter leave", "pushq %%rbp\n\tmovq %%rsp, %%rbp\n\tenter $32, $3\n\tleave\n\tpopq %%rbp", 0);
  EACH("loop jrcxz", "andl $7, %%ecx\n\tjrcxz 2f\n1:\taddq %1, %0\n\tloop 1b\n2:\tincl %%ecx", 0x8d5);
}

static void memory(void) {
  static unsigned char bits[4096], table[256], source[512], target[512];
  for (int i = 0; i < 256; i++) table[i] = (unsigned char)(i * 167 + 13);
  for (int i = 0; i < 300; i++) {
    int64_t index = (int64_t)(guest_number() % 32000) - 16000;
    unsigned char carry;
    __asm__ volatile("btcq %2, (%3)\n\tsetc %0" : "=r"(carry), "+m"(bits) : "r"(index), "r"(bits + 2048) : "cc");
    add(carry);
    __asm__ volatile("lock btsw %w2, (%3)\n\tsetc %0" : "=r"(carry), "+m"(bits) : "r"(index), "r"(bits + 2048) : "cc");
    add(carry);
    unsigned char al = (unsigned char)index;
    __asm__ volatile("xlatb" : "+a"(al) : "b"(table));
    add(al);
  }
  digest = guest_digest(digest, bits, sizeof bits);
  report("memory bits");
  for (int i = 0; i < 512; i++) source[i] = (unsigned char)guest_number();
  for (int i = 0; i < 200; i++) {
    uint64_t count = guest_number() % 60, down = guest_number() & 1, size = (uint64_t)i % 4;
    unsigned char *from = source + 256, *to = target + 256;
    if (down) __asm__ volatile("std");
    if (size == 0) __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    if (size == 1) __asm__ volatile("rep stosw" : "+D"(to), "+c"(count) : "a"(i * 77) : "memory");
    if (size == 2) __asm__ volatile("repe cmpsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory", "cc");
    if (size == 3) __asm__ volatile("repne scasb" : "+D"(to), "+c"(count) : "a"(source[i]) : "memory", "cc");
    __asm__ volatile("cld");
    add((uint64_t)(from - source)); add((uint64_t)(to - target)); add(count);
  }
  digest = guest_digest(digest, target, sizeof target);
  report("strings");
  static unsigned __int128 pair __attribute__((aligned(16))) = 5;
  uint64_t low = 5, high = 0;
  unsigned char equal;
  __asm__ volatile("lock cmpxchg16b %0\n\tsete %3" : "+m"(pair), "+a"(low), "+d"(high), "=r"(equal) : "b"(77ul), "c"(88ul) : "cc");
  add(equal); add((uint64_t)pair); add((uint64_t)(pair >> 64));
  __asm__ volatile("lock cmpxchg16b %0\n\tsete %3" : "+m"(pair), "+a"(low), "+d"(high), "=r"(equal) : "b"(1ul), "c"(2ul) : "cc");
  add(equal); add(low); add(high);
  report("cmpxchg16b");
}

// Shifts by CL of memory at a base of 64 bits and an index of 32, in each of the registers that a translator may keep elsewhere.
// There is memory at twice the base as well: a base that was taken for the index too would change it without a fault.
#define SHIFT(instruction, index)                                                                   \
  __asm__ volatile("movl %k1, %%" index "d\n\tmovq %0, %%rsi\n\t" instruction " %%cl, (%%rsi,%%" index ")" \
                   : : "r"(near), "r"(guest_number() % 4000), "c"(guest_number()) : index, "rsi", "cc", "memory")

static void shiftsInMemory(void) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  unsigned char *near = mmap((void *)(1ul << 32), 4096, PROT_READ | PROT_WRITE, flags, -1, 0);
  unsigned char *far = mmap((void *)(2ul << 32), 4096, PROT_READ | PROT_WRITE, flags, -1, 0);
  CHECK(near != MAP_FAILED && far != MAP_FAILED);
  for (int i = 0; i < 4096; i++) near[i] = far[i] = (unsigned char)guest_number();
  for (int i = 0; i < 100; i++) {
    SHIFT("shlq", "r8"); SHIFT("rorl", "r9"); SHIFT("sarw", "r10"); SHIFT("rolq", "r11"); SHIFT("shrb", "r12");
  }
  digest = guest_digest(digest, near, 4096);
  digest = guest_digest(digest, far, 4096);
  report("shifts, memory");
}

static uint64_t switched(uint64_t n) {
  switch (n % 12) {
    case 0: return n * 3; case 1: return n ^ 0x55; case 2: return n >> 3; case 3: return ~n; case 4: return n + 99;
    case 5: return n / 7; case 6: return n % 13; case 7: return -n; case 8: return n << 5; case 9: return n | 7;
    case 10: return n & 0xf0f0; default: return 1;
  }
}

int main(void) {
  widths();
  flags();
  memory();
  shiftsInMemory();
  for (uint64_t i = 0, n = 1; i < 5000; i++) add(n = switched(n + i));
  report("switch");
}
