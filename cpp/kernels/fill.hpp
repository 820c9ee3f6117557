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
template <Element E, bool PastCache, class V>
[[gnu::always_inline]] inline void store_rounded(void* to, V value) {
  if constexpr (E == Element::bf16) {
    const Half half = to_bfloat16(value);
    PastCache ? store_past_cache(to, half) : store(to, half);
  } else if constexpr (E == Element::f16) {
    const Half half = to_float16(value);
    PastCache ? store_past_cache(to, half) : store(to, half);
  } else {
    PastCache ? store_past_cache(to, value) : store(to, value);
  }
}

/// The words of the next step are made while this one is transformed: the AES rounds and the law's
/// operations are both long chains, and the machine's window holds less than two steps. With 16
/// registers the spills cost more.
inline constexpr bool kAhead = kVectorBytes == 64;

/// Whole steps of `Tiles` tiles each; returns the number of tiles done.
template <template <class> class LawOf, Element E, bool PastCache, int Tiles>
[[gnu::flatten]] u64 fill_steps(const Source& source, u64 first, u64 tiles, const Params& params,
                                void* out) {
  using T = typename ComputeOf<E>::Type;
  using Law = LawOf<T>;
  constexpr int half = kTileVectors / 2;
  constexpr std::size_t stored = element_bytes(E) * kLanes<T>;  // bytes of one stored vector

  const RoundKeys<kRounds> keys(source);
  TileCounter<Tiles> counter(first, source.id);
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
    const auto put = [&](Lanes<T> value, int v) {
      store_rounded<E, PastCache>(to + v * stored, value);
    };
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

  char* to = static_cast<char*>(out);
  constexpr std::size_t step = Tiles * kTileVectors * stored;
  const u64 steps = tiles / Tiles;
  if (steps == 0) return 0;
  if constexpr (kAhead) {
    TileWords<Tiles> words(counter, keys);
    for (u64 i = 0; i < steps; ++i, to += step) {
      counter.next();
      const TileWords<Tiles> ahead(counter, keys);
      transform(words, to);
      words = ahead;
    }
  } else {
    for (u64 i = 0; i < steps; ++i, to += step, counter.next())
      transform(TileWords<Tiles>(counter, keys), to);
  }
  return steps * Tiles;
}

/// Two tiles a step where a tile is two vectors; the last tile by itself.
template <template <class> class LawOf, Element E, bool PastCache>
void fill_tiles(const Source& source, u64 first, u64 tiles, const Params& params, void* out) {
  using T = typename ComputeOf<E>::Type;
  u64 done = 0;
  if constexpr (kTileVectors == 2) {
    done = fill_steps<LawOf, E, PastCache, 2>(source, first, tiles, params, out);
    out = static_cast<char*>(out) + done * kTileWords * 4 / sizeof(T) * element_bytes(E);
  }
  if (done < tiles)
    fill_steps<LawOf, E, PastCache, 1>(source, first + done, tiles - done, params, out);
  if constexpr (PastCache) fence_stores();
}

template <template <class> class Law, Element E>
void fill(const Source& source, u64 first, u64 tiles, const Params& params, void* out,
          bool stream) {
  stream ? fill_tiles<Law, E, true>(source, first, tiles, params, out)
         : fill_tiles<Law, E, false>(source, first, tiles, params, out);
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
