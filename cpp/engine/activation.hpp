// An activation and its Gaussian moments at any variance.
//
// Moments are analytic functions of q in Re q > 0, whatever the activation, because the Gaussian
// smooths. So each binary interval of q, cut in eight, carries one polynomial a moment,
// interpolated from quadratures of all the interval's points over the same nodes, or from a series
// in sqrt(q) where q is small or large; it is made when a value in it is first asked for.
// Activations with closed forms need none.
#pragma once
#include <array>
#include <atomic>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/moment_table.hpp"
#include "engine/far_moments.hpp"
#include "engine/kept.hpp"
#include "engine/pieces.hpp"

namespace fanin::engine {

/// Panels of nodes that resolve an activation and the Gaussians of variance [2^exponent,
/// 2^(exponent + 1)).
struct Nodes {
  std::vector<double> at, weight;
};

/// Zeros that take no memory before they are written.
class Zeros {
 public:
  explicit Zeros(std::size_t count);
  ~Zeros();
  Zeros(const Zeros&) = delete;
  Zeros& operator=(const Zeros&) = delete;
  double* data() const { return data_; }

 private:
  std::size_t bytes_;
  double* data_;
};

class Activation {
 public:
  /// A built-in one; throws std::invalid_argument for an unknown name.
  Activation(const std::string& name, std::array<double, kParameters> parameters);
  /// A user's function with its kinks, the length over which it changes and the unit of rounding of
  /// its values.
  Activation(Values values, std::vector<double> kinks, double unit, double precision);

  void apply(const double* x, std::size_t count, double* phi, double* slope,
             double* curvature) const;
  /// phi and phi' of a user's function at the many nodes of a pair, to rounding.
  void apply_by_pieces(const double* x, std::size_t count, double* phi, double* slope) const {
    pieces_.apply(x, count, phi, slope);
  }

  /// out[k * count + i] = moment which[k] at q[i]. A q that is negative or no number gives NaN, 0
  /// and infinity the limit.
  void moments(std::span<const double> q, std::span<const int> which, double* out,
               int threads) const;
  /// The same by the calling thread alone, without asking for threads: for loops that are parallel
  /// outside.
  void moments_here(std::span<const double> q, std::span<const int> which, double* out) const;
  double moment(double q, int which) const;

  /// Largest relative difference of moments when every panel is halved, or what the outermost
  /// panels hold, at q: the error of a user's function. NaN if its values are none, infinite if the
  /// integral diverges.
  double quadrature_error(double q) const;

  Parity parity() const { return row() ? row()->facts.parity : Parity::none; }
  int degree() const { return row() ? row()->facts.degree : 0; }
  /// Whether phi itself jumps; phi' then has no square-integrable derivative of its own.
  bool value_jumps() const { return value_jumps_; }
  /// Length to resolve: shorter where panels had to be cut.
  double unit() const { return unit_ / parts_; }
  Reach reach() const { return reach_; }
  /// The variance from which on, and below which, the moments are series; infinity and 0 for none.
  double series_edge(bool high) const { return edges_[high]; }
  /// Moment `which` as a power of q outside the tables: M(4 q) = 2^power M(q) above (`high`) or
  /// below them.
  std::array<int, kMoments> powers(bool high) const;
  const std::vector<double>& kinks() const { return kinks_; }
  /// The row in the kernel table in use, null for a user's function.
  const ActivationRow* row() const;
  const double* parameters() const { return parameters_.data(); }

  /// Nodes for variances from 2^exponent to twice that; each panel cut in `parts`.
  Nodes nodes(int exponent, int parts) const { return nodes(exponent, exponent + 1, parts); }
  /// For variances from 2^low to 2^high.
  Nodes nodes(int low, int high, int parts) const;

 private:
  struct Columns {
    std::vector<double> half_square, g;
  };
  /// What the Gaussian sums over these nodes need.
  Columns columns(const Nodes& n) const;
  void bend_near_zero(const Nodes& nodes, double at_zero, double* rest, double* rest_slope) const;
  void find_edges();
  /// The series of the moments at q; null where q is neither small nor large.
  const FarMoments* far(double q) const;
  double change_of_halves(double q) const;
  double share_of_ends(double q) const;
  void find_jumps();
  /// The moments at variances of one binade, from its columns; kMoments rows of `count`.
  std::vector<double> integrate(const Columns& c, const double* q, std::size_t count) const;
  void build(int exponent) const;
  void publish(std::size_t binade, std::span<const double> made) const;
  /// Tables for all of q; returns whether it lies in their range.
  bool prepare(std::span<const double> q) const;
  void tabulated(const double* q, std::size_t count, std::span<const int> which, double* out,
                 std::size_t stride) const;
  void by_size(const double* q, std::size_t count, std::span<const int> which, double* out,
               std::size_t stride) const;
  /// out[k * stride + i], at most kChunk variances.
  void chunk(const double* q, std::size_t count, std::span<const int> which, double* out,
             std::size_t stride) const;
  void outside(const double* q, std::size_t count, std::span<const int> which, double* out,
               std::size_t stride) const;
  void find_moments_at_zero();

  int index_ = -1;  ///< of the row; every kernel table has the same rows
  std::array<double, kParameters> parameters_{};
  Values values_;
  std::vector<double> kinks_, jumps_;
  bool slope_jumps_ = false, value_jumps_ = false;
  double unit_ = 1, precision_ = 0;
  Reach reach_ = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  std::array<double, kMoments> at_zero_{};
  int parts_ = 1;  ///< of each panel
  Zeros table_{std::size_t(kBinades) * kBinadeDoubles};
  /// Below the first and from the second on moments are series; none for a user's function.
  double edges_[2] = {0, std::numeric_limits<double>::infinity()};
  Pieces pieces_{values_, kinks_, precision_};
  mutable Kept<FarMoments> far_;
  mutable std::array<std::atomic<bool>, kBinades> ready_{};
  mutable std::array<std::atomic<unsigned>, kBinades> claim_{};  ///< who fills in the table
};

/// A variance on the scale of the tables: q 4^-folds, within them if it is positive and finite.
struct Folded {
  double q;
  int folds;
};
Folded folded(double q);

/// Rows of the built-in activations.
Rows<ActivationRow> activation_rows();

}  // namespace fanin::engine
