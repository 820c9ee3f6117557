#include "engine/qr.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace fanin::engine {
namespace {

constexpr i64 kNumbers = 16;          ///< in a row of a block's panel: a constant of the contract
constexpr i64 kBaseNumbers = 48;      ///< of the columns that are factorised in one strip
constexpr i64 kSharedColumns = 384;   ///< from here on threads share one matrix
constexpr i64 kSharedWork = 1 << 22;  ///< numbers times reflectors from which threads share a step
// Nanoseconds for a number of the matrix, and for it and a reflector.
constexpr double kNumberTime = 4, kPairTime = 0.035;

constexpr i64 kPartNumbers = 1024;  ///< in a row of the panels of a part, about
constexpr i64 kSmall = 1 << 18;     ///< bytes that stay in the L2 cache

// The tree of tall matrices. All three are constants of the contract.
constexpr i64 kTreeColumns = 256;  ///< the most of a matrix that is factorised by a tree
constexpr i64 kLeafRows = 1024;    ///< the least rows of a leaf,
constexpr i64 kLeafRatio = 8;      ///< and in units of its columns

i64 leaf_rows(i64 columns) { return std::max(kLeafRows, kLeafRatio * columns); }
bool is_tree(i64 rows, i64 columns) {
  return columns <= kTreeColumns && rows >= 2 * leaf_rows(columns);
}

/// Zeros follow a vector up to a whole number of partial sums.
constexpr i64 padded(i64 numbers) {
  return (numbers + kPartialSums - 1) / kPartialSums * kPartialSums;
}

/// The next number at the beginning of a cache line.
template <class T>
T* on_a_line(T* place) {
  const std::uintptr_t number = std::uintptr_t(place) / sizeof(T), line = 64 / sizeof(T);
  return place + (number + line - 1) / line * line - number;
}

template <class T>
struct Scratch {
  StripScratch<T> strip;
  Buffer<T> base, vectors, turned;
};

/// The reflectors of one matrix, in its memory and that of its panels.
template <class T>
class Factors {
 public:
  Factors(i64 rows, i64 columns, int parts)
      : rows_(rows),
        columns_(columns),
        rank_(std::min(rows, columns)),
        parts_(parts),
        at_once_(rank_ == columns && rank_ * parts <= kBaseNumbers) {}

  /// Numbers of the panels of such a matrix.
  i64 panels() const { return panels(0, count()); }

  /// In how many parts form() applies the blocks. The panels of all blocks before a part are fewer
  /// numbers than the rows of q that it leaves alone, if q is square, and may lie there.
  i64 parts() const { return parts(0, count()); }

  /// R of `source`, for triangle(), and the reflectors, for form(). `a` (rows, columns), which may
  /// be where the source is, is written to.
  bool factorise(const T* source, T* a, T* panels, const Work& work, PerThread<Scratch<T>>& pool) {
    if (source != a && !at_once_) std::copy_n(source, rows_ * columns_ * parts_, a);
    source_ = at_once_ ? source : a;
    a_ = a;
    step_ = columns_ * parts_;
    next_panel_ = panels;
    blocks_.clear();
    blocks_.reserve(std::size_t(count()));
    signs_.resize(std::size_t(rank_ * parts_));
    couplings_ = coupling_buffer_.take(count() * kCouplings);
    return factorise(0, rank_, work, pool) && apply(0, rank_, columns_, work, pool);
  }

  /// R, its phases taken off, to r, which may be where a is, or null. Without `phases` as it is.
  /// Whether its numbers are finite.
  bool triangle(T* r, bool phases) const {
    const i64 step = columns_ * parts_;
    if (parts_ == 1)
      return panel_kernels<T>().triangle(a_, step_, rank_, columns_,
                                         phases ? signs_.data() : nullptr, r, step);
    T unordered = 0;  // NaN once there is a NaN or an infinity
    for (i64 i = 0; i < rank_; ++i) {
      const T* const x = a_ + i * step_;
      const T* const sign = signs_.data() + 2 * i;
      for (i64 k = 2 * i; k < step; ++k) unordered += x[k] - x[k];
      if (r == nullptr) continue;
      T* const row = r + i * step;
      std::fill_n(row, 2 * i, T(0));
      for (i64 k = 2 * i; k < step; k += 2) {
        const T re = x[k], im = x[k + 1];
        row[k] = phases ? re * sign[0] + im * sign[1] : re;
        row[k + 1] = phases ? im * sign[0] - re * sign[1] : im;
      }
      if (phases) row[2 * i + 1] = T(0);
    }
    return unordered == 0;
  }

  /// q (rows, rank) = H_0 H_1 .. [top; 0]. A null `top` (rank, rank) stands for the diagonal of
  /// phases. `in_q`: the panels are there.
  bool form(const T* top, T* q, bool in_q, const Work& work, PerThread<Scratch<T>>& pool) {
    const i64 all = top == nullptr ? parts() : 1;
    for (i64 part = all; part-- > 0;) {
      const i64 begin = count() * part / all, end = count() * (part + 1) / all;
      std::vector<Block<T>> blocks(blocks_.begin() + begin, blocks_.begin() + end);
      if (in_q && !move_panels(blocks, work)) return false;
      if (!form_part(blocks, top, q, work, pool)) return false;
    }
    return true;
  }

 private:
  i64 count() const { return (rank_ + most() - 1) / most(); }
  i64 most() const { return kNumbers / parts_; }
  i64 width() const { return panel_width(rank_, parts_, kNumbers); }
  i64 panel(i64 rows) const { return (rows * width() + kPanelSlack + 15) / 16 * 16; }

  /// Numbers of the panels of the blocks begin .. end - 1.
  i64 panels(i64 begin, i64 end) const {
    i64 sum = 0;
    for (i64 b = begin; b < end; ++b) sum += panel(rows_ - b * most());
    return sum;
  }

  /// In how many parts they are applied: a part pays for reading and writing the strips once more
  /// with some thousand reflectors.
  i64 parts(i64 begin, i64 end) const {
    const i64 most = ((end - begin) * kNumbers + kPartNumbers / 2) / kPartNumbers;
    return std::clamp<i64>(most, 1, parts_of(panels(begin, end) * i64(sizeof(T))));
  }

  /// The panels of some blocks to memory of their own.
  bool move_panels(std::vector<Block<T>>& blocks, const Work& work) {
    i64 numbers = 0;
    for (const Block<T>& block : blocks) numbers += panel(block.rows);
    const T* const from = blocks.front().panel;
    T* const to = moved_.take(numbers);
    return work.each(i64(blocks.size()), [&](u64 b) {
      Block<T>& block = blocks[std::size_t(b)];
      T* const place = to + (block.panel - from);
      std::copy_n(block.panel, panel(block.rows), place);
      block.panel = place;
    });
  }

  /// Applies blocks to what the later ones have made of the columns after them, and to the phases
  /// in their own columns; or to all of [top; 0].
  bool form_part(const std::vector<Block<T>>& blocks, const T* top, T* q, const Work& work,
                 PerThread<Scratch<T>>& pool) const {
    std::vector<const Block<T>*> order;
    for (std::size_t i = blocks.size(); i-- > 0;) order.push_back(&blocks[i]);
    const i64 begin = blocks.front().first, end = blocks.back().first + blocks.back().count;
    const Strips<T> strips(begin, rank_, parts_, work.threads);
    const i64 rows = rows_ - begin, step = rank_ * parts_;
    return work.each(strips.count(), [&](u64 number) {
      const i64 own = strips.count() - 1 - i64(number);  // the one of most reflectors first
      const i64 left = strips.left(own), right = strips.right(own);
      const int vectors = strips.vectors(own);
      const i64 width = vectors * panel_kernels<T>().lanes, numbers = (right - left) * parts_;
      T* const place = q + begin * step + left * parts_;
      StripScratch<T>& scratch = pool.own().strip;
      // A small result of whole vectors is its own strip.
      const bool in_place = numbers == width && rows_ * step * i64(sizeof(T)) <= kSmall;
      const i64 stride = in_place ? step : width;
      T* const strip = in_place ? place : scratch.strip.take(rows * stride);
      std::size_t skipped = 0;
      if (top == nullptr) {
        start(place, begin, end, left, right, strip, stride, width);
        while (order[skipped]->first >= right) ++skipped;
      } else {
        for (i64 i = 0; i < rows; ++i) std::fill_n(strip + i * stride, width, T(0));
        for (i64 i = 0; i < rank_; ++i)
          std::copy_n(top + i * step + left * parts_, numbers, strip + i * stride);
      }
      scratch.reflect(
          order.data() + skipped, i64(order.size() - skipped), false, top == nullptr ? left : -1,
          parts_, begin, stride, vectors, [&](i64 first, i64) { return strip + first * stride; },
          [](i64, i64) {});
      if (!in_place) panel_kernels<T>().copy(strip, stride, rows, numbers, T(1), place, step);
    });
  }

  /// A strip, from row `begin` on, before the blocks begin .. end - 1: the phases of the columns
  /// before `end`, and of those after them what is there, at `place`.
  void start(const T* place, i64 begin, i64 end, i64 left, i64 right, T* strip, i64 stride,
             i64 width) const {
    const i64 step = rank_ * parts_, old = std::clamp(end, left, right);
    for (i64 i = 0; i < rows_ - begin; ++i) std::fill_n(strip + i * stride, width, T(0));
    for (i64 c = left; c < old; ++c)
      std::copy_n(signs_.data() + c * parts_, parts_,
                  strip + (c - begin) * stride + (c - left) * parts_);
    const i64 made = end - begin, across = (old - left) * parts_;
    if (old < right)
      panel_kernels<T>().copy(place + made * step + across, step, rows_ - end,
                              (right - old) * parts_, T(1), strip + made * stride + across, stride);
  }

  /// Columns begin .. end - 1, which have seen all reflectors before them.
  bool factorise(i64 begin, i64 end, const Work& work, PerThread<Scratch<T>>& pool) {
    const i64 base = kBaseNumbers / parts_;
    if (end - begin <= base) {
      if (work.poll ? work.poll() : (listen(), false)) return false;
      factorise_base(begin, end, pool.own());
      return true;
    }
    const i64 middle = begin + (end - begin + 2 * base - 1) / (2 * base) * base;
    return factorise(begin, middle, work, pool) && apply(begin, middle, end, work, pool) &&
           factorise(middle, end, work, pool);
  }

  /// Columns middle .. end - 1 see the reflectors begin .. middle - 1.
  bool apply(i64 begin, i64 middle, i64 end, const Work& work, PerThread<Scratch<T>>& pool) {
    const i64 first = begin / most(), blocks = (middle + most() - 1) / most() - first;
    const i64 all = parts(first, first + blocks);
    for (i64 part = 0; middle < end && part < all; ++part)
      if (!apply_blocks(first + blocks * part / all, first + blocks * (part + 1) / all, middle, end,
                        work, pool))
        return false;
    return true;
  }

  bool apply_blocks(i64 from_block, i64 to_block, i64 middle, i64 end, const Work& work,
                    PerThread<Scratch<T>>& pool) {
    std::vector<const Block<T>*> order;
    for (i64 b = from_block; b < to_block; ++b) order.push_back(&blocks_[std::size_t(b)]);
    const i64 begin = from_block * most(), rows = rows_ - begin, step = columns_ * parts_;
    const bool large = rows * (end - middle) * (to_block - from_block) * most() >= kSharedWork;
    const Work here{large ? work.threads : 1, work.poll};
    const Strips<T> strips(middle, end, parts_, here.threads);
    return here.each(strips.count(), [&](u64 number) {
      const i64 left = strips.left(i64(number)), right = strips.right(i64(number));
      const int vectors = strips.vectors(i64(number));
      const i64 stride = vectors * panel_kernels<T>().lanes, numbers = (right - left) * parts_;
      StripScratch<T>& scratch = pool.own().strip;
      T* const strip = scratch.strip.take(rows * stride);
      T* const from = a_ + begin * step + left * parts_;
      if (numbers < stride) std::fill_n(strip, rows * stride, T(0));
      panel_kernels<T>().copy(from, step, rows, numbers, T(1), strip, stride);
      scratch.reflect(
          order.data(), i64(order.size()), true, -1, parts_, begin, stride, vectors,
          [&](i64 first, i64) { return strip + first * stride; }, [](i64, i64) {});
      panel_kernels<T>().copy(strip, stride, rows, numbers, T(1), from, step);
    });
  }

  void factorise_base(i64 begin, i64 end, Scratch<T>& scratch) {
    const i64 rows = rows_ - begin, step = columns_ * parts_, numbers = (end - begin) * parts_;
    const i64 stride = (numbers + kNumbers - 1) / kNumbers * kNumbers;
    T* const strip = scratch.base.take(rows * stride);
    const i64 from = begin * step + begin * parts_;
    if (numbers < stride) std::fill_n(strip, rows * stride, T(0));
    panel_kernels<T>().copy(source_ + from, step, rows, numbers, T(1), strip, stride);
    for (i64 first = begin; first < end; first += most()) {
      const i64 stop = std::min(first + most(), end);
      factorise_block(first, stop - first, strip + (first - begin) * (stride + parts_), stride,
                      scratch);
      const Block<T>* const block = &blocks_.back();
      const i64 lanes = panel_kernels<T>().lanes;
      for (i64 left = (stop - begin) * parts_; left < numbers; left += kStripVectors * lanes) {
        const i64 vectors = std::min<i64>(kStripVectors, (numbers - left + lanes - 1) / lanes);
        scratch.strip.reflect(
            &block, 1, true, -1, parts_, begin, stride, int(vectors),
            [&](i64 row, i64) { return strip + row * stride + left; }, [](i64, i64) {});
      }
    }
    if (at_once_)
      a_ = strip, step_ = stride;
    else
      panel_kernels<T>().copy(strip, stride, end - begin, numbers, T(1), a_ + from, step);
  }

  /// The reflectors of `count` columns at `strip`, which keeps the rows of R, one after the other.
  void factorise_block(i64 first, i64 count, T* strip, i64 stride, Scratch<T>& scratch) {
    const i64 rows = rows_ - first, step = padded(rows * parts_) + kPartialSums;
    T* const vectors = scratch.vectors.take(count * step);
    if (parts_ == 1)
      panel_kernels<T>().turn(strip, stride, rows, count, vectors, step);
    else
      for (i64 r = 0; r < rows; ++r)
        for (i64 i = 0; i < count; ++i)
          copy_element(strip + r * stride + 2 * i, vectors + i * step + 2 * r);
    for (i64 i = 0; i < count; ++i)
      std::fill(vectors + i * step + rows * parts_, vectors + (i + 1) * step, T(0));
    double squares = panel_kernels<T>().sum_of_squares(vectors, padded(rows * parts_));
    for (i64 i = 0; i < count; ++i) {
      T* const column = vectors + i * step;
      for (i64 r = 0; r < i; ++r)
        copy_element(column + r * parts_, strip + r * stride + i * parts_);
      std::fill_n(column, i * parts_, T(0));
      T* const v = column + i * parts_;
      T* const sign = signs_.data() + (first + i) * parts_;
      const i64 numbers = (rows - i) * parts_;
      const Reflection reflection =
          reflection_of(v, rows - i, parts_, padded(numbers), squares, sign);
      form_reflector(reflection, v, padded(numbers), parts_, true, v);
      for (int part = 0; part < parts_; ++part)
        strip[i * stride + i * parts_ + part] = T(reflection.norm) * sign[part];
      squares = reflect(v, v + step, step, count - i - 1, numbers, scratch);
    }
    T* const panel_here = next_panel_;
    next_panel_ += panel(rows);
    fill_panel(vectors, step, count, rows, parts_, panel_here, width());
    std::fill_n(panel_here + rows * width(), kPanelSlack, T(0));
    T* const minus = couplings_ + i64(blocks_.size()) * kCouplings;
    blocks_.push_back({panel_here, width(), first, count, rows, minus});
    couple(blocks_.back(), parts_, minus);
  }

  /// x -= v (v^H x) for `count` columns x; the sum of squares of the first one after its first
  /// element.
  double reflect(const T* v, T* columns, i64 step, i64 count, i64 numbers,
                 Scratch<T>& scratch) const {
    const double squares = panel_kernels<T>().reflect(v, columns, step, count, numbers);
    if (parts_ == 1) return squares;
    // With i v = (-im, re): the imaginary part of v^H x, which the first step has not changed.
    T* const turned = scratch.turned.take(padded(numbers));
    for (i64 k = 0; k < numbers; k += 2) turned[k] = -v[k + 1], turned[k + 1] = v[k];
    std::fill(turned + numbers, turned + padded(numbers), T(0));
    panel_kernels<T>().reflect(turned, columns, step, count, numbers);
    return count == 0 ? 0 : panel_kernels<T>().sum_of_squares(columns + 2, padded(numbers - 2));
  }

  void copy_element(const T* from, T* to) const {
    to[0] = from[0];
    if (parts_ == 2) to[1] = from[1];
  }

  i64 rows_, columns_, rank_;
  int parts_;
  bool at_once_;  ///< all columns are one strip
  const T* source_ = nullptr;
  T* a_ = nullptr;  ///< where R is, its rows at step_
  i64 step_ = 0;
  T* next_panel_ = nullptr;
  T* couplings_ = nullptr;
  Buffer<T> coupling_buffer_, moved_;
  std::vector<Block<T>> blocks_;
  std::vector<T> signs_;
};

/// Factorises matrices of one shape.
template <class T>
class Factoriser {
 public:
  Factoriser(i64 rows, i64 columns, int parts, Work work)
      : rows_(rows),
        columns_(columns),
        parts_(parts),
        work_(std::move(work)),
        pool_(work_.threads),
        factors_(rows, columns, parts) {}

  /// False if it was interrupted. A matrix that is not finite, or whose R is not, gives NaN for all
  /// numbers: which of them the arithmetic would spoil depends on the kernels' tiles.
  bool run(const T* a, T* q, T* r) {
    if (!(is_tree(rows_, columns_) ? tree(a, q, r) : direct(a, q, r))) return false;
    if (finite_) return true;
    const i64 rank = std::min(rows_, columns_);
    std::fill_n(q, rows_ * rank * parts_, std::numeric_limits<T>::quiet_NaN());
    if (r != nullptr) std::fill_n(r, rank * columns_ * parts_, std::numeric_limits<T>::quiet_NaN());
    return true;
  }

 private:
  /// In r if there is room, else in q. Then q is square, and large panels lie in it until it is
  /// formed.
  bool direct(const T* a, T* q, T* r) {
    const bool in_r = r != nullptr && rows_ <= columns_, in_q = in_r && factors_.parts() > 1;
    T* const panels = in_q ? on_a_line(q) : panels_.take(factors_.panels());
    if (!factors_.factorise(a, in_r ? r : q, panels, work_, pool_)) return false;
    finite_ = factors_.triangle(r, true);
    return factors_.form(nullptr, q, in_q, work_, pool_);
  }

  /// The rows in leaves, each factorised alone; then their triangles, one upon the other, in the
  /// same way. Q of the leaf is its reflectors applied to its rows of their Q.
  bool tree(const T* a, T* q, T* r) {
    const i64 count = rows_ / leaf_rows(columns_), length = leaf_rows(columns_);
    const i64 triangle = columns_ * columns_ * parts_;
    std::vector<Factors<T>> leaves;
    leaves.reserve(std::size_t(count));
    std::vector<i64> offsets;
    i64 numbers = 0;
    for (i64 i = 0; i < count; ++i) {
      const i64 own = i + 1 < count ? length : rows_ - i * length;
      leaves.emplace_back(own, columns_, parts_);
      offsets.push_back(numbers);
      numbers += leaves.back().panels();
    }
    T* const panels = panels_.take(numbers);
    T* const stack = stack_.take(count * triangle);
    const Work alone{1, {}};
    const i64 leaf = length * columns_ * parts_;
    const bool factorised = work_.each(count, [&](u64 number) {
      const i64 i = i64(number);
      Factors<T>& factors = leaves[std::size_t(i)];
      factors.factorise(a + i * leaf, q + i * leaf, panels + offsets[std::size_t(i)], alone, pool_);
      factors.triangle(stack + i * triangle, false);
    });
    if (!factorised) return false;
    Factoriser upper(count * columns_, columns_, parts_, work_);
    if (!upper.run(stack, stack, r)) return false;
    finite_ = upper.finite_;
    return work_.each(count, [&](u64 number) {
      const i64 i = i64(number);
      leaves[std::size_t(i)].form(stack + i * triangle, q + i * leaf, false, alone, pool_);
    });
  }

  const i64 rows_, columns_;
  const int parts_;
  const Work work_;
  PerThread<Scratch<T>> pool_;
  Factors<T> factors_;  ///< of a matrix that is no tree
  bool finite_ = true;
  Buffer<T> panels_, stack_;
};

}  // namespace

template <class T>
bool qr(const T* a, i64 count, i64 rows, i64 columns, bool complex, T* q, T* r, int threads,
        const Poll& poll) {
  const i64 rank = std::min(rows, columns), parts = complex ? 2 : 1;
  if (count == 0 || rank == 0) return true;
  const double numbers = double(count * parts * parts) * double(rows) * double(columns);
  threads = threads_for(threads, numbers * (kNumberTime + kPairTime * double(rank)));
  const auto one = [&](Factoriser<T>& factoriser, i64 b) {
    return factoriser.run(a + b * rows * columns * parts, q + b * rows * rank * parts,
                          r == nullptr ? nullptr : r + b * rank * columns * parts);
  };
  if (rank >= kSharedColumns || count < 2 || threads == 1)
    return in_default_environment([&] {
      Factoriser<T> factoriser(rows, columns, int(parts), {threads, poll});
      for (i64 b = 0; b < count; ++b)
        if (!one(factoriser, b)) return false;
      return true;
    });
  const i64 each = std::clamp<i64>(count / (4 * threads), 1, 64);
  PerThread<std::unique_ptr<Factoriser<T>>> factorisers(threads);
  return parallel_for(u64((count + each - 1) / each), threads, false, poll, [&](u64 task) {
    std::unique_ptr<Factoriser<T>>& own = factorisers.own();
    if (!own) own = std::make_unique<Factoriser<T>>(rows, columns, int(parts), Work{1, {}});
    for (i64 b = i64(task) * each; b < std::min(count, i64(task + 1) * each); ++b) one(*own, b);
  });
}

template bool qr(const float*, i64, i64, i64, bool, float*, float*, int, const Poll&);
template bool qr(const double*, i64, i64, i64, bool, double*, double*, int, const Poll&);

}  // namespace fanin::engine
