// A library of one function; VALUE is part of its code. The rest of it is as large as another one's.
#include "many.h"

int value(int x) {
  unsigned long sum = x;
  for (int i = 0; i < STEPS; i++) sum = steps[i](sum) ^ VALUE;
  return (int)(sum & 0xffff) * 1000 + VALUE;
}
