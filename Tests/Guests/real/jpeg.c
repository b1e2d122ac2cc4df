// libjpeg-turbo: compresses a made picture of 1024 × 768 and expands it again, COUNT times. The library chooses SSE2 or AVX2
// code by what CPUID says. `jpeg COUNT`
#include <stdint.h>
#include <stdio.h>
#include <jpeglib.h>
#include "input.h"
#include "picture.h"

enum { width = 1024, height = 768 };
static uint8_t source[height][width * 3], target[height][width * 3];

static unsigned long compress(unsigned char **bytes, int quality) {
  struct jpeg_compress_struct state;
  struct jpeg_error_mgr errors;
  unsigned long size = 0;
  state.err = jpeg_std_error(&errors);
  jpeg_create_compress(&state);
  jpeg_mem_dest(&state, bytes, &size);
  state.image_width = width, state.image_height = height;
  state.input_components = 3, state.in_color_space = JCS_RGB;
  jpeg_set_defaults(&state);
  jpeg_set_quality(&state, quality, TRUE);
  jpeg_start_compress(&state, TRUE);
  while (state.next_scanline < height) {
    JSAMPROW row = source[state.next_scanline];
    jpeg_write_scanlines(&state, &row, 1);
  }
  jpeg_finish_compress(&state);
  jpeg_destroy_compress(&state);
  return size;
}

static void expand(const unsigned char *bytes, unsigned long size) {
  struct jpeg_decompress_struct state;
  struct jpeg_error_mgr errors;
  state.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&state);
  jpeg_mem_src(&state, bytes, size);
  check(jpeg_read_header(&state, TRUE) == JPEG_HEADER_OK, "header");
  jpeg_start_decompress(&state);
  while (state.output_scanline < height) {
    JSAMPROW row = target[state.output_scanline];
    jpeg_read_scanlines(&state, &row, 1);
  }
  jpeg_finish_decompress(&state);
  jpeg_destroy_decompress(&state);
}

int main(int argc, char **argv) {
  check(argc == 2, "usage");
  int count = atoi(argv[1]);
  uint32_t noise = 7;
  uint64_t sum = DIGEST, total = 0;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width * 3; x++) source[y][x] = sample(x / 3, y, 5, x % 3, &noise);
  for (int i = 0; i < count; i++) {
    unsigned char *bytes = NULL;
    unsigned long size = compress(&bytes, 60 + i % 35);
    expand(bytes, size);
    sum = digest(digest(sum, bytes, size), target, sizeof target);
    total += size;
    free(bytes);
  }
  printf("%d pictures, %lu bytes, %016lx\n", count, total, sum);
}
