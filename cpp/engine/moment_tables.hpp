// What the files of activations, covariances and solvers share of the kernels' moment table.
#pragma once
#include <bit>
#include <limits>

#include "core/moment_table.hpp"
#include "engine/dispatch.hpp"

namespace fanin::engine {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

inline const MomentTable& kernels() { return *table().moments; }

/// Whether the polynomials in q serve a variance.
inline bool in_table(double q) { return q >= kTableBottom && q < kTableTop; }

/// floor(log2 x) of a positive normal number.
inline int exponent_of(double x) { return int(std::bit_cast<u64>(x) >> 52) - 1023; }

}  // namespace fanin::engine
