// For a debugger that interrupts: counts for ever, or sleeps for ever with an argument.
#include <unistd.h>

volatile unsigned long rounds;
volatile int stop;

int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) pause();
  while (!stop) rounds++;
  return 4;
}
