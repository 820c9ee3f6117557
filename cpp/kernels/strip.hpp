// Reflectors applied to a few columns that stay in the L1 or L2 cache, two at a time.
//
// Every sum over the rows is cut at the same ones, each run a chain of fma in their order, so the
// number of columns taken together, which differs between instruction sets, decides no bit.
#pragma once
#include "core/panels.hpp"
#include "kernels/lanes.hpp"

namespace fanin::FANIN_ISA {
namespace {

// Vectors in a row of a strip: as many as leave registers for the operands.
#if defined(__AVX512F__)
inline constexpr int kStripVectors = 2;
#else
inline constexpr int kStripVectors = 4;
#endif
template <class T>
inline constexpr int kStripColumns = kStripVectors * kLanes<T>;

template <class T>
[[gnu::always_inline]] inline T scalar_fma(T a, T b, T c) {
  if constexpr (sizeof(T) == 4)
    return __builtin_fmaf(a, b, c);
  else
    return __builtin_fma(a, b, c);
}

/// One row of a strip.
template <class T>
struct StripRow {
  Lanes<T> of[kStripVectors];

  [[gnu::always_inline]] static StripRow at(const T* from) {
    StripRow row;
    for (int k = 0; k < kStripVectors; ++k) row.of[k] = load<Lanes<T>>(from + k * kLanes<T>);
    return row;
  }
  [[gnu::always_inline]] void put(T* to) const {
    for (int k = 0; k < kStripVectors; ++k) store(to + k * kLanes<T>, of[k]);
  }
  /// += factor * other
  [[gnu::always_inline]] void add(T factor, const StripRow& other) {
    const Lanes<T> wide = splat(factor);
    for (int k = 0; k < kStripVectors; ++k) of[k] = fma(wide, other.of[k], of[k]);
  }
  [[gnu::always_inline]] StripRow times(T factor) const {
    StripRow row;
    for (int k = 0; k < kStripVectors; ++k) row.of[k] = of[k] * splat(factor);
    return row;
  }
};

/// With Q the strip: H_a H_b Q = Q - v_b w_b - v_a w_a, where w_b = v_b^T Q and
/// w_a = v_a^T Q - (v_a^T v_b) w_b. One pass over the rows subtracts a pair's products and forms
/// the next pair's w.
template <class T>
void reflect_strip(const T* vectors, i64 step, i64 count, i64 rows, T* strip, T gain, int columns,
                   T* out, i64 out_step) {
  constexpr int width = kStripColumns<T>;
  StripRow<T> minus_wa = {}, minus_wb = {};  // of the pair before
  const T *done_a = vectors, *done_b = vectors;
  for (i64 j = count - 2; j >= 0; j -= 2) {
    const T* const a = vectors + j * step;
    const T* const b = a + step;
    T* q = strip + j * width;
    const StripRow<T> second = StripRow<T>::at(q + width);
    StripRow<T> wa = {}, wb = {};  // sums of the finished runs, and of the present one
    StripRow<T> run_a = StripRow<T>::at(q).times(a[0]), run_b = second.times(b[0]);
    run_a.add(a[1], second);
    T coupling = a[1] * b[0];
    q += 2 * width;
    // Row r of this pair is row r - 2 of the one before, and the second of a pair begins a row
    // after the first.
    const auto visit = [&](i64 r, StripRow<T> row) {
      row.add(done_a[r - 2], minus_wa);
      row.put(q);
      run_a.add(a[r], row);
      run_b.add(b[r - 1], row);
      coupling = scalar_fma(a[r], b[r - 1], coupling);
      q += width;
    };
    if (rows - j > 2) visit(2, StripRow<T>::at(q));
    for (i64 r = 3; r < rows - j;) {
      i64 end = (r / kStripDepth + 1) * kStripDepth;
      if (end > rows - j) end = rows - j;
      for (; r < end; ++r) {
        StripRow<T> row = StripRow<T>::at(q);
        row.add(done_b[r - 3], minus_wb);
        visit(r, row);
      }
      wa.add(T(1), run_a);
      wb.add(T(1), run_b);
      run_a = run_b = {};
    }
    wa.add(T(1), run_a);
    wb.add(T(1), run_b);
    wa.add(-coupling, wb);
    minus_wa = wa.times(T(-1));
    minus_wb = wb.times(T(-1));
    done_a = a;
    done_b = b;
  }
  for (i64 r = 0; r < rows; ++r, strip += width, out += out_step) {
    StripRow<T> row = StripRow<T>::at(strip);
    if (r > 0) row.add(done_b[r - 1], minus_wb);
    row.add(done_a[r], minus_wa);
    row = row.times(gain);
    if (columns == width) {
      row.put(out);
      continue;
    }
    row.put(strip);
    for (int c = 0; c < columns; ++c) out[c] = strip[c];
  }
}

/// The numbers 0 .. n - 1 as a pack.
template <int... i>
struct Indices {};
template <int n, int... i>
struct UpTo : UpTo<n - 1, n - 1, i...> {};
template <int... i>
struct UpTo<0, i...> {
  using type = Indices<i...>;
};

/// Lane by lane from the first and the second vector: from their lower halves (`half` 0) or their
/// upper ones (1).
template <int half, class V, int... i>
[[gnu::always_inline]] inline V interleave(V a, V b, Indices<i...>) {
  constexpr int lanes = sizeof...(i);
  return __builtin_shufflevector(a, b, (half * lanes / 2 + i / 2 + i % 2 * lanes)...);
}

/// A square of vectors: each round moves one bit of the row's number into the column's.
template <class T>
[[gnu::always_inline]] inline void turn_square(const T* from, i64 from_step, T* to, i64 to_step) {
  constexpr int lanes = kLanes<T>;
  constexpr typename UpTo<lanes>::type each;
  Lanes<T> rows[lanes], turned[lanes];
#pragma GCC unroll 16
  for (int r = 0; r < lanes; ++r) rows[r] = load<Lanes<T>>(from + r * from_step);
#pragma GCC unroll 4
  for (int round = 1; round < lanes; round *= 2) {
#pragma GCC unroll 8
    for (int r = 0; r < lanes / 2; ++r) {
      turned[2 * r] = interleave<0>(rows[r], rows[r + lanes / 2], each);
      turned[2 * r + 1] = interleave<1>(rows[r], rows[r + lanes / 2], each);
    }
#pragma GCC unroll 16
    for (int r = 0; r < lanes; ++r) rows[r] = turned[r];
  }
#pragma GCC unroll 16
  for (int r = 0; r < lanes; ++r) store(to + r * to_step, rows[r]);
}

template <class T>
void turn(const T* from, i64 from_step, i64 rows, i64 columns, T* to, i64 to_step) {
  constexpr int lanes = kLanes<T>;
  const i64 whole_rows = rows / lanes * lanes, whole_columns = columns / lanes * lanes;
  for (i64 r = 0; r < whole_rows; r += lanes)
    for (i64 c = 0; c < whole_columns; c += lanes)
      turn_square(from + r * from_step + c, from_step, to + c * to_step + r, to_step);
  for (i64 r = 0; r < rows; ++r)
    for (i64 c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
      to[c * to_step + r] = from[r * from_step + c];
}

}  // namespace
}  // namespace fanin::FANIN_ISA
