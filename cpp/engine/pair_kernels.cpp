#include "engine/pair_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/moment_tables.hpp"
#include "engine/parallel.hpp"

namespace fanin::engine {
namespace {

constexpr std::size_t kEntries = 4096;  ///< at a time, at least: with all that they need 300 KB
constexpr std::size_t kLeastColumns = 8;
constexpr std::size_t kMostColumns = 256;  ///< of closed forms: with what these take from variances

/// The place `shift` further on, or -1 beyond the edge.
long moved(long at, long shift, long size, bool zero) {
  const long to = at + shift;
  if (to >= 0 && to < size) return to;
  return zero ? -1 : to < 0 ? to + size : to - size;
}

/// The variances of one layer, one a row (column) and place, and what closed forms take from them.
struct Layer {
  const double *q1, *q2;
  bool alike;                         ///< all of them
  std::vector<double> first, second;  ///< rows of (places, rows) and of (places, columns)
};

/// (inputs, places) turned round, as rows of sides.
std::vector<double> sides_of(const ActivationRow& row, const double* q, std::size_t inputs,
                             std::size_t places) {
  const std::size_t count = inputs * places;
  std::vector<double> turned(count), sides(kPairSideRows * count);
  for (std::size_t i = 0; i < inputs; ++i)
    for (std::size_t place = 0; place < places; ++place)
      turned[place * inputs + i] = q[i * places + place];
  row.pair_sides(turned.data(), count, sides.data(), count);
  return sides;
}

/// One input and some neighbouring others on their way through the layers. An entry's values for
/// these others lie side by side.
class Block {
 public:
  Block(const Covariances& covariances, const Places& places, const PairTask& task,
        std::size_t room)
      : covariances_(covariances), p_(places), t_(task), entries_(places.entries()) {
    for (auto* each : {&covariance_, &tangent_}) each->resize(room * entries_);
    if (p_.taps() > 1) room_.resize(room * entries_);
  }

  void begin(std::size_t row, std::size_t from, std::size_t columns) {
    row_ = row, from_ = from, columns_ = columns;
    for (std::size_t e = 0; e < entries_; ++e) {
      const std::size_t place = e / p_.others(), other = e % p_.others();
      std::copy_n(t_.start + ((place * t_.rows + row) * p_.others() + other) * t_.columns + from,
                  columns, covariance_.data() + e * columns);
    }
    std::fill(tangent_.begin(), tangent_.end(), 0.0);
  }

  /// The linear layer and the activation.
  void pass(const Layer& layer) {
    for (std::vector<double>* each : {&covariance_, &tangent_}) add_taps(*each);
    const double weight = t_.weight_var / double(p_.taps());
    if (layer.first.empty()) {
      for (std::size_t e = 0; e < entries_ * columns_; ++e) {
        covariance_[e] = weight * covariance_[e] + t_.bias_var;
        tangent_[e] = covariance_[e] + weight * tangent_[e];
      }
      return evaluate(layer);
    }
    const Activation& activation = covariances_.activation();
    for (std::size_t e = 0; e < entries_; ++e) {
      const std::size_t place = e / p_.others(), other = p_.full ? e % p_.others() : place;
      const PairLayer one = {layer.first.data() + place * t_.rows + row_,
                             layer.second.data() + other * t_.columns + from_,
                             p_.count() * t_.rows,
                             p_.count() * t_.columns,
                             weight,
                             t_.bias_var,
                             place == other ? own_column() : -1};
      activation.row()->pair_layer(activation.parameters(), one, columns_,
                                   covariance_.data() + e * columns_,
                                   tangent_.data() + e * columns_);
    }
  }

  void read_out(double* covariance, double* tangent) const {
    const double share = t_.weight_var / double(entries_);
    for (std::size_t k = 0; k < columns_; ++k) {
      double sum = 0, sum_tangent = 0;
      for (std::size_t e = 0; e < entries_; ++e)
        sum += covariance_[e * columns_ + k], sum_tangent += tangent_[e * columns_ + k];
      const std::size_t to = row_ * t_.columns + from_ + k;
      covariance[to] = share * sum + t_.bias_var;
      tangent[to] = covariance[to] + share * sum_tangent;
    }
  }

 private:
  /// Where among the others the input itself is; -1: nowhere.
  std::ptrdiff_t own_column() const {
    const std::size_t at = row_ + t_.first;
    return t_.same && at >= from_ && at < from_ + columns_ ? std::ptrdiff_t(at - from_) : -1;
  }

  /// Sums over the taps of a kernel, along one axis and then along the other; what lies beyond an
  /// edge counts as 0.
  void add_taps(std::vector<double>& values) {
    const long width = long(p_.width), height = long(p_.height);
    const auto along = [&](long taps, auto entry_of) {
      if (taps == 1) return;
      listen();
      std::vector<const double*> row(std::size_t(taps), nullptr);
      for (std::size_t e = 0; e < entries_; ++e) {
        std::size_t found = 0;
        for (long shift = -((taps - 1) / 2); shift <= taps / 2; ++shift) {
          const long from = entry_of(long(e), shift);
          if (from >= 0) row[found++] = values.data() + std::size_t(from) * columns_;
        }
        kernels().sum_rows(row.data(), found, columns_, room_.data() + e * columns_);
      }
      values.swap(room_);
    };
    // The place of either input, moved along the axis.
    const auto moved_by = [&](long e, auto place_of) {
      if (!p_.full) return place_of(e);
      const long count = width * height, one = place_of(e / count), other = place_of(e % count);
      return one < 0 || other < 0 ? -1 : one * count + other;
    };
    along(long(p_.kernel_height), [&](long e, long shift) {
      return moved_by(e, [&](long place) {
        const long y = moved(place / width, shift, height, p_.zero);
        return y < 0 ? -1 : y * width + place % width;
      });
    });
    along(long(p_.kernel_width), [&](long e, long shift) {
      return moved_by(e, [&](long place) {
        const long x = moved(place % width, shift, width, p_.zero);
        return x < 0 ? -1 : place - place % width + x;
      });
    });
  }

  /// Without a closed form.
  void evaluate(const Layer& layer) {
    const std::size_t count = entries_ * columns_, places = p_.count();
    for (auto* each : {&c_, &q1_, &q2_, &slopes_}) each->resize(count);
    for (std::size_t e = 0, to = 0; e < entries_; ++e) {
      const std::size_t place = e / p_.others(), other = p_.full ? e % p_.others() : place;
      for (std::size_t k = 0; k < columns_; ++k, ++to) {
        q1_[to] = layer.q1[row_ * places + place];
        q2_[to] = layer.q2[(from_ + k) * places + other];
        const double root = std::sqrt(q1_[to]) * std::sqrt(q2_[to]), c = covariance_[to] / root;
        c_[to] = root > 0 ? c > 1 ? 1.0 : c < -1 ? -1.0 : c : 0.0;
        // An input and itself: exactly 1, where slopes may have a root.
        if (place == other && std::ptrdiff_t(k) == own_column()) c_[to] = 1;
      }
    }
    const std::size_t step = layer.alike ? 0 : 1;
    covariances_.evaluate({q1_.data(), step}, {q2_.data(), step}, {c_.data(), count}, false,
                          {covariance_.data(), slopes_.data()}, 1);
    for (std::size_t e = 0; e < count; ++e) tangent_[e] *= slopes_[e];
  }

  const Covariances& covariances_;
  const Places& p_;
  const PairTask& t_;
  std::size_t entries_, row_ = 0, from_ = 0, columns_ = 0;
  std::vector<double> covariance_, tangent_, room_, c_, q1_, q2_, slopes_;
};

Layer layer_of(const Covariances& covariances, const PairTask& t, const Places& p,
               std::size_t number) {
  const std::size_t ones = t.rows * p.count(), others = t.columns * p.count();
  Layer layer = {t.q1 + number * ones, t.q2 + number * others, false, {}, {}};
  const auto like_first = [&](double q) { return q == layer.q1[0]; };
  layer.alike = std::all_of(layer.q1, layer.q1 + ones, like_first) &&
                std::all_of(layer.q2, layer.q2 + others, like_first);
  const ActivationRow* row = covariances.activation().row();
  if (row && row->pair_layer) {
    layer.first = sides_of(*row, layer.q1, t.rows, p.count());
    layer.second = sides_of(*row, layer.q2, t.columns, p.count());
  }
  return layer;
}

}  // namespace

void pair_kernels(const Covariances& covariances, const Places& places, const PairTask& task,
                  double* covariance, double* tangent, int threads) {
  if (covariances.activation().row() == nullptr) threads = 1;
  std::vector<Layer> layers;
  for (std::size_t number = 0; number < task.depth; ++number)
    layers.push_back(layer_of(covariances, task, places, number));
  const bool closed = covariances.activation().row() && covariances.activation().row()->pair_layer;
  const std::size_t columns =
      std::min(task.columns, std::clamp(kEntries / places.entries() / kLeastColumns * kLeastColumns,
                                        kLeastColumns, closed ? kMostColumns : kEntries));
  const std::size_t rows =
      std::min(task.rows, std::max<std::size_t>(1, kEntries / (places.entries() * columns)));
  const u64 across = (task.columns + columns - 1) / columns;
  const u64 blocks = across * ((task.rows + rows - 1) / rows);
  parallel_for(blocks, blocks < 2 ? 1 : threads, false, {}, [&](u64 number) {
    const std::size_t from = std::size_t(number % across) * columns;
    const std::size_t top = std::size_t(number / across) * rows;
    const std::size_t end = std::min(from + columns, task.columns);
    Block block(covariances, places, task, end - from);
    for (std::size_t row = top; row < std::min(task.rows, top + rows); ++row) {
      const std::size_t begin = task.same ? std::max(from, row + task.first) : from;
      if (begin >= end) break;
      block.begin(row, begin, end - begin);
      for (const Layer& layer : layers) block.pass(layer);
      block.read_out(covariance, tangent);
    }
  });
}

}  // namespace fanin::engine
