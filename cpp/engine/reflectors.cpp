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

/// Inverse of a unit upper triangular complex matrix, row after row from the last.
template <class T>
void invert_complex(const T* upper, T* inverse, i64 count) {
  const i64 step = 2 * count;
  for (i64 i = count; i-- > 0;) {
    T* row = inverse + i * step;
    for (i64 c = 0; c < step; ++c) row[c] = T(c == 2 * i);
    for (i64 l = i + 1; l < count; ++l) {
      const T re = upper[i * step + 2 * l], im = upper[i * step + 2 * l + 1];
      const T* other = inverse + l * step;
      for (i64 c = l; c < count; ++c) {
        row[2 * c] -= re * other[2 * c] - im * other[2 * c + 1];
        row[2 * c + 1] -= re * other[2 * c + 1] + im * other[2 * c];
      }
    }
  }
}

}  // namespace

template <class T>
double make_reflector(T* x, i64 length, bool complex, T* sign) {
  const PanelKernels<T>& kernels = panel_kernels<T>();
  const i64 numbers = complex ? 2 * length : length;
  // Sums of float32 are formed in float64, where no square of one leaves the range.
  const double scale = sizeof(T) == 4 ? 1.0 : safe_scale(kernels.largest(x, numbers));
  if (scale != 1) kernels.scaled(x, scale, x, numbers);
  const double norm = std::sqrt(kernels.sum_of_squares(x, numbers));
  const double re = double(x[0]), im = complex ? double(x[1]) : 0.0;
  const double head = complex ? std::sqrt(re * re + im * im) : std::fabs(re);
  // The phase of x_1, +1 for 0.
  const double phase_re = head == 0 ? 1.0 : complex ? re / head : std::copysign(1.0, re);
  const double phase_im = head == 0 || !complex ? 0.0 : im / head;
  // One element needs no reflection, only its phase: v = 0.
  sign[0] = T(length == 1 ? phase_re : -phase_re);
  if (complex) sign[1] = T(length == 1 ? phase_im : -phase_im);
  if (length == 1) {
    for (i64 i = 0; i < numbers; ++i) x[i] = T(0);
    return norm / scale;
  }
  if (norm == 0) {
    for (i64 i = 0; i < numbers; ++i) x[i] = T(0);
    x[0] = T(std::sqrt(2.0));
    return 0;
  }
  const double factor = 1 / std::sqrt(norm * (norm + head));
  kernels.scaled(x, factor, x, numbers);
  x[0] = T((re + phase_re * norm) * factor);
  if (complex) x[1] = T((im + phase_im * norm) * factor);
  return norm / scale;
}

template <class T>
bool BlockReflector<T>::set(const T* vectors, i64 step, i64 count, i64 length, bool complex,
                            const Work& work, BlockPool<T>& pool) {
  complex_ = complex;
  count_ = count;
  length_ = length;
  vectors_ = {vectors, step / ratio(), 1, complex ? Form::complex : Form::real};
  const Form adjoint = complex ? Form::conjugate : Form::real;
  const View<T> columns = vectors_.transposed();
  T* const gram = gram_.take(count * count * ratio());
  T* const inverse = inverse_.take(count * count * ratio());
  const i64 gram_step = count * ratio();
  if (!whole_.pack(vectors_.as(adjoint), count, length, work)) return false;
  const i64 strip = strip_columns<T>(gram_step, work.threads);
  const auto body = [&](u64 number) {
    const i64 column = i64(number) * strip;
    multiply(whole_, columns.from(0, column / ratio()), std::min(strip, gram_step - column),
             gram + column, gram_step, Update::store, pool.own().packed);
  };
  if (!work.each((gram_step + strip - 1) / strip, body)) return false;
  if (complex)
    invert_complex(gram, inverse, count);
  else
    panel_kernels<T>().invert_unit_upper(gram, gram_step, inverse, gram_step, count);
  const Work here{1, {}};
  const View<T> inner{inverse, count, 1, vectors_.form};
  inner_.pack(inner, count, count, here);
  inner_adjoint_.pack(inner.transposed().as(adjoint), count, count, here);
  if (length > count &&
      !lower_.pack(vectors_.from(0, count).as(adjoint), count, length - count, work))
    return false;
  return outer_.pack(columns, length, count, work);
}

template <class T>
bool BlockReflector<T>::apply(T* c, i64 step, i64 columns, bool adjoint, bool top_is_zero,
                              const Work& work, BlockPool<T>& pool) const {
  if (top_is_zero && length_ == count_) {
    for (i64 r = 0; r < length_; ++r) std::fill_n(c + r * step, columns, T(0));
    return true;
  }
  const i64 strip = std::min(strip_columns<T>(columns, work.threads), columns);
  const i64 first = top_is_zero ? count_ : 0;
  return work.each((columns + strip - 1) / strip, [&](u64 number) {
    const i64 column = i64(number) * strip, width = std::min(strip, columns - column);
    BlockScratch<T>& scratch = pool.own();
    T* const projected = scratch.projected.take(count_ * strip);
    T* const combined = scratch.combined.take(count_ * strip);
    T* const here = c + column;
    const View<T> below{here + first * step, step / ratio(), 1, vectors_.form};
    const View<T> first_product{projected, strip / ratio(), 1, vectors_.form};
    const View<T> second_product{combined, strip / ratio(), 1, vectors_.form};
    multiply(top_is_zero ? lower_ : whole_, below, width, projected, strip, Update::store,
             scratch.packed);
    multiply(adjoint ? inner_adjoint_ : inner_, first_product, width, combined, strip,
             Update::store, scratch.packed);
    for (i64 r = 0; r < first; ++r) std::fill_n(here + r * step, width, T(0));
    multiply(outer_, second_product, width, here, step, Update::subtract, scratch.packed);
  });
}

template <class T>
void BlockReflector<T>::columns(const T* signs, i64 first, i64 last, T* c, i64 step,
                                BlockScratch<T>& scratch) const {
  const i64 width = (last - first) * ratio();
  T* const combined = scratch.combined.take(count_ * width);
  // T V_top^H diag(signs): V_top^H is the first `count` columns of the rows of reflectors,
  // conjugated.
  const Form adjoint = complex_ ? Form::conjugate : Form::real;
  multiply(inner_, vectors_.from(0, first).as(adjoint), width, combined, width, Update::store,
           scratch.packed);
  for (i64 r = 0; r < count_; ++r)
    for (i64 j = first; j < last; ++j) {
      T* const value = combined + r * width + (j - first) * ratio();
      if (!complex_) {
        value[0] *= signs[j];
        continue;
      }
      const T re = value[0] * signs[2 * j] - value[1] * signs[2 * j + 1];
      value[1] = value[0] * signs[2 * j + 1] + value[1] * signs[2 * j];
      value[0] = re;
    }
  for (i64 r = 0; r < length_; ++r) std::fill_n(c + r * step, width, T(0));
  for (i64 j = first; j < last; ++j)
    for (i64 part = 0; part < ratio(); ++part)
      c[j * step + (j - first) * ratio() + part] = signs[j * ratio() + part];
  const View<T> product{combined, width / ratio(), 1, vectors_.form};
  multiply(outer_, product, width, c, step, Update::subtract, scratch.packed);
}

template double make_reflector(float*, i64, bool, float*);
template double make_reflector(double*, i64, bool, double*);
template class BlockReflector<float>;
template class BlockReflector<double>;

}  // namespace fanin::engine
