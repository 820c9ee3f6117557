// Elementary functions, the same bits on every instruction set. No libm.
//
// All coefficients come from tools/fit_coefficients.py; the errors stated are checked in
// tests/kernels/test_math.py against mpmath.
#pragma once
#include "kernels/lanes.hpp"

namespace fanin::FANIN_ISA {
namespace {

template <class T, int N>
struct Coefficients {
  T c[N];
};

/// c[0] + c[1] x + ... by Horner's rule, one fma a step.
template <class T, int N>
[[gnu::always_inline]] inline Lanes<T> polynomial(Lanes<T> x, const Coefficients<T, N>& p) {
  Lanes<T> sum = splat(p.c[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, splat(p.c[i]));
  return sum;
}

/// Eight coefficients by Estrin's scheme: one multiplication more, half the depth.
[[gnu::always_inline]] inline F32 polynomial_of_seven(F32 x, F32 x2, const Coefficients<float, 8>& p) {
  const F32 a = fma(splat(p.c[1]), x, splat(p.c[0])), b = fma(splat(p.c[3]), x, splat(p.c[2]));
  const F32 c = fma(splat(p.c[5]), x, splat(p.c[4])), d = fma(splat(p.c[7]), x, splat(p.c[6]));
  return fma(fma(d, x2, c), x2 * x2, fma(b, x2, a));
}

/// The same with the coefficients of `p` where `mask`, else those of `q`.
template <class T, int N, class M>
[[gnu::always_inline]] inline Lanes<T> polynomial(Lanes<T> x, M mask, const Coefficients<T, N>& p,
                                                  const Coefficients<T, N>& q) {
  Lanes<T> sum = select(mask, splat(p.c[N - 1]), splat(q.c[N - 1]));
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; --i)
    sum = fma(sum, x, select(mask, splat(p.c[i]), splat(q.c[i])));
  return sum;
}

/// Floating-point layout of T.
template <class T>
struct Layout;
template <>
struct Layout<float> {
  static constexpr int digits = 23;
  static constexpr u32 one = 0x3f800000u, sqrt_half = 0x3f3504f3u, mantissa = 0x007fffffu;
  static constexpr u32 sign = 0x80000000u;
};
template <>
struct Layout<double> {
  static constexpr int digits = 52;
  static constexpr u64 one = 0x3ff0000000000000u, sqrt_half = 0x3fe6a09e667f3bcdu;
  static constexpr u64 mantissa = 0x000fffffffffffffu, sign = 0x8000000000000000u;
};

/// x * 2^Power for lanes whose exponent stays in range; an integer addition, exact.
template <int Power, class T>
[[gnu::always_inline]] inline Lanes<T> scale_exponent(Lanes<T> x) {
  using S = typename BitsOf<T>::Signed;
  return bit_cast<Lanes<T>>(bit_cast<Lanes<S>>(x) + splat<S>(S(Power) * (S(1) << Layout<T>::digits)));
}

// ---- logarithm ---------------------------------------------------------------------------------------

inline constexpr Coefficients<float, 8> kLogTail32 = {
    {0x1.fffffap-3f, 0x1.5556f4p-4f, 0x1.0004bp-5f, 0x1.98d2aap-7f, 0x1.535a9cp-8f, 0x1.3184540p-9f,
     0x1.25100ap-10f, 0x1.65dc8cp-12f}};
inline constexpr Coefficients<double, 7> kLogTail64 = {
    {0x1.5555555555592p-1, 0x1.999999997ff33p-2, 0x1.24924941df2d9p-2, 0x1.c71c52166eeefp-3,
     0x1.74663c71339cfp-3, 0x1.39a1f63ccbbb3p-3, 0x1.2f032bda52ddcp-3}};

/// -2 log(x / 2^Power), the square of Box-Muller's radius.
///   types  f32, f64      range  positive normal numbers      error  < 2 ulp away from x = 2^Power
///   method  x = 2^k m, m in [sqrt(1/2), sqrt(2)); exact 1 - m; f32 a polynomial in 1 - m, f64 one in
///           ((m - 1)/(m + 1))^2
template <int Power>
[[gnu::always_inline]] inline F32 minus_two_log(F32 x) {
  using L = Layout<float>;
  const U32 from = bit_cast<U32>(x) - (L::sqrt_half + (u32(Power) << L::digits));
  const F32 k = to_float(bit_cast<I32>(from) >> L::digits);
  // 2 m, so that r is -2 (m - 1), the first term of the series, exactly.
  const F32 m2 = bit_cast<F32>((from & L::mantissa) + (L::sqrt_half + (1u << L::digits)));
  const F32 r = 2.0f - m2;
  const F32 r2 = r * r;
  const F32 log_m = fma(r2, polynomial_of_seven(r, r2, kLogTail32), r);
  return fma(k, splat(-0x1.62e430p+0f), log_m);
}
template <int Power>
[[gnu::always_inline]] inline F64 minus_two_log(F64 x) {
  using L = Layout<double>;
  const U64 from = bit_cast<U64>(x) - (L::sqrt_half + (u64(Power) << L::digits));
  const F64 k = to_float(bit_cast<I64>(from) >> L::digits);
  const F64 m = bit_cast<F64>((from & L::mantissa) + L::sqrt_half);
  const F64 f = m - 1.0;
  const F64 s = f / (m + 1.0);
  const F64 z = s * s;
  // log m = f - (f^2/2 - s (f^2/2 + R(s^2))), so that only small terms carry rounding errors.
  const F64 half_square = f * f * 0.5;
  const F64 tail = fma(z, polynomial(z, kLogTail64), half_square);
  const F64 log_m = f - fma(-s, tail, half_square);
  return -2.0 * fma(k, splat(0x1.62e42fefa39efp-1), log_m);
}

// ---- sine and cosine -----------------------------------------------------------------------------------

inline constexpr Coefficients<float, 3> kSin32 = {{-0x1.4abc1cp-1f, 0x1.467cfep-4f, -0x1.3267fp-8f}};
inline constexpr Coefficients<float, 5> kCos32 = {
    {1.0f, -0x1.3bd3ccp+0f, 0x1.03c1bp-2f, -0x1.55b29ap-6f, 0x1.d4e42p-11f}};
inline constexpr Coefficients<double, 7> kSin64 = {
    {-0x1.4abbce625bd89p-1, 0x1.466bc67742978p-4, -0x1.32d2ccc314638p-8, 0x1.5078038034d3dp-13,
     -0x1.e2c0b13fd67a9p-19, 0x1.b65eb4f3551f6p-25, 0x1.9aaab94fb2726p-28}};
inline constexpr Coefficients<double, 9> kCos64 = {
    {1.0, -0x1.3bd3cc9be45dep+0, 0x1.03c1f081b5a38p-2, -0x1.55d3c7e3b99e1p-6, 0x1.e1f506644287ep-11,
     -0x1.a6d1caff70e6ep-16, 0x1.f9a48f9507d66p-22, -0x1.99f6dccffc610p-28, -0x1.8640b39727c44p-32}};

[[gnu::always_inline]] inline constexpr const auto& sine_coefficients(float) { return kSin32; }
[[gnu::always_inline]] inline constexpr const auto& sine_coefficients(double) { return kSin64; }
[[gnu::always_inline]] inline constexpr const auto& cosine_coefficients(float) { return kCos32; }
[[gnu::always_inline]] inline constexpr const auto& cosine_coefficients(double) { return kCos64; }

/// sin and cos of t quarter turns, |t| <= 1/2.
///   types  f32, f64      error  < 1.5 ulp
///   method  polynomials in t^2; the leading term of the sine enters by the last fma, unrounded
template <class T>
[[gnu::always_inline]] inline void sincos_quarter(Lanes<T> t, Lanes<T>& sine, Lanes<T>& cosine) {
  const Lanes<T> y = t * t;
  sine = fma(t, splat(T(0x1.921fb54442d18p+0)), (t * y) * polynomial(y, sine_coefficients(T{})));
  cosine = polynomial(y, cosine_coefficients(T{}));
}

// ---- inverse normal distribution -----------------------------------------------------------------------

// Within 2 sigma: z / v less its slope at 0, over w = p (1 - p).
inline constexpr Coefficients<float, 5> kTwoSigmaUp32 = {
    {0x1.e8d31cp+1f, 0x1.3b2bc0p+9f, 0x1.7de806p+13f, -0x1.c26942p+12f, -0x1.964ea4p+17f}};
inline constexpr Coefficients<float, 6> kTwoSigmaDown32 = {
    {1.0f, 0x1.1a0cfcp+8f, 0x1.6882eep+13f, 0x1.8396f0p+16f, 0x1.1f1330p+17f, -0x1.117460p+14f}};
inline constexpr Coefficients<double, 11> kTwoSigmaUp64 = {
    {0x1.28ddde16b5495p+2, 0x1.380068f6eb314p+12, 0x1.16b3cc97798f2p+20, 0x1.5109c2d04155cp+26,
     0x1.4177f1b094c26p+31, 0x1.e2bfe0faddb66p+34, 0x1.958f0010b82c2p+36, -0x1.62de66fbe61bbp+38,
     -0x1.11c5c98b98db2p+41, -0x1.3f7e5317ff746p+41, -0x1.21bd5c6ff369dp+39}};
inline constexpr Coefficients<double, 11> kTwoSigmaDown64 = {
    {1.0, 0x1.7044e92b3b385p+10, 0x1.ad3255bc54b5cp+18, 0x1.58975534ed45ep+25,
     0x1.d18011f2a2372p+30, 0x1.20bb4de825ca6p+35, 0x1.5223209e10b78p+38, 0x1.6e86a5634b9eap+40,
     0x1.54c60036e7fffp+41, 0x1.c7e8e35917e07p+40, 0x1.17d806c003a0bp+38}};

// |v| <= 3/8: the same; beyond: z - s over s = sqrt(-2 log m), to m = 2^-126 (f32) or 1e-313 (f64).
inline constexpr Coefficients<float, 4> kCentralUp32 = {
    {0x1.6d11dcp+1f, 0x1.b650acp+5f, -0x1.0c6208p+7f, -0x1.05331cp+9f}};
inline constexpr Coefficients<float, 5> kCentralDown32 = {
    {1.0f, 0x1.b4a95cp+5f, 0x1.687a6cp+8f, 0x1.34fc14p+8f, 0.0f}};
inline constexpr Coefficients<float, 4> kTailUp32 = {
    {-0x1.7f76ccp+1f, -0x1.712a92p+2f, -0x1.28a486p+0f, -0x1.c21488p-6f}};
inline constexpr Coefficients<float, 5> kTailDown32 = {
    {1.0f, 0x1.fdc920p+1f, 0x1.476f0cp+1f, 0x1.281a26p-2f, 0x1.10db16p-8f}};
inline constexpr Coefficients<double, 8> kCentralUp64 = {
    {0x1.e149f806d62f4p+1, 0x1.4e83f26bfa26ep+9, 0x1.59233dbe137e6p+14, 0x1.5422075f85a54p+17,
     -0x1.5345fb9108fcbp+16, -0x1.60c29312f772bp+21, -0x1.058841134d56ep+22,
     -0x1.04989a922fe6ap+20}};
inline constexpr Coefficients<double, 9> kCentralDown64 = {
    {1.0, 0x1.1f8b640812aabp+8, 0x1.ee12f89c31ad3p+13, 0x1.0b490223b22fap+18,
     0x1.a89e80f6fe4cap+20, 0x1.f3b8c1f16f1fdp+21, 0x1.7f9c334f13dd0p+21, 0x1.f8fa5c8dd5486p+18,
     0.0}};
inline constexpr Coefficients<double, 8> kNearTailUp64 = {
    {-0x1.cb4e1755774dfp+1, -0x1.cc9120189d611p+4, -0x1.56c86aef70e15p+5, -0x1.35c1d11b43100p+4,
     -0x1.1a960e35f97e9p+2, -0x1.f2c0a6692460ap-2, -0x1.2780aa46d6477p-6, -0x1.10eea9168113cp-13}};
inline constexpr Coefficients<double, 9> kNearTailDown64 = {
    {1.0, 0x1.95dd2d87c17abp+3, 0x1.ec96547e764c2p+4, 0x1.81e8b15c6618ap+4, 0x1.04152edf8740bp+3,
     0x1.7c18eded46b9bp+0, 0x1.007fc5f17e9c6p-3, 0x1.c57d56ed802b8p-9, 0x1.221985e3d9026p-16}};
inline constexpr Coefficients<double, 8> kFarTailUp64 = {
    {-0x1.a11a1e4d32399p+1, -0x1.43f5d31b6328ap+3, -0x1.0a2090f17a4c4p+2, -0x1.0459c8df47120p-1,
     -0x1.6f9392ecc62f5p-6, -0x1.7a28bb1369216p-12, -0x1.ebe81f79ee8dap-20,
     -0x1.fa9a66c0b25fdp-30}};
inline constexpr Coefficients<double, 9> kFarTailDown64 = {
    {1.0, 0x1.7c58ccdc6c943p+2, 0x1.6b78fc98d865ap+2, 0x1.76c9e6a8da846p+0, 0x1.1269620f7a7c0p-3,
     0x1.361bc6abd421dp-8, 0x1.0598cae26dbf4p-14, 0x1.14d9276ae3a03p-22, 0x1.af459cc3465fdp-33}};

inline constexpr float kSlope32 = 0x1.40d932p+1f;  // sqrt(2 pi)
inline constexpr double kSlope64 = 0x1.40d931ff62706p+1;

/// z with Phi(z) = 1/2 + v, for |v| <= Phi(2) - 1/2; odd, and relatively accurate at 0.
///   types  f32, f64      error  < 2.5 ulp
///   method  z = slope v + v R(w), w = 1/4 - v^2, R rational
[[gnu::always_inline]] inline F32 ndtri_two_sigma(F32 v) {
  const F32 w = fma(-v, v, splat(0.25f));
  const F32 bend = v * polynomial(w, kTwoSigmaUp32) / polynomial(w, kTwoSigmaDown32);
  return fma(v, splat(kSlope32), bend);
}
[[gnu::always_inline]] inline F64 ndtri_two_sigma(F64 v) {
  const F64 w = fma(-v, v, splat(0.25));
  const F64 bend = v * polynomial(w, kTwoSigmaUp64) / polynomial(w, kTwoSigmaDown64);
  return fma(v, splat(kSlope64), bend);
}

/// What the rounding of s = sqrt(x) lost: sqrt(x) - s, to first order. Where z lies in a lower binade than s, half an
/// ulp of s is a whole one of z.
template <class V>
[[gnu::always_inline]] inline V lost_by_sqrt(V x, V s) {
  return fma(-s, s, x) / (s + s);
}

/// z whose upper tail probability is m, from m alone: z = s + R(s), s = sqrt(-2 log m).
///   types  f32 (2^-126 <= m <= 1/8), f64 (1e-313 <= m <= 1/8)      error  < 2.5 ulp
[[gnu::always_inline]] inline F32 ndtri_tail(F32 m) {
  const F32 x = minus_two_log<0>(m);
  const F32 s = sqrt(x);
  return s + (polynomial(s, kTailUp32) / polynomial(s, kTailDown32) + lost_by_sqrt(x, s));
}

[[gnu::always_inline]] inline F64 ndtri_tail(F64 m) {
  const F64 x = minus_two_log<0>(m);
  const F64 s = sqrt(x);
  const auto near = s < 8.0;
  const F64 bend = polynomial(s, near, kNearTailUp64, kFarTailUp64) /
                   polynomial(s, near, kNearTailDown64, kFarTailDown64);
  return s + (bend + lost_by_sqrt(x, s));
}

/// z >= 0 whose upper tail probability is m, for m in [tiny, 1/2].
///   types  f32 (m >= 2^-126), f64 (m >= 1e-313)      error  < 2.5 ulp
///   method  m >= 1/8 as ndtri_two_sigma, below as ndtri_tail; lanes choose the coefficients
[[gnu::always_inline]] inline F32 ndtri_upper(F32 m) {
  const F32 v = 0.5f - m;
  const F32 w = fma(-v, v, splat(0.25f));
  const F32 x = minus_two_log<0>(m);
  const F32 s = sqrt(x);
  const auto central = m >= 0.125f;
  const F32 up = select(central, v * polynomial(w, kCentralUp32), polynomial(s, kTailUp32));
  const F32 down = select(central, polynomial(w, kCentralDown32), polynomial(s, kTailDown32));
  const F32 bend = up / down;
  return select(central, fma(v, splat(kSlope32), bend), s + (bend + lost_by_sqrt(x, s)));
}
[[gnu::always_inline]] inline F64 ndtri_upper(F64 m) {
  const F64 v = 0.5 - m;
  const F64 square = minus_two_log<0>(m);
  const F64 s = sqrt(square);
  const auto central = m >= 0.125;
  const auto near = s < 8.0;
  const F64 x = select(central, fma(-v, v, splat(0.25)), s);
  const auto coefficient = [&](double c, double n, double f) {
    return select(central, splat(c), select(near, splat(n), splat(f)));
  };
  F64 up = coefficient(kCentralUp64.c[7], kNearTailUp64.c[7], kFarTailUp64.c[7]);
  F64 down = coefficient(kCentralDown64.c[8], kNearTailDown64.c[8], kFarTailDown64.c[8]);
#pragma GCC unroll 16
  for (int i = 6; i >= 0; --i)
    up = fma(up, x, coefficient(kCentralUp64.c[i], kNearTailUp64.c[i], kFarTailUp64.c[i]));
#pragma GCC unroll 16
  for (int i = 7; i >= 0; --i)
    down = fma(down, x, coefficient(kCentralDown64.c[i], kNearTailDown64.c[i], kFarTailDown64.c[i]));
  const F64 bend = up / down;
  return select(central, fma(v, splat(kSlope64), v * bend), s + (bend + lost_by_sqrt(square, s)));
}

}  // namespace
}  // namespace fanin::FANIN_ISA
