#include "engine/far_moments.hpp"

#include <algorithm>
#include <cmath>

#include "engine/quadrature.hpp"

namespace fanin::engine {
namespace {

using Series = std::array<double, FarMoments::kPoints>;
constexpr std::size_t kPoints = FarMoments::kPoints;
constexpr int kMostPowers = 12;     ///< of x before a series
constexpr double kEnded = 0x1p-33;  ///< last terms of a series over its largest

/// The n for which `ratio` is nearest to step^n, on the scale of logarithms.
int nearest_power(double ratio, double step) {
  const double root = std::sqrt(step);
  int n = 0;
  for (; ratio > root && n < kMostPowers; ratio /= step) ++n;
  for (; ratio * root < 1 && n > -kMostPowers; ratio *= step) --n;
  return n;
}

}  // namespace

double to_power(double x, int n) {
  double product = 1;
  for (int i = 0; i < std::abs(n); ++i) product *= x;
  return n < 0 ? 1 / product : product;
}

bool ended(std::span<const double> terms, double rest) {
  double most = 0;
  for (const double term : terms) most = std::max(most, std::fabs(term));
  return std::fabs(terms.back()) + std::fabs(terms[terms.size() - 2]) <= rest * most;
}

FarMoments::FarMoments(double edge, bool high)
    : high_(high), width_(high ? 1 / std::sqrt(edge) : std::sqrt(edge)) {}

double FarMoments::variable(int k) const {
  return 0.5 * width_ * (1 + kChebyshevPoint<kPoints>[std::size_t(k)]);
}
double FarMoments::variance(int k) const {
  const double x = variable(k);
  return high_ ? 1 / (x * x) : x * x;
}

void FarMoments::fit(const double* moments) {
  fits_ = true;
  for (std::size_t m = 0; m < kMoments; ++m) {
    const double* const value = moments + m * kPoints;
    const double last = value[kPoints - 1], ratio = value[kPoints - 2] / last;
    const double step = variable(kPoints - 2) / variable(kPoints - 1);
    const int guess = ratio > 0 ? nearest_power(ratio, step) : 0;
    // Where the leading terms have nearly cancelled a smaller power is right.
    bool found = false;
    for (int n = guess; !found && n >= guess - kMostPowers; --n) {
      Series scaled;
      for (std::size_t k = 0; k < kPoints; ++k)
        scaled[k] = value[k] / to_power(variable(int(k)), n);
      const Series series = chebyshev_series<kPoints>(scaled.data());
      found = ended(series, kEnded);
      PowerSeries& to = series_[m];
      to = {{}, n, width_, high_, false};
      std::ranges::copy(in_powers<kPoints>(series), to.terms);
    }
    fits_ = fits_ && found;
  }
  // Of a phi that saturates the derivative of the second moment is a difference of integrals, that
  // of the series is not.
  if (high_) series_[kGrowth] = series_[kSecond], series_[kGrowth].derived = true;
}

}  // namespace fanin::engine
