// Plain data shared by every room: element types, law parameters, addresses.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fanin {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

/// A tile is the unit of work: 8 blocks of 4 words, on every instruction set.
inline constexpr int kTileWords = 32;
inline constexpr int kTileBlocks = 8;
inline constexpr int kBlockWords = 4;

/// What one element of the destination is. Half types are computed in float32 and rounded once. The
/// sign of an integer is the reader's business: its bits are the same.
enum class Element : u8 { f32, f64, f16, bf16, i8, i16, i32, i64 };
inline constexpr int kElements = 4;  ///< floating-point ones, the columns of the kernels' tables

constexpr std::size_t element_bytes(Element e) {
  constexpr std::size_t bytes[] = {4, 8, 2, 2, 1, 2, 4, 8};
  return bytes[int(e)];
}

/// Floating-point values in one tile: a float64 takes two words, everything else one.
constexpr int tile_values(Element e) { return e == Element::f64 ? kTileWords / 2 : kTileWords; }

/// The 128-bit key of a stream and the id in the high half of its counter.
struct Source {
  u64 key_low = 0;
  u64 key_high = 0;
  u64 id = 0;
};

/// Constants of truncated_far: an interval of the normal law whose probability underflows.
struct FarInterval {
  static constexpr int kTerms = 12;
  double near;                ///< distance of the bound nearer to 0
  double inverse_square;      ///< 1 / near^2
  double ratio;               ///< of the tails beyond the far and the near bound
  double rest;                ///< 1 - ratio
  double sign;                ///< of the interval
  double correction[kTerms];  ///< coefficients of D
};

/// Constants of one law, in float64; the kernel rounds each of them once to its compute type.
///   value = fma(standard draw, scale, loc), then limited to [lowest, highest]
/// `loc` has two entries because a complex fill alternates real and imaginary parts.
struct Params {
  double scale = 1.0;
  double loc[2] = {0.0, 0.0};
  double lowest = 0.0;
  double highest = 0.0;
  double shape[3] = {};  ///< the law's own constants (see its struct in distributions.hpp)
  FarInterval far = {};
  u64 integer_low = 0;   ///< integers: the lowest value, modulo 2^64
  u64 integer_span = 0;  ///< integers: how many there are; 0 stands for 2^64
};

}  // namespace fanin
