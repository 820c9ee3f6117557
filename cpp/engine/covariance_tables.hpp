// What the tables of covariances hold; engine/covariance.* only.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "engine/covariance.hpp"
#include "engine/moment_tables.hpp"

namespace fanin::engine {

inline constexpr int kAngleTerms = 20;     ///< coefficients in x of a piece
inline constexpr int kMostIntervals = 64;  ///< of x
inline constexpr double kFarEdge = 0.5;    ///< x at |c| = 1/2

inline constexpr std::size_t kChunk = 256;       ///< points at a time: 8 KB of a small stack
inline constexpr std::size_t kFewestAlong = 32;  ///< correlations for which a line is worth while

inline constexpr double kRounding = 1e-12;  ///< by which a correlation may leave [-1, 1]

/// Whether these are two variances and a correlation.
inline bool good(double q1, double q2, double c) {
  return (q1 >= 0) & (q2 >= 0) & (c >= -1) & (c <= 1);
}

/// Number of the binary interval q lies in, q at its Chebyshev point k, the variable of q there, in
/// [-1, 1), and a polynomial in it.
long piece_of(double q);
double point_of(long piece, int k);
double variable_of(double q);
double horner(const double* terms, int count, double t);

/// Some points, checked: c and delta are NaN where one was out of range.
struct Covariances::Points {
  std::size_t count;
  std::array<double, kChunk> q1, q2, c, delta;
  /// The points from a place on; x is c or 1 - c.
  void fill(Column one, Column other, std::span<const double> x, bool missing, std::size_t from,
            std::size_t n) {
    count = n;
    for (std::size_t i = 0; i < n; ++i) {
      const double given = x[from + i];
      q1[i] = one[from + i], q2[i] = other[from + i];
      const double low = missing ? 0.0 : -1.0, high = missing ? 2.0 : 1.0;
      const double inside = given < low ? low : given > high ? high : given;
      const double kept = std::fabs(given - inside) <= kRounding ? inside : kNan;
      c[i] = missing ? 1.0 - kept : kept;
      delta[i] = missing ? kept : 1.0 - kept;
    }
  }
  void add(const Points& from, std::size_t i) {
    q1[count] = from.q1[i], q2[count] = from.q2[i];
    c[count] = from.c[i], delta[count] = from.delta[i];
    ++count;
  }
};

/// kTerms rows of kHermiteTerms: coefficients of the powers of the piece's variable.
struct Covariances::Series {
  std::vector<double> rows;
};

/// The intervals of x = sqrt((1 - |c|)/2) at the variances of a piece: interval 0 is [0, lowest],
/// each next one twice as long, the last one ends at 1/2.
struct Intervals {
  int count = 1;
  double lowest = kFarEdge;

  int of(double x) const {
    return x < lowest ? 0 : std::min(std::ilogb(x / lowest) + 1, count - 1);
  }
  double low(int interval) const { return interval == 0 ? 0.0 : std::ldexp(lowest, interval - 1); }
  double high(int interval) const { return std::ldexp(lowest, interval); }
};
Intervals intervals_at(const Activation& activation, double q);

/// E phi'(u) phi'(v) and its mean from the near end (c = 1, or -1 for sign -1) to c, over one
/// interval of x, as polynomials in x and in q over a piece of it. Where signals are small, or so
/// large that u - v spans the bend of phi many times, a power of sqrt(q) times polynomials in x and
/// sqrt(q), or 1/sqrt(q), serves all variances from there on.
struct Covariances::Near {
  std::vector<double> rows;               ///< kTerms rows of 2 kAngleTerms
  std::array<double, kTerms> opposite{};  ///< E phi(u) phi(-u), for sign -1
  double width = 0;                       ///< of [0, width], where sqrt(q) or 1/sqrt(q) lies; or 0
  bool high = false;                      ///< 1/sqrt(q)
  int slope_power = 0, opposite_power = 0;  ///< of sqrt(q)
  bool fits = true;                         ///< whether the polynomials are the values, to rounding

  double variable(double q) const {
    if (width == 0) return variable_of(q);
    const double root = std::sqrt(q);
    return 2 * (high ? 1 / root : root) / width - 1;
  }
};

/// Powers of 2 by which the values of a folded point grow.
struct Covariances::Shift {
  int covariance = 0, slopes = 0, gap = 0;
  bool near = false;  ///< covariance is the second moment less the gap
};

}  // namespace fanin::engine
