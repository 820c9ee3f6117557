// Random networks of finite width, forward and backward: samples, no theory.
#pragma once
#include <vector>

#include "core/stream.hpp"
#include "engine/activation.hpp"
#include "engine/parallel.hpp"

namespace fanin::engine {

enum class Sampling : u8 {
  gaussian_weights,  ///< matrices in float32, drawn element by element
  haar_weights,      ///< Haar-orthogonal square matrices in float32
  gaussian_exact,    ///< the law of signals and gradients without the matrices, in float64
  haar_exact,
};

/// x_l = phi(h_l), h_(l+1) = x_l W_(l+1) + b_(l+1), l = 0 .. depth - 1; rows of h are inputs.
///   W_l   (widths[l-1], widths[l]), variance weight_var / widths[l-1], stream[network][l], address
///         i widths[l] + j; Haar: sqrt(weight_var) times the orthogonal matrix of that stream
///   b_l   variance bias_var, stream[network][l]["bias"]
///   h_0   start g, g (inputs, widths[0]) standard normal, stream[network][0]
///   gradient at h_depth   (inputs, widths[depth]) standard normal, stream[network][depth + 1]
struct Simulated {
  Sampling sampling = Sampling::gaussian_weights;
  std::vector<i64> widths;  ///< depth + 1 of them
  i64 inputs = 1;
  double weight_var = 1, bias_var = 0;
  std::vector<double> start;  ///< (inputs, inputs), lower triangular
  u128 key = 0;
  i64 networks = 1;
};

/// What is measured, C order. h and gradients: mean square over the units, (networks, depth + 1,
/// inputs); products: mean over units and pairs of inputs of h_a h_b, (networks, depth + 1), not
/// written for one input.
struct Measured {
  double* square;
  double* product;
  double* gradient;
};

/// False if `poll` stopped it. The networks are shared out among the threads; no bit depends on it.
bool simulate(const Simulated& what, const Activation& phi, const Measured& out, int threads,
              const Poll& poll);

}  // namespace fanin::engine
