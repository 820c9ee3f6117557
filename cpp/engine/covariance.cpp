#include "engine/covariance.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/dispatch.hpp"
#include "engine/parallel.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kAngleTerms = 20;     ///< coefficients in x of a piece
constexpr int kMostIntervals = 40;  ///< of x
constexpr double kFarEdge = 0.5;    ///< x at |c| = 1/2
constexpr std::size_t kChunk = 256;

const MomentTable& kernels() { return *table().moments; }

bool in_table(double q) { return q >= 0x1p-60 && q < 0x1p61; }

/// Number of the binary interval q lies in, and its variable in [-1, 1).
long piece_of(double q) {
  const int e = std::ilogb(q);
  return long(e) * kPieces + long((std::ldexp(q, -e) - 1.0) * kPieces);
}
double variable_of(double q) {
  const double scaled = (std::ldexp(q, -std::ilogb(q)) - 1.0) * kPieces;
  return 2.0 * (scaled - std::floor(scaled)) - 1.0;
}
/// q at Chebyshev point k of a piece.
double point_of(long piece, int k) {
  const long e = piece >= 0 ? piece / kPieces : -((-piece + kPieces - 1) / kPieces);
  const double j = double(piece - e * kPieces);
  return std::ldexp(1.0 + (j + 0.5 + 0.5 * kChebyshevPoint<kTerms>[std::size_t(k)]) / kPieces,
                    int(e));
}

double horner(const double* terms, int count, double t) {
  double sum = 0;
  for (int i = count - 1; i >= 0; --i) sum = sum * t + terms[i];
  return sum;
}

}  // namespace

// ---- Hermite's series ---------------------------------------------------------------------------

/// kTerms rows of kHermiteTerms: coefficients of the powers of the piece's variable.
struct Covariances::Series {
  std::vector<double> rows;
};

const Covariances::Series& Covariances::series(double q) const {
  const long piece = piece_of(q);
  const std::lock_guard<std::mutex> hold(building_);
  std::shared_ptr<Series>& found = series_[piece];
  if (found) return *found;
  auto made = std::make_shared<Series>();
  Nodes n = activation_.nodes(std::ilogb(q), 2);
  std::vector<double> phi(n.at.size()), slope(n.at.size()), curvature(n.at.size());
  activation_.apply(n.at.data(), n.at.size(), phi.data(), slope.data(), curvature.data());
  for (std::size_t j = 0; j < phi.size(); ++j) phi[j] *= n.weight[j];
  std::array<double, kTerms> points;
  for (int k = 0; k < kTerms; ++k) points[std::size_t(k)] = point_of(piece, k);
  std::vector<double> sums(std::size_t(kHermiteTerms) * kTerms);
  kernels().hermite_sums(n.at.data(), phi.data(), n.at.size(), points.data(), kTerms, sums.data());
  made->rows.resize(sums.size());
  for (int h = 0; h < kHermiteTerms; ++h) {
    const Parity parity = activation_.parity();
    if (parity != Parity::none && (h % 2 == 0) != (parity == Parity::even)) continue;
    const auto terms = polynomial_through<kTerms>(sums.data() + std::size_t(h) * kTerms);
    for (std::size_t t = 0; t < kTerms; ++t)
      made->rows[t * kHermiteTerms + std::size_t(h)] = terms[t];
  }
  found = std::move(made);
  return *found;
}

void Covariances::by_series(const double* q1, const double* q2, const double* c, std::size_t count,
                            const PairResult& out) const {
  const auto products = std::make_unique_for_overwrite<double[]>(count * kHermiteTerms);
  const auto derived =
      std::make_unique_for_overwrite<double[]>(out.slopes ? count * kHermiteTerms : 0);
  std::vector<const double*> row(count), derived_row(count);
  std::array<double, kHermiteTerms> a{}, b{};
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0 && q1[i] == q1[i - 1] && q2[i] == q2[i - 1]) {
      row[i] = row[i - 1], derived_row[i] = derived_row[i - 1];
      continue;
    }
    kernels().contract(series(q1[i]).rows.data(), kTerms, kHermiteTerms, variable_of(q1[i]),
                       a.data());
    if (q2[i] == q1[i])
      b = a;
    else
      kernels().contract(series(q2[i]).rows.data(), kTerms, kHermiteTerms, variable_of(q2[i]),
                         b.data());
    double* product = products.get() + i * kHermiteTerms;
    for (std::size_t n = 0; n < kHermiteTerms; ++n) product[n] = a[n] * b[n];
    row[i] = product;
    if (!out.slopes) continue;
    double* slope = derived.get() + i * kHermiteTerms;
    const double scale = 1.0 / (std::sqrt(q1[i]) * std::sqrt(q2[i]));
    for (std::size_t n = 0; n + 1 < kHermiteTerms; ++n)
      slope[n] = scale * double(n + 1) * product[n + 1];
    derived_row[i] = slope;
  }
  if (out.covariance) kernels().polynomials(row.data(), kHermiteTerms, c, count, out.covariance);
  if (out.slopes)
    kernels().polynomials(derived_row.data(), kHermiteTerms - 1, c, count, out.slopes);
  if (out.gap) {
    // The variance less the series without its constant term: phi(0) has dropped out of both.
    std::vector<double> inner(count);
    std::vector<const double*> rest(count);
    for (std::size_t i = 0; i < count; ++i) rest[i] = row[i] + 1;
    kernels().polynomials(rest.data(), kHermiteTerms - 1, c, count, inner.data());
    const int which = kVariance;
    activation_.moments({q1, count}, {&which, 1}, out.gap, 1);
    for (std::size_t i = 0; i < count; ++i) out.gap[i] -= c[i] * inner[i];
  }
}

// ---- |c| > 1/2, equal variances -----------------------------------------------------------------

/// E phi'(u) phi'(v) and its mean from the near end (c = 1, or -1 for sign -1) to c, as polynomials
/// in q and x. Interval 0 of x is [0, lowest], each next one twice as long, the last one ends at
/// 1/2.
struct Covariances::Near {
  int intervals = 1;
  double lowest = kFarEdge;
  std::vector<double> rows;               ///< an interval: kTerms rows of 2 kAngleTerms
  std::array<double, kTerms> opposite{};  ///< E phi(u) phi(-u), for sign -1

  int interval_of(double x) const {
    return x < lowest ? 0 : std::min(std::ilogb(x / lowest) + 1, intervals - 1);
  }
  double low(int interval) const { return interval == 0 ? 0.0 : std::ldexp(lowest, interval - 1); }
  double high(int interval) const { return std::ldexp(lowest, interval); }
  const double* row(int interval) const {
    return rows.data() + std::size_t(interval) * kTerms * 2 * kAngleTerms;
  }
};

const Covariances::Near& Covariances::near(double q, int sign) const {
  const long piece = piece_of(q);
  const std::lock_guard<std::mutex> hold(building_);
  std::shared_ptr<Near>& found = near_[2 * piece + (sign < 0)];
  if (found) return *found;
  auto made = std::make_shared<Near>();
  // Poles of phi at a distance of `unit` put singularities near x = i unit / (2 sqrt q); two kinks
  // at a distance d an essential one at 0, harmless while exp(-d^2 / (4 q x^2)) is below rounding.
  const double deviation = std::sqrt(point_of(piece, 0));
  double bound = 0.35 * activation_.unit() / deviation;
  for (const double a : activation_.kinks())
    for (const double b : activation_.kinks())
      if (a != b) bound = std::min(bound, std::fabs(a - b) / (12 * deviation));
  while (made->lowest > bound && made->intervals < kMostIntervals)
    made->lowest /= 2, ++made->intervals;

  const std::size_t columns = std::size_t(made->intervals) * kAngleTerms;
  std::vector<double> slopes(std::size_t(kTerms) * columns);
  const auto x_at = [&](std::size_t column) {
    const int interval = int(column / kAngleTerms);
    const double low = made->low(interval), high = made->high(interval);
    return 0.5 * (low + high) +
           0.5 * (high - low) * kChebyshevPoint<kAngleTerms>[column % kAngleTerms];
  };
  parallel_for(slopes.size(), activation_.row() ? 0 : 1, false, {}, [&](u64 task) {
    const double at = point_of(piece, int(task / columns)), x = x_at(task % columns);
    const double missing = 2 * x * x, c = sign * (1 - missing),
                 delta = sign > 0 ? missing : 2 - missing;
    double covariance;
    const ActivationRow* row = activation_.row();
    if (row != nullptr && row->closed_pair != nullptr)
      row->closed_pair(activation_.parameters(), &at, &at, &c, &delta, 1, &covariance,
                       &slopes[task]);
    else
      quadrature(at, at, c, delta, nullptr, &slopes[task]);
  });

  made->rows.resize(std::size_t(made->intervals) * kTerms * 2 * kAngleTerms);
  std::vector<double> means(slopes.size());
  for (std::size_t k = 0; k < kTerms; ++k) {
    double integral = 0;  // of 4 y kappa(y) from 0
    for (int interval = 0; interval < made->intervals; ++interval) {
      const std::size_t first = k * columns + std::size_t(interval) * kAngleTerms;
      const auto terms = polynomial_through<kAngleTerms>(slopes.data() + first);
      const double low = made->low(interval), half = 0.5 * (made->high(interval) - low);
      const auto up_to = [&](double x) {
        double sum = 0;
        for (int node = 0; node < kPanelNodes; ++node) {
          const PanelNode y = panel_node(low, x, node);
          sum += y.weight * 4 * y.at * horner(terms.data(), kAngleTerms, (y.at - low) / half - 1);
        }
        return integral + sum;
      };
      for (std::size_t j = 0; j < kAngleTerms; ++j) {
        const double x = x_at(std::size_t(interval) * kAngleTerms + j);
        means[first + j] = up_to(x) / (2 * x * x);
      }
      integral = up_to(made->high(interval));
    }
  }
  for (int interval = 0; interval < made->intervals; ++interval)
    for (int part = 0; part < 2; ++part) {
      const std::vector<double>& values = part == 0 ? slopes : means;
      std::array<std::array<double, kTerms>, kAngleTerms> by_power;
      for (std::size_t k = 0; k < kTerms; ++k) {
        const auto terms = polynomial_through<kAngleTerms>(values.data() + k * columns +
                                                           std::size_t(interval) * kAngleTerms);
        for (std::size_t j = 0; j < kAngleTerms; ++j) by_power[j][k] = terms[j];
      }
      double* to = made->rows.data() + std::size_t(interval) * kTerms * 2 * kAngleTerms +
                   std::size_t(part) * kAngleTerms;
      for (std::size_t j = 0; j < kAngleTerms; ++j) {
        const auto terms = polynomial_through<kTerms>(by_power[j].data());
        for (std::size_t t = 0; t < kTerms; ++t) to[t * 2 * kAngleTerms + j] = terms[t];
      }
    }
  const ActivationRow* row = activation_.row();
  if (sign < 0 && !(row != nullptr && row->closed_pair != nullptr)) {
    std::array<double, kTerms> opposite;
    for (int k = 0; k < kTerms; ++k) {
      const double at = point_of(piece, k);
      quadrature(at, at, -1.0, 2.0, &opposite[std::size_t(k)], nullptr);
    }
    made->opposite = polynomial_through<kTerms>(opposite.data());
  }
  found = std::move(made);
  return *found;
}

void Covariances::by_tables(const double* q, const double* c, const double* delta,
                            std::size_t count, const PairResult& out) const {
  constexpr std::size_t width = 2 * kAngleTerms;
  const auto contracted = std::make_unique_for_overwrite<double[]>(count * width);
  std::vector<double> t(count), slopes(count), means(count), second(count);
  std::vector<const double*> slope_row(count), mean_row(count);
  std::array<const Near*, 2> tables{};  // for c near 1 and near -1
  // Rows already contracted for the q at hand, by interval.
  std::array<std::array<const double*, kMostIntervals>, 2> ready{};
  std::vector<double> opposite(count);
  for (std::size_t i = 0; i < count; ++i) {
    const int sign = c[i] < 0 && activation_.parity() == Parity::none ? -1 : 1;
    const double missing = c[i] < 0 ? 1 + c[i] : delta[i];
    const double x = std::sqrt(0.5 * missing);
    const std::size_t side = sign < 0;
    if (i > 0 && q[i] != q[i - 1]) tables = {}, ready = {};
    if (tables[side] == nullptr) tables[side] = &near(q[i], sign);
    const Near* used = tables[side];
    const int interval = used->interval_of(x);
    const double*& last = ready[side][std::size_t(interval)];
    if (last == nullptr) {
      double* to = contracted.get() + i * width;
      kernels().contract(used->row(interval), kTerms, width, variable_of(q[i]), to);
      last = to;
    }
    slope_row[i] = last, mean_row[i] = last + kAngleTerms;
    const double low = used->low(interval), half = 0.5 * (used->high(interval) - low);
    t[i] = (x - low) / half - 1;
    if (sign < 0) opposite[i] = horner(used->opposite.data(), kTerms, variable_of(q[i]));
  }
  kernels().polynomials(mean_row.data(), kAngleTerms, t.data(), count, means.data());
  if (out.slopes)
    kernels().polynomials(slope_row.data(), kAngleTerms, t.data(), count, slopes.data());
  if (out.covariance || out.gap) {
    const int which = kSecond;
    activation_.moments({q, count}, {&which, 1}, second.data(), 1);
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

// ---- anything -----------------------------------------------------------------------------------

void Covariances::at_zero(double q1, double q2, double c, double delta, double* covariance,
                          double* slopes) const {
  // One of the inputs is 0 for certain.
  const double x[3] = {-0x1p-900, 0.0, 0x1p-900};
  double phi[3], slope[3], curvature[3];
  activation_.apply(x, 3, phi, slope, curvature);
  const double larger = std::max(q1, q2);
  if (covariance) *covariance = phi[1] * activation_.moment(larger, kMean);
  if (!slopes) return;
  // Both 0: the limit of small equal variances. Signs agree with probability 1/2 + asin(c)/pi.
  const double left = slope[0], right = slope[2];
  if (left == right || larger > 0) {
    *slopes = larger > 0 ? kNan : left * right;
    return;
  }
  const double one = 1;
  double agree[2] = {0.5, 0};  // probability that both are positive
  for (const ActivationRow& row : kernels().activations)
    if (std::strcmp(row.facts.name, "step") == 0)
      row.closed_pair(nullptr, &one, &one, &c, &delta, 1, agree, agree + 1);
  const double same = 2 * agree[0];
  *slopes = same * 0.5 * (left * left + right * right) + (1 - same) * left * right;
}

void Covariances::prepare(std::span<const double> q1, std::span<const double> q2,
                          std::span<const double> c, bool gap) const {
  // Tables are made by the calling thread, which may have to ask Python for values.
  const bool closed = activation_.row() != nullptr && activation_.row()->closed_pair != nullptr;
  double last1 = 0, last2 = 0, last_near = 0;
  int last_sign = 0;
  for (std::size_t i = 0; i < q1.size(); ++i) {
    if (!in_table(q1[i]) || !in_table(q2[i])) continue;
    if (closed && (c[i] < -0.5 || (c[i] <= 0.5 && q1[i] > 1))) continue;
    if (std::fabs(c[i]) <= 0.5) {
      if (q1[i] != last1) series(q1[i]), last1 = q1[i];
      if (q2[i] != last2) series(q2[i]), last2 = q2[i];
    } else if (q1[i] == q2[i] && !activation_.value_jumps() &&
               (gap || activation_.row() != nullptr)) {
      const int sign = c[i] < 0 && activation_.parity() == Parity::none ? -1 : 1;
      if (q1[i] != last_near || sign != last_sign) near(q1[i], sign);
      last_near = q1[i], last_sign = sign;
    }
  }
}

void Covariances::evaluate(std::span<const double> q1, std::span<const double> q2,
                           std::span<const double> c, std::span<const double> delta,
                           const PairResult& out, int threads) const {
  const std::size_t count = q1.size();
  const ActivationRow* row = activation_.row();
  const bool closed = row != nullptr && row->closed_pair != nullptr;
  if (row == nullptr) threads = 1;
  if (!closed || out.gap) prepare(q1, q2, c, out.gap != nullptr);
  const auto good = [&](std::size_t i) {
    return q1[i] >= 0 && q1[i] < kInfinity && q2[i] >= 0 && q2[i] < kInfinity && c[i] >= -1 &&
           c[i] <= 1;
  };
  enum Kind : char { kBad, kZero, kSeries, kTables, kAny };
  const auto kind_of = [&](std::size_t i) {
    if (!good(i)) return kBad;
    if (q1[i] < 0x1p-1000 || q2[i] < 0x1p-1000) return kZero;
    if (!in_table(q1[i]) || !in_table(q2[i])) return kAny;
    if (std::fabs(c[i]) <= 0.5) return closed && q1[i] > 1 ? kAny : kSeries;
    if (row == nullptr && !out.gap) return kAny;  // a table of a user's function is 220 quadratures
    // From the opposite end (c < 0) a closed form loses nothing.
    return q1[i] == q2[i] && !activation_.value_jumps() && !(closed && c[i] < 0) ? kTables : kAny;
  };
  const auto chunk_of = [&](std::size_t from, std::size_t n) {
    std::array<Kind, kChunk> kind;
    std::array<double, kChunk> a, b, cc, dd, covariance, slopes, gap;
    for (std::size_t i = 0; i < n; ++i) kind[i] = kind_of(from + i);
    const PairResult own = {out.covariance ? covariance.data() : nullptr,
                            out.slopes ? slopes.data() : nullptr, out.gap ? gap.data() : nullptr};
    for (const Kind now : {kSeries, kTables}) {
      std::size_t many = 0;
      for (std::size_t i = 0; i < n; ++i)
        if (kind[i] == now) {
          a[many] = q1[from + i], b[many] = q2[from + i], cc[many] = c[from + i],
          dd[many] = delta[from + i];
          ++many;
        }
      if (many == 0) continue;
      now == kSeries ? by_series(a.data(), b.data(), cc.data(), many, own)
                     : by_tables(a.data(), cc.data(), dd.data(), many, own);
      many = 0;
      for (std::size_t i = 0; i < n; ++i)
        if (kind[i] == now) {
          if (out.covariance) out.covariance[from + i] = covariance[many];
          if (out.slopes) out.slopes[from + i] = slopes[many];
          if (out.gap) out.gap[from + i] = gap[many];
          ++many;
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (kind[i] == kSeries || kind[i] == kTables) continue;
      const std::size_t at = from + i;
      if (closed) {  // the gap where nothing cancels: from the closed form
        double value = kNan, slope = kNan;
        if (good(at))
          row->closed_pair(activation_.parameters(), &q1[at], &q2[at], &c[at], &delta[at], 1,
                           &value, &slope);
        out.gap[at] = q1[at] == q2[at] ? activation_.moment(q1[at], kSecond) - value : kNan;
        continue;
      }
      double value = kNan, slope = kNan;
      double* const wanted = out.covariance || out.gap ? &value : nullptr;
      if (kind[i] == kZero) at_zero(q1[at], q2[at], c[at], delta[at], wanted, &slope);
      if (kind[i] == kAny)
        quadrature(q1[at], q2[at], c[at], delta[at], wanted, out.slopes ? &slope : nullptr);
      if (out.covariance) out.covariance[at] = value;
      if (out.slopes) out.slopes[at] = slope;
      if (out.gap)
        out.gap[at] = q1[at] == q2[at] ? activation_.moment(q1[at], kSecond) - value : kNan;
    }
  };
  const auto chunk_closed = [&](std::size_t from, std::size_t n) {
    std::array<double, kChunk> covariance, slopes;
    row->closed_pair(activation_.parameters(), q1.data() + from, q2.data() + from, c.data() + from,
                     delta.data() + from, n, covariance.data(), slopes.data());
    for (std::size_t i = 0; i < n; ++i) {
      const bool fine = good(from + i);
      if (out.covariance) out.covariance[from + i] = fine ? covariance[i] : kNan;
      if (out.slopes) out.slopes[from + i] = fine ? slopes[i] : kNan;
    }
  };
  const u64 chunks = (count + kChunk - 1) / kChunk;
  parallel_for(chunks, chunks < 4 ? 1 : threads, false, {}, [&](u64 chunk) {
    const std::size_t from = std::size_t(chunk) * kChunk, n = std::min(count - from, kChunk);
    if (!closed || out.gap) chunk_of(from, n);
    if (closed) chunk_closed(from, n);
  });
}

}  // namespace fanin::engine
