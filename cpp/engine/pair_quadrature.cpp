// Two-dimensional quadrature of products phi(u) phi(v), for any variances and correlation.
#include <algorithm>
#include <cmath>

#include "engine/covariance.hpp"
#include "engine/dispatch.hpp"
#include "engine/quadrature.hpp"

namespace fanin::engine {
namespace {

constexpr double kReach = 9;        ///< of a normal variable: 2e-19 lies beyond
constexpr double kWidest = 3.3;     ///< panel in standard deviations: 16 nodes leave 1e-18
constexpr double kWideUnits = 2.5;  ///< panel in units of the activation, near its centre
constexpr double kGrowth =
    0.8;  ///< width of a panel over its distance from the centre, further out

const MomentTable& kernels() { return *table().moments; }

/// Edges of panels over [low, high] that resolve functions which change over `unit` near each
/// centre, and the Gaussian.
void add_edges(double low, double high, double unit, double centre_a, double centre_b,
               std::vector<double>& edges) {
  double at = low;
  while (at < high) {
    edges.push_back(at);
    const auto width_at = [&](double s) {
      const double distance = std::min(std::fabs(s - centre_a), std::fabs(s - centre_b));
      return std::min(kWidest, std::max(kWideUnits * unit, kGrowth * distance));
    };
    // The narrower of the widths at both ends, so that no panel runs into a centre.
    double width = width_at(at);
    for (int tries = 0; tries < 64; ++tries) {
      double inside = std::min(width_at(at + width), width_at(at + 0.5 * width));
      for (const double centre : {centre_a, centre_b})
        if (centre > at && centre < at + width)
          inside = std::min(inside, std::max(kWideUnits * unit, 0.5 * width));
      if (inside >= width) break;
      width = std::max(inside, std::min(kWideUnits * unit, kWidest));
    }
    at += width;
  }
  edges.push_back(high);
}

void nodes_between(std::vector<double>& edges, std::vector<double>& at,
                   std::vector<double>& weight) {
  std::sort(edges.begin(), edges.end());
  at.clear(), weight.clear();
  for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
    if (!(edges[i + 1] > edges[i])) continue;
    for (int k = 0; k < kPanelNodes; ++k) {
      const PanelNode node = panel_node(edges[i], edges[i + 1], k);
      at.push_back(node.at), weight.push_back(node.weight);
    }
  }
}

}  // namespace

// With |c| = 1 - m, a = sqrt(1 - m/2) >= b = sqrt(m/2) and independent s, t ~ N(0, 1):
//   u = sqrt(q1) (a s + b t),   v = +-sqrt(q2) (a s - b t)
// Inner integral over s, panels split where u or v meets a kink; outer over t, split where two of
// those points meet.
void Covariances::quadrature(double q1, double q2, double c, double delta, double* covariance,
                             double* slopes) const {
  const bool left = c < 0;
  const double missing = left ? 1 + c : delta, sign = left ? -1.0 : 1.0;
  const double a = std::sqrt(1 - 0.5 * missing), b = std::sqrt(0.5 * missing);
  const double r1 = std::sqrt(q1), r2 = std::sqrt(q2), unit = activation_.unit() / std::max(r1, r2);
  const std::vector<double>& kinks = activation_.kinks();
  const bool symmetric = q1 == q2 && (!left || activation_.parity() != Parity::none);

  std::vector<double> edges, t, t_weight;
  if (b == 0) {
    t = {0.0}, t_weight = {1.0};
  } else {
    add_edges(0, kReach, unit / b, 0, 0, edges);
    for (const double k1 : kinks)
      for (const double k2 : kinks) {
        const double meeting = std::fabs(k1 / r1 - sign * k2 / r2) / (2 * b);
        if (meeting > 0 && meeting < kReach) edges.push_back(meeting);
      }
    nodes_between(edges, t, t_weight);
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
  std::vector<double> s, weight, u, v, w, all;
  double sum_phi = 0, sum_slope = 0;
  const auto add_up = [&] {
    const std::size_t n = u.size();
    all.resize(6 * n);
    double* const of_u = all.data();
    double* const of_v = of_u + 3 * n;
    const bool own = activation_.row() != nullptr;  // a user's phi'' costs calls and is not needed
    activation_.apply(u.data(), n, of_u, of_u + n, own ? of_u + 2 * n : nullptr);
    activation_.apply(v.data(), n, of_v, of_v + n, own ? of_v + 2 * n : nullptr);
    if (covariance) sum_phi += kernels().weighted_dot(w.data(), of_u, of_v, n);
    if (slopes) sum_slope += kernels().weighted_dot(w.data(), of_u + n, of_v + n, n);
    u.clear(), v.clear(), w.clear();
  };
  for (std::size_t i = 0; i < t.size(); ++i) {
    const double shift = b * t[i] / a;
    edges.clear();
    add_edges(-kReach, kReach, unit / a, -shift, shift, edges);
    for (const double kink : kinks)
      for (const double place : {kink / (r1 * a) - shift, sign * kink / (r2 * a) + shift})
        if (std::fabs(place) < kReach) edges.push_back(place);
    nodes_between(edges, s, weight);
    kernels().bell_weights(s.data(), weight.data(), s.size(), weight.data());
    for (std::size_t j = 0; j < s.size(); ++j) {
      u.push_back(r1 * (a * s[j] + b * t[i]));
      v.push_back(sign * (r2 * (a * s[j] - b * t[i])));
      w.push_back(t_weight[i] * weight[j]);
    }
    if (u.size() >= together || i + 1 == t.size()) add_up();
  }
  if (covariance) *covariance = sum_phi;
  if (slopes) *slopes = sum_slope;
}

}  // namespace fanin::engine
