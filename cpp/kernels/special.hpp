// Elementary functions of whole real arguments, for activations and their moments. No libm; the
// same bits on every instruction set. Errors are checked in tests/kernels/test_activations.py
// against mpmath.
#pragma once
#include "kernels/scalar_functions.hpp"

namespace fanin::FANIN_ISA {
namespace {

inline constexpr double kPi = 0x1.921fb54442d18p+1;
inline constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
inline constexpr double kTwoOverSqrtPi = 0x1.20dd750429b6dp+0;
inline constexpr double kNormalDensityAtZero = 0x1.9884533d43651p-2;  // 1 / sqrt(2 pi)
inline constexpr double kInfinity = __builtin_bit_cast(double, 0x7ff0000000000000u);
inline constexpr double kNotANumber = __builtin_bit_cast(double, 0x7ff8000000000000u);

[[gnu::always_inline]] inline F64 absolute(F64 x) {
  return bit_cast<F64>(bit_cast<U64>(x) & ~Layout<double>::sign);
}
[[gnu::always_inline]] inline F64 with_sign_of(F64 magnitude, F64 sign) {
  return bit_cast<F64>(bit_cast<U64>(magnitude) | (bit_cast<U64>(sign) & Layout<double>::sign));
}
[[gnu::always_inline]] inline F64 clamp(F64 x, double low, double high) {
  return minimum(maximum(x, splat(low)), splat(high));
}

/// e^x for every x: 0 below -745, infinite above 709.7.
///   types  f64      error  < 1 ulp (normal results)
[[gnu::always_inline]] inline F64 exp_anywhere(F64 x) {
  const F64 inside = exp(clamp(x, -745.0, 709.0));
  return select(x > 709.0, exp(clamp(x, 0.0, 710.0) - 1.0) * 0x1.5bf0a8b145769p+1,
                select(x < -745.0, splat(0.0), inside));
}

/// e^x for x <= 0, without the upper guard.
[[gnu::always_inline]] inline F64 exp_negative(F64 x) { return exp(maximum(x, splat(-745.0))); }

/// e^x - 1, relatively accurate at 0.
///   types  f64      range  x <= 709      error  < 3 ulp
///   method  x = n log 2 + r; 2^n (e^r - 1) + (2^n - 1), e^r - 1 by Taylor
[[gnu::always_inline]] inline F64 expm1(F64 x) {
  constexpr double magic = 0x1.8p52;
  constexpr Coefficients<double, 12> taylor = {
      {1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
       1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800}};
  const F64 bounded = clamp(x, -60.0, 709.0);
  const F64 shifted = fma(bounded, splat(0x1.71547652b82fep+0), splat(magic));
  const F64 n = shifted - magic;
  const F64 high = fma(n, splat(-0x1.62e42fefa39efp-1), bounded);
  const F64 r = fma(n, splat(-0x1.abc9e3b39803fp-56), high);
  const F64 p = fma(r * r, polynomial(r, taylor), r);
  // 2^(n-1) twice, so that n = 1024 stays finite.
  const I64 k = bit_cast<I64>(shifted) - bit_cast<I64>(splat(magic));
  const F64 half_power = bit_cast<F64>((k - 1 + 1023) << 52);
  return 2.0 * fma(half_power, p, half_power - 0.5);
}

/// log(1 + x).
///   types  f64      range  0 <= x <= 1e300      error  < 3 ulp
///   method  log(u) for the rounded u = 1 + x, and what the rounding of u lost
[[gnu::always_inline]] inline F64 log1p(F64 x) {
  const F64 u = 1.0 + x;
  return fma(minus_two_log<0, double>(u), splat(-0.5), (x - (u - 1.0)) / u);
}

/// tanh x.
///   types  f64      error  < 4 ulp
///   method  -t / (2 + t), t = e^(-2 |x|) - 1
[[gnu::always_inline]] inline F64 tanh(F64 x) {
  const F64 t = expm1(-2.0 * minimum(absolute(x), splat(30.0)));
  return with_sign_of(-t / (2.0 + t), x);
}

/// The logistic function s(x), s(-x) and their product, each relatively accurate.
struct Logistic {
  F64 value, complement, slope;
};
[[gnu::always_inline]] inline Logistic logistic(F64 x) {
  const F64 e = exp_negative(-absolute(x));
  const F64 large = 1.0 / (1.0 + e);
  const F64 small = e * large;
  const auto positive = x > 0.0;
  return {select(positive, large, small), select(positive, small, large), small * large};
}

/// Phi(x), the unit normal's distribution function, relatively accurate in the lower tail to -38.
///   types  f64      error  < 9 ulp
[[gnu::always_inline]] inline F64 ndtr(F64 x) {
  const F64 tail = ndtr_upper(minimum(absolute(x), splat(38.0)));
  return select(x < 0.0, tail, 1.0 - tail);
}

/// Density of the unit normal.
[[gnu::always_inline]] inline F64 normal_density(F64 x) {
  return kNormalDensityAtZero * exp_negative(-0.5 * (x * x));
}

/// erf x.
///   types  f64      error  < 4 ulp
///   method  Taylor below 3/4, 1 - 2 Phi(-sqrt(2) x) beyond
[[gnu::always_inline]] inline F64 erf(F64 x) {
  constexpr Coefficients<double, 17> taylor = {
      {-1.0 / 3, 1.0 / 10, -1.0 / 42, 1.0 / 216, -1.0 / 1320, 1.0 / 9360, -1.0 / 75600,
       1.0 / 685440, -1.0 / 6894720, 1.0 / 76204800, -1.0 / 918086400, 1.0 / 11975040000,
       -1.0 / 168129561600, 1.0 / 2528170444800, -1.0 / 40537905408000, 1.0 / 690452066304000,
       -1.0 / 12449059983360000}};
  const F64 a = absolute(x);
  const F64 y = minimum(a * a, splat(0.5625));
  const F64 leading = a * kTwoOverSqrtPi;
  const F64 near = fma(leading, y * polynomial(y, taylor), leading);
  const F64 tail = ndtr_upper(minimum(a * 0x1.6a09e667f3bcdp+0, splat(38.0)));
  return with_sign_of(select(a < 0.75, near, 1.0 - 2.0 * tail), x);
}

/// atan x.
///   types  f64      error  < 3 ulp
///   method  to |z| <= tan(pi/8) by the addition theorem, then the Taylor series
[[gnu::always_inline]] inline F64 atan(F64 x) {
  constexpr Coefficients<double, 20> taylor = {
      {-1.0 / 3,  1.0 / 5,   -1.0 / 7,  1.0 / 9,   -1.0 / 11, 1.0 / 13,  -1.0 / 15,
       1.0 / 17,  -1.0 / 19, 1.0 / 21,  -1.0 / 23, 1.0 / 25,  -1.0 / 27, 1.0 / 29,
       -1.0 / 31, 1.0 / 33,  -1.0 / 35, 1.0 / 37,  -1.0 / 39, 1.0 / 41}};
  const F64 a = absolute(x);
  const auto far = a > 0x1.3504f333f9de6p+1, middle = a > 0x1.a827999fcef32p-2;
  const F64 up = select(far, splat(-1.0), select(middle, a - 1.0, a));
  const F64 down = select(far, a, select(middle, a + 1.0, splat(1.0)));
  const F64 base = select(far, splat(0x1.921fb54442d18p+0),
                          select(middle, splat(0x1.921fb54442d18p-1), splat(0.0)));
  const F64 z = up / down;
  const F64 y = z * z;
  return with_sign_of(base + fma(z * y, polynomial(y, taylor), z), x);
}

// Over z^2; z itself enters by the last fma.
inline constexpr Coefficients<double, 11> kArcTangent = {
    {-0x1.555555555553dp-2, 0x1.999999999586dp-3, -0x1.24924922ad70bp-3, 0x1.c71c70e614df7p-4,
     -0x1.745cf8dcf5215p-4, 0x1.3b11192626edcp-4, -0x1.10ebb8c78da68p-4, 0x1.df0f53ebad48cp-5,
     -0x1.9cd2eb605e233p-5, 0x1.37d62db2a9f38p-5, -0x1.256baf623f722p-6}};

/// The angle of the point (x, y), x and y >= 0, in [0, pi/2]; not of (0, 0).
///   types  f64      error  < 3 ulp
///   method  to |z| <= tan(pi/8) by the addition theorem, before the only division; a polynomial
[[gnu::always_inline]] inline F64 acute_angle(F64 y, F64 x) {
  const auto far = y > 0x1.3504f333f9de6p+1 * x, middle = y > 0x1.a827999fcef32p-2 * x;
  const F64 up = select(far, -x, select(middle, y - x, y));
  const F64 down = select(far, y, select(middle, y + x, x));
  const F64 base = select(far, splat(0x1.921fb54442d18p+0),
                          select(middle, splat(0x1.921fb54442d18p-1), splat(0.0)));
  const F64 z = up / down;
  const F64 square = z * z;
  return base + fma(z * square, polynomial(square, kArcTangent), z);
}

/// The angle of the point (x, y), y >= 0, in [0, pi].
[[gnu::always_inline]] inline F64 angle(F64 y, F64 x) {
  const F64 acute = acute_angle(y, absolute(x));
  return select(x < 0.0, kPi - acute, acute);
}

/// sin x and cos x.
///   types  f64      range  |x| <= 1e6      error  < 2 ulp of 1
///   method  whole quarter turns taken away in three parts, then sincos_quarter
[[gnu::always_inline]] inline void sincos(F64 x, F64& sine, F64& cosine) {
  constexpr double magic = 0x1.8p52;
  const F64 shifted = fma(x, splat(kTwoOverPi), splat(magic));
  const F64 n = shifted - magic;
  F64 r = fma(n, splat(-0x1.921fb544p+0), x);
  r = fma(n, splat(-0x1.0b4611a6p-34), r);
  r = fma(n, splat(-0x1.3198a2e037073p-69), r);
  F64 s, c;
  sincos_quarter(r * kTwoOverPi, s, c);
  const U64 quadrant = bit_cast<U64>(shifted);
  const auto odd = (quadrant & 1u) == 1u;
  const F64 first = select(odd, c, s), second = select(odd, s, c);
  sine = select((quadrant & 2u) == 2u, -first, first);
  cosine = select(((quadrant + 1u) & 2u) == 2u, -second, second);
}

}  // namespace
}  // namespace fanin::FANIN_ISA
