// Gaussian integrals of one variable: sums over nodes, and polynomials in q. Lanes run over the batch, the nodes in
// order, so that no result depends on the vector's width.
#pragma once
#include "kernels/closed_forms.hpp"

namespace fanin::FANIN_ISA {
namespace {

/// Calls f(first, lanes) for whole vectors and once for the rest; `load_part` and `store_part` serve both.
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

// ---- activations over arrays ---------------------------------------------------------------------------------

template <class Own>
void apply_activation(const double* p, const double* x, std::size_t count, double* phi, double* slope,
                      double* curvature) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(x + i, lanes);
    const Values v = Own::at(at, p);
    const auto number = at == at;
    store_part(phi + i, select(number, v.phi, at), lanes);
    store_part(slope + i, select(number, v.slope, at), lanes);
    store_part(curvature + i, select(number, v.curvature, at), lanes);
  });
}

/// A q that is negative or not finite gives NaN.
template <class Own>
void closed_moments(const double* p, const double* q, std::size_t count, double* out, std::size_t stride) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(q + i, lanes);
    const Moments m = Own::moments(at, p);
    const auto good = (at >= 0.0) & (at < kInfinity);
    for (int k = 0; k < kMoments; ++k)
      store_part(out + std::size_t(k) * stride + i, select(good, m.value[k], splat(kNotANumber)), lanes);
  });
}

template <class Own>
constexpr ActivationRow row() {
  ActivationRow r = {Own::known, &Own::unit, &apply_activation<Own>, nullptr, nullptr};
  if constexpr (Own::has_closed_moments) r.closed = &closed_moments<Own>;
  return r;
}

// ---- sums and polynomials ------------------------------------------------------------------------------------

inline void gaussian_sums(const double* half_square, const double* g, std::size_t nodes, int sums, const double* q,
                          std::size_t count, double* out) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const F64 at = load_part(q + i, lanes);
    const F64 inverse = -1.0 / at;
    F64 sum[kMostSums] = {};
    for (std::size_t j = 0; j < nodes; ++j) {
      const F64 bell = exp_negative(half_square[j] * inverse);
      for (int m = 0; m < sums; ++m) sum[m] = fma(splat(g[std::size_t(m) * nodes + j]), bell, sum[m]);
    }
    const F64 norm = kNormalDensityAtZero / sqrt(at);
    for (int m = 0; m < sums; ++m) store_part(out + std::size_t(m) * count + i, sum[m] * norm, lanes);
  });
}

/// Which polynomial q falls into, and its variable in [-1, 1): the leading bits of the significand choose.
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

inline void tabulated(const double* table, const int* which, int moments, const double* q, std::size_t count, double* out,
                      std::size_t stride) {
  for_each_vector(count, [&](std::size_t i, std::size_t lanes) {
    const Place place = place_of(load_part(q + i, lanes));
    u64 piece[kLanes<double>];
    store(piece, place.piece);
    const double* row[kLanes<double>];
    for (int k = 0; k < kLanes<double>; ++k) row[k] = table + piece[k] * kPieceDoubles;
    for (int m = 0; m < moments; ++m) {
      const int first = which[m] * kTerms;
      F64 sum = {};
#pragma GCC unroll 16
      for (int term = kTerms - 1; term >= 0; --term) {
        F64 coefficient;
        for (int k = 0; k < kLanes<double>; ++k) coefficient[k] = row[k][first + term];
        sum = fma(sum, place.t, coefficient);
      }
      store_part(out + std::size_t(m) * stride + i, sum, lanes);
    }
  });
}

}  // namespace
}  // namespace fanin::FANIN_ISA
