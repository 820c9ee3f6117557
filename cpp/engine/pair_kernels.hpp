// Kernels of infinitely wide networks: the covariance and the neural tangent kernel of every pair
// of inputs behind a stack of dense or convolutional layers (Lee et al. 2018, Jacot et al. 2018).
//
// A pair depends on no other pair, so one input and a few others at a time go through all layers.
#pragma once
#include "engine/covariance.hpp"

namespace fanin::engine {

/// Where the units of an input lie: one place for dense layers, a row or an image of places for
/// convolutions.
struct Places {
  std::size_t height = 1, width = 1;
  std::size_t kernel_height = 1, kernel_width = 1;
  bool zero = false;  ///< beyond the edge there is nothing; else the image goes round
  bool full = false;  ///< covariances between all places of two inputs, not only equal ones

  std::size_t count() const { return height * width; }
  std::size_t others() const { return full ? count() : 1; }  ///< places beside one
  std::size_t entries() const { return count() * others(); }
  std::size_t taps() const { return kernel_height * kernel_width; }
};

struct PairTask {
  std::size_t rows, columns, depth;
  /// (places, rows, other places, columns): mean products over the channels of the inputs
  const double* start;
  const double *q1,
      *q2;    ///< (depth, rows, places), (depth, columns, places): before each activation
  bool same;  ///< row i and column i + first are one input
  std::size_t first;
  double weight_var, bias_var;
};

/// covariance and tangent, (rows, columns) each: `depth` times linear layer and activation, then
/// the mean over the entries and a linear layer more. Of the `same` inputs those on and above the
/// diagonal only.
void pair_kernels(const Covariances& covariances, const Places& places, const PairTask& task,
                  double* covariance, double* tangent, int threads);

}  // namespace fanin::engine
