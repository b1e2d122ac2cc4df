// For breakpoints at functions by their names: some are only inlined, some are copied and called as well, in namespaces, classes and
// templates. Prints one line.
#include <cstdio>

static volatile int total;

namespace space {
static inline __attribute__((always_inline)) int add(int value) {
  total += value;
  return total * 3;
}

// Its address is taken, too.
inline int twice(int value) {
  total ^= value;
  return total * 2;
}

struct Counter {
  int count = 0;
  inline __attribute__((always_inline)) int next(int value) {
    count += value;
    total += count;
    return count;
  }
};
}  // namespace space

template <class Value> static inline __attribute__((always_inline)) Value half(Value value) {
  total -= 1;
  return value / 2;
}

static int (*volatile pointer)(int) = space::twice;

__attribute__((noinline)) int work(int value) {
  space::Counter counter;
  int sum = space::add(value);
  sum += space::twice(value);
  for (int i = 0; i < 3; i++) {
    sum += counter.next(i);
    sum += half(sum);
  }
  sum += pointer(value);
  return sum + space::add(sum);
}

int main(int argc, char **) {
  int sum = work(argc);
  sum += (int)half(argc * 8.0);
  std::printf("%d %d\n", sum, total);
  return 0;
}
