// Activations whose moments have closed forms.
#pragma once
#include "kernels/activations.hpp"

namespace fanin::FANIN_ISA {
namespace {

/// kMoments values at one variance, in the order of Moment.
struct Moments {
  F64 value[kMoments];
};

struct Closed : Smooth {
  static constexpr bool has_closed_moments = true;
};

// ---- positively homogeneous ---------------------------------------------------------------------

/// x > 0 ? x : a x: linear (a = 1), relu (0), abs (-1), leaky_relu.
template <class Own>
struct Leaky : Closed {
  static Values at(F64 x, const double* p) {
    const double a = Own::slope(p);
    const auto right = x > 0.0;
    const F64 left_slope = select(x == 0.0, splat(Own::slope_at_zero(p)), splat(a));
    // 0 times infinity: the left side of relu is 0 everywhere.
    const F64 left = a == 0.0 ? splat(0.0) : a * x;
    return {select(right, x, left), select(right, splat(1.0), left_slope), splat(0.0)};
  }
  static Moments moments(F64 q, const double* p) {
    const double a = Own::slope(p), square = (1.0 + a * a) / 2;
    // A slope that jumps has no square-integrable derivative.
    const double curvature = a == 1.0 ? 0.0 : kInfinity;
    return {{((1.0 - a) * kNormalDensityAtZero) * sqrt(q), square * q, splat(square),
             splat((1.0 + a * a * a * a) / 2), splat(curvature), splat(square),
             (square - (1.0 - a) * (1.0 - a) / (2 * kPi)) * q, splat(0.0)}};
  }
  static double slope_at_zero(const double* p) { return Own::slope(p); }
};

struct Linear : Leaky<Linear> {
  static constexpr ActivationFacts known = of_degree(facts("linear", "x", "", Parity::odd), 1);
  static constexpr double slope(const double*) { return 1.0; }
};
struct Relu : Leaky<Relu> {
  static constexpr ActivationFacts known =
      of_degree(with_kinks(facts("relu", "max(0, x)", "Nair & Hinton 2010", Parity::none), 0.0), 1);
  static constexpr double slope(const double*) { return 0.0; }
};
struct Crelu : Relu {
  static constexpr ActivationFacts known = of_degree(
      with_kinks(
          facts("crelu", "(max(0, x), max(0, -x)), joined along the last axis; moments of one unit",
                "Shang et al. 2016", Parity::none),
          0.0),
      1);
};
struct LeakyRelu : Leaky<LeakyRelu> {
  static constexpr ActivationFacts known =
      of_degree(with_kinks(with_parameter(facts("leaky_relu", "x if x > 0 else negative_slope x",
                                                "Maas et al. 2013", Parity::none),
                                          "negative_slope", 0.01),
                           0.0),
                1);
  static constexpr double slope(const double* p) { return p[0]; }
};
struct Absolute : Leaky<Absolute> {
  static constexpr ActivationFacts known =
      of_degree(with_kinks(facts("abs", "|x|", "", Parity::even), 0.0), 1);
  static constexpr double slope(const double*) { return -1.0; }
  static constexpr double slope_at_zero(const double*) { return 0.0; }
};

struct SquaredRelu : Closed {
  static constexpr ActivationFacts known = of_degree(
      with_kinks(facts("squared_relu", "max(0, x)^2", "So et al. 2021", Parity::none), 0.0), 2);
  static Values at(F64 x, const double*) {
    const F64 right = maximum(x, splat(0.0));
    return {right * right, 2.0 * right, select(x > 0.0, splat(2.0), splat(0.0))};
  }
  static Moments moments(F64 q, const double*) {
    return {{0.5 * q, 1.5 * q * q, 2.0 * q, 24.0 * q * q, splat(2.0), 3.0 * q, 1.25 * q * q,
             0.5 * q * q}};
  }
};

// ---- jumps: no slope, so its moments are infinite -----------------------------------------------

struct Step : Closed {
  static constexpr ActivationFacts known =
      with_kinks(facts("step", "1 if x > 0 else 0", "", Parity::none), 0.0);
  static Values at(F64 x, const double*) {
    return {select(x > 0.0, splat(1.0), splat(0.0)), splat(0.0), splat(0.0)};
  }
  static Moments moments(F64, const double*) {
    const F64 none = splat(kInfinity);
    return {{splat(0.5), splat(0.5), none, none, none, splat(0.0), splat(0.25), none}};
  }
};
struct Sign : Closed {
  static constexpr ActivationFacts known =
      with_kinks(facts("sign", "1 if x > 0, -1 if x < 0, 0 at 0", "", Parity::odd), 0.0);
  static Values at(F64 x, const double*) {
    return {select(x == 0.0, splat(0.0), with_sign_of(splat(1.0), x)), splat(0.0), splat(0.0)};
  }
  static Moments moments(F64, const double*) {
    const F64 none = splat(kInfinity);
    return {{splat(0.0), splat(1.0), none, none, none, splat(0.0), splat(1.0), none}};
  }
};

// ---- exponentials and waves ---------------------------------------------------------------------

/// q (1 + e^-x) / 2 - (1 - e^-x) / 2 with x = 2 q and `lost` = 1 - e^-x: where it cancels, the
/// series sum over n >= 3 of (-1)^(n+1) (n - 2) / (4 n!) x^n.
inline F64 excess_of_sine(F64 q, F64 lost) {
  constexpr Coefficients<double, 13> series = {
      {1.0 / 24, -2.0 / 96, 3.0 / 480, -4.0 / 2880, 5.0 / 20160, -6.0 / 161280, 7.0 / 1451520,
       -8.0 / 14515200, 9.0 / 159667200, -10.0 / 1916006400, 11.0 / 24908083200.0,
       -12.0 / 348713164800.0, 13.0 / 5230697472000.0}};
  const F64 x = minimum(2.0 * q, splat(0.25));
  const F64 small = x * x * x * polynomial(x, series);
  return select(2.0 * q < 0.25, small, fma(q, 1.0 - 0.5 * lost, -0.5 * lost));
}

struct Sin : Closed {
  static constexpr ActivationFacts known =
      facts("sin", "sin(x)", "Sitzmann et al. 2020", Parity::odd);
  static Values at(F64 x, const double*) {
    F64 s, c;
    sincos(x, s, c);
    return {s, c, -s};
  }
  static Moments moments(F64 q, const double*) {
    const F64 lost = -expm1(-2.0 * q);  // 1 - e^(-2q)
    // E cos^4 = 3/8 + e^(-2q)/2 + e^(-8q)/8
    const F64 kept = 1.0 - lost;
    const F64 power = kept * kept;
    return {{splat(0.0), 0.5 * lost, 1.0 - 0.5 * lost,
             fma(power, power * 0.125, fma(kept, splat(0.5), splat(0.375))), 0.5 * lost,
             exp_negative(-2.0 * q), 0.5 * lost, excess_of_sine(q, lost)}};
  }
};

struct Cos : Closed {
  static constexpr ActivationFacts known = facts("cos", "cos(x)", "", Parity::even);
  static Values at(F64 x, const double*) {
    F64 s, c;
    sincos(x, s, c);
    return {c, -s, -c};
  }
  static Moments moments(F64 q, const double*) {
    const F64 lost = -expm1(-2.0 * q);
    const F64 half = -expm1(-q);  // the variance is (1 - e^(-q))^2 / 2
    // E sin^4 = 3/8 - e^(-2q)/2 + e^(-8q)/8 in powers of 1 - e^(-2q)
    const F64 fourth = lost * lost * fma(lost, lost - 4.0, splat(6.0)) * 0.125;
    return {{exp_negative(-0.5 * q), 1.0 - 0.5 * lost, 0.5 * lost, fourth, 1.0 - 0.5 * lost,
             -exp_negative(-2.0 * q), 0.5 * half * half, fma(q, 0.5 * lost, 0.5 * lost - 1.0)}};
  }
};

struct Gaussian : Closed {
  static constexpr ActivationFacts known = facts("gaussian", "exp(-x^2)", "", Parity::even);
  static Values at(F64 x, const double*) {
    const F64 b = clamp(x, -1e3, 1e3);
    const F64 phi = exp_negative(-(b * b));
    return {phi, -2.0 * b * phi, fma(4.0 * b, b, splat(-2.0)) * phi};
  }
  static Moments moments(F64 q, const double*) {
    const F64 four = fma(splat(4.0), q, splat(1.0)), eight = fma(splat(8.0), q, splat(1.0));
    const F64 r2 = 1.0 / sqrt(fma(splat(2.0), q, splat(1.0))), r4 = 1.0 / sqrt(four);
    // Ratios first: q^2 itself may overflow.
    const F64 two = fma(splat(2.0), q, splat(1.0));
    const F64 a = q / four, b = q / eight, c = q / two;
    const F64 variance = 4.0 * c * (q / (two + sqrt(four))) * r4;
    return {{r2, r4, 4.0 * a * r4, 48.0 * b * b / sqrt(eight),
             r4 * fma(a, fma(splat(48.0), a, 16.0 / four), 4.0 / (four * four)), -2.0 * r4 / four,
             variance, r4 * fma(4.0 * a, q, splat(-1.0))}};
  }
};

struct Exp : Closed {
  static constexpr ActivationFacts known = facts("exp", "exp(x)", "", Parity::none);
  static Values at(F64 x, const double*) {
    const F64 e = exp_anywhere(x);
    return {e, e, e};
  }
  static Moments moments(F64 q, const double*) {
    const F64 second = exp_anywhere(2.0 * q);
    return {{exp_anywhere(0.5 * q), second, second, exp_anywhere(8.0 * q), second, 2.0 * second,
             exp_anywhere(q) * expm1(q), (q - 1.0) * second}};
  }
};

}  // namespace
}  // namespace fanin::FANIN_ISA
