// An argument that broadcasts.
#pragma once
#include <cstddef>

namespace fanin::engine {

/// A value a lane, or one for all of them (step 0).
struct Column {
  const double* first;
  std::size_t step;
  double operator[](std::size_t lane) const { return first[lane * step]; }
};

}  // namespace fanin::engine
