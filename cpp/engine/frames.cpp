#include "engine/frames.hpp"

#include <algorithm>
#include <cmath>

#include "engine/gemm.hpp"

namespace fanin::engine {
namespace {

/// A row of which projection leaves less than this share is taken to lie in the span: what is left
/// of it is rounding error of about 1e-16 of the row.
constexpr double kDependent = 0x1p-44;

}  // namespace

void Frame::of(const double* x, i64 count, i64 n) {
  const PanelKernels<double>& k = panel_kernels<double>();
  count_ = count;
  n_ = n;
  rank_ = 0;
  q_.resize(std::size_t(std::min(count, n) * n));
  r_.assign(std::size_t(count * count), 0.0);
  std::vector<double> rest(static_cast<std::size_t>(n));
  for (i64 row = 0; row < count; ++row) {
    std::copy(x + row * n, x + (row + 1) * n, rest.begin());
    const double whole = k.dot(rest.data(), rest.data(), n);
    for (int pass = 0; pass < 2; ++pass)
      for (i64 v = 0; v < rank_; ++v) {
        const double part = k.dot(rest.data(), q_.data() + v * n, n);
        k.add_multiple(-part, q_.data() + v * n, rest.data(), n);
        r_[std::size_t(row * count + v)] += part;
      }
    const double left = k.dot(rest.data(), rest.data(), n);
    // A row that is not finite counts as new, so that NaN and infinity reach everything that uses
    // it.
    const bool dependent = std::isfinite(whole) && left <= kDependent * kDependent * whole;
    if (dependent || rank_ == std::min(count, n)) continue;
    const double length = std::sqrt(left);
    k.scaled(rest.data(), 1 / length, q_.data() + rank_ * n, n);
    r_[std::size_t(row * count + rank_)] = length;
    ++rank_;
  }
}

void Frame::remove_from(double* x, i64 count) const {
  const PanelKernels<double>& k = panel_kernels<double>();
  for (i64 row = 0; row < count; ++row)
    for (i64 v = 0; v < rank_; ++v) {
      const double part = k.dot(x + row * n_, q_.data() + v * n_, n_);
      k.add_multiple(-part, q_.data() + v * n_, x + row * n_, n_);
    }
}

}  // namespace fanin::engine
