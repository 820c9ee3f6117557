#include "engine/functions.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "engine/dispatch.hpp"

namespace fanin::engine {
namespace {

constexpr double kExpLowest = -745, kExpHighest = 0x1.62e42fefa39efp+9;  // 1024 log 2
constexpr double kTailHighest = 38.4;

const FunctionRow& row_of(const KernelTable& from, const char* function) {
  for (const FunctionRow& row : from.functions)
    if (std::strcmp(row.name, function) == 0) return row;
  throw std::invalid_argument(std::string("no function named ") + function);
}

}  // namespace

void evaluate(const char* function, const double* in, double* out, std::size_t count) {
  row_of(table(), function).f64(in, out, count);
}

double evaluate(const char* function, double x) {
  // Every table gives the same bits. The baseline's never depends on FANIN_ISA, so that a wrong
  // name there is reported by the first fill or by fanin.runtime, not by importing the package.
  row_of(baseline_table(), function).f64(&x, &x, 1);
  return x;
}

double logarithm(double x) { return evaluate("log", x); }

double exponential(double x) {
  if (x > kExpHighest) return std::numeric_limits<double>::infinity();
  return x < kExpLowest ? 0.0 : evaluate("exp", x);
}

void logarithms(const double* in, double* out, std::size_t count) {
  evaluate("log", in, out, count);
}

void exponentials(const double* in, double* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    out[i] = in[i] < kExpLowest ? kExpLowest : in[i] > kExpHighest ? kExpHighest : in[i];
  evaluate("exp", out, out, count);
  for (std::size_t i = 0; i < count; ++i) {
    if (in[i] < kExpLowest) out[i] = 0;
    if (in[i] > kExpHighest) out[i] = std::numeric_limits<double>::infinity();
  }
}

double power(double x, double y) {
  if (y == 0 || x == 1) return 1.0;
  // log x as a sum: one Newton step on exp finds what the rounding of log x lost.
  const double high = logarithm(x);
  const double low = (x - exponential(high)) / exponential(high);
  const double product = y * high;
  const double lost = std::fma(y, high, -product) + y * low;
  const double result = exponential(product);
  return result + result * lost;
}

double upper_tail(double x) {
  if (x < 0) return 1.0 - upper_tail(-x);
  return x > kTailHighest ? 0.0 : evaluate("ndtr_upper", x);
}

}  // namespace fanin::engine
