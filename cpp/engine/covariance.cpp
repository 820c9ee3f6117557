#include "engine/covariance_tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/functions.hpp"
#include "engine/moment_tables.hpp"
#include "engine/parallel.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {

Covariances::~Covariances() = default;

double point_of(long piece, int k) {
  const long e = piece >= 0 ? piece / kPieces : -((-piece + kPieces - 1) / kPieces);
  const double j = double(piece - e * kPieces);
  return std::ldexp(1.0 + (j + 0.5 + 0.5 * kChebyshevPoint<kTerms>[std::size_t(k)]) / kPieces,
                    int(e));
}

long piece_of(double q) {
  const int e = std::ilogb(q);
  return long(e) * kPieces + long((std::ldexp(q, -e) - 1.0) * kPieces);
}
double variable_of(double q) {
  const double scaled = (std::ldexp(q, -std::ilogb(q)) - 1.0) * kPieces;
  return 2.0 * (scaled - std::floor(scaled)) - 1.0;
}

double horner(const double* terms, int count, double t) {
  double sum = 0;
  for (int i = count - 1; i >= 0; --i) sum = sum * t + terms[i];
  return sum;
}

// ---- quadrature ---------------------------------------------------------------------------------

// The trapezoidal rule in log t; the integrands are analytic where |Im log t| < pi/2.
Covariances::Covariances(const Activation& activation) : activation_(activation) {
  const ActivationRow* row = activation.row();
  if (row == nullptr || row->mixture == nullptr) return;
  constexpr double step = 0.3;                  // leaves exp(-pi^2 / step) = 5e-15
  constexpr int first = -385, terms = 16 * 33;  // t from 1e-50 to 1e17
  std::vector<double> exponent(terms);
  for (int i = 0; i < terms; ++i) exponent[std::size_t(i)] = step * (first + i);
  mixture_.t.resize(terms), mixture_.slope.resize(terms), mixture_.value.resize(terms);
  engine::evaluate("exp", exponent.data(), mixture_.t.data(), terms);
  row->mixture(mixture_.t.data(), terms, mixture_.slope.data());
  constexpr double half_root_pi = 0x1.c5bf891b4ef6bp-1;
  for (std::size_t i = 0; i < terms; ++i) {
    mixture_.slope[i] *= step * mixture_.t[i];
    mixture_.value[i] = half_root_pi * mixture_.slope[i] / std::sqrt(mixture_.t[i]);
  }
}

void Covariances::by_mixture(double q1, double q2, double c, double missing,
                             const PairResult& out) const {
  // Terms that vary over far more than the signal, 1e-17 of the sums, go in whole blocks.
  constexpr double slowest = 1e-17, least = 1e-30;
  constexpr std::size_t block = 16;
  std::size_t from = 0;
  while (mixture_.t[from + block - 1] * std::max(q1, q2) < slowest) from += block;
  std::size_t to = mixture_.t.size();
  while (mixture_.slope[to - block] < least) to -= block;
  // What a term of phi or phi' can contribute, as a part of the whole.
  const std::size_t count = to - from;
  const auto bounds = [&](double q) {
    std::vector<double> bound(count);
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double a = 2 * mixture_.t[from + i] * q;
      bound[i] = out.covariance ? mixture_.value[from + i] * std::sqrt(a / (1 + a))
                                : mixture_.slope[from + i] / std::sqrt(1 + a);
      sum += bound[i];
    }
    for (double& each : bound) each /= sum;
    return bound;
  };
  const std::vector<double> bound = bounds(q1), other = bounds(q2);
  std::vector<double> of_block(count / block);
  for (std::size_t i = 0; i < count; ++i)
    of_block[i / block] = std::max(of_block[i / block], other[i]);
  const bool left = c < 0;
  kernels().mixture_sums({mixture_.t.data() + from, mixture_.slope.data() + from,
                          mixture_.value.data() + from, bound.data(), of_block.data(), count, q1,
                          q2, std::fabs(c), missing, out.covariance, out.slopes, out.mean_slope});
  if (left && out.covariance) *out.covariance = -*out.covariance;  // such a phi is odd
}

void Covariances::quadrature(double q1, double q2, double c, double missing,
                             const PairResult& out) const {
  constexpr double fewest_mixed = 16;
  if (!mixture_.t.empty() && std::min(q1, q2) >= fewest_mixed)
    by_mixture(q1, q2, c, missing, out);
  else
    by_panels(q1, q2, c, missing, out);
}

// ---- Hermite's series ---------------------------------------------------------------------------

const Covariances::Series& Covariances::series(double q) const {
  const long piece = piece_of(q);
  if (const Series* found = series_.find(piece)) return *found;
  listen();
  auto made = std::make_unique<Series>();
  Nodes n = activation_.nodes(std::ilogb(q), 2);
  std::vector<double> phi(n.at.size()), slope(n.at.size()), curvature(n.at.size());
  activation_.apply(n.at.data(), n.at.size(), phi.data(), slope.data(), curvature.data());
  std::array<double, kTerms> points;
  for (int k = 0; k < kTerms; ++k) points[std::size_t(k)] = point_of(piece, k);
  // Small signals: phi(0) would hide the rest of phi, so the terms come from phi', sqrt(n) a_n =
  // sqrt(q) E phi' he_(n-1) (Stein 1981).
  const double root = std::sqrt(points[0]) / activation_.unit();
  const bool by_slopes = activation_.row() && !activation_.value_jumps() && root < 0.25;
  const std::vector<double>& of = by_slopes ? slope : phi;
  std::vector<double> weighted(n.weight);
  for (std::size_t j = 0; j < weighted.size(); ++j) weighted[j] *= of[j];
  std::vector<double> sums(std::size_t(kHermiteTerms) * kTerms);
  kernels().hermite_sums(n.at.data(), weighted.data(), n.at.size(), points.data(), kTerms,
                         sums.data());
  if (by_slopes) {
    for (std::size_t h = kHermiteTerms - 1; h > 0; --h)
      for (std::size_t k = 0; k < kTerms; ++k)
        sums[h * kTerms + k] = std::sqrt(points[k] / double(h)) * sums[(h - 1) * kTerms + k];
    const int which = kMean;
    activation_.moments_here(points, {&which, 1}, sums.data());
  }
  made->rows.resize(sums.size());
  for (int h = 0; h < kHermiteTerms; ++h) {
    const Parity parity = activation_.parity();
    if (parity != Parity::none && (h % 2 == 0) != (parity == Parity::even)) continue;
    const auto terms = polynomial_through<kTerms>(sums.data() + std::size_t(h) * kTerms);
    for (std::size_t t = 0; t < kTerms; ++t)
      made->rows[t * kHermiteTerms + std::size_t(h)] = terms[t];
  }
  return series_.keep(piece, std::move(made));
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
    activation_.moments_here({q1, count}, {&which, 1}, out.gap);
    for (std::size_t i = 0; i < count; ++i) out.gap[i] -= c[i] * inner[i];
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

Covariances::Kind Covariances::kind_of(double q1, double q2, double c, bool gap) const {
  if (!good(q1, q2, c)) return Kind::bad;
  if (q1 == 0 || q2 == 0) return Kind::zero;
  if (std::fabs(c) <= 0.5) return closed() && q1 > 1 ? Kind::any : Kind::series;
  // A table of a user's function is 220 quadratures. From the opposite end (c < 0) a closed form
  // loses nothing.
  const bool tables =
      q1 == q2 && !activation_.value_jumps() && (gap || activation_.row()) && !(closed() && c < 0);
  return tables ? Kind::tables : Kind::any;
}

// Where the two inputs are far from each other on the scale of phi, y = |u - v| being large, values
// depend on the correlation alone; where they are close, on y. Both hold in between, where the
// values are powers of y.
Covariances::Shift Covariances::folded(double& q1, double& q2, double& c, double& delta) const {
  constexpr int between = 72;  // log2 of y^2 there
  const Folded one = engine::folded(q1), other = engine::folded(q2);
  if (one.folds == 0 && other.folds == 0) return {};
  const bool equal = q1 == q2;
  const int exponent = std::ilogb(one.q) + 2 * one.folds;
  q1 = one.q, q2 = other.q;
  Shift shift;
  for (const Folded& each : {one, other}) {
    if (each.folds == 0) continue;
    const auto power = activation_.powers(each.folds > 0);
    const int second = power[kSecond], slope = power[kSlopeSecond];
    const bool local = each.folds > 0 && second < 2;  // phi changes about 0 only
    shift.covariance += each.folds * second;
    shift.slopes += each.folds * (local ? (slope < 0 ? -2 : 0) : slope);
    shift.gap = each.folds * power[each.folds > 0 ? kSecond : kVariance];
    shift.near = local && equal && c > 0 && (delta == 0 || std::ilogb(q1 * delta) < between);
  }
  shift.covariance /= 2, shift.slopes /= 2;
  if (!shift.near) return shift;
  const auto power = activation_.powers(true);
  const int second = power[kSecond], slope = power[kSlopeSecond];
  // Folds of y^2 that go, so that it is as in between or smaller.
  const int lost = delta == 0 ? 0 : std::max(0, (std::ilogb(delta) + exponent - between + 1) / 2);
  shift.slopes = one.folds * slope - (slope < 0 ? lost : 0);
  shift.gap = one.folds * slope + (slope < 0 && second == 0 ? lost : 0);
  delta = std::ldexp(delta, 2 * (one.folds - lost));
  c = 1 - delta;
  return shift;
}

void Covariances::prepare(const Points& p, bool gap) const {
  double last1 = 0, last2 = 0, last_near = 0;
  int last_key = -1;
  for (std::size_t i = 0; i < p.count; ++i) {
    double q1 = p.q1[i], q2 = p.q2[i], c = p.c[i], delta = p.delta[i];
    if (!good(q1, q2, c)) continue;
    const bool also_gap = folded(q1, q2, c, delta).near;
    const Kind kind = kind_of(q1, q2, c, gap || also_gap);
    if (kind == Kind::series) {
      if (q1 != last1) series(q1), last1 = q1;
      if (q2 != last2) series(q2), last2 = q2;
    } else if (kind == Kind::tables) {
      const int sign = c < 0 && activation_.parity() == Parity::none ? -1 : 1;
      const double x = std::sqrt(0.5 * (c < 0 ? 1 + c : delta));
      const int interval = intervals_at(activation_, q1).of(x), key = 2 * interval + (sign < 0);
      if (q1 != last_near || key != last_key) near(q1, sign, interval);
      last_near = q1, last_key = key;
    }
  }
}

void Covariances::by_kind(const Points& given, const PairResult& out) const {
  const auto points = std::make_unique<Points>(given), gathered = std::make_unique<Points>();
  Points &p = *points, &some = *gathered;
  std::vector<Kind> kind(p.count);
  std::vector<Shift> shift(p.count);
  for (std::size_t i = 0; i < p.count; ++i) {
    if (good(p.q1[i], p.q2[i], p.c[i])) shift[i] = folded(p.q1[i], p.q2[i], p.c[i], p.delta[i]);
    kind[i] = kind_of(p.q1[i], p.q2[i], p.c[i], out.gap != nullptr);
  }
  std::vector<double> covariance(p.count), slopes(p.count), gap(p.count);
  const PairResult own = {out.covariance ? covariance.data() : nullptr,
                          out.slopes ? slopes.data() : nullptr, out.gap ? gap.data() : nullptr};
  std::vector<std::size_t> place(p.count);
  const auto gather = [&](auto wanted) {
    some.count = 0;
    for (std::size_t i = 0; i < p.count; ++i)
      if (wanted(kind[i])) place[some.count] = i, some.add(p, i);
    return some.count > 0;
  };
  const auto scatter = [&] {
    for (std::size_t i = 0; i < some.count; ++i) {
      const std::size_t to = place[i];
      if (out.covariance) out.covariance[to] = std::ldexp(covariance[i], shift[to].covariance);
      if (out.slopes) out.slopes[to] = std::ldexp(slopes[i], shift[to].slopes);
      if (out.gap) out.gap[to] = std::ldexp(gap[i], shift[to].gap);
    }
  };
  if (gather([](Kind k) { return k == Kind::series; })) {
    by_series(some.q1.data(), some.q2.data(), some.c.data(), some.count, own);
    scatter();
  }
  if (gather([](Kind k) { return k == Kind::tables; })) {
    by_tables(some.q1.data(), some.c.data(), some.delta.data(), some.count, own);
    scatter();
  }
  if (!gather([](Kind k) { return k != Kind::series && k != Kind::tables; })) {
  } else if (closed()) {
    by_formula(some, own);
    scatter();
  } else {
    for (std::size_t i = 0; i < some.count; ++i) {
      double value = kNan, slope = kNan;
      double* const wanted = out.covariance || out.gap ? &value : nullptr;
      const double q1 = some.q1[i], q2 = some.q2[i], c = some.c[i], delta = some.delta[i];
      if (kind[place[i]] == Kind::zero) at_zero(q1, q2, c, delta, wanted, &slope);
      listen();
      if (kind[place[i]] == Kind::any)
        quadrature(q1, q2, c, c < 0 ? 1 + c : delta, {wanted, out.slopes ? &slope : nullptr});
      covariance[i] = value, slopes[i] = slope;
      gap[i] = out.gap && q1 == q2 ? activation_.moment(q1, kSecond) - value : kNan;
    }
    scatter();
  }
  if (!out.covariance) return;
  for (std::size_t i = 0; i < p.count; ++i)
    if (shift[i].near) {
      some.count = 0, some.add(given, i);
      double lost;
      by_kind(some, {nullptr, nullptr, &lost});
      out.covariance[i] = activation_.moment(given.q1[i], kSecond) - lost;
    }
}

void Covariances::evaluate(Column q1, Column q2, std::span<const double> x, bool missing,
                           const PairResult& out, int threads) const {
  const std::size_t count = x.size();
  if (activation_.row() == nullptr) threads = 1;
  const bool formula = closed() && !out.gap;
  if (formula && out.covariance && !out.slopes)
    return by_points(q1, q2, x, missing, out.covariance, threads);
  std::shared_ptr<Along> line;
  if (!formula && count >= kFewestAlong && q1.step == 0 && q2.step == 0 &&
      engine::folded(q1[0]).folds == 0 && engine::folded(q2[0]).folds == 0)
    line = along(q1[0], q2[0], x, missing, out);
  const std::size_t together = kChunk;
  const u64 chunks = (count + together - 1) / together;
  const auto p = std::make_unique<Points>();
  if (!formula && !line)  // by the calling thread, which may have to ask Python for values
    for (u64 chunk = 0; chunk < chunks; ++chunk) {
      p->fill(q1, q2, x, missing, std::size_t(chunk) * together,
              std::min(count - std::size_t(chunk) * together, together));
      prepare(*p, out.gap != nullptr);
    }
  parallel_for(chunks, chunks < 16 ? 1 : threads, false, {}, [&](u64 chunk) {
    const std::size_t from = std::size_t(chunk) * together;
    const auto own = std::make_unique<Points>();
    Points& p = *own;
    p.fill(q1, q2, x, missing, from, std::min(count - from, together));
    const auto shifted = [&](double* row) { return row == nullptr ? nullptr : row + from; };
    const PairResult to = {shifted(out.covariance), shifted(out.slopes), shifted(out.gap)};
    if (formula)
      by_formula(p, to), limits(p, to);
    else if (line)
      by_along(*line, p, to);
    else
      by_kind(p, to);
  });
}

}  // namespace fanin::engine
