// For tables of source lines: templates, inlined functions, exceptions and the library's headers. Prints one line.
#include <algorithm>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

template <class Value> Value add(Value a, Value b) { return a + b; }

struct Shape {
  virtual int area(int size) { return size + 1; }
  virtual ~Shape() {}
};

struct Square : Shape {
  int area(int size) override {
    if (size > 50) throw std::runtime_error("large");
    return Shape::area(size) * 2;
  }
};

int main(int argc, char **argv) {
  std::map<std::string, int> names;
  for (int i = 0; i < argc + 100; i++) names[std::to_string(i * 7)] += add(i, 3);
  std::vector<int> values;
  for (auto &entry : names) values.push_back(entry.second);
  std::sort(values.begin(), values.end(), [](int a, int b) { return a > b; });
  Square square;
  long long sum = 0;
  int failures = 0;
  for (int value : values) {
    try {
      sum += square.area(value);
    } catch (const std::exception &error) { failures++; }
  }
  std::cout << sum << " " << failures << " " << add(1.5, 2.0) << "\n";
  return 0;
}
