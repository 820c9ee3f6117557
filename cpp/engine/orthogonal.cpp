#include "engine/orthogonal.hpp"

#include <algorithm>

#include "engine/laws.hpp"

namespace fanin::engine {
namespace {

constexpr i64 kTile = kTileWords;
/// From here on threads share one matrix, below each has its own.
constexpr i64 kSharedColumns = 384;
constexpr i64 kSharedSingle = 128;  ///< the same where there are fewer matrices than threads

// Nanoseconds for a number of the result, and for it and a reflector.
constexpr double kNumberTime = 4, kPairTime = 0.015;

constexpr i64 kStripRows = 32768;          ///< the most of a strip that is kept from block to block
constexpr i64 kDrawnRows = 8192;           ///< the most of which all vectors of a block are held
constexpr i64 kDrawnTogether = 2 * kTile;  ///< the most numbers of such vectors

constexpr i64 rounded_up(i64 count, i64 unit) { return (count + unit - 1) / unit * unit; }

template <class T>
constexpr Element element() {
  return sizeof(T) == 4 ? Element::f32 : Element::f64;
}

/// The Gaussian vectors of the reflectors of one matrix.
template <class T>
class Vectors {
 public:
  Vectors(const HaarColumns& wanted)
      : columns_(wanted.columns),
        pitch_(rounded_up(wanted.rows * (wanted.complex ? 2 : 1), kTile)) {
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

  /// `count` numbers of reflector j from number `from` on, in whole tiles. How many come before
  /// them.
  i64 draw_from(const Source& source, i64 j, i64 from, i64 count, T* x) const {
    const i64 values = i64(tile_values(element<T>())), before = from % values;
    const u64 tile = (u64(j) * u64(pitch_) + u64(from - before)) / u64(values);
    normal_.fill(source, tile, u64((before + count + values - 1) / values), normal_.params, x,
                 false);
    return before;
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
  bool flips(const HaarColumns& wanted, const Source& source) const {
    return wanted.determinant != 0 && determinant(source) != wanted.determinant;
  }

 private:
  i64 columns_, pitch_;
  Plan normal_;
};

/// Buffers of one thread.
template <class T>
struct Scratch {
  StripScratch<T> strip;
  Buffer<T> vectors, drawn;
  std::vector<Reflection> reflections;
};

/// Makes matrices, some blocks of reflectors at a time: a strip of columns stays in the cache while
/// all of them pass over it.
template <class T>
class Maker {
 public:
  Maker(const HaarColumns& wanted, Work work, int matrices_at_once)
      : wanted_(wanted),
        work_(std::move(work)),
        parts_(wanted.complex ? 2 : 1),
        vectors_(wanted),
        most_(kBlockNumbers / parts_),
        width_(panel_width(wanted.columns, parts_, kBlockNumbers)),
        kept_(wanted.rows <= kStripRows),
        together_(together()),
        matrices_(matrices_at_once),
        threads_(std::max(work_.threads, matrices_at_once)) {}

  bool run(u64 id, T* out, i64 step, const Progress& progress) {
    Source source = wanted_.source;
    source.id += id;
    Panels& panels = matrices_.own();
    panels.signs.resize(std::size_t(wanted_.last * parts_));
    const bool flip = vectors_.flips(wanted_, source);
    // Later reflectors leave the wanted columns alone.
    i64 end = wanted_.last;
    while (end > 0) {
      const i64 begin = lay_out(end, panels);
      if (!sample(source, panels)) return false;
      if (flip && end == wanted_.columns) {
        T* const sign = panels.signs.data() + (end - 1) * parts_;
        for (i64 part = 0; part < parts_; ++part) sign[part] *= T(-1);
      }
      if (!reflect(begin, end, panels, out, step)) return false;
      if (progress) progress(work_after(begin), work_after(0));
      end = begin;
    }
    return true;
  }

 private:
  /// Blocks of one matrix, the last first, and the signs of all its reflectors.
  struct Panels {
    Buffer<T> numbers, couplings;
    std::vector<Block<T>> blocks;
    std::vector<const Block<T>*> order;
    std::vector<T> signs;
  };

  /// Of the reflectors from `begin` on: each acts on the rows and columns that follow it.
  i64 work_after(i64 begin) const {
    i64 sum = 0;
    for (i64 j = begin; j < wanted_.last; j += most_)
      sum += (wanted_.rows - j) * (wanted_.last - j);
    return sum;
  }

  /// Numbers of the panel of the block that begins with reflector `first`.
  i64 panel(i64 first) const {
    return rounded_up((wanted_.rows - first) * width_ + kPanelSlack, kTile);
  }

  /// Numbers of the blocks that are in memory together: about as many each time and no small rest.
  i64 together() const {
    i64 all = 0;
    for (i64 first = 0; first < wanted_.last; first += most_) all += panel(first);
    return all / parts_of(all * i64(sizeof(T))) + panel(0);
  }

  /// Room for the blocks before reflector `end`, as many as may be in memory. Where the first
  /// begins.
  i64 lay_out(i64 end, Panels& panels) const {
    panels.blocks.clear();
    i64 begin = end, numbers = 0;
    while (begin > 0) {
      const i64 first = (begin - 1) / most_ * most_;
      if (begin < end && numbers + panel(first) > together_) break;
      panels.blocks.push_back(
          {nullptr, width_, first, begin - first, wanted_.rows - first, nullptr});
      numbers += panel(first);
      begin = first;
    }
    T* place = panels.numbers.take(numbers);
    T* minus = panels.couplings.take(i64(panels.blocks.size()) * kCouplings);
    panels.order.clear();
    for (Block<T>& block : panels.blocks) {
      block.panel = place;
      block.minus = minus;
      place += panel(block.first);
      minus += kCouplings;
      panels.order.push_back(&block);
    }
    return begin;
  }

  bool sample(const Source& source, Panels& panels) {
    return work_.each(i64(panels.blocks.size()), [&](u64 task) {
      const i64 last = i64(panels.blocks.size()) - 1;
      const Block<T>& block = panels.blocks[std::size_t(last - i64(task))];  // the longest first
      sample_block(source, block, panels.signs.data() + block.first * parts_, threads_.own());
      couple(block, int(parts_), const_cast<T*>(block.minus));
    });
  }

  void sample_block(const Source& source, const Block<T>& block, T* signs, Scratch<T>& scratch) {
    T* const panel = const_cast<T*>(block.panel);
    std::fill_n(panel + block.rows * width_, kPanelSlack, T(0));
    const bool held = block.rows <= kDrawnRows;
    const i64 chunk = held ? block.rows : kBandRows;
    const i64 step = rounded_up((chunk + most_) * parts_, kTile) + 2 * kTile;
    T* const vectors = scratch.vectors.take(block.count * step);
    scratch.reflections.resize(std::size_t(block.count));
    // Short vectors are drawn together: one call, though more numbers.
    const i64 pitch = vectors_.pitch();
    const bool together = pitch <= kDrawnTogether;
    T* drawn = scratch.drawn.take(together ? block.count * pitch
                                           : rounded_up(block.rows * parts_, kTile) + 2 * kTile);
    if (together) vectors_.draw(source, block.first, block.count * pitch, drawn);
    for (i64 i = 0; i < block.count; ++i, drawn += together ? pitch : 0) {
      const i64 length = block.rows - i, numbers = length * parts_;
      if (!together) vectors_.draw(source, block.first + i, numbers, drawn);
      Reflection& reflection = scratch.reflections[std::size_t(i)];
      reflection =
          reflection_of(drawn, length, int(parts_), numbers,
                        panel_kernels<T>().sum_of_squares(drawn, numbers), signs + i * parts_);
      if (!held) continue;
      T* const row = vectors + i * step;
      std::fill_n(row, i * parts_, T(0));
      form_reflector(reflection, drawn, numbers, int(parts_), true, row + i * parts_);
    }
    if (held) return fill_panel(vectors, step, block.count, block.rows, int(parts_), panel, width_);
    // Drawn again, some rows at a time: row r of the panel takes element r - i of vector i.
    for (i64 begin = 0; begin < block.rows; begin += chunk) {
      const i64 end = std::min(begin + chunk, block.rows);
      for (i64 i = 0; i < block.count; ++i) {
        T* const row = vectors + i * step;
        const i64 top = begin == 0 ? i : 0, numbers = (end - begin - top) * parts_;
        std::fill_n(row, top * parts_, T(0));
        const i64 before =
            vectors_.draw_from(source, block.first + i, (begin + top - i) * parts_, numbers, drawn);
        form_reflector(scratch.reflections[std::size_t(i)], drawn + before, numbers, int(parts_),
                       begin == 0, row + top * parts_);
      }
      fill_panel(vectors, step, block.count, end - begin, int(parts_), panel + begin * width_,
                 width_);
    }
  }

  /// Applies the blocks to what the later ones have made of the columns after them, and to the
  /// signs in their own columns.
  bool reflect(i64 begin, i64 end, const Panels& panels, T* out, i64 step) {
    const Strips<T> strips(std::max(begin, wanted_.first), wanted_.last, int(parts_),
                           work_.threads);
    return work_.each(strips.count(), [&](u64 number) {
      const i64 own = strips.count() - 1 - i64(number);  // the one of most reflectors first
      const i64 left = strips.left(own), right = strips.right(own);
      const int vectors = strips.vectors(own);
      const i64 stride = vectors * panel_kernels<T>().lanes;
      // Reflectors after the strip's last column leave it alone.
      std::size_t skipped = 0;
      while (panels.order[skipped]->first >= right) ++skipped;
      const Part part{begin, left, right, stride, out, step};
      StripScratch<T>& scratch = threads_.own().strip;
      const i64 rows = wanted_.rows - begin;
      const auto pass = [&](auto&& open, auto&& close) {
        scratch.reflect(panels.order.data() + skipped, i64(panels.order.size() - skipped), false,
                        left, int(parts_), begin, stride, vectors, open, close);
      };
      T* const strip = scratch.strip.take((kept_ ? rows : std::min(rows, kBandRows)) * stride);
      const T gain = T(begin == 0 ? wanted_.gain : 1);
      if (kept_) {
        start(part, end, panels.signs.data(), 0, rows, strip);
        pass([&](i64 first, i64) { return strip + first * stride; }, [](i64, i64) {});
        return save(part, 0, rows, gain, strip);
      }
      for (i64 from = 0; from < rows; from += kBandRows) {
        const i64 to = std::min(from + kBandRows, rows);
        start(part, end, panels.signs.data(), from, to, strip);
        save(part, from, to, T(1), strip);
      }
      pass(
          [&](i64 from, i64 to) {
            load(part, from, to, 0, strip);
            return strip;
          },
          [&](i64 from, i64 to) { save(part, from, to, T(1), strip); });
      if (gain != 1)
        for (i64 from = 0; from < rows; from += kBandRows) {
          const i64 to = std::min(from + kBandRows, rows);
          load(part, from, to, 0, strip);
          save(part, from, to, gain, strip);
        }
    });
  }

  /// Some columns of the result, from row `top` on.
  struct Part {
    i64 top, left, right, stride;
    T* out;
    i64 step;
  };

  T* place(const Part& part, i64 row, i64 column) const {
    row += part.top;
    column -= wanted_.first;
    return wanted_.turned ? part.out + column * part.step + row * parts_
                          : part.out + row * part.step + column * parts_;
  }

  /// Rows from .. to - 1 before the blocks: what is there of the columns from `end` on, but for the
  /// blocks' own rows, which are zeros; the signs in the columns before.
  void start(const Part& part, i64 end, const T* signs, i64 from, i64 to, T* strip) const {
    std::fill_n(strip, (to - from) * part.stride, T(0));
    const i64 old = std::clamp(end, part.left, part.right) - part.left;
    for (i64 c = part.left; c < part.left + old; ++c)
      if (c - part.top >= from && c - part.top < to)
        std::copy_n(signs + c * parts_, parts_,
                    strip + (c - part.top - from) * part.stride + (c - part.left) * parts_);
    const i64 made = std::clamp(end - part.top, from, to);
    if (part.left + old < part.right)
      load(part, made, to, old, strip + (made - from) * part.stride);
  }

  void load(const Part& part, i64 from, i64 to, i64 old, T* strip) const {
    const i64 count = part.right - part.left - old;
    strip += old * parts_;
    const T* const here = place(part, from, part.left + old);
    if (wanted_.turned) return turn(here, part.step, count, to - from, strip, part.stride);
    panel_kernels<T>().copy(here, part.step, to - from, count * parts_, T(1), strip, part.stride);
  }

  void save(const Part& part, i64 from, i64 to, T gain, T* strip) const {
    const i64 count = part.right - part.left, rows = to - from;
    T* const here = place(part, from, part.left);
    const PanelKernels<T>& kernels = panel_kernels<T>();
    if (!wanted_.turned)
      return kernels.copy(strip, part.stride, rows, count * parts_, gain, here, part.step);
    if (gain != 1) kernels.copy(strip, part.stride, rows, part.stride, gain, strip, part.stride);
    turn(strip, part.stride, rows, count, here, part.step);
  }

  void turn(const T* from, i64 from_step, i64 rows, i64 columns, T* to, i64 to_step) const {
    if (parts_ == 1) return panel_kernels<T>().turn(from, from_step, rows, columns, to, to_step);
    for (i64 r = 0; r < rows; ++r)
      for (i64 c = 0; c < columns; ++c)
        std::copy_n(from + r * from_step + 2 * c, 2, to + c * to_step + 2 * r);
  }

  const HaarColumns wanted_;
  const Work work_;
  const i64 parts_;
  const Vectors<T> vectors_;
  const i64 most_;   ///< reflectors in a block
  const i64 width_;  ///< of its panel
  const bool kept_;
  const i64 together_;
  PerThread<Panels> matrices_;
  PerThread<Scratch<T>> threads_;
};

}  // namespace

template <class T>
bool sample_haar(const HaarColumns& wanted, const std::vector<u64>& ids, T* out, i64 matrix_step,
                 i64 step, int threads, const Poll& poll, const Progress& progress) {
  const i64 count = i64(ids.size());
  const double numbers = double(count) * double(wanted.rows) * double(wanted.last);
  const double time = kNumberTime + kPairTime * double(wanted.columns);
  threads = threads_for(threads, numbers * time * (wanted.complex ? 4 : 1));
  const bool shared = threads == 1 || wanted.columns >= kSharedColumns || count < 2 ||
                      (count < threads && wanted.columns >= kSharedSingle);
  if (shared)
    return in_default_environment([&] {
      const bool large = wanted.columns >= kSharedSingle;
      const Work work{large ? threads : 1, large ? poll : Poll{}};
      Maker<T> maker(wanted, work, 1);
      for (i64 b = 0; b < count; ++b)
        if ((poll && poll()) ||
            !maker.run(ids[std::size_t(b)], out + b * matrix_step, step, progress))
          return false;
      return true;
    });
  // Each thread its own matrices, several a task.
  const i64 each = std::clamp<i64>(count / (4 * threads), 1, 64);
  Maker<T> maker(wanted, {1, {}}, threads);
  return parallel_for(u64((count + each - 1) / each), threads, false, poll, [&](u64 task) {
    for (i64 b = i64(task) * each; b < std::min(count, i64(task + 1) * each); ++b)
      maker.run(ids[std::size_t(b)], out + b * matrix_step, step, {});
  });
}

template bool sample_haar(const HaarColumns&, const std::vector<u64>&, float*, i64, i64, int,
                          const Poll&, const Progress&);
template bool sample_haar(const HaarColumns&, const std::vector<u64>&, double*, i64, i64, int,
                          const Poll&, const Progress&);

}  // namespace fanin::engine
