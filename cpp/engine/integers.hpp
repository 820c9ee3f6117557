// Integers and signs, taken from the words themselves: exact, so one version serves every
// instruction set.
#pragma once
#include "engine/laws.hpp"

namespace fanin::engine {

/// low + floor(bits * span / 2^64), bits = words 2i (low half) and 2i + 1; span 0 stands for 2^64
/// and takes the bits as they are. No rejection: each probability is off by less than 2^-64.
Plan integers(u64 low, u64 span, Element element);

/// -1 where bit 31 of word i is set, else 1, in any element type.
Plan signs(Element element);

/// The formula of integers() with a low and a span for each of `count` 64-bit words, in place.
void scale_words(u64* words, const u64* low, const u64* span, std::size_t count);

}  // namespace fanin::engine
