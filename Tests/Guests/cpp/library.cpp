// The C++ library at work: streams and formats, containers, algorithms, regular expressions, random numbers, file systems,
// variants, coroutines, atomics.
#include <algorithm>
#include <atomic>
#include <bitset>
#include <charconv>
#include <chrono>
#include <complex>
#include <coroutine>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <queue>
#include <random>
#include <ranges>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <valarray>
#include <variant>
#include <vector>

static void streams() {
  std::cout << std::setw(8) << std::setfill('*') << 42 << std::hex << std::showbase << 255 << std::oct << 8 << std::dec << '\n';
  std::cout << std::fixed << std::setprecision(3) << 3.14159 << ' ' << std::scientific << 12345.678 << ' ' << std::hexfloat << 0.1
            << std::defaultfloat << ' ' << 1e100 << ' ' << 2.5L << '\n';
  std::cout << std::boolalpha << true << ' ' << std::quoted("a \"quoted\" text") << ' ' << std::left << std::setw(6) << "ab" << "|\n";
  std::istringstream input("12 3.5 word 0x1f rest of line");
  int whole;
  double real;
  std::string word, rest;
  input >> whole >> real >> word >> std::hex >> whole;
  std::getline(input, rest);
  std::cout << whole << ' ' << real << ' ' << word << rest << '\n';
  int bad = 7;
  std::istringstream("x") >> bad;
  std::cout << bad << '\n';
  {
    std::ofstream file("stream.txt");
    for (int i = 0; i < 100; i++) file << i << ' ' << i * i << '\n';
  }
  std::ifstream file("stream.txt");
  long sum = 0;
  for (int a, b; file >> a >> b;) sum += a * b;
  std::cout << "sum " << sum << " eof " << file.eof() << '\n';
}

static void containers() {
  std::mt19937_64 engine(7);
  std::map<std::string, int> ordered;
  std::unordered_map<int, int> counts;
  std::set<int> unique;
  std::priority_queue<int> queue;
  std::deque<int> deque;
  std::list<int> list;
  for (int i = 0; i < 2000; i++) {
    int number = static_cast<int>(engine() % 500);
    ordered["key" + std::to_string(number)]++;
    counts[number]++;
    unique.insert(number);
    queue.push(number);
    i % 2 ? deque.push_back(number) : deque.push_front(number);
    list.push_back(number);
  }
  list.sort();
  list.unique();
  std::cout << ordered.size() << ' ' << counts.size() << ' ' << unique.size() << ' ' << queue.top() << ' ' << deque.front() << ' '
            << list.size() << ' ' << ordered.begin()->first << ' ' << ordered["key77"] << '\n';
  std::vector<double> values(500);
  std::normal_distribution<double> normal(10, 3);
  std::uniform_real_distribution<float> uniform;
  for (auto &value : values) value = normal(engine) + uniform(engine);
  std::sort(values.begin(), values.end());
  std::cout << std::setprecision(17) << values.front() << ' ' << values[250] << ' ' << std::accumulate(values.begin(), values.end(), 0.0)
            << std::setprecision(6) << '\n';
  std::vector<int> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 0);
  std::shuffle(numbers.begin(), numbers.end(), engine);
  std::nth_element(numbers.begin(), numbers.begin() + 500, numbers.end());
  std::stable_partition(numbers.begin(), numbers.end(), [](int n) { return n % 3 == 0; });
  std::cout << numbers[0] << ' ' << *std::max_element(numbers.begin(), numbers.end()) << ' '
            << std::inner_product(numbers.begin(), numbers.end(), numbers.rbegin(), 0L) << '\n';
  auto squares = std::views::iota(1, 20) | std::views::filter([](int n) { return n % 2; }) | std::views::transform([](int n) { return n * n; });
  for (int square : squares) std::cout << square << ' ';
  std::string text = "the quick brown fox";
  do std::cout << text.substr(0, 3) << ' ';
  while (std::next_permutation(text.begin(), text.begin() + 3));
  std::cout << std::bitset<16>(0xbeef) << '\n';
}

struct Numbers {
  struct promise_type {
    int current;
    Numbers get_return_object() { return Numbers{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(int value) { current = value; return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
  ~Numbers() { handle.destroy(); }
};

static Numbers fibonacci() {
  for (int a = 0, b = 1;; b += a, a = b - a) co_yield a;
}

struct Announcer {
  const char *name;
  ~Announcer() { std::cout << "end of " << name << std::endl; }
};
static thread_local Announcer local{"thread local"};
static Announcer &lazy() {
  static Announcer announcer{"static local"};
  return announcer;
}

int main() {
  streams();
  containers();
  std::regex pattern("(\\w+)@(\\w+)\\.com");
  std::string mails = "ann@glass.com, bob@case.com; nobody";
  for (std::sregex_iterator at(mails.begin(), mails.end(), pattern), end; at != end; ++at) std::cout << (*at)[2] << ':' << (*at)[1] << ' ';
  std::cout << std::regex_replace(mails, std::regex("[aeiou]"), "_") << '\n';
  std::variant<int, double, std::string> variant = "text";
  std::cout << variant.index() << ' ' << std::visit([](auto &v) { return sizeof v; }, variant) << ' ' << std::optional<int>{}.value_or(9) << '\n';
  char digits[64];
  for (double value : {0.1, 1e23, 123456789.125, 5e-324}) {
    auto end = std::to_chars(digits, digits + 64, value).ptr;
    double back;
    std::from_chars(digits, end, back);
    std::cout << std::string_view(digits, end) << (back == value ? " same, " : " differs, ");
  }
  std::cout << std::complex<double>(1, 2) * std::exp(std::complex<double>(0, 1)) << ' ' << std::valarray<int>{1, 2, 3}.sum() << '\n';
  Numbers numbers = fibonacci();
  for (int i = 0; i < 15; i++) {
    numbers.handle.resume();
    std::cout << numbers.handle.promise().current << ' ';
  }
  namespace fs = std::filesystem;
  fs::create_directories("fs/a/b");
  fs::copy("stream.txt", "fs/a/b/copy.txt");
  fs::create_symlink("a/b", "fs/link");
  std::vector<std::string> paths;
  for (auto &entry : fs::recursive_directory_iterator("fs")) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  for (auto &path : paths) std::cout << '\n' << path;
  std::cout << '\n' << fs::file_size("fs/link/copy.txt") << ' ' << fs::remove_all("fs") << '\n';
  std::atomic<long> counter{5};
  std::atomic<__int128> wide{1};
  long expected = 5;
  std::cout << counter.fetch_add(3) << ' ' << counter.compare_exchange_strong(expected, 1) << ' ' << expected << ' ' << sizeof wide << '\n';
  using namespace std::chrono_literals;
  std::cout << std::chrono::duration_cast<std::chrono::minutes>(3h + 25min).count() << '\n';
  std::shared_ptr<int> shared = std::make_shared<int>(5);
  std::weak_ptr<int> weak = shared;
  shared.reset();
  std::cout << weak.expired() << ' ' << local.name << ' ' << lazy().name << std::endl;
}
