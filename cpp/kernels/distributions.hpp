// The laws. Each turns the words of a tile into standard draws; fill.hpp applies scale, loc and
// bounds.
//
// A law is a struct with
//   name      what the bindings and the tests call it
//   arity     1: a vector of words gives a vector of values; 2: two vectors give two
//   bounds    which of Params::lowest and Params::highest limit the value
//   Law<T>(params), draw(...)
// A new law is one struct and its name in the list at the bottom.
#pragma once
#include "kernels/math.hpp"

namespace fanin::FANIN_ISA {
namespace {

template <class T>
inline constexpr int kWordBits = 8 * int(sizeof(T));

/// Which ends of [lowest, highest] a value can pass.
enum class Bounds { none, above, both };

/// The first 24 (float32) or 53 (float64) bits of a word: the steps of a uniform number, below 2^24
/// (2^53).
template <class T, class W>
[[gnu::always_inline]] inline auto unit_steps(W w) {
  constexpr int dropped = kWordBits<T> - (Layout<T>::digits + 1);
  if constexpr (dropped == 8)
    return to_float(as_signed<T>(without_low_byte(w)));
  else
    return to_float(as_signed<T>(w >> dropped));
}

/// (w + 1/2) / 2^32 or 2^64: (0, 1], dense near 0, where tails are taken from.
template <class T, class W>
[[gnu::always_inline]] inline auto unit_above_zero(W w) {
  return scale_exponent<-kWordBits<T>, T>(to_float(w) + splat(T(0.5)));
}

/// The integer below u: the scale carries the unit, so that a value is one conversion and one fma.
template <class T>
struct Uniform {
  static constexpr const char* name = "uniform";
  static constexpr int arity = 1;
  static constexpr Bounds bounds = Bounds::above;
  [[gnu::always_inline]] explicit Uniform(const Params&) {}
  template <class W>
  [[gnu::always_inline]] auto draw(W w) const {
    return unit_steps<T>(w);
  }
};

/// u itself, for intervals whose unit would fall below the normal numbers and be rounded.
template <class T>
struct UniformNarrow {
  static constexpr const char* name = "uniform_narrow";
  static constexpr int arity = 1;
  static constexpr Bounds bounds = Bounds::above;
  [[gnu::always_inline]] explicit UniformNarrow(const Params&) {}
  template <class W>
  [[gnu::always_inline]] auto draw(W w) const {
    return unit_steps<T>(w) * splat(T(1) / T(u64(1) << (Layout<T>::digits + 1)));
  }
};

/// Box & Muller 1958. The radius takes its word and, below it, the lowest 8 bits of the angle word
/// (40 bits: to 7.54 sigma; float64 72 bits: to 10.06). The angle word: bits 31 and 29 (63, 61) are
/// the signs, bit 30 (62) swaps the two, bits 29 and below are the angle within a quarter turn
/// around 0. Each value is one root, of R^2 cos^2 or R^2 sin^2: a root halves the errors of what is
/// under it, and the squares need one polynomial.
template <class T>
struct Normal {
  static constexpr const char* name = "normal";
  static constexpr int arity = 2;
  static constexpr Bounds bounds = Bounds::none;
  [[gnu::always_inline]] explicit Normal(const Params&) {}
  template <class W, class V>
  [[gnu::always_inline]] void draw(W radius_word, W angle_word, V& first, V& second) const {
    using U = typename BitsOf<T>::Unsigned;
    using L = Layout<T>;
    constexpr int bits = kWordBits<T>;
    // 1 + low / 256, by placing the 8 bits at the top of the significand.
    const V low = as_float<T>(
        ((angle_word << (L::digits - 8)) & splat(U(U(255) << (L::digits - 8)))) | splat(L::one));
    const V u = to_float(radius_word) + (low - splat(T(1 - 1.0 / 512)));
    const V square = minus_two_log<bits, T>(u);

    const W quarter = (angle_word << 2) | splat(U(2));
    const V sine =
        sine_square_quarter<T>(scale_exponent<-bits, T>(to_float(as_signed<T>(quarter))));
    const V cosine = splat(T(1)) - sine;
    const auto swap = as_signed<T>(angle_word << 1) < splat(typename BitsOf<T>::Signed(0));
    const V along = sqrt(square * select(swap, sine, cosine));
    const V across = sqrt(square * select(swap, cosine, sine));
    first = as_float<T>(as_unsigned<T>(along) | (angle_word & splat(L::sign)));
    second = as_float<T>(as_unsigned<T>(across) | (quarter & splat(L::sign)));
  }
};

/// Normal law cut to an interval around 0 within 2 sigma, by its inverse distribution function.
///   shape: 0 middle, 1 half width of the interval of v = Phi(z) - 1/2
template <class T>
struct TruncatedTwoSigma {
  static constexpr const char* name = "truncated_two_sigma";
  static constexpr int arity = 1;
  static constexpr Bounds bounds = Bounds::both;
  Lanes<T> middle, half_width;
  [[gnu::always_inline]] explicit TruncatedTwoSigma(const Params& p)
      : middle(splat(T(p.shape[0]))), half_width(splat(T(p.shape[1]))) {}
  template <class W>
  [[gnu::always_inline]] auto draw(W w) const {
    using U = typename BitsOf<T>::Unsigned;
    // An odd integer over 2^31 (2^63): (-1, 1), dense and symmetric about 0.
    const auto odd = as_signed<T>(w | splat(U(1)));
    const auto t = scale_exponent<1 - kWordBits<T>, T>(to_float(odd));
    return ndtri_two_sigma<T>(fma(t, half_width, middle));
  }
};

/// Any interval that float32 or float64 probabilities can describe. Both tails are formed as sums
/// of positive terms, so the smaller one is relatively accurate; the inverse starts from it.
///   shape: 0 Phi(low), 1 1 - Phi(high), 2 Phi(high) - Phi(low)
template <class T>
struct Truncated {
  static constexpr const char* name = "truncated";
  static constexpr int arity = 1;
  static constexpr Bounds bounds = Bounds::both;
  Lanes<T> below, above, mass;
  [[gnu::always_inline]] explicit Truncated(const Params& p)
      : below(splat(T(p.shape[0]))), above(splat(T(p.shape[1]))), mass(splat(T(p.shape[2]))) {}
  template <class W>
  [[gnu::always_inline]] auto draw(W w) const {
    const auto lower = fma(unit_above_zero<T>(w), mass, below);
    const auto upper = fma(unit_above_zero<T>(~w), mass, above);
    const auto negative = lower < upper;
    const auto z = ndtri_upper<T>(select(negative, lower, upper));
    return select(negative, -z, z);
  }
};

/// An interval so far out that its probability underflows. With x the tail probability relative to
/// the near bound a, and d = -2 log x:  z = a sqrt(1 + d D(d) / a^2), D a polynomial fitted for
/// this a. Constants: FarInterval.
template <class T>
struct TruncatedFar {
  static constexpr const char* name = "truncated_far";
  static constexpr int arity = 1;
  static constexpr Bounds bounds = Bounds::both;
  Lanes<T> near, inverse_square, ratio, rest, sign;
  UnsignedLanes<T> flip;
  Coefficients<T, FarInterval::kTerms> correction;
  [[gnu::always_inline]] explicit TruncatedFar(const Params& p)
      : near(splat(T(p.far.near))),
        inverse_square(splat(T(p.far.inverse_square))),
        ratio(splat(T(p.far.ratio))),
        rest(splat(T(p.far.rest))),
        sign(splat(T(p.far.sign))) {
    using U = typename BitsOf<T>::Unsigned;
    flip = splat(p.far.sign > 0 ? U(~U(0)) : U(0));
    for (int i = 0; i < FarInterval::kTerms; ++i) correction.c[i] = T(p.far.correction[i]);
  }
  template <class W>
  [[gnu::always_inline]] auto draw(W w) const {
    const auto x = fma(unit_above_zero<T>(w ^ flip), rest, ratio);
    const auto d = minus_two_log<0, T>(x);
    const auto growth = d * polynomial(d, correction);
    return sign * (near * sqrt(fma(growth, inverse_square, splat(T(1)))));
  }
};

/// -log u, u dense near 0, so that the tail goes on to 22.9 (float32) or 45.1 (float64).
template <class T>
struct Exponential {
  static constexpr const char* name = "exponential";
  static constexpr int arity = 1;
  static constexpr Bounds bounds = Bounds::none;
  [[gnu::always_inline]] explicit Exponential(const Params&) {}
  template <class W>
  [[gnu::always_inline]] auto draw(W w) const {
    return splat(T(0.5)) * minus_two_log<0, T>(unit_above_zero<T>(w));
  }
};

/// -log u with the sign of the highest bit; u from the other bits.
template <class T>
struct Laplace {
  static constexpr const char* name = "laplace";
  static constexpr int arity = 1;
  static constexpr Bounds bounds = Bounds::none;
  [[gnu::always_inline]] explicit Laplace(const Params&) {}
  template <class W>
  [[gnu::always_inline]] auto draw(W w) const {
    using U = typename BitsOf<T>::Unsigned;
    const auto magnitude =
        splat(T(0.5)) * minus_two_log<0, T>(unit_above_zero<T>((w << 1) | splat(U(1))));
    return as_float<T>(as_unsigned<T>(magnitude) | (w & splat(Layout<T>::sign)));
  }
};

/// Calls visit.operator()<Law>() for every law: the only registration.
template <class Visit>
constexpr void for_each_law(Visit visit) {
  visit.template operator()<Uniform>();
  visit.template operator()<UniformNarrow>();
  visit.template operator()<Normal>();
  visit.template operator()<TruncatedTwoSigma>();
  visit.template operator()<Truncated>();
  visit.template operator()<TruncatedFar>();
  visit.template operator()<Exponential>();
  visit.template operator()<Laplace>();
}
inline constexpr int kLaws = [] {
  int count = 0;
  for_each_law([&]<template <class> class>() { ++count; });
  return count;
}();

}  // namespace
}  // namespace fanin::FANIN_ISA
