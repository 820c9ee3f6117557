#include "engine/orthogonal.hpp"

#include <algorithm>

#include "engine/laws.hpp"

namespace fanin::engine {
namespace {

constexpr i64 kReflectorsPerTask = 8;
constexpr i64 kTile = kTileWords;
constexpr i64 kSharedColumns =
    384;  ///< from here on threads share one matrix, below each has its own
constexpr i64 kSharedSingle = 128;  ///< the same where there are fewer matrices than threads

constexpr i64 kStripReflectors = 256;  ///< sampled at a time where strips are made
constexpr i64 kStripRows = 8192;       ///< the most for which a strip fits the L2 cache
constexpr i64 kTurnedColumns = 64;     ///< transposed in one task

constexpr i64 rounded_up(i64 count, i64 unit) { return (count + unit - 1) / unit * unit; }

template <class T>
constexpr Element element() {
  return sizeof(T) == 4 ? Element::f32 : Element::f64;
}

/// The Gaussian vectors of the reflectors of one matrix.
template <class T>
class Vectors {
 public:
  Vectors(const Haar& haar)
      : columns_(haar.columns), pitch_(rounded_up(haar.rows * (haar.complex ? 2 : 1), kTile)) {
    constexpr double arguments[] = {0.0, 1.0};
    normal_ = plan("normal", arguments, element<T>());
  }

  /// Numbers from one reflector to the next in the stream.
  i64 pitch() const { return pitch_; }

  /// At least the first `count` numbers of reflector j, in whole tiles.
  void draw(const Source& source, i64 j, i64 count, T* x) const {
    const u64 values = u64(tile_values(element<T>()));
    normal_.fill(source, u64(j) * (u64(pitch_) / values), (u64(count) + values - 1) / values,
                 normal_.params, x, false);
  }

  /// Every reflector has determinant -1 and a sign that is minus that of its first element (the
  /// last, of one element, has 1 and plus), so the determinant is the product of the signs of the
  /// first elements.
  int determinant(const Source& source) const {
    T tile[kTile];
    int product = 1;
    for (i64 j = 0; j < columns_; ++j) {
      draw(source, j, 1, tile);
      if (tile[0] < 0) product = -product;
    }
    return product;
  }

  /// Whether the last sign must change to give the determinant asked for.
  bool flips(const Haar& haar, const Source& source) const {
    return haar.determinant != 0 && determinant(source) != haar.determinant;
  }

 private:
  i64 columns_, pitch_;
  Plan normal_;
};

template <class T>
struct StripScratch {
  Buffer<T> vectors, strip;
  std::vector<T> signs;
};

/// Matrices of which some columns, a strip, fit the cache: it stays there while many reflectors
/// pass over it.
template <class T>
class StripMaker {
 public:
  StripMaker(const Haar& haar, Work work, int matrices_at_once)
      : haar_(haar),
        work_(std::move(work)),
        source_(haar),
        // A step of another length than a power of two, except where one call draws all.
        step_(source_.pitch() <= kDrawnWhole ? source_.pitch() : source_.pitch() + kTile),
        matrices_(matrices_at_once),
        strips_(std::max(work_.threads, matrices_at_once)) {}

  static bool takes(const Haar& haar) { return !haar.complex && haar.rows <= kStripRows; }

  bool run(u64 id, T* out, i64 step, const Progress& progress) {
    Source source = haar_.source;
    source.id += id;
    StripScratch<T>& scratch = matrices_.own();
    T* const vectors = scratch.vectors.take((std::min(haar_.last, kStripReflectors) + 1) * step_);
    scratch.signs.resize(std::size_t(haar_.last));
    T* const signs = scratch.signs.data();
    const bool flip = source_.flips(haar_, source);
    // Later reflectors leave the wanted columns alone.
    for (i64 begin = (haar_.last - 1) / kStripReflectors * kStripReflectors; begin >= 0;
         begin -= kStripReflectors) {
      const i64 end = std::min(begin + kStripReflectors, haar_.last);
      if (!sample(source, begin, end, vectors, signs)) return false;
      if (flip && end == haar_.columns) signs[end - 1] *= T(-1);
      if (!reflect(begin, end, vectors, signs, out, step)) return false;
      if (progress) progress(work_after(begin), work_after(0));
    }
    return true;
  }

 private:
  static constexpr i64 kDrawnWhole = 2 * kTile;

  /// Of the reflectors from `begin` on: each acts on the rows and columns that follow it.
  i64 work_after(i64 begin) const {
    i64 sum = 0;
    for (; begin < haar_.last; begin += kStripReflectors)
      sum += (haar_.rows - begin) * (haar_.last - begin);
    return sum;
  }

  /// The reflectors begin..end - 1 and an empty one, and their signs.
  bool sample(const Source& source, i64 begin, i64 end, T* vectors, T* signs) const {
    const i64 count = end - begin;
    const bool whole = step_ == source_.pitch() && begin == 0;
    if (whole) source_.draw(source, 0, count * step_, vectors);
    std::fill_n(vectors + count * step_, step_, T(0));
    return work_.each((count + kReflectorsPerTask - 1) / kReflectorsPerTask, [&](u64 task) {
      const i64 last = std::min(end, begin + i64(task + 1) * kReflectorsPerTask);
      for (i64 j = begin + i64(task) * kReflectorsPerTask; j < last; ++j) {
        T* const x = vectors + (j - begin) * step_;
        if (!whole) source_.draw(source, j, haar_.rows - j, x);
        make_reflector(x, haar_.rows - j, false, signs + j);
      }
    });
  }

  /// Applies them to what the later ones have made of the columns after them, and to the signs in
  /// their own columns.
  bool reflect(i64 begin, i64 end, const T* vectors, const T* signs, T* out, i64 step) {
    const PanelKernels<T>& kernels = panel_kernels<T>();
    const i64 width = kernels.strip_columns, rows = haar_.rows - begin;
    const i64 first = std::max(begin, haar_.first);
    return work_.each((haar_.last - first + width - 1) / width, [&](u64 number) {
      const i64 left = first + i64(number) * width, right = std::min(left + width, haar_.last);
      const i64 column = left - haar_.first;
      T* const to = haar_.turned ? out + column * step + begin : out + begin * step + column;
      T* const strip = strips_.own().take((rows + 1) * width);
      std::fill_n(strip, (rows + 1) * width, T(0));
      for (i64 c = left; c < std::min(end, right); ++c)
        strip[(c - begin) * width + c - left] = signs[c];
      const i64 count = right - left, made = end - begin;
      const i64 old = std::clamp(end - left, i64(0), count);  // the first column made before
      if (haar_.turned)
        kernels.turn(to + old * step + made, step, count - old, rows - made,
                     strip + made * width + old, width);
      else if (old < count)
        for (i64 r = made; r < rows; ++r)
          std::copy(to + r * step + old, to + r * step + count, strip + r * width + old);
      const auto reflect_to = [&](i64 columns, T* goal, i64 goal_step) {
        kernels.reflect_strip(vectors, step_, rounded_up(std::min(right, end) - begin, 2), rows,
                              strip, T(begin == 0 ? haar_.gain : 1), int(columns), goal, goal_step);
      };
      if (!haar_.turned) return reflect_to(count, to, step);
      reflect_to(width, strip, width);
      kernels.turn(strip, width, rows, count, to, step);
    });
  }

  const Haar haar_;
  const Work work_;
  const Vectors<T> source_;
  const i64 step_;
  PerThread<StripScratch<T>> matrices_;
  PerThread<Buffer<T>> strips_;
};

/// Matrices of any size, a block of reflectors at a time.
template <class T>
class BlockMaker {
 public:
  BlockMaker(const Haar& haar, Work work)
      : haar_(haar),
        work_(std::move(work)),
        ratio_(haar.complex ? 2 : 1),
        source_(haar),
        pool_(work_.threads) {}

  bool run(u64 id, T* out, i64 step, const Progress& progress) {
    if (!haar_.turned) return make(id, out, step, progress);
    const i64 numbers = (haar_.last - haar_.first) * ratio_;
    T* const made = made_.take(haar_.rows * numbers);
    return make(id, made, numbers, progress) && turn(made, out, step);
  }

 private:
  bool make(u64 id, T* out, i64 step, const Progress& progress) {
    Source source = haar_.source;
    source.id += id;
    const i64 width = block_width(haar_.rows, haar_.columns);
    const bool flip = source_.flips(haar_, source);
    const i64 blocks =
        (haar_.last + width - 1) / width;  // later reflectors leave the wanted columns alone
    // A block's work grows with the rows and with the columns that it acts on.
    const auto work_after = [&](i64 b) {
      i64 sum = 0;
      for (i64 i = b; i < blocks; ++i) sum += (haar_.rows - i * width) * (haar_.last - i * width);
      return sum;
    };
    for (i64 b = blocks; b-- > 0;) {
      const i64 begin = b * width, end = std::min(begin + width, haar_.columns),
                length = haar_.rows - begin;
      if (!sample(source, begin, end)) return false;
      if (flip && end == haar_.columns) signs_[std::size_t(end - begin - 1)] *= T(-1);
      if (!block_.set(vectors_, vector_step_, end - begin, length, haar_.complex, work_, pool_))
        return false;
      const i64 own_first = std::max(begin, haar_.first), own_last = std::min(end, haar_.last);
      T* const rows = out + begin * step;
      if (own_first < own_last) {
        block_.columns(signs_.data(), own_first - begin, own_last - begin,
                       rows + (own_first - haar_.first) * ratio_, step, pool_.own());
      }
      const i64 after = std::max(end, haar_.first);
      if (after < haar_.last &&
          !block_.apply(rows + (after - haar_.first) * ratio_, step, (haar_.last - after) * ratio_,
                        false, true, work_, pool_))
        return false;
      if (progress) progress(work_after(b), work_after(0));
    }
    if (haar_.gain != 1) scale(out, step);
    return true;
  }

  bool turn(const T* made, T* out, i64 step) const {
    const i64 columns = haar_.last - haar_.first;
    return work_.each((columns + kTurnedColumns - 1) / kTurnedColumns, [&](u64 task) {
      const i64 left = i64(task) * kTurnedColumns;
      const i64 count = std::min(kTurnedColumns, columns - left);
      const T* const from = made + left * ratio_;
      T* const to = out + left * step;
      if (!haar_.complex)
        return panel_kernels<T>().turn(from, columns, haar_.rows, count, to, step);
      for (i64 r = 0; r < haar_.rows; ++r)
        for (i64 c = 0; c < count; ++c)
          std::copy_n(from + 2 * (r * columns + c), 2, to + c * step + 2 * r);
    });
  }

  /// The reflectors begin..end - 1 as rows, and their signs.
  bool sample(const Source& source, i64 begin, i64 end) {
    const i64 count = end - begin, length = haar_.rows - begin;
    vector_step_ = rounded_up(length * ratio_, kTile) + 2 * kTile;
    vectors_ = buffer_.take(count * vector_step_);
    signs_.resize(std::size_t(count * ratio_));
    return work_.each((count + kReflectorsPerTask - 1) / kReflectorsPerTask, [&](u64 task) {
      for (i64 r = i64(task) * kReflectorsPerTask;
           r < std::min(count, i64(task + 1) * kReflectorsPerTask); ++r) {
        T* const row = vectors_ + r * vector_step_;
        std::fill_n(row, r * ratio_, T(0));
        T* const x = row + r * ratio_;
        source_.draw(source, begin + r, (length - r) * ratio_, x);
        make_reflector(x, length - r, haar_.complex, signs_.data() + r * ratio_);
      }
    });
  }

  void scale(T* out, i64 step) const {
    const T gain = T(haar_.gain);
    const i64 numbers = (haar_.last - haar_.first) * ratio_;
    work_.each(haar_.rows, [&](u64 r) {
      T* const row = out + i64(r) * step;
      for (i64 i = 0; i < numbers; ++i) row[i] *= gain;
    });
  }

  const Haar haar_;
  const Work work_;
  const i64 ratio_;
  const Vectors<T> source_;
  BlockPool<T> pool_;
  Buffer<T> buffer_, made_;
  T* vectors_ = nullptr;
  i64 vector_step_ = 0;
  std::vector<T> signs_;
  BlockReflector<T> block_;
};

}  // namespace

i64 block_width(i64, i64 columns) { return columns <= 640 ? 32 : columns <= 1536 ? 64 : 128; }

template <class T>
bool haar(const Haar& haar, const std::vector<u64>& ids, T* out, i64 matrix_step, i64 step,
          int threads, const Poll& poll, const Progress& progress) {
  threads = threads_for(threads);
  const i64 count = i64(ids.size());
  const bool strips = StripMaker<T>::takes(haar);
  const bool shared = threads == 1 || haar.columns >= kSharedColumns || count < 2 ||
                      (count < threads && haar.columns >= kSharedSingle);
  if (shared)
    return in_default_environment([&] {
      const bool large = haar.columns >= kSharedSingle;
      const Work work{large ? threads : 1, large ? poll : Poll{}};
      const auto each = [&](auto&& make) {
        for (i64 b = 0; b < count; ++b)
          if ((poll && poll()) || !make(ids[std::size_t(b)], out + b * matrix_step)) return false;
        return true;
      };
      if (strips) {
        StripMaker<T> maker(haar, work, 1);
        return each([&](u64 id, T* to) { return maker.run(id, to, step, progress); });
      }
      BlockMaker<T> maker(haar, work);
      return each([&](u64 id, T* to) { return maker.run(id, to, step, progress); });
    });
  // Each thread its own matrices, several a task.
  const i64 each = std::clamp<i64>(count / (4 * threads), 1, 64);
  const auto batch = [&](u64 task, auto&& make) {
    for (i64 b = i64(task) * each; b < std::min(count, i64(task + 1) * each); ++b)
      make(ids[std::size_t(b)], out + b * matrix_step);
  };
  const u64 tasks = u64((count + each - 1) / each);
  if (strips) {
    StripMaker<T> maker(haar, {1, {}}, threads);
    return parallel_for(tasks, threads, false, poll, [&](u64 task) {
      batch(task, [&](u64 id, T* to) { maker.run(id, to, step, {}); });
    });
  }
  return parallel_for(tasks, threads, false, poll, [&](u64 task) {
    BlockMaker<T> maker(haar, {1, {}});
    batch(task, [&](u64 id, T* to) { maker.run(id, to, step, {}); });
  });
}

template bool haar(const Haar&, const std::vector<u64>&, float*, i64, i64, int, const Poll&,
                   const Progress&);
template bool haar(const Haar&, const std::vector<u64>&, double*, i64, i64, int, const Poll&,
                   const Progress&);

}  // namespace fanin::engine
