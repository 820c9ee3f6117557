// E phi(u) phi(v) and E phi'(u) phi'(v) in closed form, for (u, v) normal with variances q1, q2 and
// correlation c. Formulas: Cho & Saul 2009 (rectifiers), Williams 1998 (erf), Tsuchida et al. 2021
// (gelu); the others are Gaussian integrals of exponentials. `covariance` is differentiated by c as
// sqrt(q1 q2) `slopes` (Price 1958).
#pragma once
#include "kernels/closed_forms.hpp"

namespace fanin::FANIN_ISA {
namespace {

/// What the formulas take from one variance alone. Those of `scale` q, of functions of erf and of
/// bells, are 0 for others.
struct OfVariance {
  F64 q, root;       ///< sqrt(q)
  F64 inverse;       ///< 1 / sqrt(q), 0 of 0
  F64 one;           ///< 1 / (1 + s), s = scale q
  F64 share;         ///< s / (1 + s)
  F64 root_share;    ///< its root
  F64 size;          ///< sqrt(1 + s)
  F64 inverse_size;  ///< 1 / sqrt(1 + s)
};
static_assert(kPairSideRows == sizeof(OfVariance) / sizeof(F64));

template <class Own>
inline constexpr double kWidening = 0;
template <>
inline constexpr double kWidening<Erf> = 2 * Erf::kScale * Erf::kScale;
template <>
inline constexpr double kWidening<ErfScaled> = 2 * ErfScaled::kScale * ErfScaled::kScale;
template <>
inline constexpr double kWidening<Gelu> = 1;
template <>
inline constexpr double kWidening<Gaussian> = 2;

template <class Own>
[[gnu::always_inline]] inline OfVariance side_of(F64 q) {
  const F64 root = sqrt(q);
  OfVariance side = {q, root, select(q > 0.0, 1.0 / root, splat(0.0)), {}, {}, {}, {}, {}};
  if constexpr (kWidening<Own> != 0) {
    const F64 s = kWidening<Own> * q, wide = fma(splat(kWidening<Own>), q, splat(1.0));
    side.one = 1.0 / wide, side.share = s * side.one, side.root_share = sqrt(side.share);
    side.size = sqrt(wide), side.inverse_size = side.size * side.one;
  }
  return side;
}

/// Two variances and a correlation, with what the formulas share. sine is sin(acos c) and keeps its
/// digits at both ends.
struct Pair {
  OfVariance first, second;
  F64 q1, q2, c, delta, root, k, sine_square, sine;
  Pair(const OfVariance& one, const OfVariance& other, F64 corr, F64 one_minus)
      : first(one),
        second(other),
        q1(one.q),
        q2(other.q),
        c(corr),
        delta(one_minus),
        root(one.root * other.root),
        k(corr * root),
        sine_square(
            maximum(one_minus * select(corr < 0.0, 1.0 + corr, 2.0 - one_minus), splat(0.0))),
        sine(sqrt(sine_square)) {}
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
  const F64 acute = acute_angle(p.sine, absolute(p.c));
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

/// With the widened variances 1 + a and 1 + b, a = scale q1 and b = scale q2: ratio is their
/// correlation scale k / sqrt((1 + a)(1 + b)); sine = sqrt(1 - ratio^2), a sum of positive terms;
/// inverse is 1 / (sqrt((1 + a)(1 + b)) sine). Nothing overflows.
struct Widened {
  F64 ratio, sine, inverse_sine, inverse;
};
[[gnu::always_inline]] inline Widened widened(const Pair& p) {
  const OfVariance &a = p.first, &b = p.second;
  const F64 sine = sqrt(fma(a.share * b.share, p.sine_square, fma(b.share, a.one, b.one)));
  const F64 inverse_sine = 1.0 / sine;
  return {p.c * (a.root_share * b.root_share), sine, inverse_sine,
          a.inverse_size * b.inverse_size * inverse_sine};
}

/// erf(scale x).
inline PairValues erf_pair(const Pair& p, double scale) {
  const Widened w = widened(p);
  const F64 turned = with_sign_of(acute_angle(absolute(w.ratio), w.sine), w.ratio);
  return {kTwoOverPi * turned, (2.0 * scale * scale * kTwoOverPi) * w.inverse};
}

inline PairValues gelu_pair(const Pair& p) {
  const Widened w = widened(p);
  const OfVariance &a = p.first, &b = p.second;
  const F64 turned = angle(w.sine, -w.ratio);  // pi/2 + atan(k / d), d = 1 / w.inverse
  const F64 bracket =
      fma(a.q * a.inverse_size, b.q * b.inverse_size * w.sine, w.ratio * w.ratio * w.inverse);
  const F64 slopes =
      fma(w.ratio * w.inverse_sine, fma(w.inverse, w.inverse, a.one + b.one), turned);
  return {fma(p.k, turned, bracket) * (0.5 / kPi), slopes * (0.5 / kPi)};
}

/// e^(-(q1 + q2)/2) sinh k and cosh k; the exponent |k| - (q1 + q2)/2 is a sum of negative terms.
struct Hyperbolic {
  F64 sine, cosine;
};
inline Hyperbolic damped_hyperbolic(const Pair& p) {
  const F64 apart = p.first.root - p.second.root;
  const F64 missing = select(p.c < 0.0, 1.0 + p.c, p.delta);
  const F64 bell = 0.5 * exp_negative(-fma(0.5 * apart, apart, p.root * missing));
  const F64 lost = expm1(-2.0 * absolute(p.k));
  return {with_sign_of(-bell * lost, p.k), bell * (2.0 + lost)};
}

inline PairValues gaussian_pair(const Pair& p) {
  const Widened w = widened(p);
  return {w.inverse, 2.0 * w.ratio * w.inverse * w.inverse * w.inverse_sine};
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
  return {kTwoOverPi * with_sign_of(acute_angle(absolute(p.c), p.sine), p.c),
          4.0 * step_pair(p).slopes};
}

}  // namespace
}  // namespace fanin::FANIN_ISA
