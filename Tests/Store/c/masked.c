// Runs with a umask that takes the owner's rights too.
#include <stdio.h>
#include <sys/stat.h>
#include "many.h"

int main(void) {
  umask(0777);
  unsigned long value = 1;
  for (int i = 0; i < STEPS; i++) value = steps[i](value);
  printf("%lx\n", value);
  return 0;
}
