// Fixed quadrature and interpolation points, and polynomials from values at them.
#pragma once
#include <array>
#include <cstddef>

namespace fanin::engine {

/// Gauss-Legendre rule of 16 points on [-1, 1]: the positive half.
inline constexpr int kPanelNodes = 16;
inline constexpr std::array<double, 8> kLegendreNode = {
    0x1.852bd6676a9f9p-4, 0x1.205cae642337cp-2, 0x1.d50259a43a772p-2, 0x1.3c5a466d5e8b8p-1,
    0x1.82c45dda4726bp-1, 0x1.bb3403514e483p-1, 0x1.e39f56616f9b0p-1, 0x1.fa92c264d787ep-1};
inline constexpr std::array<double, 8> kLegendreWeight = {
    0x1.83feae80e4dfcp-3, 0x1.75f8c77e0c00fp-3, 0x1.5a6ebbb5a75fcp-3, 0x1.325f61bca3cbfp-3,
    0x1.fe7af2bad386ap-4, 0x1.85c4ee79cc258p-4, 0x1.fdfb1a2c1265dp-5, 0x1.bcddab4b7c211p-6};

/// The same of 10 points.
inline constexpr double kTenNodes[] = {0.14887433898163122, 0.4333953941292472, 0.6794095682990244,
                                       0.8650633666889845, 0.9739065285171717};
inline constexpr double kTenWeights[] = {0.29552422471475287, 0.26926671930999635,
                                         0.21908636251598204, 0.14945134915058059,
                                         0.06667134430868814};

/// The same of 5 points, on [0, 1].
inline constexpr double kFiveNodes[] = {0.04691007703066800, 0.23076534494715845, 0.5,
                                        0.76923465505284155, 0.95308992296933200};
inline constexpr double kFiveWeights[] = {0.11846344252809454, 0.23931433524968324,
                                          0.28444444444444444, 0.23931433524968324,
                                          0.11846344252809454};

/// The whole rule, rising.
inline constexpr auto kPanelOffset = [] {
  std::array<double, kPanelNodes> all{};
  for (std::size_t k = 0; k < 8; ++k) all[7 - k] = -kLegendreNode[k], all[8 + k] = kLegendreNode[k];
  return all;
}();
inline constexpr auto kPanelWeight = [] {
  std::array<double, kPanelNodes> all{};
  for (std::size_t k = 0; k < 8; ++k) all[7 - k] = all[8 + k] = kLegendreWeight[k];
  return all;
}();

/// Node `i` of the panel [low, high], rising, and its weight.
struct PanelNode {
  double at, weight;
};
constexpr PanelNode panel_node(double low, double high, int i) {
  const double half = 0.5 * (high - low), middle = 0.5 * (low + high);
  const int k = i < 8 ? 7 - i : i - 8;
  const double offset = half * kLegendreNode[std::size_t(k)];
  return {i < 8 ? middle - offset : middle + offset, half * kLegendreWeight[std::size_t(k)]};
}

/// Chebyshev points of the first kind, cos(pi (2k + 1) / (2 n)).
template <int N>
inline constexpr std::array<double, N> kChebyshevPoint = {};
template <>
inline constexpr std::array<double, 11> kChebyshevPoint<11> = {
    0x1.fac9e043842efp-1,  0x1.d1bb48eee2c13p-1,  0x1.82f19bb3a28a1p-1,
    0x1.14cedf8bb580bp-1,  0x1.207e7fd768dbfp-2,  0.0,
    -0x1.207e7fd768dbfp-2, -0x1.14cedf8bb580bp-1, -0x1.82f19bb3a28a1p-1,
    -0x1.d1bb48eee2c13p-1, -0x1.fac9e043842efp-1};
template <>
inline constexpr std::array<double, 12> kChebyshevPoint<12> = {
    0x1.fb9ea92ec689bp-1,  0x1.d906bcf328d46p-1,  0x1.963268b572492p-1,  0x1.37af93f9513eap-1,
    0x1.87de2a6aea963p-2,  0x1.0b5150f6da2d1p-3,  -0x1.0b5150f6da2d1p-3, -0x1.87de2a6aea963p-2,
    -0x1.37af93f9513eap-1, -0x1.963268b572492p-1, -0x1.d906bcf328d46p-1, -0x1.fb9ea92ec689bp-1};
template <>
inline constexpr std::array<double, 20> kChebyshevPoint<20> = {
    0x1.fe6bf2e2660afp-1,  0x1.f1da785f71bcep-1,  0x1.d906bcf328d46p-1,  0x1.b48d406a50540p-1,
    0x1.8553ee43def13p-1,  0x1.4c8474600eeeep-1,  0x1.0b84ee8f52e9dp-1,  0x1.87de2a6aea963p-2,
    0x1.de189a594fbccp-3,  0x1.415e532398e49p-4,  -0x1.415e532398e49p-4, -0x1.de189a594fbccp-3,
    -0x1.87de2a6aea963p-2, -0x1.0b84ee8f52e9dp-1, -0x1.4c8474600eeeep-1, -0x1.8553ee43def13p-1,
    -0x1.b48d406a50540p-1, -0x1.d906bcf328d46p-1, -0x1.f1da785f71bcep-1, -0x1.fe6bf2e2660afp-1};

/// Chebyshev's coefficients of the polynomial through `values` at the N Chebyshev points.
template <int N>
constexpr std::array<double, N> chebyshev_series(const double* values) {
  std::array<double, N> series{};
  for (std::size_t k = 0; k < N; ++k) {
    double before = 1, here = kChebyshevPoint<N>[k];
    const double x = here;
    series[0] += values[k] / N;
    for (std::size_t j = 1; j < N; ++j) {
      series[j] += 2 * values[k] / N * here;
      const double next = 2 * x * here - before;
      before = here, here = next;
    }
  }
  return series;
}

/// Coefficients of 1, t, t^2, ... of a Chebyshev series.
template <int N>
constexpr std::array<double, N> in_powers(const std::array<double, N>& series) {
  std::array<double, N> powers{}, before{}, here{};  // T_j in powers
  before[0] = 1, here[1] = 1;
  powers[0] = series[0];
  for (std::size_t j = 1; j < N; ++j) {
    for (std::size_t i = 0; i <= j; ++i) powers[i] += series[j] * here[i];
    std::array<double, N> next{};
    for (std::size_t i = 0; i + 1 < N; ++i) next[i + 1] = 2 * here[i];
    for (std::size_t i = 0; i < N; ++i) next[i] -= before[i];
    before = here, here = next;
  }
  return powers;
}

/// The same of the polynomial through `values` at the N Chebyshev points. By way of Chebyshev's
/// coefficients, which decay: the powers then carry no error that a value would notice.
template <int N>
constexpr std::array<double, N> polynomial_through(const double* values) {
  return in_powers<N>(chebyshev_series<N>(values));
}

}  // namespace fanin::engine
