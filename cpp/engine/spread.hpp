// Numbers of any type that broadcast to an array, read some at a time.
#pragma once
#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "core/types.hpp"

namespace fanin::engine {

/// What a number in memory is; the order of the types in `read`.
enum class Number : u8 { f64, f32, i8, i16, i32, i64, u8, u16, u32, u64 };

/// One number for each element of an array: that of element (k0, k1, ...) lies at
/// data + sum k_d steps[d]. A step is 0 where the number is broadcast.
struct Spread {
  const char* data = nullptr;
  Number type = Number::f64;
  std::vector<i64> steps;  ///< bytes, one for each axis
};

inline constexpr std::size_t kMostAxes = 64;  ///< NumPy's own

/// Calls run(at, length, done) for the runs along the last axis that make up elements
/// from .. from + count of an array, in C order: `at` is the place of the run's first element,
/// `done` how many came before. An array without axes has one element.
template <class Run>
void for_runs(std::span<const i64> counts, i64 from, i64 count, Run run) {
  i64 at[kMostAxes] = {};
  const std::size_t rank = counts.size();
  if (rank == 0) return run(at, count, i64(0));
  for (std::size_t a = rank; a-- > 0; from /= counts[a]) at[a] = from % counts[a];
  for (i64 done = 0; done < count;) {
    const i64 length = std::min(counts[rank - 1] - at[rank - 1], count - done);
    run(at, length, done);
    done += length;
    at[rank - 1] += length;
    for (std::size_t a = rank; a-- > 1 && at[a] == counts[a];) {
      at[a] = 0;
      ++at[a - 1];
    }
  }
}

/// Elements from .. from + count of an array of `counts`, converted to `To`.
template <class From, class To>
void read_as(const Spread& spread, std::span<const i64> counts, i64 from, i64 count, To* to) {
  const i64 step = counts.empty() ? 0 : spread.steps[counts.size() - 1];
  for_runs(counts, from, count, [&](const i64* at, i64 length, i64 done) {
    const char* data = spread.data;
    for (std::size_t a = 0; a < counts.size(); ++a) data += at[a] * spread.steps[a];
    From value;
    if (step == 0) {
      std::memcpy(&value, data, sizeof(From));
      std::fill_n(to + done, length, To(value));
      return;
    }
    const auto convert = [&](auto bytes) {
      for (i64 k = 0; k < length; ++k) {
        std::memcpy(&value, data + k * bytes, sizeof(From));
        to[done + k] = To(value);
      }
    };
    // Dense ones with a step that the compiler knows: it makes vectors of them.
    if (step == i64(sizeof(From)))
      convert(std::integral_constant<i64, sizeof(From)>{});
    else
      convert(step);
  });
}

template <class To>
void read(const Spread& spread, std::span<const i64> counts, i64 from, i64 count, To* to) {
  switch (spread.type) {
    case Number::f64: return read_as<double>(spread, counts, from, count, to);
    case Number::f32: return read_as<float>(spread, counts, from, count, to);
    case Number::i8: return read_as<std::int8_t>(spread, counts, from, count, to);
    case Number::i16: return read_as<std::int16_t>(spread, counts, from, count, to);
    case Number::i32: return read_as<i32>(spread, counts, from, count, to);
    case Number::i64: return read_as<i64>(spread, counts, from, count, to);
    case Number::u8: return read_as<u8>(spread, counts, from, count, to);
    case Number::u16: return read_as<u16>(spread, counts, from, count, to);
    case Number::u32: return read_as<u32>(spread, counts, from, count, to);
    case Number::u64: return read_as<u64>(spread, counts, from, count, to);
  }
}

}  // namespace fanin::engine
