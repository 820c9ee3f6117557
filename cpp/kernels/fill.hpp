// Fill: tiles -> words -> draws -> scale, loc, bounds -> store.
#pragma once
#include "kernels/ars.hpp"
#include "kernels/distributions.hpp"

namespace fanin::FANIN_ISA {
namespace {

template <Element E>
struct ComputeOf {
  using Type = float;
};
template <>
struct ComputeOf<Element::f64> {
  using Type = double;
};

/// Rounds to the destination element and stores one vector.
template <Element E, class V>
[[gnu::always_inline]] inline void store_rounded(void* to, V value) {
  if constexpr (E == Element::bf16)
    store(to, to_bfloat16(value));
  else if constexpr (E == Element::f16)
    store(to, to_float16(value));
  else
    store(to, value);
}

/// Steps of values go to memory as they come.
template <int StepBytes>
class Straight {
 public:
  [[gnu::always_inline]] explicit Straight(char* out) : out_(out) {}
  /// Where the next step is to be written.
  [[gnu::always_inline]] char* place() { return out_; }
  /// The step at place() has been written.
  [[gnu::always_inline]] void advance() { out_ += StepBytes; }
  /// All steps have been written.
  [[gnu::always_inline]] void finish() {}

 private:
  char* out_;
};

/// Steps of values go past the caches, to memory of any alignment: through two blocks that stay in
/// the first cache. While one is written, the lines of memory are loaded from the other, across its
/// steps; its stores have reached the cache by then, so that no load waits for two of them.
template <int StepBytes>
class PastCache {
 public:
  [[gnu::always_inline]] explicit PastCache(char* out)
      : out_(out), lead_(int(-reinterpret_cast<std::uintptr_t>(out) % kLine)) {}

  [[gnu::always_inline]] char* place() { return block_[now_] + at_; }

  [[gnu::always_inline]] void advance() {
    char* const before = block_[1 - now_];
    if (full_) {
      if (at_ == 0) __builtin_memcpy(before + kBlock, block_[now_], kLine);
      put<StepBytes>(before + at_ + lead_);
    }
    at_ += StepBytes;
    if (at_ < kBlock) return;
    if (!full_) copy(block_[now_], lead_);
    full_ = true;
    at_ = 0;
    now_ = 1 - now_;
  }

  void finish() {
    if (full_) {
      const char* const before = block_[1 - now_];
      int from = at_ + lead_;
      for (; from + kLine <= kBlock; from += kLine) put<kLine>(before + from);
      copy(before + from, kBlock - from);
    }
    copy(block_[now_], at_);
    fence_stores();
  }

 private:
  // Blocks apart from each other by half a page: a load whose address has the last 12 bits of a
  // store in flight waits for it.
  static constexpr int kLine = 64, kBlock = 2048;
  static_assert(kBlock % StepBytes == 0 && StepBytes % kLine == 0);

  /// Whole lines.
  template <int Bytes>
  [[gnu::always_inline]] void put(const char* from) {
    for (int i = 0; i < Bytes; i += kVectorBytes) store_past_cache(out_ + i, load<U32>(from + i));
    out_ += Bytes;
  }
  /// What is less than a line, at the ends.
  void copy(const char* from, int bytes) {
    __builtin_memcpy(out_, from, std::size_t(bytes));
    out_ += bytes;
  }

  char* out_;
  int lead_;                                      ///< bytes before the first line of memory
  int now_ = 0;                                   ///< the block that is written
  int at_ = 0;                                    ///< how much of it has been
  bool full_ = false;                             ///< whether the other block holds values
  alignas(kLine) char block_[2][kBlock + kLine];  ///< each with the first line of the next
};

/// The words of the next step are made while this one is transformed: the AES rounds and the law's
/// operations are both long chains, and the machine's window holds less than two steps. With 16
/// registers the spills cost more.
inline constexpr bool kAhead = kVectorBytes == 64;

/// Calls transform(words, to) for whole steps of `Tiles` tiles each; returns the number of tiles
/// done. A tile makes `TileBytes` of output.
template <template <int> class Way, int TileBytes, int Tiles, class Transform>
[[gnu::always_inline]] inline u64 for_steps(const Source& source, u64 first, u64 tiles, void* out,
                                            Transform transform) {
  const u64 steps = tiles / Tiles;
  if (steps == 0) return 0;
  const RoundKeys<kRounds> keys(source);
  TileCounter<Tiles> counter(first, source.id);
  Way<Tiles * TileBytes> way(static_cast<char*>(out));
  if constexpr (kAhead) {
    TileWords<Tiles> words(counter, keys);
    for (u64 i = 0; i < steps; ++i, way.advance()) {
      counter.next();
      const TileWords<Tiles> ahead(counter, keys);
      transform(words, way.place());
      // One by one, or GCC copies them through memory.
      for (int v = 0; v < Tiles * kTileVectors; ++v) words.word[v] = ahead.word[v];
    }
  } else {
    for (u64 i = 0; i < steps; ++i, counter.next(), way.advance())
      transform(TileWords<Tiles>(counter, keys), way.place());
  }
  way.finish();
  return steps * Tiles;
}

/// Calls steps<Way, Tiles>(first, tiles, out): past the caches if `stream` asks for it and a tile
/// is whole lines; two tiles a step where a tile is two vectors, or four whole vectors of blocks,
/// too few to hide the latency of the rounds. The last tile by itself.
template <std::size_t TileBytes, class Steps>
[[gnu::always_inline]] inline void in_steps(bool stream, u64 first, u64 tiles, void* out,
                                            Steps steps) {
  const auto by = [&]<template <int> class Way>() {
    u64 done = 0;
    if constexpr (kTileVectors == 2 || kBlocksBytes == 32)
      done = steps.template operator()<Way, 2>(first, tiles, out);
    char* const rest = static_cast<char*>(out) + done * TileBytes;
    if (done < tiles) steps.template operator()<Way, 1>(first + done, tiles - done, rest);
  };
  if constexpr (TileBytes % 64 == 0)
    if (stream) return by.template operator()<PastCache>();
  by.template operator()<Straight>();
}

/// Whole steps of `Tiles` tiles each; returns the number of tiles done.
template <template <class> class LawOf, Element E, template <int> class Way, int Tiles>
[[gnu::flatten]] u64 fill_steps(const Source& source, u64 first, u64 tiles, const Params& params,
                                void* out) {
  using T = typename ComputeOf<E>::Type;
  using Law = LawOf<T>;
  constexpr int half = kTileVectors / 2;
  constexpr std::size_t stored = element_bytes(E) * kLanes<T>;  // bytes of one stored vector

  const Law law(params);
  const Lanes<T> scale = splat(T(params.scale));
  const Lanes<T> loc = alternate(T(params.loc[0]), T(params.loc[1]));
  const Lanes<T> lowest = splat(T(params.lowest)), highest = splat(T(params.highest));

  const auto finished = [&](auto z) {
    const auto value = fma(z, scale, loc);
    if constexpr (Law::bounds == Bounds::both)
      return minimum(maximum(value, lowest), highest);
    else if constexpr (Law::bounds == Bounds::above)
      return minimum(value, highest);
    else
      return value;
  };
  // Vector i of the first halves of the tiles, among all vectors.
  const auto at = [](int i) { return i / half * kTileVectors + i % half; };

  const auto transform = [&](const TileWords<Tiles>& words, char* to) {
    const auto word = [&](int v) { return bit_cast<UnsignedLanes<T>>(words.word[v]); };
    const auto put = [&](Lanes<T> value, int v) { store_rounded<E>(to + v * stored, value); };
    if constexpr (Law::arity == 2) {
      constexpr int width = half * Tiles < 2 ? 1 : 2;
#pragma GCC unroll 16
      for (int i = 0; i < half * Tiles; i += width) {
        const int a = at(i), b = at(i + width - 1);
        Side<width, Lanes<T>> x, y;
        law.draw(side_by_side<width>(word(a), word(b)),
                 side_by_side<width>(word(a + half), word(b + half)), x, y);
        x = finished(x), y = finished(y);
        put(first_of(x), a), put(first_of(y), a + half);
        if constexpr (width == 2) put(x.second, b), put(y.second, b + half);
      }
    } else if constexpr (Tiles == 2) {
#pragma GCC unroll 16
      for (int i = 0; i < kTileVectors * Tiles; i += 4) {
        using Two = Twin<UnsignedLanes<T>>;
        const Twin<Two> four{{word(i), word(i + 1)}, {word(i + 2), word(i + 3)}};
        const auto x = finished(law.draw(four));
        put(x.first.first, i), put(x.first.second, i + 1);
        put(x.second.first, i + 2), put(x.second.second, i + 3);
      }
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kTileVectors * Tiles; i += 2) {
        const auto x = finished(law.draw(Twin<UnsignedLanes<T>>{word(i), word(i + 1)}));
        put(x.first, i), put(x.second, i + 1);
      }
    }
  };

  return for_steps<Way, int(kTileVectors * stored), Tiles>(source, first, tiles, out, transform);
}

template <template <class> class Law, Element E>
void fill(const Source& source, u64 first, u64 tiles, const Params& params, void* out,
          bool stream) {
  constexpr std::size_t tile_bytes = u64(tile_values(E)) * element_bytes(E);
  static_assert(tile_bytes % 64 == 0);
  in_steps<tile_bytes>(stream, first, tiles, out,
                       [&]<template <int> class Way, int Tiles>(u64 from, u64 count, void* to) {
                         return fill_steps<Law, E, Way, Tiles>(source, from, count, params, to);
                       });
}

struct FillTable {
  FillRow row[kLaws];
  constexpr FillTable() : row() {
    int i = 0;
    for_each_law([&]<template <class> class Law>() {
      row[i++] = {Law<float>::name,
                  {&fill<Law, Element::f32>, &fill<Law, Element::f64>, &fill<Law, Element::f16>,
                   &fill<Law, Element::bf16>}};
    });
  }
};

}  // namespace
}  // namespace fanin::FANIN_ISA
