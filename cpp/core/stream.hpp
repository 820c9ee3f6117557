// Seed and names to 128-bit keys.
//
// mix() is a bijection of 128-bit numbers: four rounds of xorshift and odd multiplication. A seed
// goes through it once; a child folds a tagged header (kind and length in bytes) and then its
// 16-byte blocks, one mix() each. Under one parent, two names of at most 16 bytes and equal length
// can therefore never meet, and any other clash has the odds of a random 128-bit hash.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/types.hpp"

namespace fanin {

using u128 = unsigned __int128;

/// The stream's name: changes whenever any produced bit changes.
inline constexpr const char* kStreamName = "fanin-2";

constexpr u128 wide(u64 high, u64 low) { return (u128(high) << 64) | low; }

// Fractional digits of pi (odd), the multipliers of mix(): 128 bits each.
inline constexpr u128 kMixA = wide(0x243f6a8885a308d3, 0x13198a2e03707345);
inline constexpr u128 kMixB = wide(0xa4093822299f31d0, 0x082efa98ec4e6c89);
inline constexpr u128 kMixC = wide(0x452821e638d01377, 0xbe5466cf34e90c6d);
inline constexpr u128 kMixD = wide(0xc0ac29b7c97c50dd, 0x3f84d5b5b5470917);
// Added before the first round, so that 0 is not a fixed point ("fanin" and the digits of e).
inline constexpr u128 kMixStart = wide(0x66616e696eb7e151, 0x628aed2a6abf7158);

constexpr u128 mix(u128 x) {
  x += kMixStart;
  x = (x ^ (x >> 67)) * kMixA;
  x = (x ^ (x >> 61)) * kMixB;
  x = (x ^ (x >> 65)) * kMixC;
  x = (x ^ (x >> 63)) * kMixD;
  return x ^ (x >> 66);
}

/// What is folded into a key. The tag keeps s["1"], s[1] and the first spawned child apart.
enum class Fold : u8 { name = 1, number = 2, spawn = 3 };

constexpr u128 key_of_seed(u128 seed) { return mix(seed); }

/// Child key: header (tag, length), then the bytes in blocks of 16, little-endian, zero-padded.
constexpr u128 fold(u128 key, Fold tag, const u8* bytes, std::size_t count) {
  key = mix(key ^ wide(u64(tag), u64(count)));
  for (std::size_t at = 0; at < count; at += 16) {
    u128 block = 0;
    for (std::size_t i = 0; i < 16 && at + i < count; ++i) block |= u128(bytes[at + i]) << (8 * i);
    key = mix(key ^ block);
  }
  return key;
}

/// Child key of a 64-bit number: its 8 bytes, little-endian.
constexpr u128 fold(u128 key, Fold tag, u64 number) {
  u8 bytes[8] = {};
  for (int i = 0; i < 8; ++i) bytes[i] = u8(number >> (8 * i));
  return fold(key, tag, bytes, 8);
}

}  // namespace fanin
