#include "engine/integers.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "core/stream.hpp"
#include "engine/dispatch.hpp"

namespace fanin::engine {
namespace {

constexpr u64 kBatchTiles = 32;  ///< tiles of words held on the stack, 4 KiB

u64 scaled(u64 bits, u64 low, u64 span) {
  return low + (span == 0 ? bits : u64((u128(bits) * span) >> 64));
}

/// Calls make(words, tiles, to) for batches of tiles of words; a tile makes `tile_bytes` of output.
template <class Make>
void for_batches(const Source& source, u64 first, u64 tiles, void* out, std::size_t tile_bytes,
                 Make make) {
  const auto words_of = table().words;
  alignas(64) u32 words[kBatchTiles * kTileWords];
  char* to = static_cast<char*>(out);
  while (tiles != 0) {
    const u64 batch = std::min(tiles, kBatchTiles);
    words_of(source, first, batch, words);
    make(words, batch, to);
    to += batch * tile_bytes;
    first += batch;
    tiles -= batch;
  }
}

template <class T>
void fill_integers(const Source& source, u64 first, u64 tiles, const Params& p, void* out, bool) {
  constexpr u64 values = kTileWords / 2;
  for_batches(source, first, tiles, out, values * sizeof(T),
              [&](const u32* words, u64 batch, char* to) {
                for (u64 i = 0; i < batch * values; ++i) {
                  const u64 bits = u64(words[2 * i]) | u64(words[2 * i + 1]) << 32;
                  const T value = T(scaled(bits, p.integer_low, p.integer_span));
                  std::memcpy(to + i * sizeof(T), &value, sizeof(T));
                }
              });
}

/// `T` holds the element's bits; 1 and -1 differ by `flip`.
template <class T, T One, T Flip>
void fill_signs(const Source& source, u64 first, u64 tiles, const Params&, void* out, bool) {
  for_batches(source, first, tiles, out, kTileWords * sizeof(T),
              [](const u32* words, u64 batch, char* to) {
                for (u64 i = 0; i < batch * kTileWords; ++i) {
                  const T value = T(One ^ (T(-T(words[i] >> 31)) & Flip));
                  std::memcpy(to + i * sizeof(T), &value, sizeof(T));
                }
              });
}

constexpr FillFn kIntegers[] = {&fill_integers<u8>, &fill_integers<u16>, &fill_integers<u32>,
                                &fill_integers<u64>};
// In the order of Element; the integers' -1 is all ones, one bit away from 1 in all but the lowest.
constexpr FillFn kSigns[] = {
    &fill_signs<u32, 0x3f800000, 0x80000000>,
    &fill_signs<u64, 0x3ff0000000000000, 0x8000000000000000>,
    &fill_signs<u16, 0x3c00, 0x8000>,
    &fill_signs<u16, 0x3f80, 0x8000>,
    &fill_signs<u8, 1, u8(~1)>,
    &fill_signs<u16, 1, u16(~1)>,
    &fill_signs<u32, 1, ~u32(1)>,
    &fill_signs<u64, 1, ~u64(1)>,
};

}  // namespace

Plan integers(u64 low, u64 span, Element element) {
  if (element < Element::i8) throw std::invalid_argument("integers fill integer elements only");
  Plan made;
  made.params.integer_low = low;
  made.params.integer_span = span;
  made.law = "integers";
  made.fill = kIntegers[int(element) - int(Element::i8)];
  made.tile_values = kTileWords / 2;
  return made;
}

Plan signs(Element element) {
  Plan made;
  made.law = "rademacher";
  made.fill = kSigns[int(element)];
  made.tile_values = kTileWords;
  return made;
}

void scale_words(u64* words, const u64* low, const u64* span, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) words[i] = scaled(words[i], low[i], span[i]);
}

}  // namespace fanin::engine
