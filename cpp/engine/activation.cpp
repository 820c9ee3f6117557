#include "engine/activation.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>

#include "engine/moment_tables.hpp"
#include "engine/parallel.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {
namespace {

constexpr std::size_t kChunk = 256;          ///< variances at a time: 16 KB of moments on the stack
constexpr std::size_t kShared = 8 * kChunk;  ///< variances that a thread takes at a time
/// Sums behind the moments: up to the growth the moments themselves, then those of phi - phi(0) and
/// of phi less its tangent at 0.
constexpr int kCentredMean = kVariance, kCentredSecond = kVariance + 1;
constexpr int kBentSecond = kVariance + 2, kBentSlope = kVariance + 3;

/// Widths of a panel and of the whole range, in units of the smallest standard deviation of a
/// binade. A panel then spans 1.8 to 2.5 deviations, where 16 nodes integrate the Gaussian to
/// 1e-20, and the range ends beyond 10.6.
constexpr double kPanelWidth = 2.5;
constexpr int kPanelsOneSide = 6;
/// Edges of panels double up to here, then quadruple: 16 nodes leave 3^-32 of a function that
/// changes over its distance. What is left of the algebraic tails beyond kFar is 1e-6 of phi.
constexpr double kNear = 32, kFar = 0x1p20;

/// Where the moments are series, on the scale of the length over which phi changes: from 2^6 on
/// what is left of series in 1/sqrt(q) is e^-32 of the bend, a millionth of a moment; below 2^-7
/// the Gaussian at a distance of 1 is e^-64.
constexpr int kSmall = -7, kLarge = 6;

/// The integer nearest to log2 |x| of a number that is not 0; 0 otherwise.
int nearest_power(double x) {
  if (x == 0 || !std::isfinite(x)) return 0;
  int exponent;
  const double part = std::frexp(std::fabs(x), &exponent);
  return part < 0.7071 ? exponent - 1 : exponent;
}

}  // namespace

Folded folded(double q) {
  // So many folds that every power of them is 0, 1 or infinite: the limit.
  constexpr int folds_of_infinity = 1 << 16;
  if (q == kInfinity) return {kTableTop / 2, folds_of_infinity};
  if (in_table(q) || !(q > 0)) return {q, 0};
  const int exponent = std::ilogb(q);
  const int folds = exponent < kLowestExponent ? -((kLowestExponent - exponent + 1) / 2)
                                               : (exponent - kTopExponent + 2) / 2;
  return {std::ldexp(q, -2 * folds), folds};
}

Zeros::Zeros(std::size_t count) : bytes_(count * sizeof(double)) {
  void* const mapped =
      mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<double*>(mapped);
}
Zeros::~Zeros() { munmap(data_, bytes_); }

Rows<ActivationRow> activation_rows() { return kernels().activations; }

Activation::Activation(const std::string& name, std::array<double, kParameters> parameters)
    : parameters_(parameters) {
  const Rows<ActivationRow> rows = activation_rows();
  for (std::size_t i = 0; i < rows.count; ++i)
    if (name == rows.first[i].facts.name) index_ = int(i);
  if (index_ < 0) throw std::invalid_argument("no activation named " + name);
  const ActivationFacts& facts = row()->facts;
  kinks_.assign(facts.kink, facts.kink + facts.kinks);
  unit_ = row()->unit(parameters_.data());
  reach_ = row()->reach(parameters_.data());
  find_edges();
  find_jumps();
  find_moments_at_zero();
}

Activation::Activation(Values values, std::vector<double> kinks, double unit, double precision)
    : values_(std::move(values)), kinks_(std::move(kinks)), unit_(unit), precision_(precision) {
  find_jumps();
  find_moments_at_zero();
  constexpr int most_parts = 32;
  // Rounded values differ from panel to panel; a slope from differences by some hundred roundings.
  const double good = std::max(1e-11, 256 * precision_);
  const auto settled = [&] {
    for (const double q : {0x1p-10, 1.0, 0x1p10})
      if (!(change_of_halves(q) < good)) return false;
    return true;
  };
  while (parts_ < most_parts && !settled()) parts_ *= 2;
}

const ActivationRow* Activation::row() const {
  return index_ < 0 ? nullptr : kernels().activations.first + index_;
}

void Activation::apply(const double* x, std::size_t count, double* phi, double* slope,
                       double* curvature) const {
  if (index_ < 0) return values_(x, count, phi, slope, curvature);
  row()->apply(parameters_.data(), x, count, phi, slope, curvature);
}

/// Jumps of phi' at the kinks, from both sides.
void Activation::find_jumps() {
  const bool exact = precision_ < 0x1p-50;
  const double least = exact ? 0x1p-900 : precision_, part = exact ? 0x1p-50 : 4 * precision_;
  const double noise = exact ? 1e-12 : 1024 * precision_, steep = exact ? 0x1p20 : 0x1p10;
  for (const double kink : kinks_) {
    // A user's function bends where its own arithmetic says, as that of a x + b does, to roundings
    // of its unit; but no probe goes as far as the next kink.
    double step = kink == 0 ? least : std::fabs(kink) * part;
    if (kink != 0 && index_ < 0) step = std::max(step, 4 * unit_ * part);
    for (const double other : kinks_)
      if (other != kink) step = std::min(step, std::fabs(other - kink) / 4);
    const double sides[2] = {kink - step, kink + step};
    double phi[2], slope[2], curvature[2];
    apply(sides, 2, phi, slope, curvature);
    const double jump = slope[1] - slope[0];
    const bool jumps = std::fabs(jump) > noise * (std::fabs(slope[0]) + std::fabs(slope[1]));
    jumps_.push_back(jumps ? 0.5 * (phi[0] + phi[1]) * jump : 0.0);
    slope_jumps_ = slope_jumps_ || jumps;
    const double step_up = std::fabs(phi[1] - phi[0]), size = std::fabs(phi[0]) + std::fabs(phi[1]);
    value_jumps_ = value_jumps_ || (step_up > 1e-9 * size && step_up > step * steep);
  }
}

Nodes Activation::nodes(int low, int high, int parts) const {
  const double width = kPanelWidth * std::sqrt(std::ldexp(1.0, low));
  const double reach = kPanelsOneSide * (kPanelWidth * std::sqrt(std::ldexp(1.0, high - 1)));
  // Of many binades, panels as wide as their distance from 0.
  const bool doubling = high > low + 1;
  // The edges of one binade have been these from the start, and gains have their bits.
  const double farther = std::max(reach_.left, reach_.right);
  std::vector<double> edges = {0.0};
  // Far from its centre phi is straight, or changes over its distance.
  for (const bool right : {true, false}) {
    const double sign = right ? 1 : -1;
    const double straight = !doubling ? farther : right ? reach_.right : reach_.left;
    for (int m = 1; m * width < 0.999 * reach; m += doubling ? m : 1)
      edges.push_back(sign * (m * width));
    edges.push_back(sign * reach);
    if (straight == 0) continue;
    for (double x = unit_; x < reach; x *= x < kNear ? 2 : x < kFar ? 4 : 16) {
      const bool end = x >= kNear && x >= straight;
      edges.push_back(sign * (end ? straight : x));
      if (end) break;
    }
  }
  for (const double kink : kinks_)
    if (std::fabs(kink) < reach) edges.push_back(kink);
  std::sort(edges.begin(), edges.end());
  Nodes made;
  for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
    const double step = (edges[i + 1] - edges[i]) / parts;
    if (step == 0) continue;
    for (int part = 0; part < parts; ++part) {
      const double begin = edges[i] + part * step;
      const double end = part + 1 == parts ? edges[i + 1] : edges[i] + (part + 1) * step;
      for (int k = 0; k < kPanelNodes; ++k) {
        const PanelNode node = panel_node(begin, end, k);
        made.at.push_back(node.at), made.weight.push_back(node.weight);
      }
    }
  }
  return made;
}

/// What the Gaussian sums of a binade need: u^2/2 and the weighted integrands, one row a moment.
/// Each kink where phi' jumps adds phi(k) jump delta(u - k) to the last integrand, phi'^2 + phi
/// phi'', the derivative of E phi^2.
Activation::Columns Activation::columns(const Nodes& n) const {
  const std::size_t count = n.at.size(), total = count + kinks_.size();
  std::vector<double> phi(count), slope(count), curvature(count);
  const double near_zero[3] = {-0x1p-900, 0.0, 0x1p-900};
  double at_zero[3], tangent[3], curvature_there[3];
  apply(near_zero, 3, at_zero, tangent, curvature_there);
  const bool bent_at_zero =
      std::fabs(tangent[2] - tangent[0]) > 1e-12 * (std::fabs(tangent[0]) + std::fabs(tangent[2]));
  if (!bent_at_zero) tangent[0] = tangent[2] = tangent[1];
  apply(n.at.data(), count, phi.data(), slope.data(), curvature.data());
  std::vector<double> rests(count), rest_slopes(count);
  for (std::size_t j = 0; j < count; ++j) {
    const double along = tangent[n.at[j] < 0 ? 0 : 2];
    rests[j] = phi[j] - along * n.at[j], rest_slopes[j] = slope[j] - along;
  }
  if (row() != nullptr) bend_near_zero(n, at_zero[1], rests.data(), rest_slopes.data());
  const bool odd = parity() == Parity::odd;
  Columns c{std::vector<double>(total), std::vector<double>(total * kMostSums)};
  for (std::size_t j = 0; j < count; ++j) {
    const double w = n.weight[j], square = slope[j] * slope[j];
    c.half_square[j] = 0.5 * n.at[j] * n.at[j];
    c.g[kMean * total + j] = odd ? 0.0 : w * phi[j];
    c.g[kSecond * total + j] = w * phi[j] * phi[j];
    c.g[kSlopeSecond * total + j] = w * square;
    c.g[kSlopeFourth * total + j] = w * square * square;
    c.g[kCurvatureSecond * total + j] = w * curvature[j] * curvature[j];
    c.g[kGrowth * total + j] = w * (square + phi[j] * curvature[j]);
    const double centred = phi[j] - at_zero[1];
    c.g[kCentredMean * total + j] = odd ? 0.0 : w * centred;
    c.g[kCentredSecond * total + j] = w * centred * centred;
    // The excess is a quadratic form, zero for the tangent; so is its product with a straight one
    // (Stein 1981), but not with one that bends at 0.
    const double along = n.at[j] < 0 ? tangent[0] : tangent[2];
    const double rest = rests[j], rest_slope = rest_slopes[j];
    const double twice = bent_at_zero ? 2 * along : 0.0;
    c.g[kBentSecond * total + j] = w * rest * (rest + twice * n.at[j]);
    c.g[kBentSlope * total + j] = w * rest_slope * (rest_slope + twice);
  }
  // Numbers next to the smallest double are slow.
  for (double& each : c.g)
    if (std::fabs(each) < 0x1p-960) each = 0;
  for (std::size_t k = 0; k < kinks_.size(); ++k) {
    c.half_square[count + k] = 0.5 * kinks_[k] * kinks_[k];
    c.g[kGrowth * total + count + k] = jumps_[k];
  }
  return c;
}

/// Near 0 phi less its slope there times x is a difference of nearly equal numbers; what is left is
/// the integral of phi''.
void Activation::bend_near_zero(const Nodes& n, double at_zero, double* rest,
                                double* rest_slope) const {
  double near = 0.125 * unit_;
  for (const double kink : kinks_)
    if (kink != 0) near = std::min(near, std::fabs(kink));
  constexpr std::size_t five = std::size(kFiveNodes);
  std::vector<std::size_t> place;
  for (std::size_t j = 0; j < n.at.size(); ++j)
    if (std::fabs(n.at[j]) < near) place.push_back(j);
  if (place.empty()) return;
  const std::size_t count = place.size() * five;
  std::vector<double> all(4 * count);
  double *const x = all.data(), *const curvature = x + 3 * count;
  for (std::size_t i = 0; i < count; ++i) x[i] = n.at[place[i / five]] * kFiveNodes[i % five];
  apply(x, count, x + count, x + 2 * count, curvature);
  for (std::size_t i = 0; i < place.size(); ++i) {
    const double at = n.at[place[i]];
    double sum = 0, moment = 0;
    for (std::size_t k = 0; k < five; ++k) {
      const double part = kFiveWeights[k] * curvature[i * five + k];
      sum += part, moment += (1 - kFiveNodes[k]) * part;
    }
    rest[place[i]] = at_zero + at * at * moment, rest_slope[place[i]] = at * sum;
  }
}

std::vector<double> Activation::integrate(const Columns& c, const double* q,
                                          std::size_t count) const {
  std::vector<double> sums(count * kMostSums);
  kernels().gaussian_sums(c.half_square.data(), c.g.data(), c.half_square.size(), kMostSums, q,
                          count, sums.data());
  for (std::size_t i = 0; i < count; ++i) {
    const double mean = sums[kCentredMean * count + i];
    sums[kVariance * count + i] = sums[kCentredSecond * count + i] - mean * mean;
    sums[kExcess * count + i] = q[i] * sums[kBentSlope * count + i] - sums[kBentSecond * count + i];
  }
  return sums;
}

void Activation::find_edges() {
  if (row()->closed != nullptr || !std::isnormal(unit_)) return;
  double nearest = unit_;
  for (const double kink : kinks_)
    if (kink != 0) nearest = std::min(nearest, std::fabs(kink));
  edges_[0] = std::ldexp(1.0, std::ilogb(nearest * nearest) + kSmall);
  int large;
  if (std::frexp(unit_ * unit_, &large) == 0.5) --large;
  if (std::isfinite(reach_.left)) edges_[1] = std::ldexp(1.0, large + kLarge);
}

const FarMoments* Activation::far(double q) const {
  const bool high = q >= edges_[1];
  if (!high && q >= edges_[0]) return nullptr;
  const FarMoments* found = far_.find(high);
  if (found == nullptr) {
    listen();
    auto made = std::make_unique<FarMoments>(edges_[high], high);
    constexpr std::size_t count = FarMoments::kPoints;
    std::array<double, count> at;
    for (int k = 0; k < FarMoments::kPoints; ++k) at[std::size_t(k)] = made->variance(k);
    const auto [least, most] = std::ranges::minmax(at);
    const auto moments = integrate(
        columns(nodes(exponent_of(least), exponent_of(most) + 1, parts_)), at.data(), count);
    made->fit(moments.data());
    found = &far_.keep(high, std::move(made));
  }
  return found->fits() ? found : nullptr;
}

/// Each eighth from points of its own: a user's function may grow within a binade without bound.
void Activation::build(int exponent) const {
  listen();
  const std::size_t binade = std::size_t(exponent - kLowestExponent);
  const Columns c = columns(nodes(exponent, parts_));
  std::array<double, kPieces * kTerms> q;
  for (int j = 0; j < kPieces; ++j)
    for (int k = 0; k < kTerms; ++k)
      q[std::size_t(j * kTerms + k)] = std::ldexp(
          1.0 + (j + 0.5 + 0.5 * kChebyshevPoint<kTerms>[std::size_t(k)]) / kPieces, exponent);
  const std::vector<double> sums = integrate(c, q.data(), q.size());
  std::vector<double> made(kBinadeDoubles);
  for (int j = 0; j < kPieces; ++j)
    for (int m = 0; m < kMoments; ++m) {
      const auto terms = polynomial_through<kTerms>(sums.data() + std::size_t(m) * q.size() +
                                                    std::size_t(j * kTerms));
      double* to = made.data() + m * kTerms * kPieces + j;
      for (int term = 0; term < kTerms; ++term) to[term * kPieces] = terms[std::size_t(term)];
    }
  publish(binade, made);
}

/// Writes what a thread has made of a binade into the table, unless another one has. Nothing is
/// locked while it is made, which may call Python; while it is copied a claim is held, which counts
/// in the process that made it: its holder does not live in a forked child.
void Activation::publish(std::size_t binade, std::span<const double> made) const {
  unsigned holder = claim_[binade].load();
  while (!ready_[binade].load(std::memory_order_acquire)) {
    if (holder == process_number()) {
      std::this_thread::yield();
      holder = claim_[binade].load();
    } else if (claim_[binade].compare_exchange_weak(holder, process_number())) {
      std::copy(made.begin(), made.end(), table_.data() + binade * kBinadeDoubles);
      ready_[binade].store(true, std::memory_order_release);
    }
  }
}

/// q = 0: phi at 0, its slopes from both sides.
void Activation::find_moments_at_zero() {
  std::array<double, kMoments>& out = at_zero_;
  const double x[3] = {-0x1p-900, 0.0, 0x1p-900};
  double phi[3], slope[3], curvature[3];
  apply(x, 3, phi, slope, curvature);
  const auto mean_of = [](double left, double right) { return 0.5 * (left + right); };
  const double left = slope[0] * slope[0], right = slope[2] * slope[2];
  out[kMean] = phi[1];
  out[kSecond] = phi[1] * phi[1];
  out[kSlopeSecond] = mean_of(left, right);
  out[kSlopeFourth] = mean_of(left * left, right * right);
  out[kCurvatureSecond] = mean_of(curvature[0] * curvature[0], curvature[2] * curvature[2]);
  out[kGrowth] = mean_of(left + phi[1] * curvature[0], right + phi[1] * curvature[2]);
  out[kVariance] = 0;
  out[kExcess] = 0.0 - out[kSecond];
}

bool Activation::prepare(std::span<const double> q) const {
  double low, high;
  const bool inside = kernels().table_range(q.data(), q.size(), &low, &high);
  const auto ready = [&](int exponent) {
    return ready_[std::size_t(exponent - kLowestExponent)].load(std::memory_order_acquire);
  };
  const auto make = [&](double at) {
    if (!far(at) && !ready(exponent_of(at))) build(exponent_of(at));
  };
  const auto series = [&](bool large) {
    const FarMoments* found = far_.find(large);
    return found != nullptr && found->fits();
  };
  const double first = low < edges_[0] && series(false) ? edges_[0] : low;
  const int past =
      high >= edges_[1] && series(true) ? exponent_of(edges_[1]) : exponent_of(high) + 1;
  bool all = true;
  for (int e = exponent_of(first); all && low <= high && e < past; ++e) all = ready(e);
  for (std::size_t i = 0; !(all && inside) && i < q.size(); ++i) {
    const Folded at = folded(q[i]);
    if (!in_table(at.q)) continue;
    make(at.q);
    for (const double end :
         {kTableBottom, 4 * kTableBottom, kTableTop / 8, kTableTop / 2})  // for powers()
      if (at.folds != 0 && (end < 1) == (at.folds < 0)) make(end);
  }
  return inside;
}

void Activation::tabulated(const double* q, std::size_t count, std::span<const int> which,
                           double* out, std::size_t stride) const {
  if (row() != nullptr && row()->closed != nullptr) {
    std::array<double, kMoments * kChunk> all;
    row()->closed(parameters_.data(), q, count, all.data(), kChunk);
    for (std::size_t k = 0; k < which.size(); ++k)
      std::copy_n(all.data() + std::size_t(which[k]) * kChunk, count, out + k * stride);
  } else {
    by_size(q, count, which, out, stride);
  }
}

/// Small and large variances from their series, the others from the table.
void Activation::by_size(const double* q, std::size_t count, std::span<const int> which,
                         double* out, std::size_t stride) const {
  const FarMoments* sides[3] = {far_.find(0), nullptr, far_.find(1)};
  for (const FarMoments*& side : sides)
    if (side != nullptr && !side->fits()) side = nullptr;
  const double low = sides[0] ? edges_[0] : 0, high = sides[2] ? edges_[1] : kInfinity;
  const auto size_of = [&](double at) { return at < low ? 0 : at < high ? 1 : 2; };
  std::size_t counts[3] = {};
  for (std::size_t i = 0; i < count; ++i) ++counts[size_of(q[i])];
  if (counts[1] == count)
    return kernels().tabulated(table_.data(), which.data(), int(which.size()), q, count, out,
                               stride);
  std::array<double, kChunk> some, values;
  std::array<unsigned char, kChunk> place;
  for (int size = 0; size < 3; ++size) {
    if (counts[size] == 0) continue;
    const bool all = counts[size] == count;
    const double* from = q;
    if (!all) {
      std::size_t n = 0;
      for (std::size_t i = 0; i < count; ++i)
        if (size_of(q[i]) == size) some[n] = q[i], place[n++] = (unsigned char)(i);
      from = some.data();
    }
    for (std::size_t k = 0; k < which.size(); ++k) {
      double* const to = all ? out + k * stride : values.data();
      if (sides[size] != nullptr)
        kernels().power_series(sides[size]->of(which[k]), from, counts[size], to);
      else
        kernels().tabulated(table_.data(), &which[k], 1, from, counts[size], to, counts[size]);
      for (std::size_t i = 0; !all && i < counts[size]; ++i) out[k * stride + place[i]] = to[i];
    }
  }
}

std::array<int, kMoments> Activation::powers(bool high) const {
  constexpr std::array<int, kMoments> all = {0, 1, 2, 3, 4, 5, 6, 7};
  const double at[2] = {high ? kTableTop / 8 : kTableBottom,
                        high ? kTableTop / 2 : 4 * kTableBottom};
  double values[2 * kMoments];
  if (row() == nullptr || row()->closed == nullptr) prepare(at);
  tabulated(at, 2, all, values, 2);
  std::array<int, kMoments> power;
  for (std::size_t m = 0; m < kMoments; ++m)
    power[m] = nearest_power(values[2 * m + 1] / values[2 * m]);
  // Rounding has no power: what is a difference of moments stays below them.
  const auto bounded = [&](int m, int low, int most) {
    power[std::size_t(m)] = std::clamp(power[std::size_t(m)], low, std::max(low, most));
  };
  bounded(kMean, high ? -4 : 0, high ? (power[kSecond] + 1) / 2 : 4);
  bounded(kVariance, high ? -4 : 0, high ? power[kSecond] : 8);
  if (!high) power[kExcess] = power[kSecond];
  return power;
}

/// Variances some of which lie outside the tables.
void Activation::outside(const double* q, std::size_t count, std::span<const int> which,
                         double* out, std::size_t stride) const {
  std::array<double, kChunk> inside;
  std::array<int, kChunk> folds;
  std::array<std::array<int, kMoments>, 2> power{};
  bool some[2] = {false, false};
  double usual = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Folded at = folded(q[i]);
    inside[i] = at.q, folds[i] = at.folds;
    if (in_table(at.q)) usual = at.q;
    some[at.folds > 0] |= at.folds != 0;
  }
  for (std::size_t side = 0; side < 2; ++side)
    if (some[side]) power[side] = powers(side == 1);
  for (std::size_t i = 0; i < count; ++i)
    if (!in_table(inside[i])) inside[i] = usual;
  if (usual != 0) tabulated(inside.data(), count, which, out, stride);
  for (std::size_t i = 0; i < count; ++i) {
    if (in_table(q[i])) continue;
    for (std::size_t k = 0; k < which.size(); ++k) {
      const std::size_t m = std::size_t(which[k]);
      double& to = out[k * stride + i];
      to = folds[i] != 0 ? std::ldexp(to, folds[i] * power[folds[i] > 0][m])
           : q[i] == 0   ? at_zero_[m]
                         : kNan;
    }
  }
}

void Activation::chunk(const double* q, std::size_t count, std::span<const int> which, double* out,
                       std::size_t stride) const {
  const std::size_t rows = which.size();
  const bool closed = row() != nullptr && row()->closed != nullptr;
  if (closed || prepare({q, count}))
    tabulated(q, count, which, out, stride);
  else
    outside(q, count, which, out, stride);
  bool limit = false;
  for (std::size_t i = 0; i < count; ++i) limit |= q[i] == kInfinity;
  for (std::size_t i = 0; closed && limit && i < count; ++i)
    if (q[i] == kInfinity) outside(q + i, 1, which, out + i, stride);
  if (!slope_jumps_ && !value_jumps_) return;
  for (std::size_t k = 0; k < rows; ++k)
    if (which[k] == kCurvatureSecond ||
        (value_jumps_ &&
         (which[k] == kSlopeSecond || which[k] == kSlopeFourth || which[k] == kExcess)))
      for (std::size_t i = 0; i < count; ++i)
        if (out[k * stride + i] == out[k * stride + i]) out[k * stride + i] = kInfinity;
}

void Activation::moments(std::span<const double> q, std::span<const int> which, double* out,
                         int threads) const {
  const std::size_t count = q.size();
  if (row() == nullptr) threads = 1;  // a user's function is called by one thread only
  // Tables are made by the calling thread, which may have to ask Python for values.
  if (row() == nullptr || row()->closed == nullptr) prepare(q);
  parallel_for((count + kShared - 1) / kShared, count < 2 * kShared ? 1 : threads, true, {},
               [&](u64 number) {
                 const std::size_t first = std::size_t(number) * kShared,
                                   last = std::min(count, first + kShared);
                 for (std::size_t from = first; from < last; from += kChunk)
                   chunk(q.data() + from, std::min(last - from, kChunk), which, out + from, count);
               });
}

void Activation::moments_here(std::span<const double> q, std::span<const int> which,
                              double* out) const {
  for (std::size_t from = 0; from < q.size(); from += kChunk)
    chunk(q.data() + from, std::min(q.size() - from, kChunk), which, out + from, q.size());
}

double Activation::moment(double q, int which) const {
  double out = 0;
  moments_here({&q, 1}, {&which, 1}, &out);
  return out;
}

double Activation::change_of_halves(double q) const {
  const auto once = integrate(columns(nodes(exponent_of(q), parts_)), &q, 1);
  const auto twice = integrate(columns(nodes(exponent_of(q), 2 * parts_)), &q, 1);
  double worst = 0;
  for (const int m : {kSecond, kSlopeSecond}) {
    const double sum = twice[std::size_t(m)], change = std::fabs(once[std::size_t(m)] - sum);
    const double part = change / std::max(std::fabs(sum), 0x1p-1000);
    if (!(part <= worst)) worst = part;  // NaN too
    if (worst != worst) return kNan;
  }
  return worst;
}

/// What the outermost panels hold: next to nothing of an integral that exists.
double Activation::share_of_ends(double q) const {
  Columns c = columns(nodes(exponent_of(q), parts_));
  const auto whole = integrate(c, &q, 1);
  const std::size_t total = c.half_square.size(), nodes = total - kinks_.size();
  const std::size_t end = std::size_t(parts_ * kPanelNodes);
  for (std::size_t m = 0; m < kMostSums; ++m)
    for (std::size_t j = 0; j < total; ++j)
      if ((j >= end && j < nodes - end) || j >= nodes) c.g[m * total + j] = 0;
  const auto ends = integrate(c, &q, 1);
  double most = 0;
  for (const int m : {kSecond, kSlopeSecond})
    most = std::max(most, std::fabs(ends[std::size_t(m)] / whole[std::size_t(m)]));
  return most;
}

double Activation::quadrature_error(double q) const {
  if (!(q >= 0x1p-1000) || q == kInfinity) return q == 0 ? 0.0 : kNan;
  const double change = change_of_halves(q), share = share_of_ends(q);
  constexpr double there = 0.1;  // as much as that at ten deviations: the integral diverges
  if (share >= there) return kInfinity;
  return change == change ? std::max(change, share) : kNan;
}

}  // namespace fanin::engine
