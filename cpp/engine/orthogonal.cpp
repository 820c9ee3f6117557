#include "engine/orthogonal.hpp"

#include <algorithm>

#include "engine/laws.hpp"

namespace fanin::engine {
namespace {

constexpr i64 kReflectorsPerTask = 8;
constexpr i64 kTile = kTileWords;
constexpr i64 kSharedColumns =
    384;  ///< from here on threads share one matrix, below each has its own

constexpr i64 rounded_up(i64 count, i64 unit) { return (count + unit - 1) / unit * unit; }

template <class T>
constexpr Element element() {
  return sizeof(T) == 4 ? Element::f32 : Element::f64;
}

/// What one matrix at a time needs.
template <class T>
class Maker {
 public:
  Maker(const Haar& haar, Work work)
      : haar_(haar),
        work_(std::move(work)),
        ratio_(haar.complex ? 2 : 1),
        pitch_(u64(rounded_up(haar.rows * ratio_, kTile))),
        pool_(work_.threads) {
    constexpr double arguments[] = {0.0, 1.0};
    normal_ = plan("normal", arguments, element<T>());
  }

  bool run(u64 id, T* out, i64 step, const Progress& progress) {
    Source source = haar_.source;
    source.id += id;
    const i64 width = block_width(haar_.rows, haar_.columns);
    const bool flip = haar_.determinant != 0 && determinant(source) != haar_.determinant;
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
        const typename BlockPool<T>::Lease scratch(pool_);
        block_.columns(signs_.data(), own_first - begin, own_last - begin,
                       rows + (own_first - haar_.first) * ratio_, step, *scratch);
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

 private:
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
        draw(source, begin + r, (length - r) * ratio_, x);
        make_reflector(x, length - r, haar_.complex, signs_.data() + r * ratio_);
      }
    });
  }

  /// At least the first `count` numbers of reflector j, in whole tiles.
  void draw(const Source& source, i64 j, i64 count, T* x) const {
    const u64 values = u64(tile_values(element<T>()));
    normal_.fill(source, u64(j) * pitch_ / values, (u64(count) + values - 1) / values,
                 normal_.params, x, false);
  }

  /// Every reflector has determinant -1 and a sign that is minus that of its first element (the
  /// last, of one element, has 1 and plus), so the determinant is the product of the signs of the
  /// first elements.
  int determinant(const Source& source) const {
    T tile[kTile];
    int product = 1;
    for (i64 j = 0; j < haar_.columns; ++j) {
      draw(source, j, 1, tile);
      if (tile[0] < 0) product = -product;
    }
    return product;
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
  const u64 pitch_;
  Plan normal_;
  BlockPool<T> pool_;
  Buffer<T> buffer_;
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
  if (haar.columns >= kSharedColumns || ids.size() < 2 || threads == 1)
    return in_default_environment([&] {
      const bool large = haar.columns >= kSharedColumns;
      Maker<T> maker(haar, {large ? threads : 1, large ? poll : Poll{}});
      for (std::size_t b = 0; b < ids.size(); ++b)
        if ((poll && poll()) || !maker.run(ids[b], out + i64(b) * matrix_step, step, progress))
          return false;
      return true;
    });
  // One maker a task, and tasks of several matrices, so that its buffers are used more than once.
  const i64 count = i64(ids.size()), each = std::clamp<i64>(count / (4 * threads), 1, 64);
  return parallel_for(u64((count + each - 1) / each), threads, false, poll, [&](u64 task) {
    Maker<T> maker(haar, {1, {}});
    for (i64 b = i64(task) * each; b < std::min(count, i64(task + 1) * each); ++b)
      maker.run(ids[std::size_t(b)], out + b * matrix_step, step, {});
  });
}

template bool haar(const Haar&, const std::vector<u64>&, float*, i64, i64, int, const Poll&,
                   const Progress&);
template bool haar(const Haar&, const std::vector<u64>&, double*, i64, i64, int, const Poll&,
                   const Progress&);

}  // namespace fanin::engine
