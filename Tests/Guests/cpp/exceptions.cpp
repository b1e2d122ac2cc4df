// Exceptions through many frames: unwinding order, rethrow, nesting, function objects, dynamic types, C frames between,
// and an exception nobody catches when an argument is given.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

struct Tracer {
  std::string name;
  explicit Tracer(std::string given) : name(std::move(given)) { std::printf("+%s ", name.c_str()); }
  ~Tracer() { std::printf("-%s ", name.c_str()); }
};

struct Base { virtual ~Base() = default; virtual const char *who() const { return "base"; } };
struct Left : virtual Base { const char *who() const override { return "left"; } };
struct Right : virtual Base { const char *who() const override { return "right"; } };
struct Both : Left, Right { const char *who() const override { return "both"; } };

struct Failure : std::runtime_error {
  int code;
  Failure(const char *text, int number) : std::runtime_error(text), code(number) {}
};

static void dive(int depth) {
  Tracer tracer("d" + std::to_string(depth));
  if (depth == 0) throw Failure("bottom", 42);
  dive(depth - 1);
}

static int compare(const void *a, const void *b) {
  int x = *static_cast<const int *>(a), y = *static_cast<const int *>(b);
  if (x == 13 || y == 13) throw std::domain_error("unlucky");
  return x - y;
}

static void nested(int depth) {
  try {
    if (depth == 0) throw std::logic_error("root");
    nested(depth - 1);
  } catch (...) {
    std::throw_with_nested(std::runtime_error("level " + std::to_string(depth)));
  }
}

static void print(const std::exception &error, int level = 0) {
  std::printf("%*s%s\n", level, "", error.what());
  try {
    std::rethrow_if_nested(error);
  } catch (const std::exception &inner) {
    print(inner, level + 1);
  }
}

struct Thrower {
  Tracer first{"member"};
  Thrower() { throw 7; }
};

static Tracer global("global");

int main(int argc, char **) {
  try {
    dive(3);
  } catch (const Failure &failure) {
    std::printf("caught %s %d\n", failure.what(), failure.code);
  }
  try {
    try {
      throw std::out_of_range("inner");
    } catch (std::exception &error) {
      std::printf("first %s, ", error.what());
      throw;
    }
  } catch (const std::out_of_range &error) {
    std::printf("again %s\n", error.what());
  }
  try {
    nested(3);
  } catch (const std::exception &error) {
    print(error);
  }
  try {
    Thrower thrower;
  } catch (int number) {
    std::printf("int %d\n", number);
  }
  std::exception_ptr kept;
  try {
    std::vector<int>(3).at(9) = 1;
  } catch (...) {
    kept = std::current_exception();
  }
  try {
    std::rethrow_exception(kept);
  } catch (const std::exception &error) {
    std::printf("kept: %s\n", error.what());
  }
  try {
    int numbers[] = {5, 3, 13, 8};
    std::qsort(numbers, 4, sizeof(int), compare);
  } catch (const std::domain_error &error) {
    std::printf("through C: %s\n", error.what());
  }
  try {
    volatile std::size_t much = static_cast<std::size_t>(-1) / 4;
    std::free(operator new(much));
  } catch (const std::bad_alloc &error) {
    std::printf("%s\n", error.what());
  }
  Both both;
  Base *base = &both;
  std::printf("%s %d %d\n", base->who(), dynamic_cast<Right *>(base) != nullptr, typeid(*base) == typeid(Both));
  try {
    dynamic_cast<Both &>(static_cast<Base &>(*std::make_unique<Left>()));
  } catch (const std::bad_cast &error) {
    std::printf("%s\n", error.what());
  }
  std::function<int(int)> function = [&](int n) -> int { return n < 2 ? 1 : n * function(n - 1); };
  std::printf("%d\n", function(10));
  int sum = 0;
  for (int i = 0; i < 300; i++) {
    try {
      Tracer *none = nullptr;
      if (i % 3 == 0) throw i;
      if (i % 3 == 1) throw std::string("text");
      throw none;
    } catch (int number) {
      sum += number;
    } catch (const std::string &text) {
      sum += static_cast<int>(text.size());
    } catch (Tracer *) {
      sum += 1;
    }
  }
  std::printf("sum %d\n", sum);
  if (argc > 1) {
    std::fflush(stdout);
    throw Failure("nobody catches this", 1);
  }
  return 3;
}
