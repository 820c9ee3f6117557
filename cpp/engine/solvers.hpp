// Fixed points of the maps of one layer.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/covariance.hpp"

namespace fanin::engine {

inline constexpr int kMostRoots = 6;

/// Where weight_var E phi^2 + bias_var - q changes sign between neighbours of a grid of 8 points an
/// octave from 2^-40 to 2^40: the numbers of the upper neighbours, rising, then zeros. Lanes with a
/// parameter that is not finite have none.
using Crossings = std::array<std::uint16_t, kMostRoots>;
std::vector<Crossings> crossings(const Activation& activation, std::span<const double> weight_var,
                                 std::span<const double> bias_var, int threads);

/// The roots there, `most` a lane, NaN where there are fewer, and the slope of the map at each.
void fixed_variances(const Activation& activation, std::span<const double> weight_var,
                     std::span<const double> bias_var, std::span<const Crossings> crossed, int most,
                     double* roots, double* slopes, int threads);

/// The stable fixed point of the correlation at each fixed variance q, as 1 - c in (0, 1], for chi
/// > 1 or noise > 0:
///   q c = weight_var E phi(u) phi(v) + bias_var,   q = weight_var E phi^2 + noise + bias_var
/// NaN lanes stay NaN. `slope` is weight_var E phi'(u) phi'(v) there.
void fixed_correlations(const Covariances& covariances, std::span<const double> q,
                        std::span<const double> weight_var, std::span<const double> noise,
                        double* one_minus_c, double* slope, int threads);

}  // namespace fanin::engine
