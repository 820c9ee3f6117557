// MomentTable: activations and Gaussian integrals, what crosses the ISA fence for propagation.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/table.hpp"
#include "core/types.hpp"

namespace fanin {

inline constexpr int kParameters = 2;
inline constexpr int kKinks = 2;

/// What one activation yields at variance q, in this order everywhere.
enum Moment : int {
  kMean,             ///< E phi
  kSecond,           ///< E phi^2
  kSlopeSecond,      ///< E phi'^2
  kSlopeFourth,      ///< E phi'^4
  kCurvatureSecond,  ///< E phi''^2
  kGrowth,           ///< d(E phi^2)/dq
  kVariance,         ///< E phi^2 - (E phi)^2, without cancellation
  kExcess            ///< q E phi'^2 - E phi^2, without cancellation
};
inline constexpr int kMoments = 8;
inline constexpr int kMostSums = 10;  ///< of one call of gaussian_sums

/// Symmetry phi(-x) = parity * phi(x); 0 for none.
enum class Parity : int { odd = -1, none = 0, even = 1 };

/// What is known of an activation besides its values.
struct ActivationFacts {
  const char* name;
  const char* formula;
  const char* source;
  const char* parameter[kParameters];
  double standard[kParameters];  ///< values of the parameters if none are given
  Parity parity;
  int kinks;
  double kink[kKinks];
  /// Degree of a positively homogeneous activation, phi(a x) = a^degree phi(x) for a > 0; 0 for
  /// others.
  int degree;
};

inline constexpr std::size_t kPairSideRows = 8;  ///< of a variance, what closed pairs take from it

/// One linear layer and one activation, of one input's pairs with others.
struct PairLayer {
  /// Rows that pair_sides made, `stride` apart: of the one input, and of the others.
  const double *one, *others;
  std::size_t one_stride, others_stride;
  double weight, bias;
  std::ptrdiff_t same;  ///< the place among the others of the input itself, or -1
};

/// Covariances of many pairs. x is the correlation c or, if `missing`, 1 - c; beyond its range by
/// more than `rounding` it gives NaN, as variances that are negative or no numbers do.
struct PairPoints {
  const double *q1, *q2;       ///< one q1 where second_sides are given, else a value a point
  const double* second_sides;  ///< rows that pair_sides made of q2, `stride` apart; or null
  std::size_t stride;
  const double* x;
  bool missing;
  double rounding;
};

/// Distances from 0, to the left and to the right, beyond which phi is a straight line to rounding.
struct Reach {
  double left, right;
};

/// One activation. Parameters travel as kParameters doubles.
struct ActivationRow {
  ActivationFacts facts;
  /// Length over which phi changes: its poles and transitions are about this far from 0.
  double (*unit)(const double* parameters);
  /// Infinite where phi is never straight.
  Reach (*reach)(const double* parameters);
  /// phi, phi' and phi'' at each x; the results may not overlap x.
  void (*apply)(const double* parameters, const double* x, std::size_t count, double* phi,
                double* slope, double* curvature);
  /// phi' alone.
  void (*slopes)(const double* parameters, const double* x, std::size_t count, double* slope);
  /// Moments in closed form, kMoments rows of `stride`; null where they come from tables.
  void (*closed)(const double* parameters, const double* q, std::size_t count, double* out,
                 std::size_t stride);
  /// E phi(u) phi(v) and E phi'(u) phi'(v) in closed form, from c and delta = 1 - c; null where
  /// there is none.
  void (*closed_pair)(const double* parameters, const double* q1, const double* q2, const double* c,
                      const double* delta, std::size_t count, double* covariance, double* slopes);
  /// E phi(u) phi(v) alone; whether one of the variances is infinite, and the values there are to
  /// be replaced. Null where closed_pair is, as both below.
  bool (*pair_covariances)(const double* parameters, const PairPoints& points, std::size_t count,
                           double* covariance);
  /// kPairSideRows rows of `stride`.
  void (*pair_sides)(const double* q, std::size_t count, double* out, std::size_t stride);
  /// In place, from the covariances and tangent kernels that enter the linear layer: K := weight K
  /// + bias, T := K + weight T, then E phi(u) phi(v) of K and T E phi'(u) phi'(v).
  void (*pair_layer)(const double* parameters, const PairLayer& layer, std::size_t count,
                     double* covariance, double* tangent);
  /// The density g of phi'(x) as a mixture of Gaussians, phi'(x) = integral of g(t) exp(-t x^2) dt;
  /// null where it is not one. For tails that fall like a power.
  void (*mixture)(const double* t, std::size_t count, double* density);
};

/// Functions of q as polynomials: binary intervals [2^e (1 + j/8), 2^e (1 + (j+1)/8)), `kTerms`
/// coefficients each. A table holds, for each binade, moment and power, the coefficients of the
/// binade's intervals side by side. Outside, moments are powers of q to rounding: below 2^-112 the
/// next terms are of relative size sqrt(q), above 2^105 of 1/sqrt(q).
inline constexpr int kPiecesLog2 = 3;
inline constexpr int kPieces = 1 << kPiecesLog2;
inline constexpr int kTerms = 11;
inline constexpr int kLowestExponent = -112;
inline constexpr int kTopExponent = 105;
inline constexpr int kBinades = kTopExponent - kLowestExponent;
inline constexpr double kTableBottom = 0x1p-112, kTableTop = 0x1p105;  ///< those powers of 2
inline constexpr int kBinadeDoubles = kMoments * kTerms * kPieces;

/// Terms of Hermite (Mehler) series of covariances; 2^-48 is left at |c| = 1/2.
inline constexpr int kHermiteTerms = 48;

inline constexpr double kLeastTerm = 1e-19;
/// Sums over two mixtures of `count` Gaussians, a multiple of 16, for c >= 0: E phi(u) phi(v), E
/// phi'(u) phi'(v) and the mean of the latter from 1 to c (of equal variances); null: not wanted.
struct MixtureSums {
  /// phi'(x) = sum slope exp(-t x^2), phi = sum value erf(sqrt(t) x).
  const double *t, *slope, *value;
  /// Of each term of the one, of each 16 terms of the other; products below kLeastTerm do not
  /// count.
  const double *bound, *other_bound;
  std::size_t count;
  double q1, q2, c, delta;
  double *covariance, *slopes, *mean_slope;
};

/// A function of q as x^power times a polynomial in 2 x / width - 1, x = sqrt(q) or 1/sqrt(q).
struct PowerSeries {
  static constexpr int kTerms = 12;
  double terms[kTerms];
  int power;
  double width;  ///< of the interval [0, width] of x
  bool inverse;  ///< x = 1/sqrt(q)
  bool derived;  ///< not the function but its derivative; of inverse ones
};

struct MomentTable {
  Rows<ActivationRow> activations;
  /// out[m * count + i] = sum_j g[m * nodes + j] exp(-half_square[j] / q[i]) / sqrt(2 pi q[i])
  /// for m < sums <= kMostSums.
  void (*gaussian_sums)(const double* half_square, const double* g, std::size_t nodes, int sums,
                        const double* q, std::size_t count, double* out);
  void (*signs)(const double* second, const double* grid, std::size_t count, double weight,
                double bias, u8* out);
  /// Whether every q lies in the range of the tables; `low` and `high` are the smallest and the
  /// largest of those that do.
  bool (*table_range)(const double* q, std::size_t count, double* low, double* high);
  /// The polynomials `table` at each q of its range: out[k * stride + i] is moment which[k].
  void (*tabulated)(const double* table, const int* which, int moments, const double* q,
                    std::size_t count, double* out, std::size_t stride);
  // Described in kernels/moments.hpp.
  void (*power_series)(const PowerSeries& series, const double* q, std::size_t count, double* out);
  void (*contract)(const double* rows, int terms, std::size_t width, double t, double* out);
  void (*polynomials)(const double* const* row, int terms, const double* x, std::size_t count,
                      double* out);
  void (*polynomial)(const double* terms, int count_terms, const double* x, std::size_t count,
                     double* out);
  double (*weighted_dot)(const double* w, const double* a, const double* b, std::size_t count);
  void (*bell_weights)(const double* x, const double* weight, std::size_t count, double* out);
  void (*mixture_sums)(const MixtureSums& sums);
  void (*hermite_sums)(const double* u, const double* weighted, std::size_t nodes, const double* q,
                       std::size_t count, double* out);
  /// out[j] = the sum over `rows` of row[r][j]
  void (*sum_rows)(const double* const* row, std::size_t rows, std::size_t count, double* out);
};

}  // namespace fanin
