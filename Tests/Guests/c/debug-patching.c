// For a debugger: code that the program writes anew before each of four calls; each version returns another number.
#include <string.h>
#include <sys/mman.h>

static unsigned char *place;

static int run(void) { return ((int (*)(void))place)(); }

int main(void) {
  place = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int sum = 0;
  for (int i = 0; i < 4; i++) {
    unsigned char code[] = {0xb8, i + 10, 0, 0, 0, 0x90, 0xc3};  // mov eax, i + 10; nop; ret
    memcpy(place, code, sizeof code);
    sum += run();
  }
  return sum;
}
