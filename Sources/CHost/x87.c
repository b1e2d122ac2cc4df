// The slow, exact form of every x87 operation (x87.h): the instruction runs with the guest's own exception
// masks, and FNSAVE, which never waits, shows registers and status although an exception may be pending.
#include "x87.h"

VT_PRESERVING void vt_x87_call(vt_x87_path path, uint64_t step, const vt_operation *operation,
                               vt_cpu_state *cpu, void *window) {
  path(step, operation, cpu, window);
}

#if defined(__x86_64__)
/// The 32-bit protected-mode image of FNSAVE.
typedef struct __attribute__((packed)) {
  uint32_t environment[7];
  struct __attribute__((packed)) {
    uint64_t significand;
    uint16_t sign_exponent;
  } st[8];
} vt_x87_image;

#define VT_RUN(inputs, instruction)                                                                          \
  __asm__ volatile("fnclex\n\tfldcw %[control]\n\t" inputs instruction "\n\tfnsave %[image]"                 \
                   : [image] "=m"(image), [memory] "+m"(*memory)                                             \
                   : [control] "m"(control), [a] "m"(*a), [b] "m"(*b)                                        \
                   : VT_X87_CLOBBERS)

uint32_t vt_x87_exact(vt_x87_operation operation, uint16_t control, vt_x87_register *results,
                      const vt_x87_register *a, const vt_x87_register *b, vt_x87_memory *memory) {
  vt_x87_image image;
  __builtin_memset(&image, 0, sizeof image);
  switch (operation) {
#define VT_X87_CASE(name, assembly)                                                                          \
  case vt_x87_operation_##name:                                                                              \
    VT_RUN("fldt %[a]\n\tfldt %[b]\n\t", assembly);                                                          \
    break;
    VT_X87_BINARY(VT_X87_CASE)
    VT_X87_BINARY_KEEPING(VT_X87_CASE)
#undef VT_X87_CASE
#define VT_X87_CASE(name, assembly)                                                                          \
  case vt_x87_operation_##name:                                                                              \
    VT_RUN("fldt %[b]\n\tfldt %[a]\n\t", assembly);                                                          \
    break;
    VT_X87_COMPARE(VT_X87_CASE)
#undef VT_X87_CASE
#define VT_X87_CASE(name, assembly)                                                                          \
  case vt_x87_operation_##name:                                                                              \
    VT_RUN("fldt %[a]\n\t", assembly);                                                                       \
    break;
    VT_X87_TEST(VT_X87_CASE)
    VT_X87_UNARY(VT_X87_CASE)
    VT_X87_UNARY_PUSHING(VT_X87_CASE)
#undef VT_X87_CASE
#define VT_X87_CASE(name, assembly)                                                                          \
  case vt_x87_operation_##name:                                                                              \
    VT_RUN("fldt %[a]\n\t", assembly " %[memory]");                                                          \
    break;
    VT_X87_MEMORY(VT_X87_CASE)
    VT_X87_COMPARE_MEMORY(VT_X87_CASE)
    VT_X87_STORE(VT_X87_CASE)
#undef VT_X87_CASE
#define VT_X87_CASE(name, assembly)                                                                          \
  case vt_x87_operation_##name:                                                                              \
    VT_RUN("", assembly " %[memory]");                                                                       \
    break;
    VT_X87_LOAD(VT_X87_CASE)
#undef VT_X87_CASE
#define VT_X87_CASE(name, assembly)                                                                          \
  case vt_x87_operation_##name:                                                                              \
    VT_RUN("", assembly);                                                                                    \
    break;
    VT_X87_CONSTANT(VT_X87_CASE)
#undef VT_X87_CASE
  }
  for (int i = 0; i < 2; i++) {
    results[i].significand = image.st[i].significand;
    results[i].sign_exponent = image.st[i].sign_exponent;
  }
  vt_x87_enter(control);
  return image.environment[1] & 0xffff;
}
#endif
