// Gaussian integrals of one variable: sums over nodes, and polynomials in q. Lanes run over the
// batch, the nodes in order, so that no result depends on the vector's width.
#pragma once
#include "kernels/closed_pairs.hpp"

namespace fanin::FANIN_ISA {
namespace {

/// Calls f(first, lanes) for whole vectors and once for the rest; `load_part` and `store_part`
/// serve both.
template <class F>
[[gnu::always_inline]] inline void for_each_vector(std::size_t count, F f) {
  constexpr std::size_t lanes = kLanes<double>;
  for (std::size_t i = 0; i < count; i += lanes) f(i, count - i < lanes ? count - i : lanes);
}
[[gnu::always_inline]] inline F64 load_part(const double* from, std::size_t lanes) {
  if (lanes == std::size_t(kLanes<double>)) return load<F64>(from);
  double part[kLanes<double>];
  for (std::size_t k = 0; k < std::size_t(kLanes<double>); ++k) part[k] = from[k < lanes ? k : 0];
  return load<F64>(part);
}
[[gnu::always_inline]] inline void store_part(double* to, F64 value, std::size_t lanes) {
  if (lanes == std::size_t(kLanes<double>)) return store(to, value);
  double part[kLanes<double>];
  store(part, value);
  for (std::size_t k = 0; k < lanes; ++k) to[k] = part[k];
}

// ---- activations over arrays --------------------------------------------------------------------

template <class Own>
void apply_activation(const double* p, const double* x, std::size_t count, double* phi,
                      double* slope, double* curvature) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(x + i, lanes);
    const Values v = Own::at(at, p);
    const auto number = at == at;
    store_part(phi + i, select(number, v.phi, at), lanes);
    store_part(slope + i, select(number, v.slope, at), lanes);
    store_part(curvature + i, select(number, v.curvature, at), lanes);
  });
}

template <class Own>
void apply_slopes(const double* p, const double* x, std::size_t count, double* slope) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(x + i, lanes);
    store_part(slope + i, select(at == at, Own::at(at, p).slope, at), lanes);
  });
}

/// A q that is negative or not finite gives NaN.
template <class Own>
void closed_moments(const double* p, const double* q, std::size_t count, double* out,
                    std::size_t stride) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(q + i, lanes);
    const Moments m = Own::moments(at, p);
    const auto good = (at >= 0.0) & (at < kInfinity);
    for (int k = 0; k < kMoments; ++k)
      store_part(out + std::size_t(k) * stride + i, select(good, m.value[k], splat(kNotANumber)),
                 lanes);
  });
}

template <class Own>
void closed_pairs(const double* parameters, const double* q1, const double* q2, const double* c,
                  const double* delta, std::size_t count, double* covariance, double* slopes) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const Pair p(side_of<Own>(load_part(q1 + i, lanes)), side_of<Own>(load_part(q2 + i, lanes)),
                 load_part(c + i, lanes), load_part(delta + i, lanes));
    const PairValues v = pair_of<Own>(p, parameters);
    store_part(covariance + i, v.covariance, lanes);
    store_part(slopes + i, v.slopes, lanes);
  });
}

template <class Own>
void pair_sides(const double* q, std::size_t count, double* out, std::size_t stride) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const OfVariance side = side_of<Own>(load_part(q + i, lanes));
    F64 row[kPairSideRows];
    __builtin_memcpy(row, &side, sizeof side);
    for (std::size_t r = 0; r < kPairSideRows; ++r) store_part(out + r * stride + i, row[r], lanes);
  });
}

/// A side from its rows, each read by `of`.
template <class Of>
[[gnu::always_inline]] inline OfVariance side_from(const double* rows, std::size_t stride, Of of) {
  return {of(rows),
          of(rows + stride),
          of(rows + 2 * stride),
          of(rows + 3 * stride),
          of(rows + 4 * stride),
          of(rows + 5 * stride),
          of(rows + 6 * stride),
          of(rows + 7 * stride)};
}

/// Both sides of each point, as `sides` gives them from a place on. Operations are those of
/// closed_pairs, on what Covariances::Points holds.
template <class Own, class Sides>
[[gnu::always_inline]] inline bool covariances_of(const double* parameters, const PairPoints& p,
                                                  std::size_t count, double* covariance,
                                                  Sides sides) {
  const F64 low = splat(p.missing ? 0.0 : -1.0), high = splat(p.missing ? 2.0 : 1.0);
  U64 infinite = {};
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 given = load_part(p.x + i, lanes);
    const F64 inside = select(given < low, low, select(given > high, high, given));
    const F64 kept = select(absolute(given - inside) <= p.rounding, inside, splat(kNotANumber));
    const F64 other = 1.0 - kept;
    const auto [one, two] = sides(i, lanes);
    const Pair pair(one, two, p.missing ? other : kept, p.missing ? kept : other);
    const auto good = (one.q >= 0.0) & (two.q >= 0.0) & (kept == kept);
    infinite |= bit_cast<U64>((one.q == kInfinity) | (two.q == kInfinity));
    const F64 value = pair_of<Own>(pair, parameters).covariance;
    store_part(covariance + i, select(good, value, splat(kNotANumber)), lanes);
  });
  u64 some = 0;
  for (int k = 0; k < kLanes<double>; ++k) some |= infinite[k];
  return some != 0;
}

template <class Own>
bool pair_covariances(const double* parameters, const PairPoints& p, std::size_t count,
                      double* covariance) {
  struct Both {
    OfVariance one, two;
  };
  if (p.second_sides == nullptr)
    return covariances_of<Own>(parameters, p, count, covariance,
                               [&](std::size_t i, std::size_t lanes) {
                                 return Both{side_of<Own>(load_part(p.q1 + i, lanes)),
                                             side_of<Own>(load_part(p.q2 + i, lanes))};
                               });
  const OfVariance one = side_of<Own>(splat(*p.q1));
  return covariances_of<Own>(
      parameters, p, count, covariance, [&](std::size_t i, std::size_t lanes) {
        return Both{one, side_from(p.second_sides + i, p.stride,
                                   [&](const double* x) { return load_part(x, lanes); })};
      });
}

template <class Own>
void pair_layer(const double* parameters, const PairLayer& layer, std::size_t count,
                double* covariance, double* tangent) {
  const OfVariance one =
      side_from(layer.one, layer.one_stride, [](const double* x) { return splat(*x); });
  const F64 weight = splat(layer.weight), bias = splat(layer.bias);
  F64 lane;
  for (int k = 0; k < kLanes<double>; ++k) lane[k] = k;
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 k = fma(weight, load_part(covariance + i, lanes), bias);
    const F64 t = fma(weight, load_part(tangent + i, lanes), k);
    const OfVariance other = side_from(layer.others + i, layer.others_stride,
                                       [&](const double* x) { return load_part(x, lanes); });
    F64 c = k * (one.inverse * other.inverse);
    c = select(c > 1.0, splat(1.0), select(c < -1.0, splat(-1.0), c));
    c = select(lane + double(i) == double(layer.same), splat(1.0), c);
    const PairValues v = pair_of<Own>(Pair(one, other, c, 1.0 - c), parameters);
    store_part(covariance + i, v.covariance, lanes);
    store_part(tangent + i, t * v.slopes, lanes);
  });
}

template <class Own>
void densities(const double* t, std::size_t count, double* density) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    store_part(density + i, Own::density(load_part(t + i, lanes)), lanes);
  });
}

template <class Own>
constexpr ActivationRow row() {
  ActivationRow r = {Own::known,
                     &Own::unit,
                     &Own::reach,
                     &apply_activation<Own>,
                     &apply_slopes<Own>,
                     nullptr,
                     nullptr,
                     nullptr,
                     nullptr,
                     nullptr,
                     nullptr};
  if constexpr (Own::has_closed_moments) r.closed = &closed_moments<Own>;
  if constexpr (kHasPair<Own>) {
    r.closed_pair = &closed_pairs<Own>;
    r.pair_covariances = &pair_covariances<Own>;
    r.pair_sides = &pair_sides<Own>, r.pair_layer = &pair_layer<Own>;
  }
  if constexpr (requires { Own::density(F64{}); }) r.mixture = &densities<Own>;
  return r;
}

// ---- sums and polynomials -----------------------------------------------------------------------

inline void gaussian_sums(const double* half_square, const double* g, std::size_t nodes, int sums,
                          const double* q, std::size_t count, double* out) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(q + i, lanes);
    const F64 inverse = -1.0 / at;
    F64 sum[kMostSums] = {};
    for (std::size_t j = 0; j < nodes; ++j) {
      const F64 bell = exp_negative(half_square[j] * inverse);
      for (int m = 0; m < sums; ++m)
        sum[m] = fma(splat(g[std::size_t(m) * nodes + j]), bell, sum[m]);
    }
    const F64 norm = kNormalDensityAtZero / sqrt(at);
    for (int m = 0; m < sums; ++m)
      store_part(out + std::size_t(m) * count + i, sum[m] * norm, lanes);
  });
}

/// Which polynomial q falls into, and its variable in [-1, 1): the leading bits of the significand
/// choose.
struct Place {
  U64 piece;
  F64 t;
};
[[gnu::always_inline]] inline Place place_of(F64 q) {
  constexpr int shift = Layout<double>::digits - kPiecesLog2;
  constexpr u64 low_bits = (u64(1) << shift) - 1;
  constexpr u64 first = u64(1023 + kLowestExponent) << kPiecesLog2;
  constexpr double half_width = 1.0 / (2 << kPiecesLog2);
  const U64 bits = bit_cast<U64>(q);
  const F64 fraction = bit_cast<F64>((bits & low_bits) | Layout<double>::one);
  return {(bits >> shift) - first, (fraction - (1.0 + half_width)) * (1.0 / half_width)};
}

inline bool table_range(const double* q, std::size_t count, double* low, double* high) {
  constexpr double bottom = kTableBottom, top = kTableTop;
  F64 least = splat(top), most = splat(bottom), bad = {};
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(q + i, lanes);
    const auto good = (at >= bottom) & (at < top);
    least = minimum(select(good, at, least), least);
    most = maximum(select(good, at, most), most);
    bad = select(good, bad, splat(1.0));
  });
  bool all = true;
  *low = top, *high = bottom;
  for (int k = 0; k < kLanes<double>; ++k) {
    if (least[k] < *low) *low = least[k];
    if (most[k] > *high) *high = most[k];
    all = all && bad[k] == 0.0;
  }
  return all;
}

/// out[i]: 1 where weight second[i] + bias < grid[i], 0 where it is not, 2 where it is no number.
inline void signs(const double* second, const double* grid, std::size_t count, double weight,
                  double bias, u8* out) {
  using Bytes = VectorOf<u8, kLanes<double>>::type;
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 value = weight * load_part(second + i, lanes) + bias - load_part(grid + i, lanes);
    const U64 below = bit_cast<U64>(value < 0.0) & 1u,
              no_number = bit_cast<U64>(value != value) & 2u;
    const Bytes sign = __builtin_convertvector(below | no_number, Bytes);
    __builtin_memcpy(out + i, &sign, lanes);
  });
}

inline void tabulated(const double* table, const int* which, int moments, const double* q,
                      std::size_t count, double* out, std::size_t stride) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const Place place = place_of(load_part(q + i, lanes));
    u64 piece[kLanes<double>], apart = 0;
    store(piece, place.piece);
    for (int k = 1; k < kLanes<double>; ++k) apart |= piece[k] ^ piece[0];
    const bool together = apart < u64(kPieces);  // all in one binade: its intervals by permutation
    const double* row[kLanes<double>];
    for (int k = 0; k < kLanes<double>; ++k)
      row[k] = table + (piece[k] >> kPiecesLog2) * kBinadeDoubles +
               (together ? 0 : piece[k] % u64(kPieces));
    for (int m = 0; m < moments; ++m) {
      const int first = which[m] * kTerms;
      F64 sum = {};
      if (together) {
#pragma GCC unroll 16
        for (int term = kTerms - 1; term >= 0; --term) {
          using Intervals = const double[kPieces];
          const double* at = row[0] + (first + term) * kPieces;
          sum = fma(sum, place.t, lookup(*reinterpret_cast<Intervals*>(at), place.piece));
        }
      } else {
#pragma GCC unroll 16
        for (int term = kTerms - 1; term >= 0; --term) {
          F64 coefficient;
          for (int k = 0; k < kLanes<double>; ++k)
            coefficient[k] = row[k][(first + term) * kPieces];
          sum = fma(sum, place.t, coefficient);
        }
      }
      store_part(out + std::size_t(m) * stride + i, sum, lanes);
    }
  });
}

/// out[i] is the series at q[i].
inline void power_series(const PowerSeries& s, const double* q, std::size_t count, double* out) {
  const auto power = [](F64 x, int n) {
    F64 product = splat(1.0);
    for (int i = 0; i < (n < 0 ? -n : n); ++i) product = product * x;
    return n < 0 ? 1.0 / product : product;
  };
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 root = sqrt(load_part(q + i, lanes)), x = s.inverse ? 1.0 / root : root;
    const F64 part = x * (2.0 / s.width), t = part - 1.0;
    F64 sum = {}, slope = {};
    for (int k = PowerSeries::kTerms - 1; k >= 0; --k) {
      if (s.derived) slope = fma(slope, t, sum);
      sum = fma(sum, t, splat(s.terms[k]));
    }
    // dx/dq = -x^3 / 2
    if (s.derived)
      sum = -0.5 * power(x, s.power + 2) * fma(part, slope, double(s.power) * sum);
    else
      sum = power(x, s.power) * sum;
    store_part(out + i, sum, lanes);
  });
}

/// sqrt(n) and 1 / sqrt(n), by Newton's iteration at compile time.
template <int N>
struct Reciprocals {
  double root[N + 1] = {}, inverse[N + 1] = {};
  constexpr Reciprocals() {
    for (int n = 1; n <= N; ++n) {
      double r = n;
      for (int step = 0; step < 60; ++step) r = 0.5 * (r + n / r);
      root[n] = r;
      inverse[n] = 1.0 / r;
    }
  }
};

// ---- pairs --------------------------------------------------------------------------------------

/// out[j] = sum_term rows[term * width + j] t^term: the polynomials of one q, side by side.
inline void contract(const double* rows, int terms, std::size_t width, double t, double* out) {
  for_each_vector(width, [&](std::size_t j, std::size_t lanes) {
    F64 sum = {};
    for (int term = terms - 1; term >= 0; --term)
      sum = fma(sum, splat(t), load_part(rows + std::size_t(term) * width + j, lanes));
    store_part(out + j, sum, lanes);
  });
}

/// out[i] = sum_term row[i][term] x[i]^term: a polynomial of its own at each x.
inline void polynomials(const double* const* row, int terms, const double* x, std::size_t count,
                        double* out) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(x + i, lanes);
    const double* of[kLanes<double>];
    for (std::size_t k = 0; k < std::size_t(kLanes<double>); ++k)
      of[k] = row[i + (k < lanes ? k : 0)];
    F64 sum = {};
    bool one = true;  // many points often share a polynomial
    for (int k = 1; k < kLanes<double>; ++k) one = one && of[k] == of[0];
    for (int term = terms - 1; term >= 0 && one; --term) sum = fma(sum, at, splat(of[0][term]));
    for (int term = terms - 1; term >= 0 && !one; --term) {
      F64 coefficient;
      for (int k = 0; k < kLanes<double>; ++k) coefficient[k] = of[k][term];
      sum = fma(sum, at, coefficient);
    }
    store_part(out + i, sum, lanes);
  });
}

/// out[i] = sum_term terms[term] x[i]^term: one polynomial, four vectors at a time.
inline void polynomial_at(const double* terms, int count_terms, const double* x, std::size_t count,
                          double* out) {
  constexpr std::size_t lanes = std::size_t(kLanes<double>);
  std::size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    F64 at[4], sum[4] = {};
    for (std::size_t k = 0; k < 4; ++k) at[k] = load<F64>(x + i + k * lanes);
    for (int term = count_terms - 1; term >= 0; --term)
      for (std::size_t k = 0; k < 4; ++k) sum[k] = fma(sum[k], at[k], splat(terms[term]));
    for (std::size_t k = 0; k < 4; ++k) store(out + i + k * lanes, sum[k]);
  }
  for_each_vector(count - i, [&](std::size_t first, std::size_t some) {
    const F64 at = load_part(x + i + first, some);
    F64 sum = {};
    for (int term = count_terms - 1; term >= 0; --term) sum = fma(sum, at, splat(terms[term]));
    store_part(out + i + first, sum, some);
  });
}

/// sum_j w[j] a[j] b[j] in sixteen running sums, whatever the vector's width; `count` is a multiple
/// of 16.
inline double weighted_dot(const double* w, const double* a, const double* b, std::size_t count) {
  constexpr std::size_t sums = 16, vectors = sums / std::size_t(kLanes<double>);
  F64 sum[vectors] = {};
  for (std::size_t j = 0; j < count; j += sums)
    for (std::size_t v = 0; v < vectors; ++v) {
      const std::size_t at = j + v * std::size_t(kLanes<double>);
      sum[v] = fma(load<F64>(w + at) * load<F64>(a + at), load<F64>(b + at), sum[v]);
    }
  double part[sums];
  for (std::size_t v = 0; v < vectors; ++v) store(part + v * std::size_t(kLanes<double>), sum[v]);
  for (std::size_t half = sums / 2; half > 0; half /= 2)
    for (std::size_t k = 0; k < half; ++k) part[k] += part[k + half];
  return part[0];
}

/// Both are erf's of Gaussian variables (Williams 1998), term by term. Sixteen running sums,
/// whatever the vector's width.
inline void mixture_sums(const MixtureSums& m) {
  constexpr std::size_t sums = 16, lanes = std::size_t(kLanes<double>), vectors = sums / lanes;
  const double missing = m.c > 0.5 ? m.delta : 1.0 - m.c;
  const double sine_square = missing * (2.0 - missing);
  const bool equal = m.q1 == m.q2;
  F64 covariance[vectors] = {}, slopes[vectors] = {}, mean[vectors] = {};
  for (std::size_t i = 0; i < m.count; ++i) {
    const double a = 2.0 * m.t[i] * m.q1;
    // Of equal variances each pair is met once, but for those of one block.
    for (std::size_t j = equal ? i / sums * sums : 0; j < m.count; j += sums) {
      if (m.bound[i] * m.other_bound[j / sums] < kLeastTerm) continue;
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t at = j + v * lanes;
        const double times = equal && j > i ? 2.0 : 1.0;
        const F64 b = (2.0 * m.q2) * load<F64>(m.t + at);
        const F64 apart = 1.0 + a + b;
        const F64 root = sqrt(fma(a * b, splat(sine_square), apart));
        if (m.slopes)
          slopes[v] = fma(load<F64>(m.slope + at), (times * m.slope[i]) / root, slopes[v]);
        if (!m.covariance && !m.mean_slope) continue;
        const F64 product = sqrt(a * b), weight = (times * m.value[i]) * load<F64>(m.value + at);
        if (m.covariance) covariance[v] = fma(weight, atan(product * m.c / root), covariance[v]);
        if (m.mean_slope) {
          // asin r - asin(r c) = asin z
          const F64 z = product * sine_square / fma(splat(m.c), sqrt(apart), root);
          mean[v] = fma(weight, atan(z / sqrt((1.0 - z) * (1.0 + z))), mean[v]);
        }
      }
    }
  }
  const auto total = [](const F64* of) {
    double part[sums];
    for (std::size_t v = 0; v < vectors; ++v) store(part + v * lanes, of[v]);
    for (std::size_t half = sums / 2; half > 0; half /= 2)
      for (std::size_t k = 0; k < half; ++k) part[k] += part[k + half];
    return part[0];
  };
  if (m.covariance) *m.covariance = kTwoOverPi * total(covariance);
  if (m.slopes) *m.slopes = total(slopes);
  if (m.mean_slope) *m.mean_slope = kTwoOverPi * total(mean) / (m.q1 * missing);
}

inline void sum_rows(const double* const* row, std::size_t rows, std::size_t count, double* out) {
  for_each_vector(count, [&](std::size_t j, std::size_t lanes) {
    F64 sum = {};
    for (std::size_t r = 0; r < rows; ++r) sum = sum + load_part(row[r] + j, lanes);
    store_part(out + j, sum, lanes);
  });
}

/// out[j] = weight[j] exp(-x[j]^2 / 2) / sqrt(2 pi)
inline void bell_weights(const double* x, const double* weight, std::size_t count, double* out) {
  for_each_vector(count, [&](std::size_t j, std::size_t lanes) {
    store_part(out + j, load_part(weight + j, lanes) * normal_density(load_part(x + j, lanes)),
               lanes);
  });
}

/// out[n * count + i] = E phi(sqrt(q) z) he_n(z), he_n the normalised Hermite polynomials, from
/// weighted values of phi at the nodes `u`.
inline void hermite_sums(const double* u, const double* weighted, std::size_t nodes,
                         const double* q, std::size_t count, double* out) {
  constexpr Reciprocals<kHermiteTerms> roots;
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(q + i, lanes);
    const F64 scale = 1.0 / sqrt(at);
    F64 sum[kHermiteTerms] = {};
    for (std::size_t j = 0; j < nodes; ++j) {
      const F64 z = u[j] * scale;
      const F64 weight = weighted[j] * normal_density(z);
      // sqrt(n + 1) he_(n+1) = z he_n - sqrt(n) he_(n-1)
      F64 before = {}, here = weight;
      for (int n = 0; n < kHermiteTerms; ++n) {
        sum[n] = sum[n] + here;
        const F64 next = fma(z, here, -roots.root[n] * before) * roots.inverse[n + 1];
        before = here;
        here = next;
      }
    }
    for (int n = 0; n < kHermiteTerms; ++n)
      store_part(out + std::size_t(n) * count + i, sum[n] * scale, lanes);
  });
}

}  // namespace
}  // namespace fanin::FANIN_ISA
