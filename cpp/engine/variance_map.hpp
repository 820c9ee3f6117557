// The variance map, once or through many layers.
#pragma once
#include <span>

#include "engine/activation.hpp"
#include "engine/column.hpp"

namespace fanin::engine {

/// out[l * count + i] = factor[l] weight[i] E phi(u)^2 + bias[i], u ~ N(0, q), q the row before
/// (and `q` itself for l = 0). NaN where a variance is negative or not finite. `copy`, if not null,
/// becomes q.
void propagate_variances(const Activation& activation, std::span<const double> q, Column weight,
                         Column bias, std::span<const double> factor, double* out, double* copy,
                         int threads);

}  // namespace fanin::engine
