// Matrix products on the kernels' register tiles, with the same bits on every machine and thread
// count.
//
// c = or += or -= a b, where each output adds its panels of kPanelDepth products in order, and each
// panel is one chain of fma from zero. Threads split the outputs; nothing else is split.
#pragma once
#include "core/panels.hpp"
#include "engine/dispatch.hpp"
#include "engine/work.hpp"

namespace fanin::engine {

template <class T>
const PanelKernels<T>& panel_kernels() {
  if constexpr (sizeof(T) == 4)
    return table().panels->f32;
  else
    return table().panels->f64;
}

/// Numbers in one element.
constexpr i64 parts(Form form) { return form == Form::real ? 1 : 2; }

/// A matrix to be read: element (r, c) at data + parts * (r * row_step + c * column_step).
template <class T>
struct View {
  const T* data;
  i64 row_step;
  i64 column_step;
  Form form = Form::real;

  View from(i64 row, i64 column) const {
    return {data + parts(form) * (row * row_step + column * column_step), row_step, column_step,
            form};
  }
  View transposed() const { return {data, column_step, row_step, form}; }
  View as(Form other) const { return {data, row_step, column_step, other}; }
};

/// The left operand of a product (rows, depth), packed for the micro-kernel.
template <class T>
class PackedLeft {
 public:
  /// False if the poll stopped it.
  bool pack(const View<T>& view, i64 rows, i64 depth, const Work& work);

  i64 rows() const { return rows_; }
  i64 depth() const { return depth_; }  ///< of the real form
  const T* panel(i64 first_depth, i64 panel_depth, i64 row_panel) const {
    return data_ + first_depth * padded_rows_ + row_panel * panel_rows_ * panel_depth;
  }

 private:
  Buffer<T> buffer_;
  T* data_ = nullptr;
  i64 rows_ = 0, depth_ = 0, padded_rows_ = 0, panel_rows_ = 1;
};

/// c (left.rows, columns) at row step `step` = or += or -= left times right, here and now.
/// `columns`, `c` and `step` count numbers, two a complex element.
template <class T>
void multiply(const PackedLeft<T>& left, const View<T>& right, i64 columns, T* c, i64 step,
              Update update, Buffer<T>& scratch);

/// c (rows, columns) = or += or -= a (rows, depth) b (depth, columns); all counts of elements, c's
/// rows at `step` numbers. False if the poll stopped it.
template <class T>
bool gemm(const View<T>& a, const View<T>& b, i64 rows, i64 columns, i64 depth, T* c, i64 step,
          Update update, const Work& work);

extern template class PackedLeft<float>;
extern template class PackedLeft<double>;

}  // namespace fanin::engine
