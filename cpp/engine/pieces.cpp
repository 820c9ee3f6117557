#include "engine/pieces.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/moment_tables.hpp"
#include "engine/parallel.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {
namespace {

constexpr int kOrder = 12;  ///< terms of a polynomial
constexpr int kFewestCuts = 8, kMostCuts = 256;
constexpr int kLowest = -900, kHighest = 900;  ///< exponents of x that have pieces

/// The last terms of a polynomial, beside the values.
constexpr double kLastOfValues = 0x1p-49, kLastOfSlopes = 0x1p-44;
/// Roundings in values of the size of x, and in slopes by differences of those.
constexpr double kRoundingsOfValues = 16, kRoundingsOfSlopes = 256;

/// Polynomials in t = (x - middle) * inverse, from -1 to 1.
struct Piece {
  double middle, inverse;
  std::array<double, kOrder> phi, slope;
};

double largest(const double* values) {
  double most = 0;
  for (int k = 0; k < kOrder; ++k) most = std::max(most, std::fabs(values[k]));
  return most;
}

}  // namespace

/// One piece a cut, or two where a kink parts it.
struct Pieces::Binade {
  int cuts = 0;  ///< 0: ask the function
  std::vector<std::size_t> first;
  std::vector<double> parted;  ///< |x| at the kink of a cut, or infinity
  std::vector<Piece> pieces;

  const Piece& at(double size) const {
    constexpr u64 fraction = (u64(1) << 52) - 1, one = u64(1023) << 52;
    const double scaled = std::bit_cast<double>((std::bit_cast<u64>(size) & fraction) | one);
    const std::size_t cut = std::size_t((scaled - 1) * cuts);
    return pieces[first[cut] + (size > parted[cut])];
  }
};

Pieces::Pieces(const Values& values, std::span<const double> kinks, double precision)
    : values_(values), kinks_(kinks), precision_(precision) {}
Pieces::~Pieces() = default;

bool Pieces::fit(double begin, int cuts, Binade& made) const {
  const double width = std::fabs(begin) / cuts, sign = begin < 0 ? -1 : 1;
  const std::size_t count = std::size_t(cuts);
  made.parted.assign(count, kInfinity), made.first.clear(), made.pieces.clear();
  std::vector<double> x;
  const auto add = [&](double from, double to) {
    const double half = 0.5 * (to - from), middle = sign * 0.5 * (from + to);
    made.pieces.push_back({middle, 1 / half, {}, {}});
    for (std::size_t k = 0; k < kOrder; ++k)
      x.push_back(middle + half * kChebyshevPoint<kOrder>[k]);
  };
  for (std::size_t cut = 0; cut < count; ++cut) {
    const double low = std::fabs(begin) + double(cut) * width, high = low + width;
    for (const double kink : kinks_) {
      const double at = sign * kink;
      if (!(at > low && at < high)) continue;
      if (made.parted[cut] != kInfinity) return false;
      made.parted[cut] = at;
    }
    made.first.push_back(made.pieces.size());
    add(low, std::min(made.parted[cut], high));
    if (made.parted[cut] < high) add(made.parted[cut], high);
  }
  std::vector<double> phi(x.size()), slope(x.size());
  values_(x.data(), x.size(), phi.data(), slope.data(), nullptr);
  for (std::size_t i = 0; i < made.pieces.size(); ++i) {
    const double *const own = phi.data() + i * kOrder, *const own_slope = slope.data() + i * kOrder;
    const auto series = chebyshev_series<kOrder>(own);
    const auto slopes = chebyshev_series<kOrder>(own_slope);
    const double reach = std::fabs(begin), size = largest(own);
    const double steepness = largest(own_slope) + size / reach;
    const double last = kLastOfValues * size + kRoundingsOfValues * precision_ * reach;
    const double last_slope = kLastOfSlopes * steepness + kRoundingsOfSlopes * precision_;
    const auto rest = [](const std::array<double, kOrder>& terms) {
      return std::fabs(terms[kOrder - 1]) + std::fabs(terms[kOrder - 2]);
    };
    if (!(rest(series) <= last && rest(slopes) <= last_slope)) return false;
    made.pieces[i].phi = in_powers<kOrder>(series);
    made.pieces[i].slope = in_powers<kOrder>(slopes);
  }
  made.cuts = cuts;
  return true;
}

const Pieces::Binade& Pieces::binade(int exponent, bool right) const {
  const long number = 2 * long(exponent) + right;
  if (const Binade* found = binades_.find(number)) return *found;
  listen();
  auto made = std::make_unique<Binade>();
  const double begin = std::ldexp(right ? 1.0 : -1.0, exponent);
  int cuts = kFewestCuts;
  while (cuts <= kMostCuts && !fit(begin, cuts, *made)) cuts *= 2;
  return binades_.keep(number, std::move(made));
}

void Pieces::apply(const double* x, std::size_t count, double* phi, double* slope) const {
  constexpr std::size_t together = 512;
  std::array<double, together> t;
  std::array<const double*, together> row, slope_row;
  std::vector<std::size_t> asked;
  const Binade* last = nullptr;
  int last_number = std::numeric_limits<int>::min();
  const auto ask_at = [&](std::size_t i, std::size_t k) {
    static constexpr std::array<double, kOrder> nothing{};
    asked.push_back(i + k);
    t[k] = 0, row[k] = slope_row[k] = nothing.data();
  };
  for (std::size_t i = 0; i < count; i += together) {
    const std::size_t n = std::min(together, count - i);
    for (std::size_t k = 0; k < n; ++k) {
      const double at = x[i + k], size = std::fabs(at);
      const int exponent = exponent_of(size);
      if (exponent < kLowest || exponent > kHighest) {
        ask_at(i, k);
        continue;
      }
      const int number = 2 * exponent + (at > 0);
      if (number != last_number) last = &binade(exponent, at > 0), last_number = number;
      if (last->cuts == 0) {
        ask_at(i, k);
        continue;
      }
      const Piece& piece = last->at(size);
      t[k] = (at - piece.middle) * piece.inverse;
      row[k] = piece.phi.data(), slope_row[k] = piece.slope.data();
    }
    kernels().polynomials(row.data(), kOrder, t.data(), n, phi + i);
    kernels().polynomials(slope_row.data(), kOrder, t.data(), n, slope + i);
  }
  if (asked.empty()) return;
  const std::size_t n = asked.size();
  std::vector<double> at(n), values(2 * n);
  for (std::size_t k = 0; k < n; ++k) at[k] = x[asked[k]];
  values_(at.data(), n, values.data(), values.data() + n, nullptr);
  for (std::size_t k = 0; k < n; ++k) phi[asked[k]] = values[k], slope[asked[k]] = values[n + k];
}

}  // namespace fanin::engine
