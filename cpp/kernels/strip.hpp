// Blocks of reflectors applied to a few columns, a strip, a run of rows at a time: while a run is
// in the L1 cache the products of one block are subtracted from it and its part of the next
// block's sums is formed, so the rest of the strip may lie in any cache.
//
// A block's vectors stand in a panel, (rows, numbers): row r has the numbers that act on row r. A
// complex reflector is two columns of it, its real and its imaginary parts, and acts on a strip as
// two real ones; only the small system between the sums and the products knows the difference.
//
// Every sum is a chain of fma from zero over a run of fixed length, so the shape of the register
// tile, which differs between instruction sets, decides no bit.
#pragma once
#include "core/panels.hpp"
#include "kernels/lanes.hpp"

namespace fanin::FANIN_ISA {
namespace {

// The register tiles: `kTileRows` rows (of the strip, or of sums) of up to kStripVectors vectors.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kTileRows = 8;
#else
inline constexpr int kTileRows = 4;
#endif

template <class T>
[[gnu::always_inline]] inline T scalar_fma(T a, T b, T c) {
  if constexpr (sizeof(T) == 4)
    return __builtin_fmaf(a, b, c);
  else
    return __builtin_fma(a, b, c);
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

constexpr i64 least(i64 a, i64 b) { return a < b ? a : b; }
constexpr i64 most(i64 a, i64 b) { return a > b ? a : b; }

/// Rows of a tile of so many vectors: a column of four sums alone would wait for its own fma.
template <int Vectors>
inline constexpr int kRowsOf = Vectors == 1 ? 8 : kTileRows;

template <int N>
struct Length {
  static constexpr int value = N;
};

/// run(integral) for runs of `Most`, then of 4, 2 and 1, that make up first .. end - 1: the lengths
/// are constants of the compiler.
template <int Most, class Run>
[[gnu::always_inline]] inline i64 in_tiles(i64 first, i64 end, Run&& run) {
  for (; first + Most <= end; first += Most) run(first, Length<Most>{});
  if constexpr (Most > 4)
    if (first + 4 <= end) run(first, Length<4>{}), first += 4;
  if (first + 2 <= end) run(first, Length<2>{}), first += 2;
  if (first < end) run(first, Length<1>{}), first += 1;
  return first;
}

// ---- the two products ---------------------------------------------------------------------------

/// strip (Rows, Vectors) -= panel (Rows, depth) products (depth, Vectors).
template <class T, int Rows, int Vectors>
[[gnu::always_inline]] inline void subtract_tile(const T* panel, i64 width, i64 depth,
                                                 const T* products, T* strip, i64 stride) {
  constexpr int lanes = kLanes<T>;
  Lanes<T> sum[Rows][Vectors] = {};
#pragma GCC unroll 2
  for (i64 k = 0; k < depth; ++k) {
    Lanes<T> row[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) row[v] = load<Lanes<T>>(products + (k * Vectors + v) * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const Lanes<T> factor = splat(panel[r * width + k]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = fma(factor, row[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      T* const to = strip + r * stride + v * lanes;
      store(to, load<Lanes<T>>(to) - sum[r][v]);
    }
}

/// sums (Count, Vectors), its rows at `sums_step`, += the first Count columns of panel (rows, ..)
/// transposed times strip (rows, Vectors).
template <class T, int Count, int Vectors>
[[gnu::always_inline]] inline void sum_tile(const T* panel, i64 width, const T* strip, i64 stride,
                                            i64 rows, T* sums, i64 sums_step) {
  constexpr int lanes = kLanes<T>;
  Lanes<T> sum[Count][Vectors] = {};
  for (i64 r = 0; r < rows; ++r) {
    Lanes<T> row[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) row[v] = load<Lanes<T>>(strip + v * lanes);
    __builtin_prefetch(panel + kRunRows * width, 0, 2);
#pragma GCC unroll 8
    for (int k = 0; k < Count; ++k) {
      const Lanes<T> factor = splat(panel[k]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[k][v] = fma(factor, row[v], sum[k][v]);
    }
    panel += width;
    strip += stride;
  }
#pragma GCC unroll 8
  for (int k = 0; k < Count; ++k)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      T* const to = sums + k * sums_step + v * lanes;
      store(to, load<Lanes<T>>(to) + sum[k][v]);
    }
}

/// Rows begin .. end - 1 of the strip, counted from the panel's first. Reflector i has zeros in the
/// i rows above its own first, so there its products need not be subtracted.
template <class T, int Vectors>
void subtract(const Pass<T>& pass, i64 begin, i64 end) {
  in_tiles<kRowsOf<Vectors>>(begin, end, [&](i64 r, auto rows) {
    const i64 depth = least(pass.done_count, (r + rows.value) * pass.parts);
    subtract_tile<T, rows.value, Vectors>(
        pass.done + r * pass.width, pass.width, depth, pass.products,
        pass.strip + (pass.done_first + r) * pass.stride, pass.stride);
  });
}

template <class T, int Vectors>
void sum(const Pass<T>& pass, i64 begin, i64 end) {
  constexpr i64 step = Vectors * kLanes<T>;
  in_tiles<kRowsOf<Vectors>>(0, pass.next_count, [&](i64 k, auto count) {
    const i64 from = most(begin, most(k / pass.parts, pass.zeros));
    if (from < end)
      sum_tile<T, count.value, Vectors>(pass.next + from * pass.width + k, pass.width,
                                        pass.strip + (pass.next_first + from) * pass.stride,
                                        pass.stride, end - from, pass.sums + k * step, step);
  });
}

template <class T, int Vectors>
void pass_of(const Pass<T>& pass) {
  const i64 origin = pass.next != nullptr ? pass.next_first : pass.done_first;
  for (i64 begin = pass.begin; begin < pass.end;) {
    const i64 end = begin < origin
                        ? least(origin, pass.end)
                        : least(origin + ((begin - origin) / kRunRows + 1) * kRunRows, pass.end);
    if (pass.done != nullptr && end > pass.done_first)
      subtract<T, Vectors>(pass, most(begin - pass.done_first, 0), end - pass.done_first);
    if (pass.next != nullptr && begin >= origin)
      sum<T, Vectors>(pass, begin - origin, end - origin);
    begin = end;
  }
}

template <class T>
void pass_block(const Pass<T>& pass) {
  if (pass.vectors == 3) return pass_of<T, 3>(pass);
  if (pass.vectors == 2) return pass_of<T, 2>(pass);
  pass_of<T, 1>(pass);
}

// ---- the system between them --------------------------------------------------------------------

/// i z, or -i z, of complex lanes.
template <class T, int... i>
[[gnu::always_inline]] inline Lanes<T> swap_parts(Lanes<T> z, Indices<i...>) {
  return __builtin_shufflevector(z, z, (i ^ 1)...);
}
template <class T>
[[gnu::always_inline]] inline Lanes<T> times_i(Lanes<T> z) {
  return swap_parts<T>(z, typename UpTo<kLanes<T>>::type{}) * alternate(T(-1), T(1));
}

/// Sums over the real and the imaginary parts of v, in the rows 2 i and 2 i + 1, to v^H in row 2 i.
template <class T>
void join_parts(T* sums, i64 count, i64 step) {
  for (i64 i = 0; i < count; i += 2)
    for (i64 c = 0; c < step; c += kLanes<T>) {
      T* const re = sums + i * step + c;
      store(re, load<Lanes<T>>(re) - times_i<T>(load<Lanes<T>>(re + step)));
    }
}

/// sums of the panel (rows begin .. end - 1) with itself: its columns up to each column's own.
template <class T>
void couple(const T* panel, i64 width, int count, int parts, i64 begin, i64 end, T* sums) {
  constexpr int lanes = kLanes<T>;
  for (i64 run = begin; run < end;) {
    const i64 stop = least((run / kRunRows + 1) * kRunRows, end);
    for (i64 c = 0; c < count; c += lanes)
      in_tiles<kRowsOf<1>>(0, least(c + lanes, count), [&](i64 k, auto rows) {
        const i64 from = most(run, most(k, c) / parts);
        if (from < stop)
          sum_tile<T, rows.value, 1>(panel + from * width + k, width, panel + from * width + c,
                                     width, stop - from, sums + k * kBlockNumbers + c,
                                     kBlockNumbers);
      });
    run = stop;
  }
}

template <class T>
void finish_couplings(T* sums, int count, int parts) {
  if (parts == 2) join_parts(sums, count, kBlockNumbers);
  for (i64 i = 0; i < count * kBlockNumbers; ++i) sums[i] = -sums[i];
}

/// Rows first .. first + Count - 1 of the products; those they need are there. -(v_i^H v_l), i < l,
/// stands in row i.
template <class T, int Count, int Vectors>
[[gnu::always_inline]] inline void solve_tile(const T* minus, i64 count, i64 first, bool adjoint,
                                              T* rows) {
  constexpr i64 lanes = kLanes<T>, step = Vectors * lanes;
  const i64 along = adjoint ? kBlockNumbers : 1, across = adjoint ? 1 : kBlockNumbers;
  T* const own = rows + first * step;
  Lanes<T> sum[Count][Vectors];
#pragma GCC unroll 8
  for (int i = 0; i < Count; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[i][v] = load<Lanes<T>>(own + i * step + v * lanes);
  const auto others = [&](i64 l) {
    const T* const factors = minus + first * across + l * along;
    Lanes<T> row[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) row[v] = load<Lanes<T>>(rows + l * step + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) {
      const Lanes<T> factor = splat(factors[i * across]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[i][v] = fma(factor, row[v], sum[i][v]);
    }
  };
  const auto inside = [&](int i, int l) {
    const Lanes<T> factor = splat(minus[(first + i) * across + (first + l) * along]);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[i][v] = fma(factor, sum[l][v], sum[i][v]);
  };
  if (adjoint) {
    for (i64 l = 0; l < first; ++l) others(l);
#pragma GCC unroll 8
    for (int l = 0; l < Count; ++l)
#pragma GCC unroll 8
      for (int i = l + 1; i < Count; ++i) inside(i, l);
  } else {
    for (i64 l = count - 1; l >= first + Count; --l) others(l);
#pragma GCC unroll 8
    for (int l = Count - 1; l >= 0; --l)
#pragma GCC unroll 8
      for (int i = 0; i < l; ++i) inside(i, l);
  }
#pragma GCC unroll 8
  for (int i = 0; i < Count; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(own + i * step + v * lanes, sum[i][v]);
}

template <class T, int Vectors>
void solve_real(const T* minus, i64 count, bool adjoint, T* rows) {
  if (adjoint) {
    in_tiles<kTileRows>(0, count, [&](i64 first, auto tile) {
      solve_tile<T, tile.value, Vectors>(minus, count, first, true, rows);
    });
    return;
  }
  // The same tiles from the last to the first.
  const i64 whole = count / kTileRows * kTileRows;
  i64 end = count;
  if ((count - whole) & 1) solve_tile<T, 1, Vectors>(minus, count, end -= 1, false, rows);
  if ((count - whole) & 2) solve_tile<T, 2, Vectors>(minus, count, end -= 2, false, rows);
  if ((count - whole) & 4) solve_tile<T, 4, Vectors>(minus, count, end -= 4, false, rows);
  while (end > 0) solve_tile<T, kTileRows, Vectors>(minus, count, end -= kTileRows, false, rows);
}

template <class T>
void solve_complex(const T* minus, i64 count, bool adjoint, T* rows, int vectors) {
  const i64 lanes = kLanes<T>, step = vectors * lanes;
  join_parts(rows, count, step);
  for (i64 n = 0; n < count; n += 2) {
    const i64 i = adjoint ? n : count - 2 - n;
    for (i64 c = 0; c < step; c += lanes) {
      T* const own = rows + i * step + c;
      Lanes<T> sum = load<Lanes<T>>(own);
      for (i64 m = 0; m < n; m += 2) {
        const i64 l = adjoint ? m : count - 2 - m;
        const T* const factor = minus + (adjoint ? l * kBlockNumbers + i : i * kBlockNumbers + l);
        const T* const other = rows + l * step + c;
        sum = fma(splat(factor[0]), load<Lanes<T>>(other), sum);
        sum = fma(splat(adjoint ? -factor[1] : factor[1]), load<Lanes<T>>(other + step), sum);
      }
      store(own, sum);
      store(own + step, times_i<T>(sum));
    }
  }
}

template <class T>
void solve(const T* minus, int count, int parts, bool adjoint, T* rows, int vectors) {
  if (parts == 2) return solve_complex(minus, count, adjoint, rows, vectors);
  if (vectors == 3) return solve_real<T, 3>(minus, count, adjoint, rows);
  if (vectors == 2) return solve_real<T, 2>(minus, count, adjoint, rows);
  solve_real<T, 1>(minus, count, adjoint, rows);
}

// ---- in and out ---------------------------------------------------------------------------------

/// Rows that a copy asks for ahead of itself: they lie too far apart for the processor to guess.
inline constexpr i64 kCopyAhead = 16;
template <class T>
inline constexpr i64 kLineNumbers = 64 / i64(sizeof(T));

template <class T>
void copy(const T* from, i64 from_step, i64 rows, i64 columns, T factor, T* to, i64 to_step) {
  constexpr int lanes = kLanes<T>;
  const Lanes<T> wide = splat(factor);
  const i64 whole = columns / lanes * lanes;
  for (i64 r = 0; r < rows; ++r, from += from_step, to += to_step) {
    if (r + kCopyAhead < rows)
      for (i64 c = 0; c < columns; c += kLineNumbers<T>) {
        __builtin_prefetch(from + kCopyAhead * from_step + c);
        __builtin_prefetch(to + kCopyAhead * to_step + c, 1);
      }
    for (i64 c = 0; c < whole; c += lanes) store(to + c, load<Lanes<T>>(from + c) * wide);
    for (i64 c = whole; c < columns; ++c) to[c] = from[c] * factor;
  }
}

template <class T>
bool triangle(const T* from, i64 from_step, i64 rows, i64 columns, const T* signs, T* to,
              i64 to_step) {
  constexpr int lanes = kLanes<T>;
  const i64 whole = columns / lanes * lanes;
  SignedLanes<T> number;
  for (int lane = 0; lane < lanes; ++lane) number[lane] = lane;
  Lanes<T> unordered = {};  // NaN once there is a NaN or an infinity
  T rest = 0;
  for (i64 r = 0; r < rows; ++r, from += from_step) {
    T* const row = to != nullptr ? to + r * to_step : nullptr;
    const T sign = signs != nullptr ? signs[r] : T(1);
    const Lanes<T> wide = splat(sign);
    i64 c = 0;
    for (; c + lanes <= least(r, whole); c += lanes)
      if (row != nullptr) store(row + c, Lanes<T>{});
    for (; c < whole; c += lanes) {
      const auto within = number >= SignedLanes<T>{} + typename BitsOf<T>::Signed(r - c);
      const Lanes<T> value = select(within, load<Lanes<T>>(from + c) * wide, Lanes<T>{});
      unordered += value - value;
      if (row != nullptr) store(row + c, value);
    }
    for (; c < columns; ++c) {
      const T value = c < r ? T(0) : from[c] * sign;
      rest += value - value;
      if (row != nullptr) row[c] = value;
    }
  }
  for (int lane = 0; lane < lanes; ++lane) rest += unordered[lane];
  return rest == 0;
}

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
