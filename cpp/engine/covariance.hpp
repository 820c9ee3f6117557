// E phi(u) phi(v) and E phi'(u) phi'(v) for (u, v) normal with variances q1, q2 and correlation c.
//
// Closed forms where they exist. Else, for |c| <= 1/2, Hermite's series, its coefficients
// polynomials in q as the moments are. For |c| > 1/2 and equal variances, polynomials in q and x =
// sqrt((1 - |c|)/2), made from two-dimensional quadratures of E phi'(u) phi'(v); integrating those
// gives E (phi(u) - phi(v))^2 without cancellation. Everything else is that quadrature itself.
// Which of them serves a point depends on the point alone. Variances outside the tables of moments
// are folded onto their ends.
#pragma once
#include "engine/activation.hpp"
#include "engine/column.hpp"
#include "engine/kept.hpp"

namespace fanin::engine {

/// Values at one point; gap is E (phi(u) - phi(v))^2 / 2, for equal variances. mean_slope, of the
/// quadrature only: the mean of E phi'(u) phi'(v) from the near end, c = 1 or -1, to c.
struct PairResult {
  double *covariance = nullptr, *slopes = nullptr, *gap = nullptr;  ///< null: not wanted
  double* mean_slope = nullptr;
};

class Covariances {
 public:
  explicit Covariances(const Activation& activation);
  ~Covariances();

  const Activation& activation() const { return activation_; }
  /// Whether there is a closed form.
  bool closed() const { return activation_.row() && activation_.row()->closed_pair; }

  /// Points (q1, q2, x) with x the correlation c or, if `missing`, delta = 1 - c with all its
  /// digits. Rounding outside [-1, 1] is forgiven up to 1e-12; NaN beyond, and where a variance is
  /// negative or no number; an infinite one gives the limit.
  void evaluate(Column q1, Column q2, std::span<const double> x, bool missing,
                const PairResult& out, int threads) const;

  /// E phi(u) phi(v) of a table, x row by row: `first` has a variance a row, `second` a column.
  void evaluate_table(std::span<const double> first, std::span<const double> second,
                      std::span<const double> x, bool missing, double* out, int threads) const;

 private:
  struct Series;
  struct Near;
  struct Points;
  struct Along;
  /// How a point is served.
  enum class Kind : char { bad, zero, series, tables, any };
  Kind kind_of(double q1, double q2, double c, bool gap) const;
  const Series& series(double q) const;
  const Near& near(double q, int sign, int interval) const;
  /// The one that serves all small or all large variances; null where q is not of them.
  const Near* far_near(double q, int sign, int interval) const;
  /// Fills in what is between `low` and `high`, polynomials through values at the variances `at`.
  void tabulate(const double* at, double low, double high, int sign, Near& made) const;
  /// The polynomials of `near` in x at q, and E phi(u) phi(-u).
  double contract(const Near& used, double q, double* to) const;
  /// The mean of E phi'(u) phi'(v) from the near end to x = sqrt((1 - |c|)/2).
  double mean_slope(double q, double x, int sign) const;
  double slopes_at(double q, double x, int sign) const;
  /// `slopes_at` many x, of a closed form.
  std::vector<double> closed_slopes(double q, const std::vector<double>& x, int sign) const;
  struct Shift;
  /// The point on the scale of the tables, and by which powers of 2 its values then grow.
  Shift folded(double& q1, double& q2, double& c, double& delta) const;
  void prepare(const Points& points, bool gap) const;
  void by_series(const double* q1, const double* q2, const double* c, std::size_t count,
                 const PairResult& out) const;
  void by_tables(const double* q, const double* c, const double* delta, std::size_t count,
                 const PairResult& out) const;
  void by_formula(const Points& points, const PairResult& out) const;
  /// Covariances alone, of a closed form.
  void by_points(Column q1, Column q2, std::span<const double> x, bool missing, double* out,
                 int threads) const;
  void at_infinity(Column q1, Column q2, std::span<const double> x, bool missing,
                   double* out) const;
  void by_kind(const Points& points, const PairResult& out) const;
  void limits(const Points& points, const PairResult& out) const;
  /// For many correlations at one pair of variances: polynomials in c and x alone.
  std::shared_ptr<Along> along(double q1, double q2, std::span<const double> x, bool missing,
                               const PairResult& wanted) const;
  void by_along(const Along& along, const Points& points, const PairResult& out) const;
  /// missing: 1 - |c| with all its digits.
  void quadrature(double q1, double q2, double c, double missing, const PairResult& out) const;
  void by_panels(double q1, double q2, double c, double missing, const PairResult& out) const;
  void at_zero(double q1, double q2, double c, double delta, double* covariance,
               double* slopes) const;

  /// Terms of phi as a mixture.
  struct Mixture {
    std::vector<double> t, slope, value;
  };
  void by_mixture(double q1, double q2, double c, double missing, const PairResult& out) const;

  const Activation& activation_;
  Mixture mixture_;
  mutable Kept<Series> series_;
  mutable Kept<Near> near_, far_near_;
};

}  // namespace fanin::engine
