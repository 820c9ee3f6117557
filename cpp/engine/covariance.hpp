// E phi(u) phi(v) and E phi'(u) phi'(v) for (u, v) normal with variances q1, q2 and correlation c.
//
// Closed forms where they exist. Else, for |c| <= 1/2, Hermite's series, its coefficients
// polynomials in q as the moments are. For |c| > 1/2 and equal variances, polynomials in q and x =
// sqrt((1 - |c|)/2), made from two-dimensional quadratures of E phi'(u) phi'(v); integrating those
// gives E (phi(u) - phi(v))^2 without cancellation. Everything else is that quadrature itself.
// Which of them serves a point depends on the point alone.
#pragma once
#include "engine/activation.hpp"
#include "engine/column.hpp"
#include "engine/kept.hpp"

namespace fanin::engine {

/// Values at one point; gap is E (phi(u) - phi(v))^2 / 2, for equal variances.
struct PairResult {
  double *covariance = nullptr, *slopes = nullptr, *gap = nullptr;  ///< null: not wanted
};

class Covariances {
 public:
  explicit Covariances(const Activation& activation);
  ~Covariances();

  const Activation& activation() const { return activation_; }

  /// Points (q1, q2, x) with x the correlation c or, if `missing`, delta = 1 - c with all its
  /// digits. Rounding outside [-1, 1] is forgiven up to 1e-12; NaN beyond, and where a variance is
  /// negative or not finite.
  void evaluate(Column q1, Column q2, std::span<const double> x, bool missing,
                const PairResult& out, int threads) const;

 private:
  struct Series;
  struct Near;
  struct Points;
  struct Along;
  /// How a point is served.
  enum class Kind : char { bad, zero, series, tables, any };
  bool closed() const { return activation_.row() && activation_.row()->closed_pair; }
  Kind kind_of(double q1, double q2, double c, bool gap) const;
  const Series& series(double q) const;
  const Near& near(double q, int sign) const;
  void prepare(const Points& points, bool gap) const;
  void by_series(const double* q1, const double* q2, const double* c, std::size_t count,
                 const PairResult& out) const;
  void by_tables(const double* q, const double* c, const double* delta, std::size_t count,
                 const PairResult& out) const;
  void by_formula(const Points& points, const PairResult& out) const;
  void by_kind(const Points& points, const PairResult& out) const;
  /// For many correlations at one pair of variances: polynomials in c and x alone.
  std::shared_ptr<Along> along(double q1, double q2, std::span<const double> x, bool missing,
                               const PairResult& wanted) const;
  void by_along(const Along& along, const Points& points, const PairResult& out) const;
  void quadrature(double q1, double q2, double c, double delta, double* covariance,
                  double* slopes) const;
  void at_zero(double q1, double q2, double c, double delta, double* covariance,
               double* slopes) const;

  const Activation& activation_;
  mutable Kept<Series> series_;
  mutable Kept<Near> near_;
};

}  // namespace fanin::engine
