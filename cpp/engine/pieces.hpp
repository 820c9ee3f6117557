// A user's function and its slope as polynomials, so that pairs do not ask for each of their nodes.
#pragma once
#include <functional>
#include <span>

#include "engine/kept.hpp"

namespace fanin::engine {

/// phi, phi' and phi'' at each of `count` points; `curvature` may be null.
using Values = std::function<void(const double* x, std::size_t count, double* phi, double* slope,
                                  double* curvature)>;

class Pieces {
 public:
  /// `precision` is the unit of rounding of the values.
  Pieces(const Values& values, std::span<const double> kinks, double precision);
  ~Pieces();

  /// phi and phi' at x. Each binary interval of |x| is cut evenly, and at kinks, until one
  /// polynomial a piece is the function to rounding; where none is, and next to 0, the function
  /// itself is asked.
  void apply(const double* x, std::size_t count, double* phi, double* slope) const;

 private:
  struct Binade;
  const Binade& binade(int exponent, bool right) const;
  /// Pieces of the binade that `begin` and its double bound; false if they are not the function.
  bool fit(double begin, int cuts, Binade& made) const;

  const Values& values_;
  std::span<const double> kinks_;
  double precision_;
  mutable Kept<Binade> binades_;
};

}  // namespace fanin::engine
