// KernelTable: all that crosses the ISA fence.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/panels.hpp"
#include "core/types.hpp"

namespace fanin {

/// Writes `tiles` whole tiles, from tile number `first` on, to `out` (aligned to its element).
/// `stream` asks for stores past the caches.
using FillFn = void (*)(const Source&, u64 first, u64 tiles, const Params&, void* out, bool stream);

/// One distribution: its name and a fill for each destination element (order of Element).
struct FillRow {
  const char* name;
  FillFn fill[kElements];
};

/// Fills of Params::integer_low and integer_span, by the bytes of an element (1, 2, 4, 8), and of
/// signs (order of Element).
struct IntegerTable {
  FillFn integers[4];
  FillFn signs[8];
};

/// One elementary function, elementwise; `out` may be `in`. Null where a type is not offered.
struct FunctionRow {
  const char* name;
  void (*f32)(const float* in, float* out, std::size_t count);
  void (*f64)(const double* in, double* out, std::size_t count);
};

template <class Row>
struct Rows {
  const Row* first;
  std::size_t count;
  constexpr const Row* begin() const { return first; }
  constexpr const Row* end() const { return first + count; }
};

struct MomentTable;

struct KernelTable {
  const char* isa;
  Rows<FillRow> fills;
  IntegerTable integers;
  Rows<FunctionRow> functions;
  /// Raw words of `tiles` tiles.
  void (*words)(const Source&, u64 first, u64 tiles, u32* out);
  /// One ARS block with any number of rounds from 1 to 10: the door of the known-answer tests.
  void (*block)(const Source&, u64 number, int rounds, u32* out);
  /// Rounds float32 to a half type, to nearest even.
  void (*to_half)(const float* in, u16* out, std::size_t count, Element to);
  /// Writes `count` 64-byte lines of a constant; the memory limit that benchmarks compare with.
  void (*store_lines)(void* out, std::size_t count, bool stream);
  /// a * b + c in plain operators: shows whether the compiler contracted it.
  float (*contraction_probe)(float a, float b, float c);
  /// Matrix products and reflectors.
  const PanelTable* panels;
  /// Activations and their Gaussian moments (core/moment_table.hpp).
  const MomentTable* moments;
};

}  // namespace fanin
