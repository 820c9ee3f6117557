// The moments of small variances, and those of large ones, as one series each.
//
// Far below the scale of phi a moment is a power of x = sqrt(q) times a series in x, Taylor's on
// either side of 0 under the Gaussian. Far above the distance where phi becomes straight it is one
// in x = 1/sqrt(q): the bend is a point, and what is left of the Gaussian there its series. So
// moments at a few variances give those at all smaller (larger) ones.
#pragma once
#include <array>
#include <cstddef>
#include <span>

#include "core/moment_table.hpp"

namespace fanin::engine {

/// A whole power of a positive number.
double to_power(double x, int n);
/// Whether the last of `terms` count no more: two of them beside `rest` of the largest.
bool ended(std::span<const double> terms, double rest);

class FarMoments {
 public:
  static constexpr int kPoints = PowerSeries::kTerms;

  /// For variances below `edge`, or above it (`high`).
  FarMoments(double edge, bool high);

  /// The variances that `fit` needs the moments of.
  double variance(int k) const;
  /// kMoments rows of kPoints.
  void fit(const double* moments);
  /// Whether the series end: to rounding they are the moments.
  bool fits() const { return fits_; }
  const PowerSeries& of(int moment) const { return series_[std::size_t(moment)]; }

 private:
  double variable(int k) const;
  bool high_, fits_ = false;
  double width_;
  std::array<PowerSeries, kMoments> series_{};
};

}  // namespace fanin::engine
