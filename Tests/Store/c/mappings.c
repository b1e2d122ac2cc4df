// Code in files (arguments 1 and 2), mapped at one address one after the other, privately, shared, written to, protected and
// released: pieces of `mov eax, n; ret`, sixteen bytes each, whose n are the files'.
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 4096, PIECES = SIZE / 16 };
static unsigned char *const place = (unsigned char *)0x10000000;
static sigjmp_buf back;

static void fault(int number) { siglongjmp(back, number); }

static void call(const char *what) {
  long sum = 0;
  if (sigsetjmp(back, 1) == 0)
    for (int i = 0; i < PIECES; i++) sum = sum * 3 % 1000003 + ((int (*)(void))(place + i * 16))();
  else
    sum = -1;
  printf("%s: %ld\n", what, sum);
}

static void map(int file, int protection, int flags) {
  if (mmap(place, SIZE, protection, flags | MAP_FIXED, file, 0) != place) printf("cannot map\n");
}

int main(int count, char **words) {
  if (count < 3) return 2;
  struct sigaction action = {.sa_handler = fault, .sa_flags = SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  int first = open(words[1], O_RDWR), second = open(words[2], O_RDWR);
  map(first, PROT_READ | PROT_EXEC, MAP_PRIVATE);
  call("the first");
  map(second, PROT_READ | PROT_EXEC, MAP_PRIVATE);
  call("the second");
  map(first, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
  call("the first again");
  for (int i = 0; i < PIECES; i += 3) place[i * 16 + 1] ^= 0x55;
  call("changed");
  mprotect(place, SIZE, PROT_READ | PROT_EXEC);
  call("changed and protected");
  mprotect(place, SIZE, PROT_READ);
  call("not executable");
  mprotect(place, SIZE, PROT_READ | PROT_WRITE);
  memset(place + 32, 0x90, 11);
  mprotect(place, SIZE, PROT_READ | PROT_EXEC);
  call("changed while it was not executable");
  munmap(place, SIZE);
  call("released");
  map(second, PROT_READ | PROT_EXEC, MAP_SHARED);
  call("shared");
  map(first, PROT_READ | PROT_EXEC, MAP_PRIVATE);
  call("the first at the end");
  return 0;
}
