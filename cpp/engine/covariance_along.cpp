// Covariances for many correlations at one pair of variances. The polynomials in q are evaluated
// once; points are sorted by the polynomial in c or x that serves them, and each polynomial meets
// its points in one run. The operations on a point are those of the other ways.
#include <cmath>
#include <span>
#include <utility>

#include "engine/covariance_tables.hpp"
#include "engine/moment_tables.hpp"

namespace fanin::engine {
namespace {

constexpr std::size_t kWidth = 2 * kAngleTerms;  ///< slopes, then means
/// Keys of the runs: the series, the intervals of x for c > 0 and for c < 0, all other points.
constexpr std::size_t kKeys = 2 + 2 * kMostIntervals, kOthers = kKeys - 1;
/// Neighbours are counted apart, so that no count waits for the one before.
constexpr std::size_t kWays = 4;
constexpr std::size_t key_of(bool left, int interval) {
  return 1 + (left ? std::size_t(kMostIntervals) : 0) + std::size_t(interval);
}

}  // namespace

struct Covariances::Along {
  double q1, q2, second, variance;
  bool series = false;  ///< for abs c <= 1/2
  std::array<double, kHermiteTerms> product{}, derived{};
  struct Side {
    bool there = false;
    int exponent = 0;  ///< of the end of the first interval
    double opposite = 0;
    Intervals at;
    std::vector<double> rows;
  } side[2];  ///< c > 1/2 and c < -1/2
  /// x on [0, 1/2] becomes the variable of its interval, (x - low) inverse - 1; c of the series
  /// stays.
  std::array<double, kKeys> low{}, inverse{1}, shift{};
};

std::shared_ptr<Covariances::Along> Covariances::along(double q1, double q2,
                                                       std::span<const double> x, bool missing,
                                                       const PairResult& wanted) const {
  const bool gap = wanted.gap != nullptr;
  bool middle = false;
  double nearest[2] = {1, 1};  // of 1 - |c|, for c > 1/2 and c < -1/2
  for (const double given : x) {
    const double c = missing ? 1.0 - given : given, gaps[2] = {missing ? given : 1.0 - c, 1.0 + c};
    middle |= std::fabs(c) <= 0.5;
    for (int left = 0; left < 2; ++left)
      nearest[left] = gaps[left] < nearest[left] ? gaps[left] : nearest[left];
  }
  auto made = std::make_shared<Along>();
  made->q1 = q1, made->q2 = q2;
  made->series = kind_of(q1, q2, 0.0, gap) == Kind::series;
  made->side[0].there = kind_of(q1, q2, 1.0, gap) == Kind::tables;
  made->side[1].there = kind_of(q1, q2, -1.0, gap) == Kind::tables;
  // One polynomial at least must do the work.
  if (!made->series && !made->side[0].there) return nullptr;
  if (made->series && middle) {
    std::array<double, kHermiteTerms> a{}, b{};
    kernels().contract(series(q1).rows.data(), kTerms, kHermiteTerms, variable_of(q1), a.data());
    kernels().contract(series(q2).rows.data(), kTerms, kHermiteTerms, variable_of(q2), b.data());
    for (std::size_t n = 0; n < kHermiteTerms; ++n) made->product[n] = a[n] * b[n];
    const double scale = 1.0 / (std::sqrt(q1) * std::sqrt(q2));
    for (std::size_t n = 0; n + 1 < kHermiteTerms; ++n)
      made->derived[n] = scale * double(n + 1) * made->product[n + 1];
  }
  for (int left = 0; left < 2; ++left) {
    Along::Side& side = made->side[left];
    if (!side.there || nearest[left] > 0.5) continue;
    const int sign = left != 0 && activation_.parity() == Parity::none ? -1 : 1;
    side.at = intervals_at(activation_, q1);
    side.exponent = exponent_of(side.at.lowest);
    side.rows.resize(std::size_t(side.at.count) * kWidth);
    const double x_nearest = std::sqrt(0.5 * std::max(0.0, nearest[left]));
    for (int interval = side.at.of(x_nearest); interval < side.at.count; ++interval) {
      side.opposite =
          contract(near(q1, sign, interval), q1, side.rows.data() + std::size_t(interval) * kWidth);
      const double low = side.at.low(interval), half = 0.5 * (side.at.high(interval) - low);
      made->low[key_of(left != 0, interval)] = low;
      made->inverse[key_of(left != 0, interval)] = 1.0 / half;  // a power of two: exact
      made->shift[key_of(left != 0, interval)] = 1;
    }
  }
  made->second = activation_.moment(q1, kSecond);
  made->variance = activation_.moment(q1, kVariance);
  return made;
}

void Covariances::by_along(const Along& line, const Points& p, const PairResult& out) const {
  const std::size_t n = p.count;
  std::array<unsigned char, kChunk> key;
  std::array<double, kChunk> variable, apart;
  std::array<std::size_t, kKeys * kWays> next{};
  // Choices between values are made by indices: correlations come in any order, and a branch
  // mistaken costs more than all the rest.
  for (std::size_t i = 0; i < n; ++i) {
    const double c = p.c[i], gaps[2] = {p.delta[i], 1.0 + c};
    const bool left = c < 0, middle = std::fabs(c) <= 0.5;
    apart[i] = gaps[left];
    const double sides[2] = {std::sqrt(0.5 * apart[i]), c};
    const Along::Side& side = line.side[left];
    const int above = exponent_of(sides[0]) - side.exponent + 1;
    const int interval = std::max(0, std::min(above, side.at.count - 1));
    const bool served[2] = {side.there && c == c, line.series};
    const std::size_t keys[2] = {key_of(left, interval), 0};
    const std::size_t own = served[middle] ? keys[middle] : kOthers;
    key[i] = (unsigned char)(own);
    variable[i] = (sides[middle] - line.low[own]) * line.inverse[own] - line.shift[own];
    ++next[own * kWays + i % kWays];
  }
  std::array<std::size_t, kKeys + 1> begin;
  std::size_t sum = 0;
  for (std::size_t k = 0; k < kKeys; ++k) {
    begin[k] = sum;
    for (std::size_t way = 0; way < kWays; ++way) sum += std::exchange(next[k * kWays + way], sum);
  }
  begin[kKeys] = sum;
  std::array<unsigned short, kChunk> place;
  std::array<double, kChunk> t, missing, covariance, slopes, gap;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t at = next[key[i] * kWays + i % kWays]++;
    place[i] = (unsigned short)(at);
    t[at] = variable[i], missing[at] = apart[i];
  }
  if (begin[kOthers] < n) {
    Points others;
    others.count = 0;
    for (std::size_t way = 0; way < kWays; ++way)
      for (std::size_t i = way; i < n; i += kWays)
        if (key[i] == kOthers) others.add(p, i);
    const std::size_t at = begin[kOthers];
    by_kind(others,
            {out.covariance ? covariance.data() + at : nullptr,
             out.slopes ? slopes.data() + at : nullptr, out.gap ? gap.data() + at : nullptr});
  }
  const auto evaluate_run = [&](const double* terms, int count, std::size_t k, double* to) {
    kernels().polynomial(terms, count, t.data() + begin[k], begin[k + 1] - begin[k], to + begin[k]);
  };
  if (begin[1] > 0) {
    if (out.covariance) evaluate_run(line.product.data(), kHermiteTerms, 0, covariance.data());
    if (out.slopes) evaluate_run(line.derived.data(), kHermiteTerms - 1, 0, slopes.data());
    if (out.gap) {
      evaluate_run(line.product.data() + 1, kHermiteTerms - 1, 0, gap.data());
      for (std::size_t i = 0; i < begin[1]; ++i) gap[i] = line.variance - t[i] * gap[i];
    }
  }
  const double parity = double(int(activation_.parity()));
  for (std::size_t k = 1; k < kOthers; ++k) {
    if (begin[k] == begin[k + 1]) continue;
    const bool left = k >= key_of(true, 0);
    const Along::Side& side = line.side[left];
    const double* row = side.rows.data() + (k - key_of(left, 0)) * kWidth;
    std::array<double, kChunk> means;
    evaluate_run(row + kAngleTerms, kAngleTerms, k, means.data());
    if (out.slopes) evaluate_run(row, kAngleTerms, k, slopes.data());
    for (std::size_t i = begin[k]; i < begin[k + 1]; ++i) {
      const double lost = line.q1 * missing[i] * means[i];
      double value = line.second - lost;
      if (left) value = parity == 0 ? side.opposite + lost : parity * value;
      covariance[i] = value;
      gap[i] = left ? line.second - value : lost;
    }
    if (out.slopes && left && parity != 0)
      for (std::size_t i = begin[k]; i < begin[k + 1]; ++i) slopes[i] *= -parity;
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (out.covariance) out.covariance[i] = covariance[place[i]];
    if (out.slopes) out.slopes[i] = slopes[place[i]];
    if (out.gap) out.gap[i] = gap[place[i]];
  }
}

}  // namespace fanin::engine
