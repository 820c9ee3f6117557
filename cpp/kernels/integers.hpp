// Integers and signs from the words themselves: exact operations only.
#pragma once
#include "kernels/fill.hpp"

namespace fanin::FANIN_ISA {
namespace {

/// How many integers there are: fewer than 2^32, fewer than 2^64, or 2^64 (written as 0).
enum class Range { narrow, wide, whole };

/// low + floor(bits * span / 2^64), modulo 2^64, by the products of halves.
template <Range R>
class Scaled {
 public:
  [[gnu::always_inline]] explicit Scaled(const Params& p)
      : low_(splat(p.integer_low)),
        span_(splat(p.integer_span)),
        span_high_(splat(p.integer_span >> 32)) {}

  [[gnu::always_inline]] U64 operator()(U64 bits) const {
    if constexpr (R == Range::whole) return low_ + bits;
    const U64 high = bits >> 32;
    // Below 2^64 each: a product of halves is at most (2^32 - 1)^2.
    const U64 middle = multiply_low_halves(high, span_) + (multiply_low_halves(bits, span_) >> 32);
    if constexpr (R == Range::narrow) return low_ + (middle >> 32);
    const U64 other = multiply_low_halves(bits, span_high_) + (middle & 0xffffffffu);
    return low_ + multiply_low_halves(high, span_high_) + (middle >> 32) + (other >> 32);
  }

 private:
  U64 low_, span_, span_high_;
};

/// Stores the low bits of 32-bit lanes as elements of type T.
template <class T>
[[gnu::always_inline]] inline void store_low_bits(char* to, U32 value) {
  if constexpr (sizeof(T) == sizeof(u32))
    store(to, value);
  else if constexpr (sizeof(T) == sizeof(u16))
    store(to, __builtin_convertvector(value, Half));
  else
    store(to, low_bytes(value));
}

template <Range R, class T, template <int> class Way, int Tiles>
[[gnu::flatten]] u64 integer_steps(const Source& source, u64 first, u64 tiles, const Params& params,
                                   void* out) {
  const Scaled<R> scaled(params);
  const auto transform = [&](const TileWords<Tiles>& words, char* to) {
    const auto value = [&](int v) { return scaled(bit_cast<U64>(words.word[v])); };
    for (int v = 0; v < Tiles * kTileVectors; v += 2, to += 2 * kLanes<u64> * int(sizeof(T))) {
      if constexpr (sizeof(T) == sizeof(u64))
        store(to, value(v)), store(to + kVectorBytes, value(v + 1));
      else
        store_low_bits<T>(to, low_halves(value(v), value(v + 1)));
    }
  };
  return for_steps<Way, kTileWords / 2 * int(sizeof(T)), Tiles>(source, first, tiles, out,
                                                                transform);
}

/// `T` holds the element's bits; 1 and -1 differ by `Flip`.
template <class T, T One, T Flip, template <int> class Way, int Tiles>
[[gnu::flatten]] u64 sign_steps(const Source& source, u64 first, u64 tiles, void* out) {
  const auto transform = [&](const TileWords<Tiles>& words, char* to) {
    for (int v = 0; v < Tiles * kTileVectors; ++v, to += kLanes<u32> * int(sizeof(T))) {
      const I32 minus = bit_cast<I32>(words.word[v]) >> 31;
      if constexpr (sizeof(T) == sizeof(u64)) {
        const auto put = [&](I64 wide, int at) {
          store(to + at, (bit_cast<U64>(wide) & splat(Flip)) ^ splat(One));
        };
        put(widened<0>(minus), 0);
        put(widened<1>(minus), kVectorBytes);
      } else {
        store_low_bits<T>(to, (bit_cast<U32>(minus) & splat(u32(Flip))) ^ splat(u32(One)));
      }
    }
  };
  return for_steps<Way, kTileWords* int(sizeof(T)), Tiles>(source, first, tiles, out, transform);
}

template <Range R, class T>
void fill_integers_of(const Source& source, u64 first, u64 tiles, const Params& params, void* out,
                      bool stream) {
  in_steps<kTileWords / 2 * sizeof(T)>(
      stream, first, tiles, out,
      [&]<template <int> class Way, int Tiles>(u64 from, u64 count, void* to) {
        return integer_steps<R, T, Way, Tiles>(source, from, count, params, to);
      });
}

template <class T>
void fill_integers(const Source& source, u64 first, u64 tiles, const Params& params, void* out,
                   bool stream) {
  const auto fill_by = params.integer_span == 0         ? &fill_integers_of<Range::whole, T>
                       : params.integer_span >> 32 == 0 ? &fill_integers_of<Range::narrow, T>
                                                        : &fill_integers_of<Range::wide, T>;
  fill_by(source, first, tiles, params, out, stream);
}

template <class T, T One, T Flip>
void fill_signs(const Source& source, u64 first, u64 tiles, const Params&, void* out, bool stream) {
  in_steps<kTileWords * sizeof(T)>(
      stream, first, tiles, out,
      [&]<template <int> class Way, int Tiles>(u64 from, u64 count, void* to) {
        return sign_steps<T, One, Flip, Way, Tiles>(source, from, count, to);
      });
}

constexpr IntegerTable kIntegers = {
    {&fill_integers<u8>, &fill_integers<u16>, &fill_integers<u32>, &fill_integers<u64>},
    // The integers' -1 is all ones, one bit away from 1 in all but the lowest.
    {&fill_signs<u32, 0x3f800000, 0x80000000>, &fill_signs<u64, 0x3ff0000000000000, u64(1) << 63>,
     &fill_signs<u16, 0x3c00, 0x8000>, &fill_signs<u16, 0x3f80, 0x8000>, &fill_signs<u8, 1, u8(~1)>,
     &fill_signs<u16, 1, u16(~1)>, &fill_signs<u32, 1, ~u32(1)>, &fill_signs<u64, 1, ~u64(1)>}};

}  // namespace
}  // namespace fanin::FANIN_ISA
