// Orthonormal frames of a few long vectors, by Gram-Schmidt.
#pragma once
#include <vector>

#include "core/types.hpp"

namespace fanin::engine {

/// X = R Q: X (count, n) given, Q (rank, n) with orthonormal rows, R (count, rank) with zeros where
/// a row of Q is later than the row of X, positive where it is new. Rows of X that depend on
/// earlier ones add nothing to Q.
class Frame {
 public:
  /// Every row is projected twice, which makes the rows of Q orthonormal to rounding.
  void of(const double* x, i64 count, i64 n);

  i64 rank() const { return rank_; }
  const double* vectors() const { return q_.data(); }
  double coefficient(i64 row, i64 vector) const { return r_[std::size_t(row * count_ + vector)]; }

  /// x (count, n) less its part in the span.
  void remove_from(double* x, i64 count) const;

 private:
  i64 count_ = 0, n_ = 0, rank_ = 0;
  std::vector<double> q_, r_;
};

}  // namespace fanin::engine
