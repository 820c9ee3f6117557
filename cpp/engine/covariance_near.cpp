// Covariances where |c| > 1/2 and the variances are equal: tables of polynomials in q and x.
#include <algorithm>
#include <cmath>

#include "engine/covariance_tables.hpp"
#include "engine/far_moments.hpp"
#include "engine/functions.hpp"
#include "engine/moment_tables.hpp"
#include "engine/parallel.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {
namespace {

constexpr double kSmaller = 0x1p-2;  ///< where pairs are series, over where moments are
constexpr double kEnded = 0x1p-41;   ///< the next term is smaller by a factor of 20

}  // namespace

Intervals intervals_at(const Activation& activation, double q) {
  Intervals made;
  // Poles of phi at a distance of `unit` put singularities near x = i unit / (2 sqrt q); two kinks
  // at a distance d an essential one at 0, harmless while exp(-d^2 / (4 q x^2)) is below rounding.
  const double deviation = std::sqrt(point_of(piece_of(q), 0));
  double bound = 0.35 * activation.unit() / deviation;
  for (const double a : activation.kinks())
    for (const double b : activation.kinks())
      if (a != b) bound = std::min(bound, std::fabs(a - b) / (12 * deviation));
  while (made.lowest > bound && made.count < kMostIntervals) made.lowest /= 2, ++made.count;
  return made;
}

double Covariances::slopes_at(double q, double x, int sign) const {
  if (closed()) return closed_slopes(q, {x}, sign)[0];
  const double missing = 2 * x * x;
  double slopes;
  quadrature(q, q, sign * (1 - missing), missing, {nullptr, &slopes, nullptr});
  return slopes;
}

std::vector<double> Covariances::closed_slopes(double q, const std::vector<double>& x,
                                               int sign) const {
  const std::size_t count = x.size();
  std::vector<double> all(5 * count);  // q, c, 1 - c, the covariance, that of slopes
  double *const same = all.data(), *const c = same + count, *const delta = c + count;
  for (std::size_t i = 0; i < count; ++i) {
    const double missing = 2 * x[i] * x[i];
    same[i] = q, c[i] = sign * (1 - missing), delta[i] = sign > 0 ? missing : 2 - missing;
  }
  activation_.row()->closed_pair(activation_.parameters(), same, same, c, delta, count,
                                 delta + count, delta + 2 * count);
  all.erase(all.begin(), all.end() - std::ptrdiff_t(count));
  return all;
}

double Covariances::mean_slope(double q, double x, int sign) const {
  if (!closed()) {
    const double missing = 2 * x * x;
    double mean;
    quadrature(q, q, sign * (1 - missing), missing, {nullptr, nullptr, nullptr, &mean});
    return mean;
  }
  const Intervals intervals = intervals_at(activation_, q);
  std::vector<double> at, weight;
  for (int i = 0; i < intervals.count && intervals.low(i) < x; ++i)
    for (int node = 0; node < kPanelNodes; ++node) {
      const PanelNode y = panel_node(intervals.low(i), std::min(x, intervals.high(i)), node);
      at.push_back(y.at), weight.push_back(y.weight);
    }
  const std::vector<double> slopes = closed_slopes(q, at, sign);
  double integral = 0;  // of 4 y kappa(y)
  for (std::size_t i = 0; i < at.size(); ++i) integral += weight[i] * 4 * at[i] * slopes[i];
  return integral / (2 * x * x);
}

const Covariances::Near& Covariances::near(double q, int sign, int interval) const {
  if (const Near* far = far_near(q, sign, interval)) return *far;
  const long piece = piece_of(q);
  const long number = (long(interval) << 32) + 2 * piece + (sign < 0);
  if (const Near* found = near_.find(number)) return *found;
  auto made = std::make_unique<Near>();
  const Intervals intervals = intervals_at(activation_, q);
  std::array<double, kTerms> at;
  for (int k = 0; k < kTerms; ++k) at[std::size_t(k)] = point_of(piece, k);
  tabulate(at.data(), intervals.low(interval), intervals.high(interval), sign, *made);
  return near_.keep(number, std::move(made));
}

const Covariances::Near* Covariances::far_near(double q, int sign, int interval) const {
  const Intervals intervals = intervals_at(activation_, q);
  const double low = intervals.low(interval);
  const double small = kSmaller * activation_.series_edge(false);
  const bool high = q * low * low >= activation_.series_edge(true);
  if (!high && (q >= small || intervals.count > 1)) return nullptr;
  const long number = 2 * (intervals.count - 1 - interval) + (sign < 0);
  const Near* found = far_near_.find(high ? number + 2 : number);
  if (found == nullptr) {
    auto made = std::make_unique<Near>();
    made->high = high;
    made->width = high ? low / std::sqrt(activation_.series_edge(true)) : std::sqrt(small);
    const auto power = activation_.powers(high);
    made->opposite_power = power[kSecond];
    // Where phi changes about 0 only, both inputs have to lie there.
    made->slope_power = high && power[kSecond] < 2 ? -2 : power[kSlopeSecond];
    std::array<double, kTerms> at;
    for (std::size_t k = 0; k < kTerms; ++k) {
      const double root = 0.5 * made->width * (1 + kChebyshevPoint<kTerms>[k]);
      at[k] = high ? 1 / (root * root) : root * root;
    }
    tabulate(at.data(), low, intervals.high(interval), sign, *made);
    found = &far_near_.keep(high ? number + 2 : number, std::move(made));
  }
  return found->fits ? found : nullptr;
}

void Covariances::tabulate(const double* q, double low, double high, int sign, Near& made) const {
  const double half = 0.5 * (high - low);
  const auto x_at = [&](std::size_t column) {
    return 0.5 * (low + high) + half * kChebyshevPoint<kAngleTerms>[column];
  };
  // One column more than points: the mean at the interval's beginning.
  constexpr std::size_t columns = kAngleTerms + 1;
  std::array<double, std::size_t(kTerms) * columns> values{};
  parallel_for(values.size(), activation_.row() ? 0 : 1, false, {}, [&](u64 task) {
    const double at = q[task / columns];
    const std::size_t column = task % columns;
    if (column < kAngleTerms)
      values[task] = slopes_at(at, x_at(column), sign);
    else if (low > 0)
      values[task] = mean_slope(at, low, sign);
  });

  std::array<std::array<double, kTerms>, 2 * std::size_t(kAngleTerms)> by_power;
  for (std::size_t k = 0; k < kTerms; ++k) {
    double* const own = values.data() + k * columns;
    if (made.slope_power != 0)
      for (std::size_t j = 0; j < columns; ++j)
        own[j] /= to_power(std::sqrt(q[k]), made.slope_power);
    const auto slopes = polynomial_through<kAngleTerms>(own);
    const double before = 2 * low * low * own[kAngleTerms];
    std::array<double, kAngleTerms> mean_at;
    for (std::size_t j = 0; j < kAngleTerms; ++j) {
      const double x = x_at(j);
      double sum = before;
      for (int node = 0; node < kPanelNodes; ++node) {
        const PanelNode y = panel_node(low, x, node);
        sum += y.weight * 4 * y.at * horner(slopes.data(), kAngleTerms, (y.at - low) / half - 1);
      }
      mean_at[j] = sum / (2 * x * x);
    }
    const auto means = polynomial_through<kAngleTerms>(mean_at.data());
    for (std::size_t j = 0; j < kAngleTerms; ++j)
      by_power[j][k] = slopes[j], by_power[kAngleTerms + j][k] = means[j];
  }
  made.rows.resize(kTerms * by_power.size());
  for (std::size_t j = 0; j < by_power.size(); ++j) {
    const auto series = chebyshev_series<kTerms>(by_power[j].data());
    if (made.width != 0 && j % kAngleTerms == 0) made.fits = made.fits && ended(series, kEnded);
    const auto terms = in_powers<kTerms>(series);
    for (std::size_t t = 0; t < kTerms; ++t) made.rows[t * by_power.size() + j] = terms[t];
  }
  if (sign < 0 && !closed()) {
    std::array<double, kTerms> opposite;
    for (std::size_t k = 0; k < kTerms; ++k) {
      quadrature(q[k], q[k], -1.0, 0.0, {&opposite[k]});
      if (made.opposite_power != 0) opposite[k] /= to_power(std::sqrt(q[k]), made.opposite_power);
    }
    made.opposite = polynomial_through<kTerms>(opposite.data());
  }
}

double Covariances::contract(const Near& used, double q, double* to) const {
  constexpr std::size_t width = 2 * kAngleTerms;
  const double t = used.variable(q);
  kernels().contract(used.rows.data(), kTerms, width, t, to);
  if (used.slope_power != 0) {
    const double scale = to_power(std::sqrt(q), used.slope_power);
    for (std::size_t j = 0; j < width; ++j) to[j] *= scale;
  }
  const double opposite = horner(used.opposite.data(), kTerms, t);
  return used.opposite_power == 0 ? opposite
                                  : opposite * to_power(std::sqrt(q), used.opposite_power);
}

void Covariances::by_tables(const double* q, const double* c, const double* delta,
                            std::size_t count, const PairResult& out) const {
  constexpr std::size_t width = 2 * kAngleTerms;
  const auto contracted = std::make_unique_for_overwrite<double[]>(count * width);
  std::vector<double> t(count), slopes(count), means(count), second(count);
  std::vector<const double*> slope_row(count), mean_row(count);
  // Rows already contracted for the q at hand, by interval; for c near 1 and near -1.
  std::array<std::array<const double*, kMostIntervals>, 2> ready{};
  std::array<std::array<double, kMostIntervals>, 2> ends{};
  Intervals intervals;
  std::vector<double> opposite(count);
  for (std::size_t i = 0; i < count; ++i) {
    const int sign = c[i] < 0 && activation_.parity() == Parity::none ? -1 : 1;
    const double missing = c[i] < 0 ? 1 + c[i] : delta[i];
    const double x = std::sqrt(0.5 * missing);
    const std::size_t side = sign < 0;
    if (i == 0 || q[i] != q[i - 1]) ready = {}, intervals = intervals_at(activation_, q[i]);
    const int interval = intervals.of(x);
    const double*& last = ready[side][std::size_t(interval)];
    if (last == nullptr) {
      double* to = contracted.get() + i * width;
      const double end = contract(near(q[i], sign, interval), q[i], to);
      last = to;
      if (sign < 0) ends[1][std::size_t(interval)] = end;
    }
    slope_row[i] = last, mean_row[i] = last + kAngleTerms;
    const double low = intervals.low(interval), half = 0.5 * (intervals.high(interval) - low);
    t[i] = (x - low) / half - 1;
    opposite[i] = ends[side][std::size_t(interval)];
  }
  kernels().polynomials(mean_row.data(), kAngleTerms, t.data(), count, means.data());
  if (out.slopes)
    kernels().polynomials(slope_row.data(), kAngleTerms, t.data(), count, slopes.data());
  if (out.covariance || out.gap) {
    const int which = kSecond;
    activation_.moments_here({q, count}, {&which, 1}, second.data());
  }
  const double parity = double(int(activation_.parity()));
  for (std::size_t i = 0; i < count; ++i) {
    const bool left = c[i] < 0;
    const double missing = left ? 1 + c[i] : delta[i];
    const double lost = q[i] * missing * means[i];
    double value = second[i] - lost;
    if (left) value = parity == 0 ? opposite[i] + lost : parity * value;
    if (out.covariance) out.covariance[i] = value;
    if (out.gap) out.gap[i] = left ? second[i] - value : lost;
    // phi' of an odd function is even, of an even one odd.
    if (out.slopes) out.slopes[i] = left && parity != 0 ? -parity * slopes[i] : slopes[i];
  }
}

}  // namespace fanin::engine
