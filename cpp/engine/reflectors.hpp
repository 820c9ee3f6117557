// Householder reflectors I - v v^H with |v|^2 = 2, alone and in blocks, and blocks applied to
// columns.
//
// With w_i = v_i^H H_(i+1) .. Q the block H_0 H_1 .. takes Q to Q - sum of v_i w_i, and w_i is
// v_i^H Q less the sum over l > i of (v_i^H v_l) w_l: the UT form (Joffrain et al. 2006), solved
// instead of inverted.
#pragma once
#include <algorithm>

#include "engine/gemm.hpp"

namespace fanin::engine {

/// v is `factor` times x, its first element `head`; |x|.
struct Reflection {
  double factor;
  double head[2];
  double norm;
};

/// The reflector that maps x (length elements) to a multiple of e_1. `sign` gets the phase that
/// makes the diagonal of R positive: H x conj(sign) = |x| e_1. A zero x counts as a positive one; a
/// single element has v = 0, which leaves it alone. x of float64 is scaled where its square leaves
/// the range. `numbers` are read: those of x and zeros after them, whose sum of squares is
/// `squares`.
template <class T>
Reflection reflection_of(T* x, i64 length, int parts, i64 numbers, double squares, T* sign);

/// Some numbers of x, from an element on, to those of v, which may be where x is. `has_head` if the
/// first element is among them.
template <class T>
void form_reflector(const Reflection& reflection, const T* x, i64 numbers, int parts, bool has_head,
                    T* v);

inline constexpr i64 kCouplings = kBlockNumbers * kBlockNumbers;

/// Reflectors first .. first + count - 1 in memory, H_first H_(first+1) ... .
template <class T>
struct Block {
  const T* panel;  ///< (rows, width), row r acts on row first + r
  i64 width;
  i64 first, count, rows;
  const T* minus;  ///< their couplings (count, kBlockNumbers): see couple()
};

/// Vectors (count, rows) at `step` numbers, vector i with i zeros before it, to a panel.
template <class T>
void fill_panel(const T* vectors, i64 step, i64 count, i64 rows, int parts, T* panel, i64 width);

/// The products of the vectors of a block with each other, by which its sums depend.
template <class T>
void couple(const Block<T>& block, int parts, T* minus);

/// Numbers in a row of a panel that holds `columns` elements or the first of them.
constexpr i64 panel_width(i64 columns, int parts, i64 most) {
  i64 width = parts;
  while (width < most && width < columns * parts) width *= 2;
  return width;
}

/// In how many parts the blocks are applied whose panels are `bytes`, 8 MB about a part: while the
/// strips pass, a part's panels stay in the outer cache; for each part all strips are read and
/// written once.
constexpr i64 parts_of(i64 bytes) {
  constexpr i64 some = 8 << 20;
  return std::max<i64>((bytes + some / 2) / some, 1);
}

/// Room after a panel, because its last rows are read in whole vectors.
inline constexpr i64 kPanelSlack = 64;

/// The columns first .. last - 1 in strips of whole vectors, as many for each thread.
template <class T>
class Strips {
 public:
  Strips(i64 first, i64 last, int parts, int threads)
      : first_(first), last_(last), lanes_(panel_kernels<T>().lanes / parts) {
    vectors_ = (last - first + lanes_ - 1) / lanes_;
    count_ = (vectors_ + kStripVectors - 1) / kStripVectors;
    count_ = std::min(vectors_, (count_ + threads - 1) / threads * threads);
  }
  i64 count() const { return count_; }
  i64 left(i64 strip) const { return first_ + vectors_ * strip / count_ * lanes_; }
  i64 right(i64 strip) const { return std::min(last_, left(strip + 1)); }
  int vectors(i64 strip) const {
    return int(vectors_ * (strip + 1) / count_ - vectors_ * strip / count_);
  }

 private:
  i64 first_, last_, lanes_, vectors_, count_;
};

/// What one thread needs to apply blocks to a strip.
template <class T>
class StripScratch {
 public:
  Buffer<T> strip;

  /// Applies blocks to a strip, one after the other: from the last reflectors to the first, or
  /// `adjoint` from the first to the last. open(begin, end) gives where the strip's row `begin` is,
  /// with `end` - `begin` rows at `stride`; close(begin, end) ends their use. Rows count from
  /// `top`. In a strip of a matrix that is being formed, whose first column is `column`, the rows
  /// of an earlier block are zeros before it; -1: they are not.
  template <class Open, class Close>
  void reflect(const Block<T>* const* blocks, i64 count, bool adjoint, i64 column, int parts,
               i64 top, i64 stride, int vectors, Open&& open, Close&& close) {
    const PanelKernels<T>& kernels = panel_kernels<T>();
    const i64 size = kBlockNumbers * vectors * kernels.lanes;
    T* sums = sums_.take(3 * size);
    T* const band = sums + size;
    T* products = band + size;
    for (i64 i = 0; i <= count; ++i) {
      const Block<T>* const done = i > 0 ? blocks[i - 1] : nullptr;
      const Block<T>* const next = i < count ? blocks[i] : nullptr;
      const Block<T>& other = next != nullptr ? *next : *done;
      const i64 origin = other.first - top;
      const i64 end = origin + other.rows;
      Pass<T> pass;
      i64 filled = 0;
      pass.width = other.width;
      pass.parts = parts;
      pass.stride = stride;
      pass.vectors = vectors;
      if (done != nullptr) {
        pass.done = done->panel;
        pass.products = products;
        pass.done_count = int(done->count) * parts;
      }
      if (next != nullptr) {
        pass.next = next->panel;
        pass.next_count = int(next->count) * parts;
        pass.zeros = column >= next->first + next->count ? next->count : 0;
        filled = pass.next_count * vectors * kernels.lanes;
        std::fill_n(sums, filled, T(0));
      }
      i64 begin = adjoint && done != nullptr ? done->first - top : origin;
      for (i64 stop = std::min(origin + kBandRows, end); begin < end;
           begin = stop, stop = std::min(stop + kBandRows, end)) {
        const bool later = begin > origin;
        if (later) std::fill_n(band, filled, T(0));
        pass.sums = later ? band : sums;
        pass.strip = open(begin, stop) - begin * stride;
        pass.done_first = done != nullptr ? done->first - top : 0;
        pass.next_first = origin;
        pass.begin = begin;
        pass.end = stop;
        kernels.pass(pass);
        close(begin, stop);
        if (later && next != nullptr)
          for (i64 k = 0; k < filled; ++k) sums[k] += band[k];
      }
      if (next == nullptr) return;
      kernels.solve(next->minus, pass.next_count, parts, adjoint, sums, vectors);
      std::swap(sums, products);
    }
  }

 private:
  Buffer<T> sums_;
};

}  // namespace fanin::engine
