// PanelTable: the dense linear algebra that crosses the ISA fence.
#pragma once
#include "core/types.hpp"

namespace fanin {

/// Sums over k are cut into panels of this length: each is one chain of fma from zero, in order of
/// k, and the panels are added in order. A constant of the contract: it decides bits.
inline constexpr i64 kPanelDepth = 256;

/// Sums over the rows of a strip are cut into runs of this length, counted from the first row that
/// the pair of reflectors acts on. A constant of the contract.
inline constexpr i64 kStripDepth = 128;

/// What a product does to its destination.
enum class Update : u8 { store, add, subtract };

/// How elements are to be read. A complex element is two neighbouring numbers.
enum class Form : u8 { real, complex, conjugate };

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
  /// packed panels.
  void (*tile)(const T* left, const T* right, i64 depth, T* c, i64 step, int count_rows,
               int count_columns, Update update);
  /// Sums in float64: 16 partial sums (of the indices equal modulo 16) and one fixed tree.
  double (*dot)(const T* x, const T* y, i64 count);
  double (*sum_of_squares)(const T* x, i64 count);
  /// Largest magnitude; 0 for no elements, NaN if there is one or an infinity.
  double (*largest)(const T* x, i64 count);
  /// to = x * factor, formed in float64 and rounded once.
  void (*scaled)(const T* x, double factor, T* to, i64 count);
  /// y += a * x.
  void (*add_multiple)(T a, const T* x, T* y, i64 count);
  /// Inverse of a unit upper triangular matrix (count, count); reads only what is above the
  /// diagonal.
  void (*invert_unit_upper)(const T* upper, i64 upper_step, T* inverse, i64 inverse_step,
                            i64 count);
  /// Numbers in a row of a strip.
  int strip_columns;
  /// out (rows, columns), its rows at `out_step`, = gain H_0 H_1 ... H_{count - 1} strip, where
  /// `columns` <= `strip_columns` and the strip (rows + 1, strip_columns) is destroyed, if it is
  /// not itself `out`. Reflector j is at vectors + j * step: rows - j numbers, which act on the
  /// rows from j on. `count` is even, and of a reflector number `rows` only the first number is
  /// read.
  void (*reflect_strip)(const T* vectors, i64 step, i64 count, i64 rows, T* strip, T gain,
                        int columns, T* out, i64 out_step);
  /// to (columns, rows) = the transpose of from (rows, columns).
  void (*turn)(const T* from, i64 from_step, i64 rows, i64 columns, T* to, i64 to_step);
};

struct PanelTable {
  PanelKernels<float> f32;
  PanelKernels<double> f64;
};

}  // namespace fanin
