// Pictures made by arithmetic: gradients, a texture that moves, discs with hard edges, and a little noise, so that an encoder
// finds motion, edges and detail as in a film.
#ifndef PICTURE_H
#define PICTURE_H
#include <stdint.h>

// One sample of component `plane` at (x, y) of picture number `time`.
static inline uint8_t sample(int x, int y, int time, int plane, uint32_t *noise) {
  int value = (x * 3 + y * 2 + plane * 40) / 8 + ((x + time * 3) >> 3 ^ (y + time) >> 3) * 5 % 64;
  int dx = x - 40 - time * 5 % 300, dy = y - 60 - time * 2 % 90;
  if (dx * dx + dy * dy < 900) value = 255 - value + (dx * dy >> 4);
  dx = x - 200 + time * 3 % 150, dy = y - 100;
  if (dx * dx + dy * dy * 2 < 1600) value += 70;
  *noise = *noise * 1664525 + 1013904223;
  return (uint8_t)(value + (int)(*noise >> 29));
}
#endif
