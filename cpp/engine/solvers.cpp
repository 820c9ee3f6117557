#include "engine/solvers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/moment_tables.hpp"
#include "engine/parallel.hpp"

namespace fanin::engine {
namespace {

constexpr std::size_t kLanesTogether = 512;
constexpr int kMostSteps = 80;
constexpr int kGridPerBinade = 8, kGridHalf = 40;  // 2^-40 to 2^40 covers 1e-12 to 1e12

/// One bracketed zero: negative at low, or at high, and not at both.
struct Bracket {
  double low, high, at;
  bool negative_low;
  std::size_t target;
};

/// Newton's step kept inside the bracket, else its middle: geometric, because scales differ by
/// orders of magnitude. Returns whether the zero has settled.
bool advance(Bracket& b, double value, double slope) {
  if (value == 0) return true;
  ((value < 0) == b.negative_low ? b.low : b.high) = b.at;
  double next = b.at - value / slope;
  const bool inside = next > b.low && next < b.high;
  const bool settled = inside && std::fabs(next - b.at) <= 0x1p-51 * std::fabs(b.at);
  if (!inside)
    next = b.low > 0 && b.high > 4 * b.low ? std::sqrt(b.low) * std::sqrt(b.high)
                                           : 0.5 * (b.low + b.high);
  const bool exhausted = next <= b.low || next >= b.high;
  if (!exhausted) b.at = next;
  return settled || exhausted;
}

/// Relative error of V that far from the unit of an activation must be reckoned with.
constexpr double kRounding = 0x1p-44;

constexpr std::size_t kGridPoints = 2 * kGridHalf * kGridPerBinade + 1;
using Grid = std::array<double, kGridPoints>;

Grid grid_points() {
  Grid grid;
  for (std::size_t i = 0; i < kGridPoints; ++i)
    grid[i] = std::ldexp(1.0 + double(i % kGridPerBinade) / kGridPerBinade,
                         int(i / kGridPerBinade) - kGridHalf);
  return grid;
}

Grid second_moments(const Activation& activation, const Grid& grid) {
  Grid second;
  const int which = kSecond;
  activation.moments_here(grid, {&which, 1}, second.data());
  return second;
}

}  // namespace

std::vector<Crossings> crossings(const Activation& activation, std::span<const double> weight_var,
                                 std::span<const double> bias_var, int threads) {
  const Grid grid = grid_points(), second = second_moments(activation, grid);
  const std::size_t count = weight_var.size();
  std::vector<Crossings> found(count);
  const u64 chunks = (count + kLanesTogether - 1) / kLanesTogether;
  parallel_for(chunks, threads, false, {}, [&](u64 chunk) {
    const std::size_t first = std::size_t(chunk) * kLanesTogether,
                      last = std::min(count, first + kLanesTogether);
    constexpr std::size_t word = sizeof(u64);
    std::array<u8, kGridPoints + 2 * word> sign;  // 1 below the diagonal, 2 where it is no number
    for (std::size_t lane = first; lane < last; ++lane) {
      const double sw2 = weight_var[lane], sb2 = bias_var[lane];
      if (!(sw2 >= 0 && sb2 >= 0 && std::isfinite(sw2) && std::isfinite(sb2))) continue;
      table().moments->signs(second.data(), grid.data(), kGridPoints, sw2, sb2, sign.data());
      std::fill(sign.begin() + kGridPoints, sign.end(), sign[kGridPoints - 1]);
      // Between two changes of sign something must be farther from zero than roundings of V are.
      const auto is_settled = [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
          if (std::fabs(sw2 * second[i] + sb2 - grid[i]) > kRounding * grid[i]) return true;
        return false;
      };
      std::size_t roots = 0, begin = 0;  // where the sign at hand began,
      u8 last = 2;                       // and the one before it that was settled
      const auto end_of_sign = [&](std::size_t end) {
        const u8 own = sign[begin];
        if (own == 2) {
          last = 2;
        } else if (is_settled(begin, end)) {
          if (own + last == 1 && roots < kMostRoots) found[lane][roots++] = std::uint16_t(begin);
          last = own;
        }
        begin = end;
      };
      for (std::size_t from = 1; from < kGridPoints; from += word) {
        u64 here, before;  // eight neighbours at once: a crossing is rare
        std::memcpy(&here, sign.data() + from, word);
        std::memcpy(&before, sign.data() + from - 1, word);
        for (std::size_t i = from; here != before && i < from + word; ++i) {
          if (sign[i] == sign[i - 1]) continue;
          end_of_sign(i);
        }
      }
      end_of_sign(kGridPoints);
    }
  });
  return found;
}

void fixed_variances(const Activation& activation, std::span<const double> weight_var,
                     std::span<const double> bias_var, std::span<const Crossings> crossed, int most,
                     double* roots, double* slopes, int threads) {
  const Grid grid = grid_points(), second = second_moments(activation, grid);
  const std::size_t count = weight_var.size(), width = std::size_t(most);
  if (activation.row() == nullptr) threads = 1;
  const u64 chunks = (count + kLanesTogether - 1) / kLanesTogether;
  parallel_for(chunks, threads, false, {}, [&](u64 chunk) {
    const std::size_t first = std::size_t(chunk) * kLanesTogether,
                      last = std::min(count, first + kLanesTogether);
    std::fill(roots + first * width, roots + last * width, kNan);
    std::fill(slopes + first * width, slopes + last * width, kNan);
    std::vector<Bracket> open;
    for (std::size_t lane = first; lane < last; ++lane)
      for (std::size_t k = 0; k < width && crossed[lane][k] > 0; ++k) {
        const std::size_t high = crossed[lane][k], low = high - 1;
        const auto value = [&](std::size_t i) {
          return weight_var[lane] * second[i] + bias_var[lane] - grid[i];
        };
        const double at_low = value(low), part = at_low / (at_low - value(high));
        const double at = grid[low] + (grid[high] - grid[low]) * std::clamp(part, 0.01, 0.99);
        open.push_back({grid[low], grid[high], at, at_low < 0, lane * width + k});
      }
    const std::array<int, 2> both = {kSecond, kGrowth};
    std::vector<double> at, values;
    for (int step = 0; step < kMostSteps && !open.empty(); ++step) {
      at.clear();
      for (const Bracket& b : open) at.push_back(b.at);
      values.resize(2 * at.size());
      activation.moments_here(at, both, values.data());
      std::size_t kept = 0;
      for (std::size_t k = 0; k < open.size(); ++k) {
        Bracket b = open[k];
        const std::size_t lane = b.target / width;
        const double value = weight_var[lane] * values[k] + bias_var[lane] - b.at;
        const double slope = weight_var[lane] * values[at.size() + k];
        const bool done = advance(b, value, slope - 1);
        roots[b.target] = b.at;
        slopes[b.target] = slope;
        if (!done) open[kept++] = b;
      }
      open.resize(kept);
    }
  });
}

void fixed_correlations(const Covariances& covariances, std::span<const double> q,
                        std::span<const double> weight_var, std::span<const double> noise,
                        double* one_minus_c, double* slope, int threads) {
  const std::size_t count = q.size();
  std::fill(one_minus_c, one_minus_c + count, kNan);
  std::fill(slope, slope + count, kNan);
  if (covariances.activation().row() == nullptr) threads = 1;
  const u64 chunks = (count + kLanesTogether - 1) / kLanesTogether;
  // f(delta) = q delta - weight_var gap(delta) - noise. It rises through the zero; without noise
  // delta = 0 is another zero, removed by dividing.
  parallel_for(chunks, threads, false, {}, [&](u64 chunk) {
    const std::size_t first = std::size_t(chunk) * kLanesTogether,
                      last = std::min(count, first + kLanesTogether);
    std::vector<Bracket> open;
    for (std::size_t lane = first; lane < last; ++lane)
      if (q[lane] > 0 && std::isfinite(q[lane]) && weight_var[lane] >= 0)
        open.push_back({0, 1, 1, true, lane});
    std::vector<double> at, delta, gap, kappa;
    for (int step = 0; step < kMostSteps && !open.empty(); ++step) {
      at.clear(), delta.clear();
      for (const Bracket& b : open) at.push_back(q[b.target]), delta.push_back(b.at);
      gap.resize(at.size()), kappa.resize(at.size());
      const Column variances = {at.data(), 1};
      covariances.evaluate(variances, variances, delta, true, {nullptr, kappa.data(), gap.data()},
                           1);
      std::size_t kept = 0;
      for (std::size_t k = 0; k < open.size(); ++k) {
        Bracket b = open[k];
        const double sw2 = weight_var[b.target], extra = noise[b.target], d = b.at;
        const double rate = sw2 * gap[k] / d;
        const double value = extra > 0 ? (at[k] - rate) * d - extra : at[k] - rate;
        const double change =
            extra > 0 ? at[k] * (1 - sw2 * kappa[k]) : (rate - sw2 * at[k] * kappa[k]) / d;
        // At delta = 1 an odd function without bias is exactly fixed: c = 0, but for the rounding
        // of the moments.
        const bool done = (step == 0 && value <= 0x1p-48 * at[k]) || advance(b, value, change);
        one_minus_c[b.target] = b.at;
        slope[b.target] = sw2 * kappa[k];
        if (!done) open[kept++] = b;
      }
      open.resize(kept);
    }
  });
}

}  // namespace fanin::engine
