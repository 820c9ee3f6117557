// E phi(u) phi(v) and E phi'(u) phi'(v) for (u, v) normal with variances q1, q2 and correlation c.
//
// Closed forms where they exist. Else, for |c| <= 1/2, Hermite's series, its coefficients
// polynomials in q as the moments are. For |c| > 1/2 and equal variances, polynomials in q and x =
// sqrt((1 - |c|)/2), made from two-dimensional quadratures of E phi'(u) phi'(v); integrating those
// gives E (phi(u) - phi(v))^2 without cancellation. Everything else is that quadrature itself.
// Which of them serves a point depends on the point alone.
#pragma once
#include <map>

#include "engine/activation.hpp"

namespace fanin::engine {

/// Values at one point; gap is E (phi(u) - phi(v))^2 / 2, for equal variances.
struct PairResult {
  double *covariance = nullptr, *slopes = nullptr, *gap = nullptr;  ///< null: not wanted
};

class Covariances {
 public:
  explicit Covariances(const Activation& activation) : activation_(activation) {}

  const Activation& activation() const { return activation_; }

  /// Points (q1, q2, c) with delta = 1 - c given apart, to keep its digits. NaN where a variance is
  /// negative or not finite, or c lies outside [-1, 1].
  void evaluate(std::span<const double> q1, std::span<const double> q2, std::span<const double> c,
                std::span<const double> delta, const PairResult& out, int threads) const;

 private:
  struct Series;
  struct Near;
  const Series& series(double q) const;
  const Near& near(double q, int sign) const;
  void prepare(std::span<const double> q1, std::span<const double> q2, std::span<const double> c,
               bool gap) const;
  void by_series(const double* q1, const double* q2, const double* c, std::size_t count,
                 const PairResult& out) const;
  void by_tables(const double* q, const double* c, const double* delta, std::size_t count,
                 const PairResult& out) const;
  void quadrature(double q1, double q2, double c, double delta, double* covariance,
                  double* slopes) const;
  void at_zero(double q1, double q2, double c, double delta, double* covariance,
               double* slopes) const;

  const Activation& activation_;
  mutable std::mutex building_;
  mutable std::map<long, std::shared_ptr<Series>> series_;
  mutable std::map<long, std::shared_ptr<Near>> near_;
};

}  // namespace fanin::engine
