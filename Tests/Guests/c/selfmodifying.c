// Code that a program writes itself: a small compiler, patched instructions, code on two mappings, W^X by mprotect.
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "guest.h"

typedef long (*function)(long);

int main(void) {
  unsigned char *code = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(code != MAP_FAILED);
  // lea rax, [rdi + n]; ret: the constant changes between calls
  memcpy(code, "\x48\x8d\x87\0\0\0\0\xc3", 8);
  long sum = 0;
  for (int32_t n = 0; n < 300; n++) {
    memcpy(code + 3, &n, 4);
    sum += ((function)code)(n);
  }
  printf("patched %ld\n", sum);
  // mov byte [rip + 6], 2; mov al, 1; movzx eax, al; ret: changes the instruction that comes next
  unsigned char *self = code + 256;
  memcpy(self, "\xc6\x05\x01\0\0\0\x02\xb0\x01\x0f\xb6\xc0\xc3", 13);
  printf("patches itself ahead: %ld\n", ((function)self)(0));
  // a loop that rewrites its own add: xor eax,eax; mov ecx,10; L: add eax,1; inc byte [rip-7]; dec ecx; jnz L; ret
  unsigned char *loop = code + 512;
  memcpy(loop, "\x31\xc0\xb9\x0a\0\0\0\x83\xc0\x01\xfe\x05\xf9\xff\xff\xff\xff\xc9\x75\xf3\xc3", 21);
  printf("rewrites its loop: %ld\n", ((function)loop)(0));
  // an instruction across a page's end
  unsigned char *across = code + 4096 - 4;
  memcpy(across, "\x48\x8d\x87\x10\x27\0\0\xc3", 8);
  printf("across pages: %ld\n", ((function)across)(5));
  memcpy(code + 4096, "\x20\x4e", 2);
  across[3] = 0;
  printf("second page patched: %ld\n", ((function)across)(5));
  int memory = memfd_create("code", 0);
  CHECK(memory >= 0 && ftruncate(memory, 4096) == 0);
  unsigned char *writable = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  function runnable = (function)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, memory, 0);
  for (int i = 1; i < 4; i++) {
    memcpy(writable, "\x48\x6b\xc7\x00\xc3", 5);  // imul rax, rdi, n; ret
    writable[3] = (unsigned char)(i * 11);
    printf("aliased %ld\n", runnable(3));
  }
  for (int i = 0; i < 5; i++) {
    CHECK(mprotect(code, 4096, PROT_READ | PROT_WRITE) == 0);
    code[3] = (unsigned char)i;
    CHECK(mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0);
    printf("%ld ", ((function)code)(100));
  }
  CHECK(munmap(code, 8192) == 0);
  unsigned char *again = mmap(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(again == code);
  memcpy(code, "\x48\xf7\xdf\x48\x89\xf8\xc3", 7);  // neg rdi; mov rax, rdi; ret
  printf("\nmapped anew: %ld\n", ((function)code)(100));
}
