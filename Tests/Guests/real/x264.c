// x264: encodes COUNT made pictures of 640 × 360 into H.264 in one thread. libx264 chooses its vector code, up to AVX-512, by
// what CPUID says. `x264 COUNT`
#include <stdint.h>
#include <x264.h>
#include "input.h"
#include "picture.h"

enum { width = 640, height = 360 };

// Pictures are made once and used again, so that the encoder is what takes time.
enum { pictures = 24 };
static uint8_t film[pictures][width * height * 3 / 2];

static void make(void) {
  uint32_t noise = 1;
  for (int time = 0; time < pictures; time++) {
    uint8_t *at = film[time];
    for (int plane = 0; plane < 3; plane++) {
      int step = plane ? 2 : 1;
      for (int y = 0; y < height; y += step)
        for (int x = 0; x < width; x += step) *at++ = sample(x, y, time, plane, &noise);
    }
  }
}

int main(int argc, char **argv) {
  check(argc == 2, "usage");
  int count = atoi(argv[1]);
  x264_param_t settings;
  check(x264_param_default_preset(&settings, "medium", NULL) == 0, "preset");
  settings.i_threads = 1;
  settings.i_lookahead_threads = 1;
  settings.b_deterministic = 1;
  settings.i_sync_lookahead = 0;
  settings.i_width = width;
  settings.i_height = height;
  settings.i_csp = X264_CSP_I420;
  settings.i_log_level = X264_LOG_NONE;
  x264_t *encoder = x264_encoder_open(&settings);
  check(encoder != NULL, "open");
  make();
  uint64_t sum = DIGEST, total = 0;
  for (int i = 0; i < count || x264_encoder_delayed_frames(encoder) > 0; i++) {
    x264_picture_t in, out;
    x264_nal_t *units;
    int unit_count, turn = i / pictures % 2 ? pictures - 1 - i % pictures : i % pictures;
    x264_picture_init(&in);
    in.img.i_csp = X264_CSP_I420;
    in.img.i_plane = 3;
    in.img.plane[0] = film[turn], in.img.i_stride[0] = width;
    in.img.plane[1] = film[turn] + width * height, in.img.i_stride[1] = width / 2;
    in.img.plane[2] = film[turn] + width * height * 5 / 4, in.img.i_stride[2] = width / 2;
    in.i_pts = i;
    int bytes = x264_encoder_encode(encoder, &units, &unit_count, i < count ? &in : NULL, &out);
    check(bytes >= 0, "encode");
    if (bytes == 0) continue;
    total += (uint64_t)bytes;
    // The first unit may tell which vector code was chosen; the pictures come after it.
    for (int unit = 0; unit < unit_count; unit++)
      if (units[unit].i_type != NAL_SEI) sum = digest(sum, units[unit].p_payload, (size_t)units[unit].i_payload);
  }
  x264_encoder_close(encoder);
  printf("%d pictures, %lu bytes, %016lx\n", count, total, sum);
}
