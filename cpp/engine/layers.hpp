// The variance map, once or through many layers.
#pragma once
#include <cstddef>
#include <span>

#include "engine/activation.hpp"

namespace fanin::engine {

/// A value a lane, or one for all of them (step 0).
struct Column {
  const double* first;
  std::size_t step;
  double operator[](std::size_t lane) const { return first[lane * step]; }
};

/// out[l * count + i] = factor[l] weight[i] E phi(u)^2 + bias[i], u ~ N(0, q), q the row before
/// (and `q` itself for l = 0). NaN where a variance is negative or not finite. `copy`, if not null,
/// becomes q.
void propagate_variances(const Activation& activation, std::span<const double> q, Column weight,
                         Column bias, std::span<const double> factor, double* out, double* copy,
                         int threads);

}  // namespace fanin::engine
