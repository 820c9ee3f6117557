// The core without Python, for machines that have none: reads cases from standard input, writes the bytes of their
// values to standard output. tests/portable/compare.py makes the cases and compares the bytes with the module's.
//
//   driver isas                the instruction sets of this machine, one a line
//   driver <isa> < cases       a case: law element key_low key_high id first count [argument ...]; the law haar has
//                              the arguments rows, columns, parts of a number
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>

#include "engine/dispatch.hpp"
#include "engine/functions.hpp"
#include "engine/fill.hpp"
#include "engine/integers.hpp"
#include "engine/orthogonal.hpp"

using namespace fanin;

namespace {

void write(const void* data, std::size_t bytes) { std::fwrite(data, 1, bytes, stdout); }

/// A Haar matrix of `rows` x `columns`, columns contiguous in a row; `parts` 2 for a unitary one.
template <class T>
void run_haar(const Source& source, i64 rows, i64 columns, i64 parts) {
  std::vector<T> out(std::size_t(rows * columns * parts));
  engine::sample_haar<T>({source, rows, columns, 0, columns, 0, parts == 2}, {0}, out.data(),
                  rows * columns * parts, columns * parts, 2, {});
  write(out.data(), out.size() * sizeof(T));
}

void run(std::istringstream& line) {
  std::string law, word;
  int element = 0;
  Source source;
  u64 first = 0, count = 0;
  line >> law >> element >> source.key_low >> source.key_high >> source.id >> first >> count;
  std::vector<std::string> words;
  while (line >> word) words.push_back(word);
  std::vector<double> arguments;
  for (const std::string& text : words) arguments.push_back(std::strtod(text.c_str(), nullptr));

  if (law == "truncated_normal_std" || law == "power" || law == "logarithm") {
    const double x = arguments[0];
    const double value = law == "power"       ? engine::power(x, arguments[1])
                         : law == "logarithm" ? engine::logarithm(x)
                                              : engine::truncated_normal_std(x, arguments[1]);
    write(&value, sizeof value);
    return;
  }
  const Element e = Element(element);
  if (law == "haar") {
    const i64 rows = i64(arguments[0]), columns = i64(arguments[1]), parts = i64(arguments[2]);
    if (e == Element::f32) run_haar<float>(source, rows, columns, parts);
    if (e == Element::f64) run_haar<double>(source, rows, columns, parts);
    return;
  }
  const auto whole = [&](std::size_t i) { return std::strtoull(words[i].c_str(), nullptr, 10); };
  const engine::Plan plan = law == "integers"     ? engine::integers(whole(0), whole(1), e)
                            : law == "rademacher" ? engine::signs(e)
                                                  : engine::plan(law, arguments, e);
  const std::size_t size = element_bytes(e);
  std::vector<char> out(count * size);
  engine::Destination d;
  d.data = out.data();
  d.first = first;
  d.axes = {{i64(count), i64(size), 1}};
  d.element = e;
  engine::fill(plan, source, d, 2, {});
  write(out.data(), out.size());
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const std::string isa = arguments[1];
  if (isa == "isas") {
    for (const std::string& name : engine::isas()) std::puts(name.c_str());
    return 0;
  }
  engine::set_isa(isa);
  for (std::string text; std::getline(std::cin, text);) {
    std::istringstream line(text);
    run(line);
  }
  return 0;
}
