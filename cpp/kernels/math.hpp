// Elementary functions, the same bits on every instruction set. No libm.
//
// All coefficients come from tools/fit_coefficients.py; the errors stated are checked in
// tests/kernels/test_math.py against mpmath.
#pragma once
#include "kernels/twin.hpp"

namespace fanin::FANIN_ISA {
namespace {

template <class T, int N>
struct Coefficients {
  T c[N];
};

/// c[0] + c[1] x + ... by Horner's rule, one fma a step.
template <class V, class T, int N>
[[gnu::always_inline]] inline V polynomial(V x, const Coefficients<T, N>& p) {
  V sum = fma(x, splat(p.c[N - 1]), splat(p.c[N - 2]));
#pragma GCC unroll 16
  for (int i = N - 3; i >= 0; --i) sum = fma(sum, x, splat(p.c[i]));
  return sum;
}

/// N coefficients of each of P polynomials; the index chooses one, lane by lane.
template <class T, int N, int P>
struct Pieces {
  T c[N][P];
};
template <class V, class I, class T, int N, int P>
[[gnu::always_inline]] inline V polynomial(V x, I index, const Pieces<T, N, P>& p) {
  V sum = lookup(p.c[N - 1], index);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, lookup(p.c[i], index));
  return sum;
}

/// Floating-point layout of T.
template <class T>
struct Layout;
template <>
struct Layout<float> {
  static constexpr int digits = 23;
  static constexpr u32 one = 0x3f800000u, log_start = 0x3f355556u, mantissa = 0x007fffffu;
  static constexpr u32 sign = 0x80000000u;
};
template <>
struct Layout<double> {
  static constexpr int digits = 52;
  static constexpr u64 one = 0x3ff0000000000000u, log_start = 0x3fe6aaaaaaaaaaabu;
  static constexpr u64 mantissa = 0x000fffffffffffffu, sign = 0x8000000000000000u;
};

/// x * 2^Power for lanes whose exponent stays in range; an integer addition, exact.
template <int Power, class T, class V>
[[gnu::always_inline]] inline V scale_exponent(V x) {
  using S = typename BitsOf<T>::Signed;
  return as_float<T>(as_signed<T>(x) + splat<S>(S(Power) * (S(1) << Layout<T>::digits)));
}

/// The signed number in the bits above the significand's.
template <class T, class W>
[[gnu::always_inline]] inline auto exponent(W bits) {
  constexpr int digits = Layout<T>::digits;
  if constexpr (sizeof(T) == 4) {
    return to_float(as_signed<T>(bits) >> digits);
  } else {
    // Before AVX-512 neither this shift nor this conversion is one instruction: 2048 + k as the
    // last bits of 2^52.
    const auto placed = (bits + splat(u64(1) << 63)) >> digits | splat(u64(0x433) << digits);
    return as_float<T>(placed) - splat(0x1.00000000008p52);
  }
}

// ---- logarithm ----------------------------------------------------------------------------------

// The eight pieces of [0.7, 1.4), each an eighth of a binade of floats long; around 1, c is 1.
inline constexpr float kLogSlope32[8] = {-0x1.5a274cp+1f, -0x1.3f2474p+1f, -0x1.281ef2p+1f,
                                         -0x1.142f52p+1f, -0x1p+1f,        -0x1.cfb8dp+0f,
                                         -0x1.a0842ep+0f, -0x1.7a1682p+0f};
inline constexpr float kLogValue32[8] = {0x1.34f22p-1f,  0x1.c3808p-2f, 0x1.2a2b4p-2f,
                                         0x1.36db8p-3f,  0.0f,          -0x1.95aa8p-3f,
                                         -0x1.a6b48p-2f, -0x1.36798p-1f};
inline constexpr Coefficients<float, 4> kLogBend32 = {
    {0x1.ffffcep-3f, 0x1.555526p-4f, 0x1.00c3eep-5f, 0x1.9af2f2p-7f}};
inline constexpr double kLogSlope64[8] = {-0x1.5a2468ec2b448p+1,
                                          -0x1.3f2cc244fcacep+1,
                                          -0x1.2817a4f90f6bfp+1,
                                          -0x1.1420e3108a114p+1,
                                          -0x1p+1,
                                          -0x1.cfb15ecc13521p+0,
                                          -0x1.a0898b72fba93p+0,
                                          -0x1.7a15cefa17a17p+0};
inline constexpr double kLogValue64[8] = {
    0x1.34e9959d55dap-1,  0x1.c3b5cc00cf04p-2,  0x1.29f8c100ff18p-2, 0x1.36056c1cce9p-3, 0.0,
    -0x1.95ec3cf21928p-3, -0x1.a69a1ef57d3cp-2, -0x1.367b64ded72cp-1};
inline constexpr Coefficients<double, 9> kLogBend64 = {
    {0x1.0000000000008p-2, 0x1.5555555550c1p-4, 0x1.ffffffffdd08dp-6, 0x1.999999f434adcp-7,
     0x1.5555561064eb9p-8, 0x1.249120109692ep-9, 0x1.fffca5323507ep-11, 0x1.ca368189eb24fp-12,
     0x1.9d13553cd7711p-13}};

[[gnu::always_inline]] inline constexpr const auto& log_slope(float) { return kLogSlope32; }
[[gnu::always_inline]] inline constexpr const auto& log_slope(double) { return kLogSlope64; }
[[gnu::always_inline]] inline constexpr const auto& log_value(float) { return kLogValue32; }
[[gnu::always_inline]] inline constexpr const auto& log_value(double) { return kLogValue64; }
[[gnu::always_inline]] inline constexpr const auto& log_bend(float) { return kLogBend32; }
[[gnu::always_inline]] inline constexpr const auto& log_bend(double) { return kLogBend64; }

/// -2 log(x / 2^Power), the square of Box-Muller's radius.
///   types  f32, f64      range  positive normal numbers      error  < 2 ulp
///   method  x = 2^k m, m in [0.7, 1.4); with c from a table of eight, r = 2 - 2 m / c, |r| < 0.12:
///           -2 log m = -2 log c + r + r^2 (1/4 + r/12 + ...). c is 1 around m = 1, so nothing
///           cancels there
template <int Power, class T, class V>
[[gnu::always_inline]] inline V minus_two_log(V x) {
  using L = Layout<T>;
  using U = typename BitsOf<T>::Unsigned;
  const auto from = as_unsigned<T>(x) - splat(U(L::log_start + (U(Power) << L::digits)));
  const V k = exponent<T>(from);
  const auto piece = from >> (L::digits - 3);
  const V m = as_float<T>((from & splat(L::mantissa)) + splat(L::log_start));
  const V r = fma(m, lookup(log_slope(T{}), piece), splat(T(2)));
  // 2 log 2 ends early in both types, and so do the values: exact while it is below 16 (float64:
  // 32).
  constexpr T two_log_two = sizeof(T) == 4 ? T(0x1.62e43p+0) : T(0x1.62e42fefa39fp+0);
  const V start = fma(k, splat(-two_log_two), lookup(log_value(T{}), piece));
  const V bend = polynomial(r, log_bend(T{}));
  if constexpr (sizeof(T) == 4)
    return start + fma(r * r, bend, r);
  else
    return start + fma(r * r, bend, fma(k, splat(T(0x1.950d871319ff0p-53)), r));
}

// ---- sine and cosine ----------------------------------------------------------------------------

// pi^2 / 4 in front, and what a float of it lacks as the first of the rest.
inline constexpr Coefficients<float, 5> kSineSquare32 = {
    {0x1.2f5ceap-24f, -0x1.03c1eep+1f, 0x1.55d26ep-1f, -0x1.e1755ap-4f, 0x1.93df9ep-7f}};
inline constexpr Coefficients<double, 9> kSineSquare64 = {
    {0x1.6909ef4c19970p-53, -0x1.03c1f081b5ac4p+1, 0x1.55d3c7e3cc06dp-1, -0x1.e1f5068922b29p-4,
     0x1.a6d1f2a524eb7p-7, -0x1.f9d38b94380e6p-11, 0x1.b6e28e9e05aebp-15, -0x1.20c3a77db1c21p-19,
     0x1.2522caaaa00d5p-24}};

[[gnu::always_inline]] inline constexpr const auto& sine_square_terms(float) {
  return kSineSquare32;
}
[[gnu::always_inline]] inline constexpr const auto& sine_square_terms(double) {
  return kSineSquare64;
}

/// sin^2 of t quarter turns, |t| <= 1/2.
///   types  f32, f64      error  < 2.5 units of 2^-24 (2^-53), relative
///   method  a polynomial in t^2, whose leading term enters by the last fma, unrounded
template <class T, class V>
[[gnu::always_inline]] inline V sine_square_quarter(V t) {
  const V y = t * t;
  return fma(y, splat(T(0x1.3bd3cc9be45dep+1)), y * polynomial(y, sine_square_terms(T{})));
}

inline constexpr Coefficients<double, 8> kSin = {
    {0x1.1a62633145c07p-54, -0x1.4abbce625be53p-1, 0x1.466bc6775ab7cp-4, -0x1.32d2cce63af89p-8,
     0x1.5078349da157ep-13, -0x1.e3076ed3fdf5p-19, 0x1.e908e55c92b8ap-25, -0x1.73dac6e491f43p-31}};
inline constexpr Coefficients<double, 9> kCos = {{1.0, -0x1.3bd3cc9be45dep+0, 0x1.03c1f081b5a38p-2,
                                                  -0x1.55d3c7e3b99e1p-6, 0x1.e1f506644287ep-11,
                                                  -0x1.a6d1caff70e6ep-16, 0x1.f9a48f9507d66p-22,
                                                  -0x1.99f6dccffc610p-28, -0x1.8640b39727c44p-32}};

/// sin and cos of t quarter turns, |t| <= 1/2.
///   types  f64      error  < 1 ulp
///   method  polynomials in t^2; the leading term of the sine enters by the last fma, unrounded,
///           and what a double of pi/2 lacks begins the polynomial of the rest
[[gnu::always_inline]] inline void sincos_quarter(F64 t, F64& sine, F64& cosine) {
  const F64 y = t * t;
  sine = fma(t, splat(0x1.921fb54442d18p+0), t * polynomial(y, kSin));
  cosine = polynomial(y, kCos);
}

// ---- inverse normal distribution ----------------------------------------------------------------

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

// z / (1/2 - m) over x = -2 log(4 m (1 - m)), in pieces: half binades of x + 8 (float64: x + 6).
// The middles are chosen where the value is as good as a float.
inline constexpr float kStretchMiddle32[8] = {0x1.ffe3cp+4f, 0x1.7ff82p+5f, 0x1.1ff02p+6f,
                                              0x1.a005cp+6f, 0x1.0007ep+1f, 0x1.7ff98p+2f,
                                              0x1.7ff9p+3f,  0x1.400bp+4f};
inline constexpr Pieces<float, 7, 8> kStretch32 = {{
    {0x1.5b7f88p+3f, 0x1.adb536p+3f, 0x1.0928eep+4f, 0x1.407feep+4f, 0x1.9829f6p+1f, 0x1.25e242p+2f,
     0x1.9ddf2p+2f, 0x1.0f29ccp+3f},
    {0x1.6d83cap-3f, 0x1.2aaa9ap-3f, 0x1.e76862p-4f, 0x1.95003p-4f, 0x1.66e6d8p-2f, 0x1.5debecp-2f,
     0x1.213f2ap-2f, 0x1.cbd9d2p-3f},
    {-0x1.69f118p-10f, -0x1.8e86f6p-11f, -0x1.b3c816p-12f, -0x1.f60d3p-13f, 0x1.89e3a8p-9f,
     -0x1.09e368p-8f, -0x1.3408eep-8f, -0x1.60cfe8p-9f},
    {0x1.5fb9c4p-16f, 0x1.068cf4p-17f, 0x1.820fccp-19f, 0x1.353d98p-20f, -0x1.b865e2p-11f,
     -0x1.36325ap-12f, 0x1.7c0854p-14f, 0x1.fcb86ap-15f},
    {-0x1.a63398p-22f, -0x1.aabcdap-24f, -0x1.a9302cp-26f, -0x1.da755p-28f, 0x1.285514p-16f,
     0x1.215d78p-15f, 0x1.4fe554p-19f, -0x1.8ec0acp-20f},
    {0x1.25a57ap-27f, 0x1.8fc76ap-30f, 0x1.1337dcp-32f, 0x1.a0a374p-35f, 0x1.b9c752p-19f,
     -0x1.1b3f58p-20f, -0x1.08e1b6p-21f, 0x1.9762bap-26f},
    {-0x1.929036p-33f, -0x1.f0224cp-36f, -0x1.73ba36p-39f, -0x1.82c29ep-42f, -0x1.799b9ep-23f,
     -0x1.58a66cp-24f, 0x1.0d6126p-25f, 0x1.6daae8p-31f},
}};
inline constexpr double kStretchMiddle64[16] = {
    0x1.3d00bcp+9, 0x1.bd0224p+9, 0x1.3e7e74p+10, 0x1.fffcb8p-1, 0x1.0000e4p+2, 0x1.ffff48p+2,
    0x1.bffea8p+3, 0x1.5fff4cp+4, 0x1.0fff04p+5,  0x1.8ffe88p+5, 0x1.27fe54p+6, 0x1.a8000cp+6,
    0x1.33ff34p+7, 0x1.b3fe7p+7,  0x1.3a01ecp+8,  0x1.ba014cp+8};
inline constexpr Pieces<double, 16, 16> kStretch64 = {{
    {0x1.911dd361fd361p+5, 0x1.dbc22b0f2ecc2p+5, 0x1.1cd86b241dcbcp+6, 0x1.6bc8985682d47p+1,
     0x1.f29b8d3e00272p+1, 0x1.50795b99e6c46p+2, 0x1.c0e248d2eb5f6p+2, 0x1.1d2f2ac799cd6p+3,
     0x1.66c8d5685bb98p+3, 0x1.b6f5cbaf46e98p+3, 0x1.0cf7b2337ceeep+4, 0x1.43a3cfe10e7bbp+4,
     0x1.87ccfe7efb75bp+4, 0x1.d3a2f1958c5dcp+4, 0x1.19589e12293d7p+5, 0x1.4e6aded643c5p+5},
    {0x1.46401d1499ba7p-5, 0x1.1330cad44bc5bp-5, 0x1.cbca0e7958e82p-6, 0x1.5e1bf499648ddp-2,
     0x1.69b3e088db358p-2, 0x1.4ab1807cd71b1p-2, 0x1.0f263f0716467p-2, 0x1.b7399127134a6p-3,
     0x1.62a969592cd59p-3, 0x1.249dca9323208p-3, 0x1.e0b104d4de516p-4, 0x1.9125114eb217cp-4,
     0x1.4c5959f00d337p-4, 0x1.16fddc2a75c88p-4, 0x1.d061d66ad78d7p-5, 0x1.870cd74189a86p-5},
    {-0x1.088518f1d772cp-16, -0x1.3da35e38eaa43p-17, -0x1.728198a6ccdd2p-18, 0x1.6ec068edb5e0bp-8,
     -0x1.6cd91fce95556p-10, -0x1.4ea151eb916ddp-8, -0x1.0e884dd8a82b9p-8, -0x1.35931868c784ap-9,
     -0x1.4b2b9c9f119d8p-10, -0x1.77118a9c697c6p-11, -0x1.a2290a083e8eap-12, -0x1.e7eeb313b59d8p-13,
     -0x1.1646e5669c926p-13, -0x1.49d87085f5d3dp-14, -0x1.7ccef2070d498p-15,
     -0x1.c7341b153e063p-16},
    {0x1.ac7d90f148d1bp-27, 0x1.6e5c07fe414e7p-28, 0x1.2a678d4742d4p-29, -0x1.ca317647174d3p-11,
     -0x1.39a8a0963215p-11, -0x1.2e7cd975821b3p-14, 0x1.93bfaef7c9935p-14, 0x1.a236d16e5e4a9p-15,
     0x1.3000f1a439049p-16, 0x1.dafe074706b76p-18, 0x1.68b52423083fdp-19, 0x1.26f79c9e6adedp-20,
     0x1.d00c2d2491211p-22, 0x1.84ccd2b8519f9p-23, 0x1.379eea6e595fcp-24, 0x1.088b68ecd3d37p-25},
    {-0x1.b18b335c1422ep-37, -0x1.07fa7bf9f5ef9p-38, -0x1.2c52da122b285p-40, -0x1.90bcfc7a9db36p-20,
     0x1.4037c9b19c971p-15, 0x1.609344a7d031fp-16, -0x1.2cf7efa6354e1p-21, -0x1.459ce0341e28bp-20,
     -0x1.5934ad93b08bap-22, -0x1.75699bdc3f512p-24, -0x1.830e83916a682p-26, -0x1.bc3b17c496354p-28,
     -0x1.e2743439fa6f4p-30, -0x1.1dece7599aa0ep-31, -0x1.3e5bab20f23d3p-33, -0x1.80032f9eb42dp-35},
    {0x1.eb13db00e8caap-47, 0x1.a9ee6f67aa0f9p-49, 0x1.52734ccf92a14p-51, 0x1.186cdd920e1cap-18,
     0x1.67bb084cd0b99p-21, -0x1.701f5f393d67bp-20, -0x1.8087f3f3f685ap-23, 0x1.c9013ec2d1964p-26,
     0x1.b23b548b587c3p-28, 0x1.4745525bfd3b6p-30, 0x1.cfa06b2283685p-33, 0x1.75bf3a42fbba5p-35,
     0x1.1867ee6f6d7dfp-37, 0x1.d66b814a3924fp-40, 0x1.6bf323f9f138dp-42, 0x1.37f6fd4769466p-44},
    {-0x1.29e30dca2b337p-56, -0x1.701362effaf1p-59, -0x1.9897494126f6cp-62, -0x1.24f1e8512af42p-24,
     -0x1.ce9cb1d4070fcp-23, 0x1.716301ea3a0e7p-26, 0x1.1d1685b4a23d6p-26, -0x1.00fe471aee21ep-32,
     -0x1.1ec28aef20a6ep-33, -0x1.324169b6c86e7p-36, -0x1.28c4091904f1dp-39, -0x1.5049f0eca56d5p-42,
     -0x1.5cc550842f4p-45, -0x1.9e39b9ca5f546p-48, -0x1.bd7cf9a9227d3p-51, -0x1.0f679cfbc0eb9p-53},
    {0x1.7a7fc699e9915p-66, 0x1.4d288ffa3fad7p-69, 0x1.025780a93176dp-72, -0x1.6afc5eb0ddb62p-26,
     0x1.e14cfa04eccb1p-28, 0x1.0d274f4915766p-28, -0x1.e904f7489423p-31, -0x1.abbdfcc770ed3p-36,
     0x1.7ac8920bd72fp-39, 0x1.2b5bf963d45bp-42, 0x1.8d3a0d7e4bcd3p-46, 0x1.3c87b74cf3276p-49,
     0x1.c5fb034051231p-53, 0x1.7dd16cd9e838dp-56, 0x1.1d7944bcaaaf4p-59, 0x1.ee87273b7c5a5p-63},
    {-0x1.f133fc1ceede4p-76, -0x1.37c86213fe965p-79, -0x1.51c8364c0c125p-83, 0x1.7e4ea92fc0ecep-31,
     0x1.a376ee5825368p-31, -0x1.9630cfbb167d6p-32, 0x1.da8e882cfe427p-36, 0x1.332003423dda9p-39,
     -0x1.cf05dc312f18bp-45, -0x1.2da86f48a3109p-48, -0x1.1277c9a24ce3ep-52, -0x1.33b7d16e496e5p-56,
     -0x1.3144746d927f4p-60, -0x1.6bb5cc051df12p-64, -0x1.7a2ad211c1abcp-68,
     -0x1.d1beb6da83437p-72},
    {0x1.4edf4addfaae9p-85, 0x1.2b3bf6b9bcd3ep-89, 0x1.c4ed5ae767196p-94, 0x1.d94208bd2aedbp-34,
     -0x1.39534fc9f8e64p-34, 0x1.6793dc4891ff4p-37, 0x1.2257022530a7p-42, -0x1.0bd0d26340c87p-43,
     0x1.a8fe4e312959bp-51, 0x1.3656042a61125p-54, 0x1.847e235c8ac8cp-59, 0x1.32833b43e1b4ep-63,
     0x1.a4bfce0fee73bp-68, 0x1.63227c9d01564p-72, 0x1.00ccd9a79375bp-76, 0x1.c1b9f762aa28ep-81},
    {-0x1.cc1c72ff0bbd6p-95, -0x1.24b9e0afaebd9p-99, -0x1.35c485a3c3d33p-104,
     -0x1.7e2c2e2f6a3aap-38, -0x1.8e8d9eb943cdp-41, 0x1.c485b02d1362dp-41, -0x1.a0723720b1228p-44,
     0x1.644f262953355p-48, 0x1.cea847638f501p-60, -0x1.42b22177c5102p-60, -0x1.18322fc7720ecp-65,
     -0x1.3718bfe68262ap-70, -0x1.27a29ac2b34ccp-75, -0x1.61879a2355434p-80, -0x1.63b1f84dee9fep-85,
     -0x1.bae3f64ec915fp-90},
    {0x1.411d7b2d6fef4p-104, 0x1.2199630b62373p-109, 0x1.ae7aa270aec73p-115, -0x1.80ffb409393fdp-41,
     0x1.c9205975245e5p-42, -0x1.be53c8f3b2a44p-44, 0x1.d3c195dc0ffa1p-48, -0x1.697045df30058p-53,
     -0x1.af7251b947834p-61, 0x1.4e0520cdcf15dp-66, 0x1.9a3ba68eb1068p-72, 0x1.404d27ae64657p-77,
     0x1.a5e11a4dac619p-83, 0x1.66972a19095adp-88, 0x1.f468477d974f1p-94, 0x1.bd763eda7c2b6p-99},
    {-0x1.c2765ff77f428p-114, -0x1.2b58ab60599aep-119, -0x1.2ca5999e0dcep-125,
     0x1.94e729da5f418p-45, -0x1.06ee533ec3be4p-46, 0x1.0462918ca781fp-48, -0x1.2a0b64339ac8cp-52,
     0x1.ca030b62b8661p-59, 0x1.6ec6ee0306ddp-65, -0x1.5343038cb02eep-72, -0x1.2cfd1c5acfd28p-78,
     -0x1.50202b1086cc4p-84, -0x1.2e21805c1290dp-90, -0x1.6eedcd28ea3dfp-96,
     -0x1.619bad959cfbfp-102, -0x1.c091d00d5c7a3p-108},
    {0x1.408463a0448c8p-123, 0x1.69f4bbdbee38ep-129, 0x1.aa078402fb3c6p-136, 0x1.bbc064616c291p-44,
     -0x1.b3ad9db9dc5cap-50, 0x1.70d6204eedcd6p-53, 0x1.70f19a1db2328p-59, 0x1.1b622e5f6a359p-65,
     -0x1.d8af52294f3c1p-70, 0x1.54bd23b201d7cp-78, 0x1.c05955c621604p-85, 0x1.6e1c68430d55ep-91,
     0x1.b6f52ec4e1b0cp-98, 0x1.4b9fafbb3acedp-104, 0x1.fb548bf9af131p-111, 0x1.643560dc95d95p-117},
    {-0x1.0abc073e0ddb3p-132, -0x1.9dc9770b29a9p-140, -0x1.60de7cbd6d3c7p-146,
     -0x1.3193c88728eb8p-49, 0x1.34e0599324cf9p-53, -0x1.dcf265065b4d8p-56, 0x1.6e431ab755d33p-61,
     -0x1.279fb9dd25535p-67, 0x1.3663e46fcd233p-74, -0x1.969fe00c48067p-85, -0x1.8cafc71a2615p-91,
     -0x1.69b2097fab41bp-98, -0x1.781c56f2293c8p-105, -0x1.8a48685f1c924p-112,
     -0x1.aa7ac2b9b3739p-119, -0x1.f35bf1d533951p-126},
    {0x1.8f55b1245502p-142, -0x1.519f679ad643dp-148, 0x1.06fdc0ef17902p-156, -0x1.cb4d4e9bbf741p-46,
     0x1.969a22cdd7b9ap-59, 0x1.5e02889ddbfdep-60, -0x1.bddc701605379p-65, 0x1.0c690ec89fa77p-71,
     -0x1.1a9420651188p-79, -0x1.6d3dd69f02b4ap-90, 0x1.3628177d5daf9p-97, 0x1.a47fd8f038acp-106,
     0x1.2034177745e6dp-112, 0x1.3108990575e66p-118, 0x1.4085ee386faf9p-127,
     0x1.1c236db05be9bp-132},
}};

[[gnu::always_inline]] inline constexpr const auto& stretch_middle(float) {
  return kStretchMiddle32;
}
[[gnu::always_inline]] inline constexpr const auto& stretch_middle(double) {
  return kStretchMiddle64;
}
[[gnu::always_inline]] inline constexpr const auto& stretch(float) { return kStretch32; }
[[gnu::always_inline]] inline constexpr const auto& stretch(double) { return kStretch64; }

inline constexpr double kSlope = 0x1.40d931ff62706p+1;  // sqrt(2 pi)

[[gnu::always_inline]] inline constexpr const auto& two_sigma_up(float) { return kTwoSigmaUp32; }
[[gnu::always_inline]] inline constexpr const auto& two_sigma_up(double) { return kTwoSigmaUp64; }
[[gnu::always_inline]] inline constexpr const auto& two_sigma_down(float) {
  return kTwoSigmaDown32;
}
[[gnu::always_inline]] inline constexpr const auto& two_sigma_down(double) {
  return kTwoSigmaDown64;
}

/// z with Phi(z) = 1/2 + v, for |v| <= Phi(2) - 1/2; odd, and relatively accurate at 0.
///   types  f32 (error < 2 ulp), f64 (error < 2.5 ulp)
///   method  z = slope v + v R(w), w = 1/4 - v^2, R rational
template <class T, class V>
[[gnu::always_inline]] inline V ndtri_two_sigma(V v) {
  const V w = fma(-v, v, splat(T(0.25)));
  const V bend = v * polynomial(w, two_sigma_up(T{})) / polynomial(w, two_sigma_down(T{}));
  return fma(v, splat(T(kSlope)), bend);
}

/// z >= 0 whose upper tail probability is m, for m in [tiny, 1/2].
///   types  f32 (m >= 2^-88), f64 (m >= 2^-1022)      error  < 2 ulp
///   method  z = (1/2 - m) P(x), x = -2 log(4 m (1 - m)), P a polynomial around the middle of each
///           piece. The product m P joins P / 2 unrounded: 1/2 - m needs no rounding
template <class T, class V>
[[gnu::always_inline]] inline V ndtri_upper(V m) {
  constexpr T start = sizeof(T) == 4 ? 8 : 6;
  const V x = minus_two_log<-2, T>(fma(-m, m, m));
  const auto piece = as_unsigned<T>(x + splat(start)) >> (Layout<T>::digits - 1);
  const V p = polynomial(x - lookup(stretch_middle(T{}), piece), piece, stretch(T{}));
  return fma(-m, p, splat(T(0.5)) * p);
}

}  // namespace
}  // namespace fanin::FANIN_ISA
