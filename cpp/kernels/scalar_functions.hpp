// Elementary functions over arrays: what the engine computes parameters with and the tests measure.
#pragma once
#include "core/table.hpp"
#include "kernels/math.hpp"

namespace fanin::FANIN_ISA {
namespace {

/// e^x.
///   types  f64      range  [-745, 709]      error  < 1 ulp (normal results)
///   method  x = n log 2 + r, |r| <= log(2)/2; Taylor to r^13; 2^n in two steps for subnormal
///           results
[[gnu::always_inline]] inline F64 exp(F64 x) {
  constexpr double magic = 0x1.8p52;  // adding it rounds to an integer, kept in the low bits
  constexpr Coefficients<double, 14> taylor = {
      {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
       1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800}};
  const F64 shifted = fma(x, splat(0x1.71547652b82fep+0), splat(magic));
  const F64 n = shifted - magic;
  const F64 high = fma(n, splat(-0x1.62e42fefa39efp-1), x);
  const F64 r = fma(n, splat(-0x1.abc9e3b39803fp-56), high);
  const I64 k = bit_cast<I64>(shifted) - bit_cast<I64>(splat(magic));
  const I64 first = k >> 1;
  const F64 scale_a = bit_cast<F64>((first + 1023) << 52);
  const F64 scale_b = bit_cast<F64>((k - first + 1023) << 52);
  return polynomial(r, taylor) * scale_a * scale_b;
}

inline constexpr Coefficients<double, 25> kMills = {
    {0x1.e4aa012912ddep+0,  -0x1.8615d9b49165cp+0,  0x1.f0d9856bc3b3dp-1,   -0x1.dec30ee679446p-2,
     0x1.360ce2601f226p-3,  -0x1.35aa3c94c32b7p-6,  -0x1.1dcfea78e13dbp-7,  0x1.0be6d662ea46dp-8,
     0x1.5e7b1b073ea21p-12, -0x1.2fb431c65f017p-11, -0x1.41005ed78349ap-18, 0x1.717f919dce981p-14,
     0x1.e2466c1dc9256p-20, -0x1.f2045a086eaecp-17, -0x1.a7fdf8de3a5e0p-20, 0x1.587eb36ca5583p-19,
     0x1.6f6e0a1c26767p-21, -0x1.ab8f67b37cd79p-22, -0x1.d7548960e5f2dp-23, 0x1.727551522a405p-25,
     0x1.d8794e42175dcp-25, -0x1.ca78b2ba3b638p-31, -0x1.53cef8c0224ebp-27, -0x1.c434a3ffbac64p-32,
     0x1.0503bc65b99dcp-30}};

/// Mills ratio: upper tail probability over density of the unit normal.
///   types  f64      range  [0, 1e300]      error  < 4 ulp
///   method  (x + 4) M(x) is a polynomial in (x - 4)/(x + 4)
[[gnu::always_inline]] inline F64 mills(F64 x) {
  return polynomial((x - 4.0) / (x + 4.0), kMills) / (x + 4.0);
}

/// Upper tail probability of the unit normal.
///   types  f64      range  [0, 38]      error  < 8 ulp (normal results)
[[gnu::always_inline]] inline F64 ndtr_upper(F64 x) {
  // exp(-x^2/2) with the rounding error of x^2 put back to first order.
  const F64 square = x * x;
  const F64 lost = fma(x, x, -square);
  const F64 bell = exp(-0.5 * square);
  return bell * fma(-0.5 * lost, splat(1.0), splat(1.0)) * (mills(x) * 0x1.9884533d43651p-2);
}

template <class T>
inline Lanes<T> log(Lanes<T> x) {
  return T(-0.5) * minus_two_log<0, T>(x);
}
inline F64 sin_quarter(F64 t) {
  F64 s, c;
  sincos_quarter(t, s, c);
  return s;
}
inline F64 cos_quarter(F64 t) {
  F64 s, c;
  sincos_quarter(t, s, c);
  return c;
}

/// Applies f to whole vectors, the rest through a padded one.
template <class T, class F>
[[gnu::always_inline]] inline void map(F f, const T* in, T* out, std::size_t count) {
  constexpr std::size_t lanes = kLanes<T>;
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) store(out + i, f(load<Lanes<T>>(in + i)));
  if (i == count) return;
  T rest[lanes];
  for (std::size_t k = 0; k < lanes; ++k) rest[k] = in[i + k < count ? i + k : count - 1];
  store(rest, f(load<Lanes<T>>(rest)));
  __builtin_memcpy(out + i, rest, (count - i) * sizeof(T));
}

template <class T, Lanes<T> (*F)(Lanes<T>)>
void apply(const T* in, T* out, std::size_t count) {
  map([](Lanes<T> x) { return F(x); }, in, out, count);
}

inline F32 sine_square32(F32 t) { return sine_square_quarter<float>(t); }
inline F64 sine_square64(F64 t) { return sine_square_quarter<double>(t); }
inline F32 two_sigma32(F32 v) { return ndtri_two_sigma<float>(v); }
inline F64 two_sigma64(F64 v) { return ndtri_two_sigma<double>(v); }
inline F32 upper32(F32 m) { return ndtri_upper<float>(m); }
inline F64 upper64(F64 m) { return ndtri_upper<double>(m); }
inline F64 exp64(F64 x) { return exp(x); }
inline F64 mills64(F64 x) { return mills(x); }
inline F64 ndtr_upper64(F64 x) { return ndtr_upper(x); }

inline constexpr FunctionRow kFunctions[] = {
    {"log", &apply<float, log<float>>, &apply<double, log<double>>},
    {"sine_square_quarter", &apply<float, sine_square32>, &apply<double, sine_square64>},
    {"sin_quarter", nullptr, &apply<double, sin_quarter>},
    {"cos_quarter", nullptr, &apply<double, cos_quarter>},
    {"ndtri_two_sigma", &apply<float, two_sigma32>, &apply<double, two_sigma64>},
    {"ndtri_upper", &apply<float, upper32>, &apply<double, upper64>},
    {"exp", nullptr, &apply<double, exp64>},
    {"mills", nullptr, &apply<double, mills64>},
    {"ndtr_upper", nullptr, &apply<double, ndtr_upper64>},
};
inline constexpr std::size_t kFunctionCount = sizeof kFunctions / sizeof kFunctions[0];

}  // namespace
}  // namespace fanin::FANIN_ISA
