#include "engine/gemm.hpp"

#include <algorithm>

namespace fanin::engine {
namespace {

constexpr i64 kStripBytes =
    2048;  ///< of one row of a strip: kPanelDepth of them fill half the L2 cache
constexpr i64 kTasksPerThread = 3;
constexpr i64 kLeftNumbers = 4 * 1024 * 1024;  ///< packed at a time of a large left operand
constexpr i64 kSerialPacking = 32 * 1024;      ///< numbers that one thread packs faster than two

constexpr i64 rounded_up(i64 count, i64 unit) { return (count + unit - 1) / unit * unit; }

/// Strips of columns, one a task: narrow enough for the L2 cache, as many tiles for each thread,
/// and several strips for it, of two tiles at least.
template <class T>
i64 strip_count(i64 numbers, i64 tiles, int threads) {
  const i64 least = (numbers * i64(sizeof(T)) + kStripBytes - 1) / kStripBytes;
  if (threads <= 1) return least;
  const i64 several = std::min(kTasksPerThread * threads, std::max<i64>(tiles / 2, 1));
  return std::min(rounded_up(std::max(least, several), threads), tiles);
}

}  // namespace

template <class T>
bool PackedLeft<T>::pack(const View<T>& view, i64 rows, i64 depth, const Work& work) {
  const PanelKernels<T>& kernels = panel_kernels<T>();
  const i64 ratio = parts(view.form), panel_rows = kernels.rows;
  rows_ = rows;
  depth_ = depth * ratio;
  panel_rows_ = panel_rows;
  padded_rows_ = rounded_up(rows, panel_rows);
  data_ = buffer_.take(padded_rows_ * depth_);
  const i64 panels = padded_rows_ / panel_rows;
  const auto body = [&](u64 number) {
    const i64 first_row = i64(number) * panel_rows;
    const int count = int(std::min(panel_rows, rows - first_row));
    for (i64 k = 0; k < depth_; k += kPanelDepth) {
      const i64 panel_depth = std::min(kPanelDepth, depth_ - k);
      kernels.pack_left(view.from(first_row, k / ratio).data, view.row_step, view.column_step,
                        count, panel_depth / ratio, view.form,
                        data_ + k * padded_rows_ + first_row * panel_depth);
    }
  };
  return Work{rows * depth_ < kSerialPacking ? 1 : work.threads, work.poll}.each(panels, body);
}

template <class T>
void multiply(const PackedLeft<T>& left, const View<T>& right, i64 columns, T* c, i64 step,
              Update update, Buffer<T>& scratch) {
  const PanelKernels<T>& kernels = panel_kernels<T>();
  const i64 ratio = parts(right.form), panel_rows = kernels.rows, width = kernels.columns;
  T* const packed = scratch.take(std::min(kPanelDepth, left.depth()) * rounded_up(columns, width));
  for (i64 k = 0; k < left.depth(); k += kPanelDepth) {
    const i64 depth = std::min(kPanelDepth, left.depth() - k);
    for (i64 column = 0; column < columns; column += width)
      kernels.pack_right(right.from(k / ratio, column / ratio).data, right.row_step,
                         right.column_step, int(std::min(width, columns - column)), depth / ratio,
                         right.form, packed + column * depth);
    for (i64 row = 0; row < left.rows(); row += panel_rows) {
      const T* const panel = left.panel(k, depth, row / panel_rows);
      // Each tile asks for a part of the next panel, which no tile before has seen.
      const bool last = row + panel_rows >= left.rows();
      const int count_rows = int(std::min(panel_rows, left.rows() - row));
      for (i64 column = 0; column < columns; column += width)
        kernels.tile(
            panel, packed + column * depth, depth, c + row * step + column, step, count_rows,
            int(std::min(width, columns - column)), update,
            panel + (last ? 0 : panel_rows + std::min(column / width, panel_rows - 1)) * depth);
    }
    if (update == Update::store) update = Update::add;
  }
}

template <class T>
bool gemm(const View<T>& a, const View<T>& b, i64 rows, i64 columns, i64 depth, T* c, i64 step,
          Update update, const Work& work) {
  const i64 ratio = parts(b.form), numbers = columns * ratio;
  if (rows == 0 || columns == 0) return true;
  if (depth == 0) {
    if (update == Update::store)
      for (i64 row = 0; row < rows; ++row) std::fill_n(c + row * step, numbers, T(0));
    return true;
  }
  PackedLeft<T> left;
  PerThread<Buffer<T>> buffers(work.threads);
  const i64 width = panel_kernels<T>().columns, tiles = (numbers + width - 1) / width;
  const i64 strips = strip_count<T>(numbers, tiles, work.threads);
  // Whole panels of the depth at a time, so that cutting here changes no sum.
  const i64 most_rows = std::min(rows, kLeftNumbers / kPanelDepth);
  const i64 most_depth =
      std::max<i64>(kPanelDepth, kLeftNumbers / most_rows / kPanelDepth * kPanelDepth) / ratio;
  for (i64 row = 0; row < rows; row += most_rows) {
    const i64 count_rows = std::min(most_rows, rows - row);
    for (i64 k = 0; k < depth; k += most_depth) {
      const i64 count = std::min(most_depth, depth - k);
      const Update now = k > 0 && update == Update::store ? Update::add : update;
      if (!left.pack(a.from(row, k), count_rows, count, work)) return false;
      const auto body = [&](u64 number) {
        const i64 column = tiles * i64(number) / strips * width;
        const i64 end = std::min(tiles * i64(number + 1) / strips * width, numbers);
        multiply(left, b.from(k, column / ratio), end - column, c + row * step + column, step, now,
                 buffers.own());
      };
      if (!work.each(strips, body)) return false;
    }
  }
  return true;
}

template class PackedLeft<float>;
template void multiply(const PackedLeft<float>&, const View<float>&, i64, float*, i64, Update,
                       Buffer<float>&);
template bool gemm(const View<float>&, const View<float>&, i64, i64, i64, float*, i64, Update,
                   const Work&);
template class PackedLeft<double>;
template void multiply(const PackedLeft<double>&, const View<double>&, i64, double*, i64, Update,
                       Buffer<double>&);
template bool gemm(const View<double>&, const View<double>&, i64, i64, i64, double*, i64, Update,
                   const Work&);

}  // namespace fanin::engine
