#include "engine/qr.hpp"

#include <algorithm>

namespace fanin::engine {
namespace {

constexpr i64 kWidth = 32;  ///< reflectors in one block: a constant of the contract
constexpr i64 kSharedColumns =
    384;  ///< from here on threads share one matrix, below each has its own

template <class T>
class Factoriser {
 public:
  Factoriser(i64 rows, i64 columns, bool complex, Work work)
      : rows_(rows),
        columns_(columns),
        rank_(std::min(rows, columns)),
        complex_(complex),
        ratio_(complex ? 2 : 1),
        step_(rows * ratio_),
        work_(std::move(work)),
        pool_(work_.threads) {}

  bool run(T* a, T* q, T* r) {
    vectors_ = buffer_.take(rank_ * step_);
    signs_ = sign_buffer_.take(rank_ * ratio_);
    for (i64 begin = 0; begin < rank_; begin += kWidth)
      if (!eliminate(a, begin, std::min(begin + kWidth, rank_))) return false;
    if (r != nullptr) copy_triangle(a, r);
    for (i64 begin = (rank_ - 1) / kWidth * kWidth; begin >= 0; begin -= kWidth) {
      const i64 end = std::min(begin + kWidth, rank_), step = rank_ * ratio_;
      if (!set_block(begin, end)) return false;
      T* const corner = q + begin * step + begin * ratio_;
      block_.columns(signs_ + begin * ratio_, 0, end - begin, corner, step, pool_.own());
      if (end < rank_ && !block_.apply(corner + (end - begin) * ratio_, step,
                                       (rank_ - end) * ratio_, false, true, work_, pool_))
        return false;
    }
    return true;
  }

 private:
  T* vector(i64 j, i64 begin) const { return vectors_ + j * step_ + begin * ratio_; }

  bool set_block(i64 begin, i64 end) {
    return block_.set(vector(begin, begin), step_, end - begin, rows_ - begin, complex_, work_,
                      pool_);
  }

  /// Columns begin..end - 1 of a become those of R, and the columns after them see the reflectors.
  bool eliminate(T* a, i64 begin, i64 end) {
    const i64 a_step = columns_ * ratio_;
    for (i64 j = begin; j < end; ++j)
      for (i64 i = begin; i < rows_; ++i)
        std::copy_n(a + i * a_step + j * ratio_, ratio_, vector(j, i));
    for (i64 j = begin; j < end; ++j) {
      T* const v = vector(j, j);
      T* const sign = signs_ + j * ratio_;
      for (i64 i = begin; i < j; ++i) {  // finished rows of column j
        std::copy_n(vector(j, i), ratio_, a + i * a_step + j * ratio_);
        std::fill_n(vector(j, i), ratio_, T(0));
      }
      const T norm = T(make_reflector(v, rows_ - j, complex_, sign));
      for (i64 part = 0; part < ratio_; ++part)
        a[j * a_step + j * ratio_ + part] = norm * sign[part];
      for (i64 c = j + 1; c < end; ++c) reflect(v, vector(c, j), (rows_ - j) * ratio_);
    }
    if (end == columns_) return true;
    if (!set_block(begin, end)) return false;
    return block_.apply(a + begin * a_step + end * ratio_, a_step, (columns_ - end) * ratio_, true,
                        false, work_, pool_);
  }

  /// x -= v (v^H x)
  void reflect(const T* v, T* x, i64 numbers) {
    const PanelKernels<T>& kernels = panel_kernels<T>();
    const T re = T(kernels.dot(v, x, numbers));
    kernels.add_multiple(-re, v, x, numbers);
    if (!complex_) return;
    // With i v = (-im, re): the imaginary part of v^H x, which the first step has not changed.
    T* const turned = turned_.take(numbers);
    for (i64 k = 0; k < numbers; k += 2) turned[k] = -v[k + 1], turned[k + 1] = v[k];
    kernels.add_multiple(-T(kernels.dot(turned, x, numbers)), turned, x, numbers);
  }

  /// The rows of R, their phases taken off.
  void copy_triangle(const T* a, T* r) const {
    const i64 step = columns_ * ratio_;
    for (i64 i = 0; i < rank_; ++i) {
      T* const row = r + i * step;
      std::fill_n(row, i * ratio_, T(0));
      const T* const sign = signs_ + i * ratio_;
      for (i64 k = i * ratio_; k < step; k += ratio_) {
        const T* const x = a + i * step + k;
        if (!complex_) {
          row[k] = x[0] * sign[0];
          continue;
        }
        row[k] = x[0] * sign[0] + x[1] * sign[1];
        row[k + 1] = x[1] * sign[0] - x[0] * sign[1];
      }
      if (complex_) row[2 * i + 1] = T(0);
    }
  }

  const i64 rows_, columns_, rank_;
  const bool complex_;
  const i64 ratio_, step_;
  const Work work_;
  BlockPool<T> pool_;
  Buffer<T> buffer_, sign_buffer_, turned_;
  T* vectors_ = nullptr;
  T* signs_ = nullptr;
  BlockReflector<T> block_;
};

}  // namespace

template <class T>
bool qr(T* a, i64 count, i64 rows, i64 columns, bool complex, T* q, T* r, int threads,
        const Poll& poll) {
  const i64 rank = std::min(rows, columns), ratio = complex ? 2 : 1;
  if (count == 0 || rank == 0) return true;
  threads = threads_for(threads);
  const auto one = [&](Factoriser<T>& factoriser, i64 b) {
    return factoriser.run(a + b * rows * columns * ratio, q + b * rows * rank * ratio,
                          r == nullptr ? nullptr : r + b * rank * columns * ratio);
  };
  if (rank >= kSharedColumns || count < 2 || threads == 1)
    return in_default_environment([&] {
      Factoriser<T> factoriser(rows, columns, complex,
                               {rank >= kSharedColumns ? threads : 1, poll});
      for (i64 b = 0; b < count; ++b)
        if (!one(factoriser, b)) return false;
      return true;
    });
  const i64 each = std::clamp<i64>(count / (4 * threads), 1, 64);
  return parallel_for(u64((count + each - 1) / each), threads, false, poll, [&](u64 task) {
    Factoriser<T> factoriser(rows, columns, complex, {1, {}});
    for (i64 b = i64(task) * each; b < std::min(count, i64(task + 1) * each); ++b)
      one(factoriser, b);
  });
}

template bool qr(float*, i64, i64, i64, bool, float*, float*, int, const Poll&);
template bool qr(double*, i64, i64, i64, bool, double*, double*, int, const Poll&);

}  // namespace fanin::engine
