// ARS: AES rounds under Weyl-sequence keys (Salmon, Moraes, Dror & Shaw 2011). fanin uses 7 rounds.
//
// Word i of a stream is word i mod 4 of block i div 4; the counter of block b is (b, id), low half
// first.
#pragma once
#include "kernels/lanes.hpp"

namespace fanin::FANIN_ISA {
namespace {

inline constexpr int kRounds = 7;
inline constexpr u64 kWeylLow = 0x9E3779B97F4A7C15;   // golden ratio
inline constexpr u64 kWeylHigh = 0xBB67AE8584CAA73B;  // sqrt(3) - 1

inline constexpr int kBlocksPerVector = kBlocksBytes / 16;          // blocks in one Blocks
inline constexpr int kStates = kTileBlocks / kBlocksPerVector;      // Blocks in one tile
inline constexpr int kTileVectors = kTileWords * 4 / kVectorBytes;  // U32 in one tile

/// (low, high) in every block of the vector.
[[gnu::always_inline]] inline Blocks repeat_pair(u64 low, u64 high) {
  Blocks v{};
  for (int i = 0; i < kBlocksPerVector; ++i) v[2 * i] = low, v[2 * i + 1] = high;
  return v;
}

/// Round key r is the key plus r times the Weyl constants, half by half.
template <int Rounds>
struct RoundKeys {
  Blocks key[Rounds + 1];
  [[gnu::always_inline]] explicit RoundKeys(const Source& s) {
    for (int r = 0; r <= Rounds; ++r)
      key[r] = repeat_pair(s.key_low + u64(r) * kWeylLow, s.key_high + u64(r) * kWeylHigh);
  }
};

/// Encrypts `Count` vectors of counters side by side, so that the rounds of one hide those of
/// others.
template <int Rounds, int Count>
[[gnu::always_inline]] inline void ars(Blocks (&s)[Count], const RoundKeys<Rounds>& keys) {
  for (int i = 0; i < Count; ++i) s[i] ^= keys.key[0];
  for (int r = 1; r < Rounds; ++r)
    for (int i = 0; i < Count; ++i) s[i] = aes_round(s[i], keys.key[r]);
  for (int i = 0; i < Count; ++i) s[i] = aes_last_round(s[i], keys.key[Rounds]);
}

/// The counters of some tiles; stepping is one 64-bit addition a lane and never touches the id.
template <int Tiles>
struct TileCounter {
  Blocks at[Tiles * kStates];
  [[gnu::always_inline]] TileCounter(u64 tile, u64 id) {
    for (int i = 0; i < Tiles * kStates; ++i)
      for (int b = 0; b < kBlocksPerVector; ++b) {
        at[i][2 * b] = tile * kTileBlocks + u64(i * kBlocksPerVector + b);
        at[i][2 * b + 1] = id;
      }
  }
  [[gnu::always_inline]] void next() {
    const Blocks step = repeat_pair(Tiles * kTileBlocks, 0);
    for (int i = 0; i < Tiles * kStates; ++i) at[i] += step;
  }
};

/// One native vector out of the 16-byte blocks that make it up.
template <class V>
[[gnu::always_inline]] inline V join(const Blocks* s) {
  if constexpr (sizeof(V) == kBlocksBytes) {
    return bit_cast<V>(s[0]);
  } else if constexpr (sizeof(V) == 32) {
    return bit_cast<V>(__builtin_shufflevector(s[0], s[1], 0, 1, 2, 3));
  } else {
    const auto low = __builtin_shufflevector(s[0], s[1], 0, 1, 2, 3);
    const auto high = __builtin_shufflevector(s[2], s[3], 0, 1, 2, 3);
    return bit_cast<V>(__builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7));
  }
}

/// The words of some tiles in memory order, as native vectors.
template <int Tiles>
struct TileWords {
  U32 word[Tiles * kTileVectors];
  [[gnu::always_inline]] TileWords(const TileCounter<Tiles>& counter,
                                   const RoundKeys<kRounds>& keys) {
    Blocks s[Tiles * kStates];
    for (int i = 0; i < Tiles * kStates; ++i) s[i] = counter.at[i];
    ars<kRounds>(s, keys);
    for (int v = 0; v < Tiles * kTileVectors; ++v)
      word[v] = join<U32>(s + v * (kVectorBytes / kBlocksBytes));
  }
};

}  // namespace
}  // namespace fanin::FANIN_ISA
