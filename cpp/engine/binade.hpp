// A binary interval of q, [2^exponent, 2^(exponent + 1)): from the values of a function at its
// Chebyshev points to the polynomials of its eighths.
#pragma once
#include <cmath>

#include "core/moment_table.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {

/// For functions that are analytic in Re q > 0: (3 + sqrt 8)^-20 = 5e-16 is left.
inline constexpr int kBinadePoints = 20;

inline double binade_point(int exponent, int k) {
  return std::ldexp(1.5 + 0.5 * kChebyshevPoint<kBinadePoints>[std::size_t(k)], exponent);
}

/// `rows`: kTerms rows of kPieces, the coefficients of 1, t, t^2, ... of each eighth.
void polynomials_of_eighths(const double* values, double* rows);

}  // namespace fanin::engine
