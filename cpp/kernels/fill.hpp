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

/// Laws that fill the register file by themselves.
template <class Law>
inline constexpr bool kCrowded = requires { Law::crowded; };

template <template <class> class LawOf, Element E, bool PastCache>
[[gnu::flatten]] void fill_tiles(const Source& source, u64 first, u64 tiles, const Params& params,
                                 void* out) {
  using T = typename ComputeOf<E>::Type;
  using Law = LawOf<T>;
  constexpr int half = kTileVectors / 2;
  constexpr std::size_t stored = element_bytes(E) * kLanes<T>;  // bytes of one stored vector

  const RoundKeys<kRounds> keys(source);
  TileCounter counter(first, source.id);
  const Law law(params);
  const Lanes<T> scale = splat(T(params.scale));
  const Lanes<T> loc = alternate(T(params.loc[0]), T(params.loc[1]));
  const Lanes<T> lowest = splat(T(params.lowest)), highest = splat(T(params.highest));

  const auto finish = [&](Lanes<T> z, char* to) {
    Lanes<T> value = fma(z, scale, loc);
    if constexpr (Law::bounded) value = minimum(maximum(value, lowest), highest);
    store_rounded<E, PastCache>(to, value);
  };

  const auto transform = [&](const TileWords& words, char* to) {
    for (int i = 0; i < half; ++i) {
      const auto a = bit_cast<UnsignedLanes<T>>(words.word[i]);
      const auto b = bit_cast<UnsignedLanes<T>>(words.word[i + half]);
      Lanes<T> x, y;
      if constexpr (Law::arity == 2) {
        law.draw(a, b, x, y);
      } else {
        x = law.draw(a);
        y = law.draw(b);
      }
      finish(x, to + i * stored);
      finish(y, to + (i + half) * stored);
    }
  };

  char* to = static_cast<char*>(out);
  if constexpr (kVectorBytes == 64 && !kCrowded<Law>) {
    // The words of the next tile are made while this one is transformed: the AES rounds and the law's chain
    // of operations are both long, and the machine's window holds less than two tiles (1.2x on Zen 4). With 16
    // registers, or with a law that needs 32 for itself, the spills cost more.
    TileWords words(counter, keys);
    for (u64 tile = 0; tile < tiles; ++tile, to += kTileVectors * stored) {
      counter.next();
      const TileWords ahead(counter, keys);
      transform(words, to);
      words = ahead;
    }
  } else {
    for (u64 tile = 0; tile < tiles; ++tile, to += kTileVectors * stored, counter.next())
      transform(TileWords(counter, keys), to);
  }
  if constexpr (PastCache) fence_stores();
}

template <template <class> class Law, Element E>
void fill(const Source& source, u64 first, u64 tiles, const Params& params, void* out, bool stream) {
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
