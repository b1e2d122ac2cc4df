// Thread-local storage of the main thread: initialised, zeroed and aligned variables, errno, and the thread pointer.
#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <unistd.h>
#include "guest.h"

__thread int initialised = 42;
__thread char zeroed[3000];
alignas(256) __thread long aligned = 7;
static __thread struct { double x; char name[8]; } local = {1.5, "glass"};
extern __thread int initialised;

int main(void) {
  printf("%d %d %ld %g %s\n", initialised, zeroed[2999], aligned, local.x, local.name);
  CHECK(((uintptr_t)&aligned & 255) == 0);
  initialised++;
  zeroed[5] = 1;
  local.x *= 2;
  errno = 0;
  CHECK(close(-1) == -1);
  printf("%d %d %g errno %d\n", initialised, zeroed[5], local.x, errno);
  uintptr_t self, canary;
  __asm__("mov %%fs:0, %0" : "=r"(self));
  __asm__("mov %%fs:40, %0" : "=r"(canary));
  CHECK(self && *(uintptr_t *)self == self && canary != 0 && (canary & 0xff) == 0);
  CHECK(self > (uintptr_t)&initialised && self - (uintptr_t)&initialised < 8192);
  puts("thread pointer is right");
}
