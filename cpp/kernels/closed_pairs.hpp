// E phi(u) phi(v) and E phi'(u) phi'(v) in closed form, for (u, v) normal with variances q1, q2 and
// correlation c. Formulas: Cho & Saul 2009 (rectifiers), Williams 1998 (erf), Tsuchida et al. 2021
// (gelu); the others are Gaussian integrals of exponentials. `covariance` is differentiated by c as
// sqrt(q1 q2) `slopes` (Price 1958).
#pragma once
#include "kernels/closed_forms.hpp"

namespace fanin::FANIN_ISA {
namespace {

/// Two variances and a correlation, with what the formulas share. sine is sin(acos c) and keeps its
/// digits at both ends.
struct Pair {
  F64 q1, q2, c, delta, root, k, sine;
  Pair(F64 a, F64 b, F64 corr, F64 one_minus)
      : q1(a),
        q2(b),
        c(corr),
        delta(one_minus),
        root(sqrt(a) * sqrt(b)),
        k(corr * root),
        sine(sqrt(
            maximum(one_minus * select(corr < 0.0, 1.0 + corr, 2.0 - one_minus), splat(0.0)))) {}
};

struct PairValues {
  F64 covariance, slopes;
};

/// J1(pi - t) = sin t - t cos t and J2(pi - t) = t (2 + cos 2t) - 3/2 sin 2t by their series, 0 <=
/// t <= 1.
[[gnu::always_inline]] inline F64 arc_cosine_one_near_opposite(F64 t) {
  // sum (-1)^(k+1) 2k / (2k+1)! t^(2k+1)
  constexpr Coefficients<double, 9> series = {{1.0 / 3, -1.0 / 30, 1.0 / 840, -1.0 / 45360,
                                               1.0 / 3991680, -1.0 / 518918400, 1.0 / 93405312000,
                                               -1.0 / 22230464256000, 1.0 / 6758061133824000}};
  const F64 square = t * t;
  return t * square * polynomial(square, series);
}
[[gnu::always_inline]] inline F64 arc_cosine_two_near_opposite(F64 t) {
  // sum over k >= 2 of (-1)^k (k-1) / (2k+1)! (2t)^(2k+1)
  constexpr Coefficients<double, 11> series = {
      {1.0 / 120, -2.0 / 5040, 3.0 / 362880, -4.0 / 39916800, 5.0 / 6227020800,
       -6.0 / 1307674368000, 7.0 / 355687428096000, -8.0 / 121645100408832000,
       9.0 / 51090942171709440000.0, -10.0 / 25852016738884976640000.0,
       11.0 / 15511210043330985984000000.0}};
  const F64 x = 2.0 * t, square = x * x;
  return x * square * square * polynomial(square, series);
}

/// E relu(u) relu(v) / sqrt(q1 q2) for correlation c; `opposite` is pi - acos c.
[[gnu::always_inline]] inline F64 relu_pair(F64 c, F64 sine, F64 opposite) {
  const F64 plain = fma(opposite, c, sine);
  const F64 near = arc_cosine_one_near_opposite(minimum(opposite, splat(1.0)));
  return select(opposite < 1.0, near, plain) * (0.5 / kPi);
}

/// acos c and pi - acos c, the smaller one relatively accurate.
struct Angles {
  F64 theta, opposite;
};
inline Angles angles_of(const Pair& p) {
  const F64 acute = angle(p.sine, absolute(p.c));
  const auto left = p.c < 0.0;
  return {select(left, kPi - acute, acute), select(left, acute, kPi - acute)};
}

inline PairValues leaky_pair(const Pair& p, double a) {
  const auto [theta, opposite] = angles_of(p);
  if (a == 0.0) return {p.root * relu_pair(p.c, p.sine, opposite), opposite * (0.5 / kPi)};
  const double both = (1.0 + a) * (1.0 + a) / 4, apart = (1.0 - a) * (1.0 - a) / 4;
  const F64 rising = p.c * (0.5 * (opposite - theta));  // c asin c
  const F64 central = fma(splat(both), p.c, (p.sine + rising) * (apart * kTwoOverPi));
  const F64 left = fma(splat(1.0 + a * a), relu_pair(p.c, p.sine, opposite),
                       (-2.0 * a) * relu_pair(-p.c, p.sine, theta));
  const F64 shape = select(p.c < -0.5, left, central);
  const F64 slopes = fma(splat(1.0 + a * a), opposite, (2.0 * a) * theta) * (0.5 / kPi);
  return {a == 1.0 ? p.k : p.root * shape, a == 1.0 ? splat(1.0) : slopes};
}

inline PairValues squared_relu_pair(const Pair& p) {
  const F64 opposite = angles_of(p).opposite;
  const F64 plain = fma(3.0 * p.sine, p.c, opposite * fma(2.0 * p.c, p.c, splat(1.0)));
  const F64 near = arc_cosine_two_near_opposite(minimum(opposite, splat(1.0)));
  return {p.root * p.root * select(opposite < 1.0, near, plain) * (0.5 / kPi),
          4.0 * p.root * relu_pair(p.c, p.sine, opposite)};
}

/// size = sqrt((1 + a)(1 + b)) for a = scale q1, b = scale q2; ratio = scale k / size; sine the one
/// of the correlation `ratio`, sqrt(1 - ratio^2), a sum of positive terms. Nothing overflows.
struct Widened {
  F64 size, ratio, sine;
};
[[gnu::always_inline]] inline Widened widened(const Pair& p, double scale) {
  const F64 one = 1.0 / fma(splat(scale), p.q1, splat(1.0)),
            other = 1.0 / fma(splat(scale), p.q2, splat(1.0));
  const F64 a = scale * p.q1 * one, b = scale * p.q2 * other;
  const F64 size =
      sqrt(fma(splat(scale), p.q1, splat(1.0))) * sqrt(fma(splat(scale), p.q2, splat(1.0)));
  return {size, p.c * (sqrt(a) * sqrt(b)), sqrt(fma(a * p.sine, b * p.sine, fma(b, one, other)))};
}

/// erf(scale x).
inline PairValues erf_pair(const Pair& p, double scale) {
  const double twice = 2.0 * scale * scale;
  const Widened w = widened(p, twice);
  return {kTwoOverPi * atan(w.ratio / w.sine), (twice * kTwoOverPi) / (w.size * w.sine)};
}

inline PairValues gelu_pair(const Pair& p) {
  const Widened w = widened(p, 1.0);
  const F64 d = w.size * w.sine;
  const F64 turned = angle(w.sine, -w.ratio);  // pi/2 + atan(k / d)
  const F64 one = 1.0 + p.q1, other = 1.0 + p.q2;
  const F64 bracket = fma(p.q1 / sqrt(one), (p.q2 / sqrt(other)) * w.sine, w.ratio * w.ratio / d);
  const F64 slopes = fma(w.ratio / w.sine, (1.0 / d) / d + (1.0 / one + 1.0 / other), turned);
  return {fma(p.k, turned, bracket) * (0.5 / kPi), slopes * (0.5 / kPi)};
}

/// e^(-(q1 + q2)/2) sinh k and cosh k; the exponent |k| - (q1 + q2)/2 is a sum of negative terms.
struct Hyperbolic {
  F64 sine, cosine;
};
inline Hyperbolic damped_hyperbolic(const Pair& p) {
  const F64 apart = sqrt(p.q1) - sqrt(p.q2);
  const F64 missing = select(p.c < 0.0, 1.0 + p.c, p.delta);
  const F64 bell = 0.5 * exp_negative(-fma(0.5 * apart, apart, p.root * missing));
  const F64 lost = expm1(-2.0 * absolute(p.k));
  return {with_sign_of(-bell * lost, p.k), bell * (2.0 + lost)};
}

inline PairValues gaussian_pair(const Pair& p) {
  const Widened w = widened(p, 2.0);
  const F64 root = 1.0 / (w.size * w.sine);
  return {root, 2.0 * w.ratio * root / (w.size * w.sine * w.sine)};
}

/// Probability that u, v > 0, and the density of (u, v) at 0.
inline PairValues step_pair(const Pair& p) {
  return {angle(p.sine, -p.c) * (0.5 / kPi), (0.5 / kPi) / (p.root * p.sine)};
}

/// The closed pair of each activation that has one.
template <class Own>
inline constexpr bool kHasPair = false;
template <class Own>
PairValues pair_of(const Pair&, const double*);

template <>
inline constexpr bool kHasPair<Linear> = true;
template <>
inline constexpr bool kHasPair<Relu> = true;
template <>
inline constexpr bool kHasPair<Crelu> = true;
template <>
inline constexpr bool kHasPair<LeakyRelu> = true;
template <>
inline constexpr bool kHasPair<Absolute> = true;
template <>
inline constexpr bool kHasPair<SquaredRelu> = true;
template <>
inline constexpr bool kHasPair<Erf> = true;
template <>
inline constexpr bool kHasPair<ErfScaled> = true;
template <>
inline constexpr bool kHasPair<Gelu> = true;
template <>
inline constexpr bool kHasPair<Sin> = true;
template <>
inline constexpr bool kHasPair<Cos> = true;
template <>
inline constexpr bool kHasPair<Gaussian> = true;
template <>
inline constexpr bool kHasPair<Exp> = true;
template <>
inline constexpr bool kHasPair<Step> = true;
template <>
inline constexpr bool kHasPair<Sign> = true;

template <class Own>
PairValues pair_of(const Pair& p, const double* parameters) {
  if constexpr (requires { Own::slope(parameters); }) {
    return leaky_pair(p, Own::slope(parameters));
  } else if constexpr (requires { Own::kScale; }) {
    return erf_pair(p, Own::kScale);
  }
}
template <>
inline PairValues pair_of<SquaredRelu>(const Pair& p, const double*) {
  return squared_relu_pair(p);
}
template <>
inline PairValues pair_of<Gelu>(const Pair& p, const double*) {
  return gelu_pair(p);
}
template <>
inline PairValues pair_of<Sin>(const Pair& p, const double*) {
  const Hyperbolic h = damped_hyperbolic(p);
  return {h.sine, h.cosine};
}
template <>
inline PairValues pair_of<Cos>(const Pair& p, const double*) {
  const Hyperbolic h = damped_hyperbolic(p);
  return {h.cosine, h.sine};
}
template <>
inline PairValues pair_of<Gaussian>(const Pair& p, const double*) {
  return gaussian_pair(p);
}
template <>
inline PairValues pair_of<Exp>(const Pair& p, const double*) {
  const F64 e = exp_anywhere(fma(splat(0.5), p.q1 + p.q2, p.k));
  return {e, e};
}
template <>
inline PairValues pair_of<Step>(const Pair& p, const double*) {
  return step_pair(p);
}
template <>
inline PairValues pair_of<Sign>(const Pair& p, const double*) {
  return {kTwoOverPi * atan(p.c / p.sine), 4.0 * step_pair(p).slopes};
}

}  // namespace
}  // namespace fanin::FANIN_ISA
