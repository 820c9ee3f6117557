// The kernel table of one instruction set: the only symbol this object exports.
#include "core/table.hpp"
#include "kernels/fill.hpp"
#include "kernels/integers.hpp"
#include "kernels/scalar_functions.hpp"

namespace fanin::FANIN_ISA {
namespace {

template <template <int> class Way, int Tiles>
[[gnu::flatten]] u64 word_steps(const Source& source, u64 first, u64 tiles, void* out) {
  return for_steps<Way, 4 * kTileWords, Tiles>(source, first, tiles, out,
                                               [](const TileWords<Tiles>& words, char* to) {
                                                 for (int v = 0; v < Tiles * kTileVectors; ++v)
                                                   store(to + v * kVectorBytes, words.word[v]);
                                               });
}

void raw_words(const Source& source, u64 first, u64 tiles, u32* out) {
  in_steps<4 * kTileWords>(false, first, tiles, out,
                           [&]<template <int> class Way, int Tiles>(u64 from, u64 count, void* to) {
                             return word_steps<Way, Tiles>(source, from, count, to);
                           });
}

template <int Rounds>
void one_block(const Source& source, u64 number, u32* out) {
  const RoundKeys<Rounds> keys(source);
  Blocks s[1] = {repeat_pair(number, source.id)};
  ars<Rounds>(s, keys);
  __builtin_memcpy(out, &s[0], 4 * kBlockWords);
}

void block(const Source& source, u64 number, int rounds, u32* out) {
  if (rounds == 5) return one_block<5>(source, number, out);
  if (rounds == 10) return one_block<10>(source, number, out);
  one_block<kRounds>(source, number, out);
}

template <Half (*Convert)(F32)>
void convert_all(const float* in, u16* out, std::size_t count) {
  constexpr std::size_t lanes = kLanes<float>;
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) store(out + i, Convert(load<F32>(in + i)));
  if (i == count) return;
  float rest[lanes] = {};
  u16 half[lanes];
  __builtin_memcpy(rest, in + i, (count - i) * sizeof(float));
  store(half, Convert(load<F32>(rest)));
  __builtin_memcpy(out + i, half, (count - i) * sizeof(u16));
}

void to_half(const float* in, u16* out, std::size_t count, Element to) {
  to == Element::bf16 ? convert_all<to_bfloat16>(in, out, count)
                      : convert_all<to_float16>(in, out, count);
}

void store_lines(void* out, std::size_t count, bool stream) {
  constexpr int vectors = 64 / kVectorBytes;
  const U32 value = splat(0x3f800000u);
  char* to = static_cast<char*>(out);
  for (std::size_t i = 0; i < count * vectors; ++i, to += kVectorBytes)
    stream ? store_past_cache(to, value) : store(to, value);
  if (stream) fence_stores();
}

float contraction_probe(float a, float b, float c) { return a * b + c; }

constexpr FillTable kFills;

}  // namespace

extern const PanelTable panels;
extern const MomentTable moments;

extern const KernelTable table;
const KernelTable table = {FANIN_ISA_NAME,
                           {kFills.row, kLaws},
                           kIntegers,
                           {kFunctions, kFunctionCount},
                           &raw_words,
                           &block,
                           &to_half,
                           &store_lines,
                           &contraction_probe,
                           &panels,
                           &moments};

}  // namespace fanin::FANIN_ISA
