// Two-dimensional quadrature of products phi(u) phi(v), for any variances and correlation.
//
// However large the variances, phi changes within a few units of 0 and is straight beyond its
// reach: panels are narrow about the two lines u = 0 and v = 0 only, so that the number of nodes
// does not grow with the variances. Nodes are counted from those lines, which keeps the digits of u
// and v.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/covariance.hpp"
#include "engine/moment_tables.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {
namespace {

constexpr double kReach = 9;        ///< of a normal variable: 2e-19 lies beyond
constexpr double kWidest = 3.3;     ///< panel in standard deviations: 16 nodes leave 1e-18
constexpr double kWidestFar = 4.5;  ///< where the activations are straight: 2e-15
constexpr double kWideUnits = 2.5;  ///< panel in units of the activation, at a centre
constexpr double kPanelGrowth = 3;  ///< its width over its distance from the centre, further out
/// The same for tails that fall faster than an exponential: their poles are closer further out.
constexpr double kPanelGrowthSteep = 1, kReachSteep = 10;

/// Where a function changes: over `unit` at the place `at`, over the distance from it further out,
/// not at all beyond its reach.
struct Centre {
  double at, unit;
  Reach reach;
  double growth;

  /// Whether 16 nodes between `low` and `high` see what there is.
  bool resolved(double low, double high) const {
    return straight(low, high) ||
           high - low <= 1.0000001 * std::max(kWideUnits * unit, growth * distance(low, high));
  }
  bool straight(double low, double high) const {
    return 1.0000001 * (low - at) >= reach.right || 1.0000001 * (at - high) >= reach.left;
  }
  double distance(double low, double high) const { return std::max({0.0, low - at, at - high}); }
};

/// The end of a panel, `offset` from the centre of number `of`.
struct Edge {
  double at, offset;
  int of;
  bool fixed;  ///< at a kink or an end
};

/// Adds the edges around a centre that lie in [low, high].
void add_edges(const Centre& centre, int number, double low, double high,
               std::vector<Edge>& edges) {
  const auto add = [&](double offset) {
    const double at = centre.at + offset;
    if (at > low && at < high) edges.push_back({at, offset, number, false});
  };
  add(0);
  const auto add_side = [&](double sign, double furthest, double reach) {
    if (reach == 0) return;
    for (double x = kWideUnits * centre.unit; x < furthest; x *= 1 + centre.growth) {
      add(sign * std::min(x, reach));
      if (reach < x) break;
    }
  };
  add_side(1, high - centre.at, centre.reach.right);
  add_side(-1, centre.at - low, centre.reach.left);
}

/// Widest panel between `low` and `high`.
double widest(double low, double high, const Centre* centres, int count) {
  for (int k = 0; k < count; ++k)
    if (!centres[k].straight(low, high)) return kWidest;
  return kWidestFar;
}

/// Sorts the edges and drops those that nothing needs.
void thin(std::vector<Edge>& edges, const Centre* centres, int count) {
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.at < b.at; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (kept > 0 && i + 1 < edges.size() && !edges[i].fixed) {
      const double low = edges[kept - 1].at, high = edges[i + 1].at;
      bool needed = high - low > widest(low, high, centres, count);
      for (int k = 0; k < count; ++k) needed = needed || !centres[k].resolved(low, high);
      if (!needed) continue;
    }
    edges[kept++] = edges[i];
  }
  edges.resize(kept);
}

/// Nodes and weights of the variable across the line u = v: [0, kReach], narrow near 0.
void nodes_across(std::vector<Edge>& edges, const Centre& centre, std::vector<double>& at,
                  std::vector<double>& weight) {
  edges.push_back({0, 0, 0, true});
  add_edges(centre, 0, 0, kReach, edges);
  edges.push_back({kReach, kReach, 0, true});
  thin(edges, &centre, 1);
  for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
    const double low = edges[i].at, width = edges[i + 1].at - low;
    if (!(width > 0)) continue;
    const int parts = int(std::ceil(width / widest(low, low + width, &centre, 1)));
    for (int part = 0; part < parts; ++part)
      for (int k = 0; k < kPanelNodes; ++k) {
        const PanelNode node =
            panel_node(low + width * part / parts, low + width * (part + 1) / parts, k);
        at.push_back(node.at), weight.push_back(node.weight);
      }
  }
}

/// phi and phi' of an activation that is straight beyond its reach: evaluated within it only,
/// because numbers next to the smallest double are slow.
class Bounded {
 public:
  explicit Bounded(const Activation& activation)
      : activation_(activation), reach_(activation.reach()) {
    if (endless()) return;
    const double far = 4 * std::max(reach_.left, reach_.right), ends[2] = {-far, far};
    double phi[2], curvature[2];
    activation.apply(ends, 2, phi, slope_, curvature);
    for (int side = 0; side < 2; ++side) {
      if (std::fabs(slope_[side]) < kNothing) slope_[side] = 0;
      offset_[side] = phi[side] - slope_[side] * ends[side];
      if (std::fabs(offset_[side]) < kNothing * far) offset_[side] = 0;
    }
  }
  /// Whether phi' (or phi too) is 0 on the side of x, beyond the reach.
  bool nothing(double x, bool slopes_only) const {
    const int side = x > 0;
    return slope_[side] == 0 && (slopes_only || offset_[side] == 0);
  }
  /// Rows of `count`: phi, phi' and room for one more. x comes in panels, each of which rises or
  /// falls: most lie on one side of the reach altogether.
  void apply(const double* x, std::size_t count, double* rows, bool slopes_only) {
    if (endless()) return inner(x, count, rows, slopes_only);
    inside_.resize(count), from_.clear();
    for (std::size_t j = 0; j < count; j += kPanelNodes) {
      const double low = std::min(x[j], x[j + kPanelNodes - 1]);
      const double high = std::max(x[j], x[j + kPanelNodes - 1]);
      if (low > reach_.right || high < -reach_.left) {
        for (std::size_t i = j; i < j + kPanelNodes; ++i) straight(x[i], i, count, rows);
        continue;
      }
      double* const to = inside_.data() + from_.size() * kPanelNodes;
      for (std::size_t k = 0; k < kPanelNodes; ++k)
        to[k] = std::min(std::max(x[j + k], -reach_.left), reach_.right);
      from_.push_back(j);
    }
    const std::size_t n = from_.size() * kPanelNodes;
    values_.resize(3 * n);
    inner(inside_.data(), n, values_.data(), slopes_only);
    for (std::size_t p = 0; p < from_.size(); ++p) {
      const std::size_t at = p * kPanelNodes, j = from_[p];
      std::copy_n(values_.data() + at, kPanelNodes, rows + j);
      std::copy_n(values_.data() + n + at, kPanelNodes, rows + count + j);
      for (const std::size_t end : {std::size_t(0), std::size_t(kPanelNodes - 1)}) {
        if (inside_[at + end] == x[j + end]) continue;
        for (std::size_t k = 0; k < kPanelNodes; ++k)
          if (inside_[at + k] != x[j + k]) straight(x[j + k], j + k, count, rows);
        break;
      }
    }
  }

 private:
  static constexpr double kNothing = 0x1p-100;
  void straight(double x, std::size_t i, std::size_t count, double* rows) const {
    const std::size_t right = x > 0;
    rows[i] = offset_[right] + slope_[right] * x, rows[count + i] = slope_[right];
  }
  void inner(const double* x, std::size_t count, double* rows, bool slopes_only) {
    if (activation_.row() == nullptr)
      activation_.apply_by_pieces(x, count, rows, rows + count);
    else if (slopes_only)
      activation_.row()->slopes(activation_.parameters(), x, count, rows + count);
    else
      activation_.apply(x, count, rows, rows + count, rows + 2 * count);
  }
  bool endless() const { return std::isinf(reach_.left); }
  const Activation& activation_;
  Reach reach_;
  double offset_[2], slope_[2];
  std::vector<double> inside_, values_;
  std::vector<std::size_t> from_;
};

}  // namespace

// With |c| = 1 - m, a = sqrt(1 - m/2) >= b = sqrt(m/2) and independent s, t ~ N(0, 1):
//   u = sqrt(q1) (a s + b t),   v = +-sqrt(q2) (a s - b t)
// Inner integral over s, panels split where u or v meets a kink; outer over t, split where two of
// those points meet.
void Covariances::by_panels(double q1, double q2, double c, double missing,
                            const PairResult& out) const {
  const bool left = c < 0;
  const double sign = left ? -1.0 : 1.0;
  const double a = std::sqrt(1 - 0.5 * missing), b = std::sqrt(0.5 * missing);
  const double r1 = std::sqrt(q1), r2 = std::sqrt(q2);
  const double unit = activation_.unit();
  std::vector<double> kinks = activation_.kinks();
  Reach reach = activation_.reach();
  const double longer = std::max(reach.left, reach.right);
  if (left && out.mean_slope) {  // differences of phi(u) and of phi(-u)
    for (const double kink : activation_.kinks()) kinks.push_back(-kink);
    reach = {longer, longer};
  }
  const Reach reach_of_v = left ? Reach{reach.right, reach.left} : reach;  // v falls as s grows
  const bool steep = kinks.empty() && longer < kReachSteep * unit;
  const double growth = steep ? kPanelGrowthSteep : kPanelGrowth;
  // (u, v) and (v, u), or (-u, -v).
  const bool symmetric = (q1 == q2 && !left) || activation_.parity() != Parity::none;

  std::vector<Edge> edges;
  std::vector<double> t, t_weight;
  if (b == 0) {
    t = {0.0}, t_weight = {1.0};
  } else {
    // The integral over s changes as the smoother of the two factors does, until their centres are
    // apart. One side of a kink has poles on the other: softsign's is at a distance of 1.
    const double closer = std::isinf(longer) && !kinks.empty() ? 0.5 : 1.0;
    // Beyond it what bends in u and what bends in v are apart, for t of either sign.
    const double apart =
        0.5 / b *
        std::max(reach.right / r1 + reach_of_v.left / r2, reach.left / r1 + reach_of_v.right / r2);
    const Centre across = {0, closer * unit / (b * std::min(r1, r2)), {apart, apart}, growth};
    for (const double k1 : kinks)
      for (const double k2 : kinks) {
        const double meeting = std::fabs(k1 / r1 - sign * k2 / r2) / (2 * b);
        if (meeting > 0 && meeting < kReach) edges.push_back({meeting, meeting, 0, true});
      }
    nodes_across(edges, across, t, t_weight);
    kernels().bell_weights(t.data(), t_weight.data(), t.size(), t_weight.data());
    if (symmetric) {
      for (double& w : t_weight) w *= 2;
    } else {
      const std::size_t half = t.size();
      for (std::size_t i = 0; i < half; ++i) t.push_back(-t[i]), t_weight.push_back(t_weight[i]);
    }
  }

  // Several inner integrals are evaluated together; a user's function is asked as seldom as
  // possible.
  const std::size_t together = activation_.row() ? 512 : std::size_t(1) << 20;
  Bounded bounded(activation_);
  const bool slopes_only = out.covariance == nullptr && out.mean_slope == nullptr;
  std::size_t n = 0;  // nodes collected
  std::vector<double> u, v, w, place, square, all;
  double sum_phi = 0, sum_slope = 0, sum_mean = 0;
  const auto add_up = [&] {
    all.resize(6 * n);
    double* const of_u = all.data();
    double* const of_v = of_u + 3 * n;
    kernels().bell_weights(place.data(), w.data(), n, w.data());
    bounded.apply(u.data(), n, of_u, slopes_only);
    bounded.apply(v.data(), n, of_v, slopes_only);
    if (out.covariance) sum_phi += kernels().weighted_dot(w.data(), of_u, of_v, n);
    if (out.slopes) sum_slope += kernels().weighted_dot(w.data(), of_u + n, of_v + n, n);
    if (out.mean_slope) {
      for (std::size_t i = 0; i < n; ++i) square[i] *= w[i];
      // u and +-v are neighbours: their divided difference, phi' where both are on a straight tail.
      const auto differences = [&](double* of_one, double* of_other) {
        for (std::size_t i = 0; i < n; ++i) {
          const double one = u[i], other = sign * v[i];
          const bool straight =
              std::min(one, other) > reach.right || std::max(one, other) < -reach.left;
          of_one[i] = straight ? of_one[n + i] : (of_one[i] - of_other[i]) / (one - other);
        }
      };
      if (left) {
        std::vector<double> turned(7 * n);  // phi at -u and -w, w = -v the neighbour of u
        double* const minus_u = turned.data();
        double* const plus_w = minus_u + 3 * n;
        double* const at = minus_u + 6 * n;
        for (std::size_t i = 0; i < n; ++i) at[i] = -u[i];
        bounded.apply(at, n, minus_u, false);
        for (std::size_t i = 0; i < n; ++i) at[i] = -v[i];
        bounded.apply(at, n, plus_w, false);
        differences(of_u, plus_w);
        for (std::size_t i = 0; i < n; ++i) minus_u[i] = -minus_u[i], of_v[i] = -of_v[i];
        differences(minus_u, of_v);
        sum_mean += kernels().weighted_dot(square.data(), of_u, minus_u, n);
      } else {
        differences(of_u, of_v);
        sum_mean += kernels().weighted_dot(square.data(), of_u, of_u, n);
      }
    }
    n = 0;
  };
  for (std::size_t i = 0; i < t.size(); ++i) {
    const double apart = 2 * b * t[i], shift = 0.5 * apart / a;
    const auto scaled = [](Reach r, double by) { return Reach{r.left / by, r.right / by}; };
    const Centre centres[2] = {{-shift, unit / (r1 * a), scaled(reach, r1 * a), growth},
                               {shift, unit / (r2 * a), scaled(reach_of_v, r2 * a), growth}};
    edges.clear();
    edges.push_back({-kReach, shift - kReach, 0, true});
    for (int k = 0; k < 2; ++k) add_edges(centres[k], k, -kReach, kReach, edges);
    for (const double kink : kinks)
      for (int k = 0; k < 2; ++k) {
        const double offset = k == 0 ? kink / (r1 * a) : sign * kink / (r2 * a);
        const double at = centres[k].at + offset;
        if (std::fabs(at) < kReach) edges.push_back({at, offset, k, true});
      }
    edges.push_back({kReach, kReach - shift, 1, true});
    thin(edges, centres, 2);
    for (std::size_t e = 0; e + 1 < edges.size(); ++e) {
      const double middle = 0.5 * (edges[e].at + edges[e + 1].at);
      const int near = std::fabs(middle + shift) <= std::fabs(middle - shift) ? 0 : 1;
      const auto from_near = [&](const Edge& edge) {
        return edge.offset + (edge.of == near ? 0.0 : near == 0 ? 2 * shift : -2 * shift);
      };
      const double low = from_near(edges[e]), width = from_near(edges[e + 1]) - low;
      if (!(width > 0)) continue;
      // No node where one of the factors is 0; a difference needs both.
      const auto nothing = [&](int k, double x) {
        return centres[k].straight(edges[e].at, edges[e + 1].at) && bounded.nothing(x, slopes_only);
      };
      const bool no_u = nothing(0, middle + shift), no_v = nothing(1, sign * (middle - shift));
      if (out.mean_slope ? no_u && no_v && !left : no_u || no_v) continue;
      const int parts = int(std::ceil(width / widest(edges[e].at, edges[e + 1].at, centres, 2)));
      const std::size_t more = n + std::size_t(parts * kPanelNodes);
      if (more > u.size())
        for (std::vector<double>* each : {&u, &v, &w, &place, &square}) each->resize(2 * more);
      const double at = centres[near].at, of_u = near == 0 ? 0 : apart,
                   of_v = near == 1 ? 0 : apart;
      for (int part = 0; part < parts; ++part, n += kPanelNodes) {
        const double begin = low + width * part / parts, end = low + width * (part + 1) / parts;
        const double half = 0.5 * (end - begin), centre = 0.5 * (begin + end);
        for (std::size_t k = 0; k < kPanelNodes; ++k) {
          const double node = centre + half * kPanelOffset[k];
          u[n + k] = r1 * (a * node + of_u);
          v[n + k] = sign * (r2 * (a * node - of_v));
          place[n + k] = at + node;
          w[n + k] = t_weight[i] * (half * kPanelWeight[k]);
          square[n + k] = t[i] * t[i];
        }
      }
    }
    if (n >= together || i + 1 == t.size()) add_up();
  }
  if (out.covariance) *out.covariance = sum_phi;
  if (out.slopes) *out.slopes = sum_slope;
  if (out.mean_slope) *out.mean_slope = sum_mean;
}

}  // namespace fanin::engine
