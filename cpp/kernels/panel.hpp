// Matrix products in registers, packing, and the operations on the vectors of a reflector.
//
// Every output is one chain of fma in order of the summed index, so the shape of the register tile,
// which differs between instruction sets, decides no bit.
#pragma once
#include "core/panels.hpp"
#include "kernels/lanes.hpp"
#include "kernels/strip.hpp"

namespace fanin::FANIN_ISA {
namespace {

// The register tile: `kPanelRows` rows of `kPanelVectors` vectors of accumulators, and room for the
// operands.
#if defined(__AVX512F__)
inline constexpr int kPanelRows = 8;
#elif defined(__AVX2__)
inline constexpr int kPanelRows = 6;
#elif defined(__aarch64__)
inline constexpr int kPanelRows = 8;
#else
inline constexpr int kPanelRows = 4;
#endif
#if defined(__AVX512F__)
inline constexpr int kPanelVectors = 3;
#else
inline constexpr int kPanelVectors = 2;
#endif
template <class T>
inline constexpr int kPanelColumns = kPanelVectors * kLanes<T>;

// ---- the micro-kernel ---------------------------------------------------------------------------

template <class T>
[[gnu::always_inline]] inline void write_back(T* c, Lanes<T> sum, int count, Update update) {
  constexpr int lanes = kLanes<T>;
  if (count >= lanes) {
    if (update == Update::add) sum = load<Lanes<T>>(c) + sum;
    if (update == Update::subtract) sum = load<Lanes<T>>(c) - sum;
    store(c, sum);
    return;
  }
  T values[lanes];
  store(values, sum);
  for (int i = 0; i < count; ++i)
    c[i] = update == Update::store ? values[i]
           : update == Update::add ? c[i] + values[i]
                                   : c[i] - values[i];
}

/// Steps of the depth that the operands are asked for before their use, from the L2 cache.
inline constexpr i64 kDepthAhead = 8;

template <class T, int Rows, int Vectors>
void tile_of(const T* left, const T* right, i64 depth, T* c, i64 step, int count_columns,
             Update update, const T* ahead) {
  constexpr int lanes = kLanes<T>;
  constexpr int line = 64 / int(sizeof(T));
  Lanes<T> sum[Rows][Vectors] = {};
  if (update != Update::store)
    for (int r = 0; r < Rows; ++r)
      for (int v = 0; v < Vectors; ++v) __builtin_prefetch(c + r * step + v * lanes, 1);
  for (i64 k = 0; k < depth; ++k) {
    Lanes<T> b[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) b[v] = load<Lanes<T>>(right + v * lanes);
#pragma GCC unroll 4
    for (int i = 0; i < kPanelColumns<T>; i += line)
      __builtin_prefetch(right + kDepthAhead * kPanelColumns<T> + i);
    __builtin_prefetch(left + 2 * kDepthAhead * kPanelRows);
    __builtin_prefetch(ahead + k, 0, 2);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Lanes<T> a = splat(left[r]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = fma(a, b[v], sum[r][v]);
    }
    left += kPanelRows;
    right += kPanelColumns<T>;
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      write_back(c + r * step + v * lanes, sum[r][v], count_columns - v * lanes, update);
}

template <class T>
using TileOf = void (*)(const T*, const T*, i64, T*, i64, int, Update, const T*);

template <class T>
struct TilesOf {
  TileOf<T> of[kPanelVectors][kPanelRows];
  template <int Vectors, int Rows>
  constexpr void set() {
    of[Vectors - 1][Rows - 1] = &tile_of<T, Rows, Vectors>;
    if constexpr (Rows > 1) set<Vectors, Rows - 1>();
  }
  constexpr TilesOf() : of() {
    set<1, kPanelRows>();
    set<2, kPanelRows>();
    if constexpr (kPanelVectors == 3) set<3, kPanelRows>();
  }
};
template <class T>
constexpr TilesOf<T> kTiles;

template <class T>
void tile(const T* left, const T* right, i64 depth, T* c, i64 step, int count_rows,
          int count_columns, Update update, const T* ahead) {
  const int vectors = (count_columns + kLanes<T> - 1) / kLanes<T>;
  kTiles<T>.of[vectors - 1][count_rows - 1](left, right, depth, c, step, count_columns, update,
                                            ahead);
}

// ---- packing ------------------------------------------------------------------------------------

template <class T>
void pack_left(const T* from, i64 row_step, i64 depth_step, int count, i64 depth, Form form,
               T* to) {
  if (form != Form::real) {
    for (i64 k = 0; k < depth; ++k, to += 2 * kPanelRows)
      for (int r = 0; r < count; ++r) {
        const T* z = from + 2 * (r * row_step + k * depth_step);
        to[r] = z[0];
        to[kPanelRows + r] = form == Form::conjugate ? -z[1] : z[1];
      }
    return;
  }
  if (count == kPanelRows && row_step == 1) {
    for (i64 k = 0; k < depth; ++k, from += depth_step, to += kPanelRows)
      __builtin_memcpy(to, from, kPanelRows * sizeof(T));
    return;
  }
  if (depth_step == 1) {
    // Rows are read along the cache lines, a few steps of all rows at a time.
    constexpr i64 run = 64 / sizeof(T);
    for (i64 k = 0; k < depth; k += run) {
      const i64 end = depth - k < run ? depth - k : run;
      for (int r = 0; r < count; ++r) {
        const T* row = from + r * row_step + k;
        for (i64 i = 0; i < end; ++i) to[(k + i) * kPanelRows + r] = row[i];
      }
    }
    return;
  }
  for (i64 k = 0; k < depth; ++k, to += kPanelRows)
    for (int r = 0; r < count; ++r) to[r] = from[r * row_step + k * depth_step];
}

template <class T>
void pack_right(const T* from, i64 depth_step, i64 column_step, int count, i64 depth, Form form,
                T* to) {
  constexpr int width = kPanelColumns<T>;
  if (form != Form::real) {
    const T sign = form == Form::conjugate ? T(-1) : T(1);
    for (i64 k = 0; k < depth; ++k, to += 2 * width)
      for (int c = 0; c < width; c += 2) {
        const T* z = from + 2 * (k * depth_step + c / 2 * column_step);
        const T re = c < count ? z[0] : T(0), im = c < count ? sign * z[1] : T(0);
        to[c] = re;
        to[c + 1] = im;
        to[width + c] = -im;
        to[width + c + 1] = re;
      }
    return;
  }
  if (column_step == 1 && count == width) {
    for (i64 k = 0; k < depth; ++k, from += depth_step, to += width) {
      __builtin_prefetch(from + 8 * depth_step);
      __builtin_prefetch(from + 8 * depth_step + width - 1);
      Lanes<T> row[kPanelVectors];
      for (int v = 0; v < kPanelVectors; ++v) row[v] = load<Lanes<T>>(from + v * kLanes<T>);
      for (int v = 0; v < kPanelVectors; ++v) store(to + v * kLanes<T>, row[v]);
    }
    return;
  }
  if (depth_step == 1) {
    constexpr i64 run = 64 / sizeof(T);
    for (i64 k = 0; k < depth; k += run) {
      const i64 end = depth - k < run ? depth - k : run;
      for (int c = 0; c < width; ++c)
        for (i64 i = 0; i < end; ++i)
          to[(k + i) * width + c] = c < count ? from[c * column_step + k + i] : T(0);
    }
    return;
  }
  for (i64 k = 0; k < depth; ++k, to += width)
    for (int c = 0; c < width; ++c)
      to[c] = c < count ? from[k * depth_step + c * column_step] : T(0);
}

// ---- vectors ------------------------------------------------------------------------------------

inline constexpr int kSumVectors = int(kPartialSums) / kLanes<double>;

/// Lanes of float64 from as many numbers of either type.
[[gnu::always_inline]] inline F64 load_wide(const double* x) { return load<F64>(x); }
[[gnu::always_inline]] inline void store_narrow(double* to, F64 x) { store(to, x); }
[[gnu::always_inline]] inline void store_narrow(float* to, F64 x) {
  store(to, __builtin_convertvector(x, VectorOf<float, kVectorBytes / 2>::type));
}

/// Groups of `group` lanes of a, then those of b, each one's upper half added to its lower half.
template <int group, int... i>
[[gnu::always_inline]] inline F64 add_halves(F64 a, F64 b, Indices<i...>) {
  constexpr int half = group / 2;
  return __builtin_shufflevector(a, b, (i / half * group + i % half)...) +
         __builtin_shufflevector(a, b, (i / half * group + half + i % half)...);
}

/// The sums of `Count` groups of lanes, Count a power of two, in the first lanes.
template <int group, int Count>
[[gnu::always_inline]] inline F64 add_lanes(const F64 (&groups)[Count]) {
  if constexpr (group == 1) {
    return groups[0];
  } else {
    F64 halves[(Count + 1) / 2];
#pragma GCC unroll 8
    for (int n = 0; n < (Count + 1) / 2; ++n)
      halves[n] = add_halves<group>(groups[2 * n], groups[least(2 * n + 1, Count - 1)],
                                    typename UpTo<kLanes<double>>::type{});
    return add_lanes<group / 2>(halves);
  }
}

/// 16 partial sums to ((p0+p8)+(p4+p12))+...: one number for each of `Count` groups of them.
template <int Count>
[[gnu::always_inline]] inline F64 add_partial_sums(F64 (&sums)[Count][kSumVectors]) {
  F64 groups[Count];
#pragma GCC unroll 8
  for (int n = 0; n < Count; ++n) {
#pragma GCC unroll 4
    for (int half = kSumVectors / 2; half > 0; half /= 2)
#pragma GCC unroll 4
      for (int v = 0; v < half; ++v) sums[n][v] = sums[n][v] + sums[n][v + half];
    groups[n] = sums[n][0];
  }
  return add_lanes<kLanes<double>>(groups);
}

/// 16 partial sums over the numbers of x and y, then one fixed tree. Zeros complete the last 16:
/// they add nothing.
template <class T>
double dot(const T* x, const T* y, i64 count) {
  F64 sums[1][kSumVectors] = {};
  const auto add = [&](const T* a, const T* b) {
    for (int v = 0; v < kSumVectors; ++v)
      sums[0][v] =
          fma(load_wide(a + v * kLanes<double>), load_wide(b + v * kLanes<double>), sums[0][v]);
  };
  i64 i = 0;
  for (; i + kPartialSums <= count; i += kPartialSums) add(x + i, y + i);
  if (i < count) {
    T a[kPartialSums] = {}, b[kPartialSums] = {};
    for (i64 k = i; k < count; ++k) a[k - i] = x[k], b[k - i] = y[k];
    add(a, b);
  }
  return add_partial_sums(sums)[0];
}

template <class T>
double sum_of_squares(const T* x, i64 count) {
  return dot(x, x, count);
}

template <class T>
double largest(const T* x, i64 count) {
  const Lanes<T> none = {};
  Lanes<T> most = {}, unordered = {};
  i64 i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) {
    const Lanes<T> value = load<Lanes<T>>(x + i);
    most = maximum(maximum(value, none - value), most);
    unordered += value - value;  // NaN once there is a NaN or an infinity
  }
  T lanes[kLanes<T>], rest[kLanes<T>];
  store(lanes, most);
  store(rest, unordered);
  double result = 0, sum = 0;
  const auto take = [&](T value) {
    const double magnitude = value < 0 ? -double(value) : double(value);
    if (magnitude > result) result = magnitude;
    sum += double(value - value);
  };
  for (int lane = 0; lane < kLanes<T>; ++lane) take(lanes[lane]), sum += double(rest[lane]);
  for (; i < count; ++i) take(x[i]);
  return result + sum;
}

template <class T>
void scaled(const T* x, double factor, T* to, i64 count) {
  const F64 wide_factor = splat(factor);
  i64 i = 0;
  for (; i + kLanes<double> <= count; i += kLanes<double>)
    store_narrow(to + i, load_wide(x + i) * wide_factor);
  for (; i < count; ++i) to[i] = T(double(x[i]) * factor);
}

template <class T>
void add_multiple(T a, const T* x, T* y, i64 count) {
  const Lanes<T> wide = splat(a);
  i64 i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>)
    store(y + i, fma(wide, load<Lanes<T>>(x + i), load<Lanes<T>>(y + i)));
  for (; i < count; ++i) y[i] = scalar_fma(a, x[i], y[i]);
}

/// v = x * factor, `count` numbers of it, but the first `heads` (0 to 2), which are `head`. One
/// store a vector, the first one too: v is read as vectors at once.
template <class T>
void form(const T* x, double factor, const double* head, int heads, T* v, i64 count) {
  constexpr int lanes = kLanes<double>;
  const F64 wide_factor = splat(factor);
  const F64 first = alternate(head[0], head[1]);
  I64 number;
  for (int lane = 0; lane < lanes; ++lane) number[lane] = lane;
  i64 i = 0;
  if (count >= lanes) {
    store_narrow(v, select(number < I64{} + i64(heads), first, load_wide(x) * wide_factor));
    i = lanes;
  }
  for (; i + lanes <= count; i += lanes) store_narrow(v + i, load_wide(x + i) * wide_factor);
  for (; i < count; ++i) v[i] = T(i < heads ? head[i] : double(x[i]) * factor);
}

/// Columns that see a reflector together: their partial sums are registers.
inline constexpr int kColumnsTogether = kVectorBytes == 64 ? 8 : kVectorBytes == 32 ? 3 : 2;

/// The lanes of a but the first one, then the first one of b.
template <class V, int... i>
[[gnu::always_inline]] inline V next_lanes(V a, V b, Indices<i...>) {
  return __builtin_shufflevector(a, b, (i + 1)...);
}

/// x to float64, and its squares to the partial sums from `first` on.
[[gnu::always_inline]] inline void add_squares(F64 x, F64* sums) { *sums = fma(x, x, *sums); }
[[gnu::always_inline]] inline void add_squares(F32 x, F64* sums) {
  float numbers[kLanes<float>];
  store(numbers, x);
  add_squares(load_wide(numbers), sums);
  add_squares(load_wide(numbers + kLanes<double>), sums + 1);
}

/// With `Squares` the sum of squares of the first column, as reflect() gives it; else 0.
template <class T, int Columns, bool Squares>
double reflect_together(const T* v, T* columns, i64 step, i64 numbers) {
  constexpr int lanes = kLanes<T>, vectors = int(kPartialSums) / lanes;
  constexpr int sums_of_one = kSumVectors / vectors;
  constexpr typename UpTo<lanes>::type each;
  F64 sums[Columns][kSumVectors] = {};
  for (i64 i = 0; i < numbers; i += kPartialSums) {
#pragma GCC unroll 8
    for (int w = 0; w < kSumVectors; ++w) {
      const F64 own = load_wide(v + i + w * kLanes<double>);
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c)
        sums[c][w] = fma(own, load_wide(columns + c * step + i + w * kLanes<double>), sums[c][w]);
    }
  }
  double products[kLanes<double>];
  store(products, add_partial_sums(sums));
  Lanes<T> factors[Columns];
#pragma GCC unroll 8
  for (int c = 0; c < Columns; ++c) factors[c] = splat(-T(products[c]));

  // The first column's squares are summed from its second number on, as sum_of_squares() does it:
  // memory gives vectors a number later only when the stores have reached it.
  F64 squares[1][kSumVectors] = {};
  Lanes<T> before = {};
  SignedLanes<T> number;
  for (int lane = 0; lane < lanes; ++lane) number[lane] = lane;
  const auto some = [&](i64 i, auto is_last) {
#pragma GCC unroll 8
    for (int w = 0; w < vectors; ++w) {
      const Lanes<T> own = load<Lanes<T>>(v + i + w * lanes);
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) {
        T* const to = columns + c * step + i + w * lanes;
        Lanes<T> value = fma(factors[c], own, load<Lanes<T>>(to));
        // What is past the last number stays zero, even where a factor is infinite.
        if constexpr (decltype(is_last)::value != 0) {
          const i64 left = numbers - i - w * lanes;
          value = select(number < SignedLanes<T>{} + typename BitsOf<T>::Signed(left), value,
                         Lanes<T>{});
        }
        store(to, value);
        if (!Squares || c != 0) continue;
        if (w > 0 || i > 0)
          add_squares(next_lanes(before, value, each),
                      squares[0] + (w + vectors - 1) % vectors * sums_of_one);
        before = value;
      }
    }
  };
  i64 i = 0;
  for (; i + kPartialSums <= numbers; i += kPartialSums) some(i, Length<0>{});
  if (i < numbers) some(i, Length<1>{});
  if (!Squares) return 0;
  add_squares(next_lanes(before, Lanes<T>{}, each), squares[0] + kSumVectors - sums_of_one);
  return add_partial_sums(squares)[0];
}

template <class T, bool Squares, int Columns = kColumnsTogether>
double reflect_some(const T* v, T* columns, i64 step, i64 count, i64 numbers) {
  if constexpr (Columns > 1)
    if (count < Columns)
      return reflect_some<T, Squares, Columns - 1>(v, columns, step, count, numbers);
  return reflect_together<T, Columns, Squares>(v, columns, step, numbers);
}

template <class T>
double reflect(const T* v, T* columns, i64 step, i64 count, i64 numbers) {
  if (count == 0) return 0;
  const double squares = reflect_some<T, true>(v, columns, step, count, numbers);
  for (i64 c = kColumnsTogether; c < count; c += kColumnsTogether)
    reflect_some<T, false>(v, columns + c * step, step, count - c, numbers);
  return squares;
}

template <class T>
constexpr PanelKernels<T> panel_kernels() {
  return {kPanelRows, kPanelColumns<T>, &pack_left<T>,      &pack_right<T>,
          &tile<T>,   &dot<T>,          &sum_of_squares<T>, &largest<T>,
          &scaled<T>, &form<T>,         &add_multiple<T>,   &reflect<T>,
          kLanes<T>,  &pass_block<T>,   &couple<T>,         &finish_couplings<T>,
          &solve<T>,  &copy<T>,         &triangle<T>,       &turn<T>};
}

}  // namespace
}  // namespace fanin::FANIN_ISA
