// A C compiler: libtcc compiles the first SIZE bytes of a C file, up to the end of a function, into an object file, whose
// digest is printed; with `run` it also compiles into memory and runs what it compiled. `compiler FILE SIZE OBJECT|run`
#define _GNU_SOURCE
#include <libtcc.h>
#include <unistd.h>
#include "input.h"

static void complain(void *ignored, const char *message) {
  (void)ignored;
  printf("%s\n", message);
}

static TCCState *compile(const char *text, int kind) {
  TCCState *state = tcc_new();
  check(state != NULL, "tcc_new");
  tcc_set_error_func(state, NULL, complain);
  tcc_set_options(state, "-nostdinc -nostdlib");
  tcc_set_output_type(state, kind);
  check(tcc_compile_string(state, text) == 0, "compilation");
  return state;
}

int main(int argc, char **argv) {
  check(argc == 4, "usage");
  size_t size = strtoul(argv[2], NULL, 10);
  char *text = (char *)input(argv[1], &size);
  while (size > 3 && memcmp(text + size - 3, "\n}\n", 3)) size--;
  text[size] = 0;
  if (!strcmp(argv[3], "run")) {
    TCCState *state = compile(text, TCC_OUTPUT_MEMORY);
    check(tcc_relocate(state, TCC_RELOCATE_AUTO) == 0, "relocation");
    unsigned (*first)(unsigned) = (unsigned (*)(unsigned))tcc_get_symbol(state, "start");
    check(first != NULL, "symbol");
    for (unsigned i = 0; i < 5; i++) printf("%u ", first(i));
    printf("\n");
    tcc_delete(state);
    return 0;
  }
  TCCState *state = compile(text, TCC_OUTPUT_OBJ);
  check(tcc_output_file(state, argv[3]) == 0, "object file");
  tcc_delete(state);
  size_t length = 1 << 28;
  FILE *file = fopen(argv[3], "rb");
  check(file != NULL, "object file");
  static unsigned char part[1 << 16];
  uint64_t sum = DIGEST;
  for (length = 0; (size = fread(part, 1, sizeof part, file)) > 0; length += size) sum = digest(sum, part, size);
  fclose(file);
  unlink(argv[3]);
  printf("object of %zu bytes, %016lx\n", length, sum);
}
