#include "engine/binade.hpp"

#include <algorithm>
#include <array>

namespace fanin::engine {
namespace {

constexpr std::size_t kPoints = kBinadePoints;

/// Chebyshev's polynomials T_0 .. T_(N-1) at x.
template <std::size_t N>
constexpr std::array<double, N> chebyshev_at(double x) {
  std::array<double, N> t{1, x};
  for (std::size_t n = 2; n < N; ++n) t[n] = 2 * x * t[n - 1] - t[n - 2];
  return t;
}

/// cut[n][k][j]: what the value at point k adds to coefficient n of Chebyshev's series of eighth j.
constexpr auto cut_into_eighths() {
  std::array<std::array<double, kPoints>, kPoints> at_point{};
  for (std::size_t k = 0; k < kPoints; ++k)
    at_point[k] = chebyshev_at<kPoints>(kChebyshevPoint<kBinadePoints>[k]);
  std::array<std::array<std::array<double, kPieces>, kPoints>, kTerms> cut{};
  for (std::size_t j = 0; j < kPieces; ++j) {
    std::array<std::array<double, kTerms>, kPoints> lagrange{};
    for (std::size_t i = 0; i < kTerms; ++i) {
      const double x = (2.0 * double(j) + 1.0 + kChebyshevPoint<kTerms>[i]) / kPieces - 1.0;
      const auto here = chebyshev_at<kPoints>(x);
      for (std::size_t k = 0; k < kPoints; ++k) {
        double sum = 0.5;
        for (std::size_t n = 1; n < kPoints; ++n) sum += at_point[k][n] * here[n];
        lagrange[k][i] = sum * (2.0 / kPoints);
      }
    }
    for (std::size_t k = 0; k < kPoints; ++k) {
      const auto series = chebyshev_series<kTerms>(lagrange[k].data());
      for (std::size_t n = 0; n < kTerms; ++n) cut[n][k][j] = series[n];
    }
  }
  return cut;
}
constexpr auto kCut = cut_into_eighths();

/// power[n][i]: the coefficient of x^i in T_n.
constexpr auto chebyshev_in_powers() {
  std::array<std::array<double, kTerms>, kTerms> power{};
  for (std::size_t n = 0; n < kTerms; ++n) {
    std::array<double, kTerms> only{};
    only[n] = 1;
    power[n] = in_powers<kTerms>(only);
  }
  return power;
}
constexpr auto kPower = chebyshev_in_powers();

}  // namespace

void polynomials_of_eighths(const double* values, double* rows) {
  std::fill(rows, rows + kTerms * kPieces, 0.0);
  for (std::size_t n = 0; n < kTerms; ++n) {
    std::array<double, kPieces> term{};
    for (std::size_t k = 0; k < kPoints; ++k)
      for (std::size_t j = 0; j < kPieces; ++j) term[j] += values[k] * kCut[n][k][j];
    for (std::size_t i = n % 2; i <= n; i += 2)
      for (std::size_t j = 0; j < kPieces; ++j) rows[i * kPieces + j] += kPower[n][i] * term[j];
  }
}

}  // namespace fanin::engine
