#include "engine/variance_map.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "engine/parallel.hpp"

namespace fanin::engine {
namespace {

/// Lanes that go through all layers together: they and the polynomials they meet stay in the
/// nearest cache, and each writes whole pages.
constexpr std::size_t kLanesTogether = 512;
/// Such groups a thread takes at a time; neighbours share pages.
constexpr std::size_t kGroups = 16;
/// Layers between two looks for a signal.
constexpr std::size_t kLayersUnheard = 16;

}  // namespace

void propagate_variances(const Activation& activation, std::span<const double> q, Column weight,
                         Column bias, std::span<const double> factor, double* out, double* copy,
                         int threads) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const std::size_t count = q.size();
  if (activation.row() == nullptr) threads = 1;  // a user's function is called by one thread only
  const auto pass = [&](std::size_t from) {
    const std::size_t n = std::min(count - from, kLanesTogether);
    std::array<double, kLanesTogether> scale, shift, second;
    for (std::size_t i = 0; i < n; ++i) {
      const double w = weight[from + i], b = bias[from + i];
      scale[i] = w >= 0 ? w : nan;
      shift[i] = b >= 0 ? b : nan;
    }
    const double* before = q.data() + from;
    if (copy != nullptr) std::copy_n(before, n, copy + from);
    const int which = kSecond;
    for (std::size_t layer = 0; layer < factor.size(); ++layer) {
      if (layer % kLayersUnheard == 0) listen();
      activation.moments_here({before, n}, {&which, 1}, second.data());
      double* to = out + layer * count + from;
      for (std::size_t i = 0; i < n; ++i) to[i] = factor[layer] * scale[i] * second[i] + shift[i];
      before = to;
    }
  };
  constexpr std::size_t chunk = kGroups * kLanesTogether;
  const u64 chunks = (count + chunk - 1) / chunk;
  parallel_for(chunks, threads, false, {}, [&](u64 number) {
    const std::size_t first = std::size_t(number) * chunk, last = std::min(count, first + chunk);
    for (std::size_t from = first; from < last; from += kLanesTogether) pass(from);
  });
}

}  // namespace fanin::engine
