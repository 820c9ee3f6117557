#include "engine/reflectors.hpp"

#include <algorithm>
#include <cmath>

namespace fanin::engine {
namespace {

constexpr double kSquareSafe =
    0x1p500;  ///< magnitudes whose squares, and sums of them, stay normal numbers

/// The power of two that brings `largest` near 1 if its square could over- or underflow, else 1.
double safe_scale(double largest) {
  if (!(largest > 0) || !std::isfinite(largest)) return 1;
  if (largest < kSquareSafe && largest > 1 / kSquareSafe) return 1;
  return std::ldexp(1.0, std::clamp(-std::ilogb(largest), -1022, 1022));
}

/// Whether a sum of squares shows that the scale of its numbers is 1.
bool is_safe(double squares) {
  return squares > 0x1p-900 && squares < 0x1p990;  // so the largest is within 2^-500 .. 2^500
}

}  // namespace

template <class T>
Reflection reflection_of(T* x, i64 length, int parts, i64 numbers, double squares, T* sign) {
  const PanelKernels<T>& kernels = panel_kernels<T>();
  const bool complex = parts == 2;
  double scale = 1;
  // Sums of float32 are formed in float64, where no square of one leaves the range.
  if (sizeof(T) == 8 && !is_safe(squares)) {
    scale = safe_scale(kernels.largest(x, numbers));
    if (scale != 1) {
      kernels.scaled(x, scale, x, numbers);
      squares = kernels.sum_of_squares(x, numbers);
    }
  }
  const double norm = std::sqrt(squares);
  const double re = double(x[0]), im = complex ? double(x[1]) : 0.0;
  const double head = complex ? std::sqrt(re * re + im * im) : std::fabs(re);
  // The phase of x_1, +1 for 0.
  const double phase_re = head == 0 ? 1.0 : complex ? re / head : std::copysign(1.0, re);
  const double phase_im = head == 0 || !complex ? 0.0 : im / head;
  // One element needs no reflection, only its phase: v = 0.
  sign[0] = T(length == 1 ? phase_re : -phase_re);
  if (complex) sign[1] = T(length == 1 ? phase_im : -phase_im);
  if (length == 1) return {0, {0, 0}, norm / scale};
  if (norm == 0) return {0, {std::sqrt(2.0), 0}, 0};
  const double factor = 1 / std::sqrt(norm * (norm + head));
  return {factor, {(re + phase_re * norm) * factor, (im + phase_im * norm) * factor}, norm / scale};
}

template <class T>
void form_reflector(const Reflection& reflection, const T* x, i64 numbers, int parts, bool has_head,
                    T* v) {
  const int heads = has_head ? parts : 0;
  if (reflection.factor != 0)
    return panel_kernels<T>().form(x, reflection.factor, reflection.head, heads, v, numbers);
  std::fill_n(v, numbers, T(0));
  for (int part = 0; part < heads; ++part) v[part] = T(reflection.head[part]);
}

template <class T>
void fill_panel(const T* vectors, i64 step, i64 count, i64 rows, int parts, T* panel, i64 width) {
  if (parts == 1) return panel_kernels<T>().turn(vectors, step, count, rows, panel, width);
  for (i64 r = 0; r < rows; ++r)
    for (i64 i = 0; i < count; ++i)
      std::copy_n(vectors + i * step + 2 * r, 2, panel + r * width + 2 * i);
}

template <class T>
void couple(const Block<T>& block, int parts, T* minus) {
  const PanelKernels<T>& kernels = panel_kernels<T>();
  const int numbers = int(block.count) * parts;
  const i64 size = numbers * kBlockNumbers;
  std::fill_n(minus, size, T(0));
  for (i64 begin = 0; begin < block.rows; begin += kBandRows) {
    const i64 end = std::min(begin + kBandRows, block.rows);
    if (begin == 0) {
      kernels.couple(block.panel, block.width, numbers, parts, begin, end, minus);
      continue;
    }
    T band[kCouplings] = {};
    kernels.couple(block.panel, block.width, numbers, parts, begin, end, band);
    for (i64 i = 0; i < size; ++i) minus[i] += band[i];
  }
  kernels.finish_couplings(minus, numbers, parts);
}

template Reflection reflection_of(float*, i64, int, i64, double, float*);
template Reflection reflection_of(double*, i64, int, i64, double, double*);
template void form_reflector(const Reflection&, const float*, i64, int, bool, float*);
template void form_reflector(const Reflection&, const double*, i64, int, bool, double*);
template void fill_panel(const float*, i64, i64, i64, int, float*, i64);
template void fill_panel(const double*, i64, i64, i64, int, double*, i64);
template void couple(const Block<float>&, int, float*);
template void couple(const Block<double>&, int, double*);

}  // namespace fanin::engine
