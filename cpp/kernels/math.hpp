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
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, splat(p.c[i]));
  return sum;
}

/// The same with the coefficients of `p` where `mask`, else those of `q`.
template <class T, int N, class M>
[[gnu::always_inline]] inline Lanes<T> polynomial(Lanes<T> x, M mask, const Coefficients<T, N>& p,
                                                  const Coefficients<T, N>& q) {
  Lanes<T> sum = select(mask, splat(p.c[N - 1]), splat(q.c[N - 1]));
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
  const F32 log_m = fma(r * r, polynomial(r, kLogTail32), r);
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

inline constexpr Coefficients<float, 4> kSin32 = {
    {0x1.921fb6p+0f, -0x1.4abc1cp-1f, 0x1.467cfep-4f, -0x1.3267fp-8f}};
inline constexpr Coefficients<float, 5> kCos32 = {
    {1.0f, -0x1.3bd3ccp+0f, 0x1.03c1bp-2f, -0x1.55b29ap-6f, 0x1.d4e42p-11f}};
inline constexpr Coefficients<double, 8> kSin64 = {
    {0x1.921fb54442d18p+0, -0x1.4abbce625bd89p-1, 0x1.466bc67742978p-4, -0x1.32d2ccc314638p-8,
     0x1.5078038034d3dp-13, -0x1.e2c0b13fd67a9p-19, 0x1.b65eb4f3551f6p-25, 0x1.9aaab94fb2726p-28}};
inline constexpr Coefficients<double, 9> kCos64 = {
    {1.0, -0x1.3bd3cc9be45dep+0, 0x1.03c1f081b5a38p-2, -0x1.55d3c7e3b99e1p-6, 0x1.e1f506644287ep-11,
     -0x1.a6d1caff70e6ep-16, 0x1.f9a48f9507d66p-22, -0x1.99f6dccffc610p-28, -0x1.8640b39727c44p-32}};

[[gnu::always_inline]] inline constexpr const auto& sine_coefficients(float) { return kSin32; }
[[gnu::always_inline]] inline constexpr const auto& sine_coefficients(double) { return kSin64; }
[[gnu::always_inline]] inline constexpr const auto& cosine_coefficients(float) { return kCos32; }
[[gnu::always_inline]] inline constexpr const auto& cosine_coefficients(double) { return kCos64; }

/// sin and cos of t quarter turns, |t| <= 1/2.
///   types  f32, f64      error  < 2 ulp
template <class T>
[[gnu::always_inline]] inline void sincos_quarter(Lanes<T> t, Lanes<T>& sine, Lanes<T>& cosine) {
  const Lanes<T> y = t * t;
  sine = t * polynomial(y, sine_coefficients(T{}));
  cosine = polynomial(y, cosine_coefficients(T{}));
}

// ---- inverse normal distribution -----------------------------------------------------------------------

// Within 2 sigma: z / v over w = p (1 - p).
inline constexpr Coefficients<float, 5> kTwoSigmaUp32 = {
    {0x1.95cdeep+2f, 0x1.5b599ap+10f, 0x1.62332ap+15f, 0x1.25efd2p+18f, 0x1.3a2dcap+18f}};
inline constexpr Coefficients<float, 6> kTwoSigmaDown32 = {
    {1.0f, 0x1.23627ap+8f, 0x1.87fbeap+13f, 0x1.cfe902p+16f, 0x1.c09396p+17f, 0x1.341db4p+15f}};
inline constexpr Coefficients<double, 11> kTwoSigmaUp64 = {
    {0x1.c94a771666818p+2, 0x1.0f63d9ee863bfp+13, 0x1.11d4a9f5f58eep+21, 0x1.8075a4732f2c4p+27,
     0x1.c4717c4c7d99cp+32, 0x1.e28f10c9d3f51p+36, 0x1.da7caa985e28bp+39, 0x1.9f0379943da52p+41,
     0x1.2235b9e2de6b1p+42, 0x1.f7cf2d14f16e7p+40, 0x1.e7f0c62a77b8ep+36}};
inline constexpr Coefficients<double, 11> kTwoSigmaDown64 = {
    {1.0, 0x1.7044e92b3b385p+10, 0x1.ad3255bc54b5cp+18, 0x1.58975534ed45ep+25,
     0x1.d18011f2a2372p+30, 0x1.20bb4de825ca6p+35, 0x1.5223209e10b78p+38, 0x1.6e86a5634b9eap+40,
     0x1.54c60036e7fffp+41, 0x1.c7e8e35917e07p+40, 0x1.17d806c003a0bp+38}};

// |v| <= 3/8: z / v over w; beyond: z over s = sqrt(-2 log m), to m = 2^-126 (f32) or 1e-313 (f64).
inline constexpr Coefficients<float, 5> kCentralUp32 = {
    {0x1.607798p+2f, 0x1.099c8cp+8f, 0x1.97a3dcp+10f, 0x1.1d3a74p+10f, -0x1.1531f4p+7f}};
inline constexpr Coefficients<float, 4> kCentralDown32 = {
    {1.0f, 0x1.1c8092p+6f, 0x1.4f6226p+9f, 0x1.f12516p+9f}};
inline constexpr Coefficients<float, 5> kTailUp32 = {
    {-0x1.789fc8p+1f, -0x1.f9b0eap+1f, 0x1.668b02p+1f, 0x1.082560p+1f, 0x1.6db206p-3f}};
inline constexpr Coefficients<float, 4> kTailDown32 = {
    {1.0f, 0x1.cd2128p+1f, 0x1.08d030p+1f, 0x1.6d9ab4p-3f}};
inline constexpr Coefficients<double, 9> kCentralUp64 = {
    {0x1.911195031c4fdp+2, 0x1.5b7312633271fp+10, 0x1.e22f118a493a5p+15, 0x1.a406899aee502p+19,
     0x1.04ca1950bb672p+22, 0x1.c1eda21997261p+22, 0x1.b680eac53ee16p+21, 0x1.bed0b59439371p+17, 0.0}};
inline constexpr Coefficients<double, 8> kCentralDown64 = {
    {1.0, 0x1.1f8b640812aabp+8, 0x1.ee12f89c31ad3p+13, 0x1.0b490223b22fap+18, 0x1.a89e80f6fe4cap+20,
     0x1.f3b8c1f16f1fdp+21, 0x1.7f9c334f13dd0p+21, 0x1.f8fa5c8dd5486p+18}};
inline constexpr Coefficients<double, 9> kNearTailUp64 = {
    {-0x1.cab465b163403p+1, -0x1.b71e515f92175p+4, -0x1.d55f7c0f5b4c8p+4, 0x1.72bab6889042bp+3,
     0x1.366e9bfeb2404p+4, 0x1.d466210fbb1a9p+2, 0x1.4fa256bec18c2p+0, 0x1.91d3d6f8e5f25p-4,
     0x1.07ab293e42be7p-9}};
inline constexpr Coefficients<double, 8> kNearTailDown64 = {
    {1.0, 0x1.921b928cfaffap+3, 0x1.e3bae10a0a35fp+4, 0x1.77333d7f09e9fp+4, 0x1.edee0d80a0bf0p+2,
     0x1.5294ab63e040ep+0, 0x1.91e8c15ea3939p-4, 0x1.07a8b15ec1a11p-9}};
inline constexpr Coefficients<double, 9> kFarTailUp64 = {
    {-0x1.a0e3f43dc3b1cp+1, -0x1.23026c1134728p+3, 0x1.cf35307910441p+0, 0x1.49d65df6af1fcp+2,
     0x1.6c982c2e4bce9p+0, 0x1.09b60e39d6cc7p-3, 0x1.221ed7363f76ep-8, 0x1.c1ef7cd0dd070p-15,
     0x1.73bfc72cbbe66p-23}};
inline constexpr Coefficients<double, 8> kFarTailDown64 = {
    {1.0, 0x1.7b88fbfdc2514p+2, 0x1.69a00cdfb433dp+2, 0x1.72076bf950240p+0, 0x1.0a5c528b576fep-3,
     0x1.2234ce47ef13ap-8, 0x1.c1f014e72a27bp-15, 0x1.73bfaf4ce79a5p-23}};

/// z with Phi(z) = 1/2 + v, for |v| <= Phi(2) - 1/2; odd, and relatively accurate at 0.
///   types  f32, f64      error  < 3 ulp
[[gnu::always_inline]] inline F32 ndtri_two_sigma(F32 v) {
  const F32 w = fma(-v, v, splat(0.25f));
  return v * polynomial(w, kTwoSigmaUp32) / polynomial(w, kTwoSigmaDown32);
}
[[gnu::always_inline]] inline F64 ndtri_two_sigma(F64 v) {
  const F64 w = fma(-v, v, splat(0.25));
  return v * polynomial(w, kTwoSigmaUp64) / polynomial(w, kTwoSigmaDown64);
}

/// z >= 0 whose upper tail probability is m, for m in [tiny, 1/2].
///   types  f32 (m >= 2^-126), f64 (m >= 1e-313)      error  < 3 ulp
[[gnu::always_inline]] inline F32 ndtri_upper(F32 m) {
  const F32 v = 0.5f - m;
  const F32 s = sqrt(minus_two_log<0>(m));
  const auto central = m >= 0.125f;
  const F32 x = select(central, fma(-v, v, splat(0.25f)), s);
  const F32 up = polynomial(x, central, kCentralUp32, kTailUp32);
  const F32 down = polynomial(x, central, kCentralDown32, kTailDown32);
  return select(central, v, splat(1.0f)) * up / down;
}
[[gnu::always_inline]] inline F64 ndtri_upper(F64 m) {
  const F64 v = 0.5 - m;
  const F64 s = sqrt(minus_two_log<0>(m));
  const auto central = m >= 0.125;
  const auto near = s < 8.0;
  const F64 x = select(central, fma(-v, v, splat(0.25)), s);
  F64 up = select(central, splat(kCentralUp64.c[8]),
                  select(near, splat(kNearTailUp64.c[8]), splat(kFarTailUp64.c[8])));
  for (int i = 7; i >= 0; --i)
    up = fma(up, x, select(central, splat(kCentralUp64.c[i]),
                           select(near, splat(kNearTailUp64.c[i]), splat(kFarTailUp64.c[i]))));
  F64 down = select(central, splat(kCentralDown64.c[7]),
                    select(near, splat(kNearTailDown64.c[7]), splat(kFarTailDown64.c[7])));
  for (int i = 6; i >= 0; --i)
    down = fma(down, x, select(central, splat(kCentralDown64.c[i]),
                               select(near, splat(kNearTailDown64.c[i]), splat(kFarTailDown64.c[i]))));
  return select(central, v, splat(1.0)) * up / down;
}

}  // namespace
}  // namespace fanin::FANIN_ISA
