// Integers and signs, taken from the words themselves.
#pragma once
#include "core/stream.hpp"
#include "engine/fill.hpp"

namespace fanin::engine {

/// low + floor(bits * span / 2^64); span 0 stands for 2^64 and takes the bits as they are.
inline u64 scaled(u64 bits, u64 low, u64 span) {
  return low + (span == 0 ? bits : u64((u128(bits) * span) >> 64));
}

/// scaled(bits, low, span), bits = words 2i (low half) and 2i + 1. No rejection: each probability
/// is off by less than 2^-64.
Plan integers(u64 low, u64 span, Element element);

/// -1 where bit 31 of word i is set, else 1, in any element type.
Plan signs(Element element);

/// Ends of their own for each element, in an array of `counts`, all of them integers.
struct Between {
  const Spread &low, &high;
  bool endpoint;  ///< whether `high` itself can occur
  std::span<const i64> counts;
};

/// Whether all values from low to high fit integers of the element's size, and there are some.
bool fits_each(const Between& ends, Element element, bool is_signed);
/// The same for the numbers 0 and 1.
bool fits_bool_each(const Between& ends);

/// The values of integers() with ends that fit, at addresses first, first + 1, ... in C order; the
/// axes' own steps of addresses are not looked at.
bool fill_integers_each(const Between& ends, const Source& source, const Destination& destination,
                        int threads, const Poll& poll);

}  // namespace fanin::engine
