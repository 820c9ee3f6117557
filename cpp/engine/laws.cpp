#include "engine/laws.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "engine/dispatch.hpp"
#include "engine/functions.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// ---- the representable values of a destination type ---------------------------------------------

struct Grid {
  int digits, lowest_exponent, highest_exponent;
};

constexpr Grid grid(Element e) {
  switch (e) {
    case Element::f64: return {53, -1022, 1023};
    case Element::f32: return {24, -126, 127};
    case Element::f16: return {11, -14, 15};
    case Element::bf16: return {8, -126, 127};
    default: throw std::invalid_argument("this law makes floating-point values only");
  }
}

double spacing(double x, const Grid& g) {
  const int exponent = x == 0 ? g.lowest_exponent : std::max(std::ilogb(x), g.lowest_exponent);
  return std::ldexp(1.0, exponent - g.digits + 1);
}

double largest_finite(const Grid& g) {
  return std::ldexp(2.0 - std::ldexp(1.0, 1 - g.digits), g.highest_exponent);
}

double largest_at_most(double x, Element e) {
  const Grid g = grid(e);
  if (std::isinf(x)) return x;
  if (x < -largest_finite(g)) return -kInfinity;
  const double step = spacing(x, g);
  return std::min(std::floor(x / step) * step, largest_finite(g));
}

double smallest_at_least(double x, Element e) { return -largest_at_most(-x, e); }

double nearest(double x, Element e) {
  const double below = largest_at_most(x, e), above = smallest_at_least(x, e);
  if (below == above || std::isinf(x)) return below;
  if (x - below != above - x) return x - below < above - x ? below : above;
  return std::fmod(below / spacing(x, grid(e)), 2.0) == 0 ? below : above;
}

double next_below(double x, Element e) {
  const Grid g = grid(e);
  if (x == kInfinity) return largest_finite(g);
  const double half_step = std::ldexp(spacing(x, g), -2);
  return e == Element::f64 ? std::nextafter(x, -kInfinity) : largest_at_most(x - half_step, e);
}

// ---- the unit normal's probabilities ------------------------------------------------------------

constexpr double kDensityAtZero = 0x1.9884533d43651p-2;  // 1 / sqrt(2 pi)

/// Phi(x) - 1/2, relatively accurate near 0 by its Taylor series.
double above_median(double x) {
  if (std::fabs(x) > 1.5) return x > 0 ? 0.5 - upper_tail(x) : upper_tail(-x) - 0.5;
  double sum = 0, power = x;
  for (int n = 0; n < 30; ++n) {
    sum += power / (2 * n + 1);
    power *= -x * x / (2 * (n + 1));
  }
  return sum * kDensityAtZero;
}

/// Gauss-Legendre rule of ten points on each of `panels` parts of [low, high], summed without
/// rounding errors to speak of (Neumaier 1974).
template <class F>
double integrate(double low, double high, int panels, F f) {
  const double half = (high - low) / (2 * panels);
  double sum = 0, lost = 0;
  for (int p = 0; p < panels; ++p) {
    const double middle = low + (2 * p + 1) * half;
    for (int i = 0; i < 5; ++i) {
      const double term =
          kTenWeights[i] * (f(middle - half * kTenNodes[i]) + f(middle + half * kTenNodes[i]));
      const double before = sum;
      sum += term;
      lost += std::fabs(before) >= std::fabs(term) ? (before - sum) + term : (term - sum) + before;
    }
  }
  return (sum + lost) * half;
}

/// Phi(high) - Phi(low) without cancellation for short intervals.
double mass(double low, double high) {
  if (high - low < 1)
    return kDensityAtZero *
           integrate(low, high, 1, [](double x) { return exponential(-0.5 * x * x); });
  if (low > 0) return upper_tail(low) - upper_tail(high);
  if (high < 0) return upper_tail(-high) - upper_tail(-low);
  const double above = above_median(high);
  return above - (high == -low ? -above : above_median(low));
}

// ---- truncated normal ---------------------------------------------------------------------------

/// Half the squared distance from near to z = near + h: (z^2 - near^2) / 2.
double half_square_gain(double near, double h) { return h * (near + 0.5 * h); }

constexpr double kStraightMills = 1e8;  ///< from here on Mills's ratio is 1/x

/// log of M(near + h) / M(near), M the Mills ratio.
double log_mills_ratio(double near, double h) {
  if (near > kStraightMills) return 0.0;
  return logarithm(evaluate("mills", near + h) / evaluate("mills", near));
}

/// cos of `quarters` quarter turns, 0 <= quarters <= 2.
double cosine_of_quarters(double quarters) {
  if (quarters > 1) return -cosine_of_quarters(2 - quarters);
  return quarters <= 0.5 ? evaluate("cos_quarter", quarters)
                         : evaluate("sin_quarter", 1 - quarters);
}

/// Coefficients of D(d) with z = near sqrt(1 + d D(d) / near^2), d = -2 log(relative tail
/// probability): interpolation at Chebyshev points of [0, longest], Newton's form turned into
/// powers of d.
void fit_far_correction(double near, double longest, double* coefficient) {
  constexpr std::size_t terms = FarInterval::kTerms;
  double node[terms], value[terms], delta[terms], h[terms];
  for (std::size_t k = 0; k < terms; ++k) {
    node[k] = 0.5 - 0.5 * cosine_of_quarters(double(2 * k + 1) / double(terms));
    delta[k] = 0.5 * longest * node[k];
    h[k] = delta[k] / near;
  }
  // Newton's steps of all nodes together: what they cost is looking up functions.
  const bool straight = near > kStraightMills;
  const double mills_near = straight ? 0 : evaluate("mills", near);
  bool moved = true;
  for (int step = 0; step < 12 && moved; ++step) {
    double at[terms], mills[terms], log_ratio[terms] = {};
    for (std::size_t k = 0; k < terms; ++k) at[k] = near + h[k], mills[k] = 1 / near;
    if (!straight) {
      evaluate("mills", at, mills, terms);
      for (std::size_t k = 0; k < terms; ++k) at[k] = mills[k] / mills_near;
      logarithms(at, log_ratio, terms);
    }
    moved = false;
    for (std::size_t k = 0; k < terms; ++k) {
      const double before = h[k];
      h[k] -= (half_square_gain(near, h[k]) - log_ratio[k] - delta[k]) * mills[k];
      moved = moved || h[k] != before;
    }
  }
  for (std::size_t k = 0; k < terms; ++k)
    value[k] = straight ? 1.0 : half_square_gain(near, h[k]) / delta[k];
  for (int order = 1; order < FarInterval::kTerms; ++order)
    for (int k = FarInterval::kTerms - 1; k >= order; --k)
      value[k] = (value[k] - value[k - 1]) / (node[k] - node[k - order]);
  double c[FarInterval::kTerms] = {value[FarInterval::kTerms - 1]};
  for (int k = FarInterval::kTerms - 2; k >= 0; --k) {
    for (int i = FarInterval::kTerms - 1; i > 0; --i) c[i] = c[i - 1] - node[k] * c[i];
    c[0] = value[k] - node[k] * c[0];
  }
  for (int i = 0; i < FarInterval::kTerms; ++i) {
    coefficient[i] = c[i];
    for (int k = 0; k < i; ++k) coefficient[i] /= longest;
  }
}

/// 1 - e^x for x <= 0.
double one_minus_exp(double x) {
  if (x < -0.01) return 1 - exponential(x);
  return -x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6)))));
}

FarInterval plan_far(double near, double far, double sign, bool single) {
  const double h = far - near;
  const double log_ratio =
      std::isinf(far) ? -kInfinity : log_mills_ratio(near, h) - half_square_gain(near, h);
  const bool open = log_ratio < -700;
  FarInterval made{near,
                   1 / near / near,
                   open ? 0.0 : exponential(log_ratio),
                   open ? 1.0 : one_minus_exp(log_ratio),
                   sign,
                   {}};
  const double word_bits = single ? 33 : 65;  // -2 log(2^-33) or of 2^-65
  fit_far_correction(near, 2 * word_bits * 0x1.62e42fefa39efp-1, made.correction);
  return made;
}

/// Chooses the kernel row for bounds in units of scale and fills in its constants.
const char* plan_truncated(Params& p, double low, double high, bool single) {
  const double nearest_point = low > 0 ? low : high < 0 ? -high : 0.0;
  // Where the probability of the near tail leaves the safe range of the compute type.
  const double far_from = single ? 8.0 : 36.0;
  if (nearest_point > far_from) {
    p.far = low > 0 ? plan_far(low, high, 1.0, single) : plan_far(-high, -low, -1.0, single);
    return "truncated_far";
  }
  // Above 3/4 quantile and below 1/4 the tail form resolves probabilities more finely.
  constexpr double quartile = 0.6744897501960817;
  if (low >= -2 && high <= 2 && nearest_point < quartile) {
    p.shape[0] = high == -low ? 0.0 : 0.5 * (above_median(low) + above_median(high));
    p.shape[1] = 0.5 * mass(low, high);
    return "truncated_two_sigma";
  }
  p.shape[0] = upper_tail(-low);
  p.shape[1] = high == -low ? p.shape[0] : upper_tail(high);
  p.shape[2] = mass(low, high);
  return "truncated";
}

/// The outermost values of the dtype within the bounds of a truncated normal.
void cut(Params& p, double loc, double scale, double low, double high, Element element) {
  p.lowest = scale == 0 ? -kInfinity : smallest_at_least(loc + scale * low, element);
  p.highest = scale == 0 ? kInfinity : largest_at_most(loc + scale * high, element);
  if (p.lowest > p.highest)
    throw std::invalid_argument(
        "no value of the dtype lies within the bounds of the truncated normal");
}

const FillRow& fill_row(const char* name) {
  for (const FillRow& row : table().fills)
    if (std::strcmp(row.name, name) == 0) return row;
  throw std::invalid_argument(std::string("no law named ") + name);
}

}  // namespace

Plan plan(const std::string& law, std::span<const double> arguments, Element element) {
  Plan made;
  Params& p = made.params;
  const auto argument = [&](std::size_t i) {
    if (i >= arguments.size()) throw std::invalid_argument(law + " lacks an argument");
    return arguments[i];
  };
  const char* row = law.c_str();
  if (law == "uniform") {
    const double low = argument(0), high = argument(1);
    p.loc[0] = p.loc[1] = low;
    const bool single = element != Element::f64;
    const double unit = (high - low) * (single ? 0x1p-24 : 0x1p-53);
    const double normal = single ? 0x1p-126 : std::numeric_limits<double>::min();
    if (unit < normal && high > low) row = "uniform_narrow";  // the unit would be rounded
    p.scale = row == law ? unit : high - low;
    p.highest = std::max(next_below(nearest(high, element), element), nearest(low, element));
  } else if (law == "truncated_normal") {
    const double loc = argument(0), scale = argument(1), low = argument(2), high = argument(3);
    row = plan_truncated(p, low, high, element != Element::f64);
    p.loc[0] = p.loc[1] = loc;
    p.scale = scale;
    cut(p, loc, scale, low, high, element);
  } else {
    p.loc[0] = argument(0);
    p.scale = argument(1);
    p.loc[1] = arguments.size() > 2 ? arguments[2] : p.loc[0];
  }
  made.law = fill_row(row).name;
  made.tile_values = tile_values(element);
  made.fill = fill_row(row).fill[int(element)];
  return made;
}

void change(Plan& made, const std::string& law, std::span<const double> arguments,
            Element element) {
  if (arguments.size() != 2 || law == "uniform") return void(made = plan(law, arguments, element));
  made.params.loc[0] = made.params.loc[1] = arguments[0];
  made.params.scale = arguments[1];
}

void check(const std::string& law, std::span<const double> arguments, Element element) {
  if (law != "truncated_normal" || arguments.size() < 4) return void(plan(law, arguments, element));
  Params p;
  cut(p, arguments[0], arguments[1], arguments[2], arguments[3], element);
}

double truncated_normal_std(double low, double high) {
  // Moments about the mode, in units that keep squares of far ones in range, over the part of the
  // interval where the density is above e^-46 of its peak.
  const double mode = low > 0 ? low : high < 0 ? high : 0.0;
  const double distance = std::fabs(mode);
  const bool far = distance > 1e8;  // the density falls as e^(-distance h)
  const bool narrow = high - low < 0x1p-400;
  const double unit = narrow ? high - low : far ? 1 / distance : 1;
  const double reach = narrow ? 1
                       : far  ? 46
                              : 92 / (distance + std::sqrt(distance * distance + 92));
  const double from = std::max((low - mode) / unit, -reach);
  const double to = std::min((high - mode) / unit, reach);
  const double slope = unit * mode, curvature = 0.5 * unit * unit;
  const auto density = [&](double t) { return exponential(-t * (slope + curvature * t)); };
  constexpr int panels = 24;
  const double total = integrate(from, to, panels, density);
  const double mean = integrate(from, to, panels, [&](double t) { return t * density(t); }) / total;
  const double variance =
      integrate(from, to, panels, [&](double t) { return (t - mean) * (t - mean) * density(t); }) /
      total;
  return unit * std::sqrt(variance);
}

}  // namespace fanin::engine
