// Opens one library after the other; each is closed before the next one is opened, which so gets the same addresses.
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **words) {
  void *place = NULL;
  int same = 0;
  for (int round = 0; round < 3; round++)
    for (int i = 1; i < count; i++) {
      void *library = dlopen(words[i], RTLD_NOW);
      int (*value)(int) = library ? (int (*)(int))dlsym(library, "value") : NULL;
      if (!value) return fprintf(stderr, "%s\n", dlerror()), 1;
      printf("%d\n", value(round));
      same += place == (void *)value;
      place = (void *)value;
      dlclose(library);
    }
  printf("at the same place %s\n", same ? "again" : "never");
  return 0;
}
