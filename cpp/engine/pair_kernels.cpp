#include "engine/pair_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/parallel.hpp"

namespace fanin::engine {
namespace {

constexpr std::size_t kEntries = 4096;  ///< at a time, at least: with all that they need 300 KB

/// to[x] += from[x + shift], where nothing lies beyond the ends or the row goes round.
void add_shifted(const double* from, double* to, long width, long shift, bool zero) {
  const auto run = [&](long begin, long end, long by) {
    for (long x = std::max(begin, 0L); x < std::min(end, width); ++x) to[x] += from[x + by];
  };
  run(-shift, width - shift, shift);
  if (zero) return;
  run(0, -shift, shift + width);
  run(width - shift, width, shift - width);
}

/// The place `shift` further on, or -1 beyond the edge.
long moved(long at, long shift, long size, bool zero) {
  const long to = at + shift;
  if (to >= 0 && to < size) return to;
  return zero ? -1 : to < 0 ? to + size : to - size;
}

/// The mean over the taps of a kernel, of one pair's entries; missing taps count as 0.
void average(const Places& p, const double* from, double* to) {
  const long height = long(p.height), width = long(p.width);
  const long down = long(p.kernel_height), along = long(p.kernel_width);
  std::fill(to, to + p.entries(), 0.0);
  const auto add_image = [&](const double* a, double* b, long dy, long dx) {
    for (long y = 0; y < height; ++y) {
      const long source = moved(y, dy, height, p.zero);
      if (source >= 0) add_shifted(a + source * width, b + y * width, width, dx, p.zero);
    }
  };
  for (long dy = -((down - 1) / 2); dy <= down / 2; ++dy)
    for (long dx = -((along - 1) / 2); dx <= along / 2; ++dx) {
      if (!p.full) {
        add_image(from, to, dy, dx);
        continue;
      }
      listen();
      for (long y = 0; y < height; ++y)
        for (long x = 0; x < width; ++x) {
          const long sy = moved(y, dy, height, p.zero), sx = moved(x, dx, width, p.zero);
          if (sy >= 0 && sx >= 0)
            add_image(from + (sy * width + sx) * height * width,
                      to + (y * width + x) * height * width, dy, dx);
        }
    }
  const double share = 1.0 / double(down * along);
  for (std::size_t e = 0; e < p.entries(); ++e) to[e] *= share;
}

/// The variances of one layer: all alike, or one a row (column) and place.
struct Variances {
  const double *q1, *q2;
  bool alike;
};

Variances variances_of(const PairTask& t, const Places& p, std::size_t layer) {
  const std::size_t ones = t.rows * p.count(), others = t.columns * p.count();
  const double *q1 = t.q1 + layer * ones, *q2 = t.q2 + layer * others;
  const auto all = [&](const double* q, std::size_t count) {
    return std::all_of(q, q + count, [&](double each) { return each == q1[0]; });
  };
  return {q1, q2, all(q1, ones) && all(q2, others)};
}

/// Some neighbouring pairs on their way through the layers.
class Block {
 public:
  Block(const Places& places, const PairTask& task, std::size_t from, std::size_t pairs)
      : p_(places), t_(task), from_(from), pairs_(pairs), entries_(places.entries()) {
    for (auto* each : {&covariance_, &tangent_, &room_, &c_, &q1_, &q2_, &slopes_})
      each->resize(pairs_ * entries_);
    std::copy_n(t_.start + from_ * entries_, pairs_ * entries_, covariance_.data());
  }

  void linear() {
    if (p_.kernel_height * p_.kernel_width > 1)
      for (std::vector<double>* each : {&covariance_, &tangent_}) {
        listen();
        for (std::size_t k = 0; k < pairs_; ++k)
          average(p_, each->data() + k * entries_, room_.data() + k * entries_);
        each->swap(room_);
      }
    for (std::size_t e = 0; e < covariance_.size(); ++e) {
      covariance_[e] = t_.weight_var * covariance_[e] + t_.bias_var;
      tangent_[e] = covariance_[e] + t_.weight_var * tangent_[e];
    }
  }

  void activation(const Covariances& covariances, const Variances& v) {
    correlations(v);
    const std::size_t step = v.alike ? 0 : 1;
    covariances.evaluate({q1_.data(), step}, {q2_.data(), step}, c_, false,
                         {covariance_.data(), slopes_.data()}, 1);
    for (std::size_t e = 0; e < c_.size(); ++e) tangent_[e] *= slopes_[e];
  }

  void read_out(double* covariance, double* tangent) const {
    for (std::size_t k = 0; k < pairs_; ++k) {
      double sum = 0, sum_tangent = 0;
      for (std::size_t e = k * entries_; e < (k + 1) * entries_; ++e)
        sum += covariance_[e], sum_tangent += tangent_[e];
      const double value = t_.weight_var * (sum / double(entries_)) + t_.bias_var;
      covariance[from_ + k] = value;
      tangent[from_ + k] = value + t_.weight_var * (sum_tangent / double(entries_));
    }
  }

 private:
  void correlations(const Variances& v) {
    const std::size_t count = p_.count();
    for (std::size_t k = 0; k < pairs_; ++k) {
      const std::size_t row = (from_ + k) / t_.columns, column = (from_ + k) % t_.columns;
      const double *q1 = v.q1 + row * count, *q2 = v.q2 + column * count;
      double *to1 = q1_.data() + k * entries_, *to2 = q2_.data() + k * entries_;
      for (std::size_t e = 0; e < entries_; e += count) {
        if (p_.full)
          std::fill(to1 + e, to1 + e + count, q1[e / count]);
        else
          std::copy_n(q1, count, to1);
        std::copy_n(q2, count, to2 + e);
      }
    }
    for (std::size_t e = 0; e < c_.size(); ++e) {
      const double root = std::sqrt(q1_[e]) * std::sqrt(q2_[e]), c = covariance_[e] / root;
      c_[e] = root > 0 ? c > 1 ? 1.0 : c < -1 ? -1.0 : c : 0.0;
    }
    // An input and itself: exactly 1, where slopes may have a root.
    for (std::size_t k = 0; t_.same && k < pairs_; ++k)
      if ((from_ + k) / t_.columns + t_.first == (from_ + k) % t_.columns)
        for (std::size_t place = 0; place < count; ++place)
          c_[k * entries_ + (p_.full ? place * count + place : place)] = 1;
  }

  const Places& p_;
  const PairTask& t_;
  std::size_t from_, pairs_, entries_;
  std::vector<double> covariance_, tangent_, room_, c_, q1_, q2_, slopes_;
};

}  // namespace

void pair_kernels(const Covariances& covariances, const Places& places, const PairTask& task,
                  double* covariance, double* tangent, int threads) {
  if (covariances.activation().row() == nullptr) threads = 1;
  std::vector<Variances> variances;
  for (std::size_t layer = 0; layer < task.depth; ++layer)
    variances.push_back(variances_of(task, places, layer));
  const std::size_t pairs = task.rows * task.columns;
  const std::size_t together = std::max<std::size_t>(1, kEntries / places.entries());
  const u64 blocks = (pairs + together - 1) / together;
  parallel_for(blocks, blocks < 2 ? 1 : threads, false, {}, [&](u64 number) {
    const std::size_t from = std::size_t(number) * together;
    Block block(places, task, from, std::min(together, pairs - from));
    for (const Variances& layer : variances) {
      block.linear();
      block.activation(covariances, layer);
    }
    block.read_out(covariance, tangent);
  });
}

}  // namespace fanin::engine
