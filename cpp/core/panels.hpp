// PanelTable: the dense linear algebra that crosses the ISA fence.
#pragma once
#include "core/types.hpp"

namespace fanin {

/// Sums over k are cut into panels of this length: each is one chain of fma from zero, in order of
/// k, and the panels are added in order. A constant of the contract: it decides bits.
inline constexpr i64 kPanelDepth = 256;

/// Sums over the rows of a strip are cut into runs of this length, counted from the first row that
/// the block of reflectors acts on, and the runs into bands. Constants of the contract.
inline constexpr i64 kRunRows = 128;
inline constexpr i64 kBandRows = 4096;

/// Sums over a vector are so many partial ones, added as a tree. A constant of the contract.
inline constexpr i64 kPartialSums = 16;

/// The most numbers in a row of a panel of reflectors.
inline constexpr i64 kBlockNumbers = 32;

/// The most vectors in a row of a strip.
inline constexpr int kStripVectors = 3;

/// What a product does to its destination.
enum class Update : u8 { store, add, subtract };

/// How elements are to be read. A complex element is two neighbouring numbers.
enum class Form : u8 { real, complex, conjugate };

/// One way through some rows of a strip, which subtracts what a block of reflectors has found and
/// forms the sums of the next one.
template <class T>
struct Pass {
  const T* done = nullptr;      ///< the block's panel (.., width), or null
  const T* products = nullptr;  ///< (done_count, vectors)
  int done_count = 0;           ///< numbers in a row of its panel
  i64 done_first = 0;           ///< its first row in the strip
  const T* next = nullptr;      ///< the same of the next block, or null
  T* sums = nullptr;            ///< (next_count, vectors), added to
  int next_count = 0;
  i64 next_first = 0;
  i64 zeros = 0;  ///< so many rows from its first on are zeros in the strip
  i64 width = 0;
  int parts = 1;  ///< numbers in one element
  T* strip = nullptr;
  i64 stride = 0;  ///< from row to row
  int vectors = 0;
  i64 begin = 0, end = 0;  ///< the rows to visit; whole runs from the first row of the sums
};

/// Kernels for one type. "Packed left" holds panels of `rows` rows, (depth, rows) each; "packed
/// right" panels of `columns` columns, (depth, columns) each. A complex product is a real one of
/// twice the depth and twice the columns: left (re, im) along the depth; right rows (re, im) and
/// (-im, re).
template <class T>
struct PanelKernels {
  int rows;
  int columns;
  /// One panel of the left operand: `count` rows from `from` on. Steps count elements; the rest of
  /// the panel is not written.
  void (*pack_left)(const T* from, i64 row_step, i64 depth_step, int count, i64 depth, Form form,
                    T* to);
  /// One panel of the right operand, from a column number of the real form on; columns past `count`
  /// are zero.
  void (*pack_right)(const T* from, i64 depth_step, i64 column_step, int count, i64 depth,
                     Form form, T* to);
  /// c (count_rows, count_columns), row after row at `step`: c = or += or -= the product of two
  /// packed panels. `ahead` numbers, as many as `depth`, are asked for into the L2 cache.
  void (*tile)(const T* left, const T* right, i64 depth, T* c, i64 step, int count_rows,
               int count_columns, Update update, const T* ahead);
  /// Sums in float64: 16 partial sums (of the indices equal modulo 16) and one fixed tree.
  double (*dot)(const T* x, const T* y, i64 count);
  double (*sum_of_squares)(const T* x, i64 count);
  /// Largest magnitude; 0 for no elements, NaN if there is one or an infinity.
  double (*largest)(const T* x, i64 count);
  /// to = x * factor, formed in float64 and rounded once.
  void (*scaled)(const T* x, double factor, T* to, i64 count);
  /// v = x * factor in the same way, but its first `heads` (0 to 2) numbers, which are `head`.
  void (*form)(const T* x, double factor, const double* head, int heads, T* v, i64 count);
  /// y += a * x.
  void (*add_multiple)(T a, const T* x, T* y, i64 count);
  /// columns (count, step) -= v (v . column), `numbers` of each. From there to a multiple of
  /// kPartialSums v and the columns hold zeros. The sum of squares of the first column from its
  /// second number on, as it then is; 0 if there is none.
  double (*reflect)(const T* v, T* columns, i64 step, i64 count, i64 numbers);
  /// Numbers in a vector.
  int lanes;
  void (*pass)(const Pass<T>& pass);
  /// sums (count, kBlockNumbers) += V^T V over the rows begin .. end - 1 of a panel, where its
  /// column is at least its row. Up to a vector more of each of the panel's rows is read.
  void (*couple)(const T* panel, i64 width, int count, int parts, i64 begin, i64 end, T* sums);
  /// Those sums to minus v_i^H v_l.
  void (*finish_couplings)(T* sums, int count, int parts);
  /// Sums V^H Q (count, vectors) of a block to its products w: Q - sum of v_i w_i is H_0 H_1 .. Q
  /// or, `adjoint`, .. H_1^H H_0^H Q. In the complex form row 2 i + 1 gets i times row 2 i.
  void (*solve)(const T* minus, int count, int parts, bool adjoint, T* rows, int vectors);
  /// to (rows, columns) = factor * from.
  void (*copy)(const T* from, i64 from_step, i64 rows, i64 columns, T factor, T* to, i64 to_step);
  /// to (rows, columns) = the upper triangle of from, its rows times `signs` (null: as they are),
  /// zeros below. Whether all its numbers are finite, which is all that is done for a null `to`.
  bool (*triangle)(const T* from, i64 from_step, i64 rows, i64 columns, const T* signs, T* to,
                   i64 to_step);
  /// to (columns, rows) = the transpose of from (rows, columns).
  void (*turn)(const T* from, i64 from_step, i64 rows, i64 columns, T* to, i64 to_step);
};

struct PanelTable {
  PanelKernels<float> f32;
  PanelKernels<double> f64;
};

}  // namespace fanin
