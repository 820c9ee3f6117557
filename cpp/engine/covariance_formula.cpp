// Covariances in closed form. Where nothing else is asked for, the kernels take points as they
// come; a table has its variances once a row and a column.
#include <algorithm>
#include <vector>

#include "engine/covariance_tables.hpp"
#include "engine/parallel.hpp"

namespace fanin::engine {
namespace {

constexpr std::size_t kTogether = 1024;  ///< points or columns: what sides take is 64 KB
constexpr std::size_t kRows = 32;        ///< of a table that share the sides of their columns
constexpr u64 kFewestTasks = 4;          ///< that are worth a second thread

}  // namespace

void Covariances::by_formula(const Points& p, const PairResult& out) const {
  std::array<double, kChunk> covariance, slopes, second;
  const int which = kSecond;
  if (out.gap) activation_.moments_here({p.q1.data(), p.count}, {&which, 1}, second.data());
  activation_.row()->closed_pair(activation_.parameters(), p.q1.data(), p.q2.data(), p.c.data(),
                                 p.delta.data(), p.count, covariance.data(), slopes.data());
  for (std::size_t i = 0; i < p.count; ++i) {
    const bool fine = good(p.q1[i], p.q2[i], p.c[i]);
    if (out.covariance) out.covariance[i] = fine ? covariance[i] : kNan;
    if (out.slopes) out.slopes[i] = fine ? slopes[i] : kNan;
    if (out.gap)  // where nothing cancels
      out.gap[i] = fine && p.q1[i] == p.q2[i] ? second[i] - covariance[i] : kNan;
  }
}

/// Infinite variances among the points of a closed form.
void Covariances::limits(const Points& p, const PairResult& out) const {
  bool some = false;
  for (std::size_t i = 0; i < p.count; ++i) some |= (p.q1[i] == kInfinity) | (p.q2[i] == kInfinity);
  if (!some) return;
  const auto one = std::make_unique<Points>();
  for (std::size_t i = 0; i < p.count; ++i) {
    if (p.q1[i] != kInfinity && p.q2[i] != kInfinity) continue;
    one->count = 0, one->add(p, i);
    by_kind(*one,
            {out.covariance ? out.covariance + i : nullptr, out.slopes ? out.slopes + i : nullptr});
  }
}

void Covariances::by_points(Column q1, Column q2, std::span<const double> x, bool missing,
                            double* out, int threads) const {
  const u64 chunks = (x.size() + kTogether - 1) / kTogether;
  parallel_for(chunks, chunks < kFewestTasks ? 1 : threads, false, {}, [&](u64 chunk) {
    const std::size_t from = std::size_t(chunk) * kTogether,
                      count = std::min(x.size() - from, kTogether);
    std::array<double, kTogether> first, second;
    const auto at = [&](Column q, std::array<double, kTogether>& room) {
      if (q.step == 1) return q.first + from;
      std::fill_n(room.begin(), count, *q.first);
      return static_cast<const double*>(room.data());
    };
    const PairPoints points = {at(q1, first),   at(q2, second), nullptr,  0,
                               x.data() + from, missing,        kRounding};
    if (activation_.row()->pair_covariances(activation_.parameters(), points, count, out + from))
      at_infinity({points.q1, 1}, {points.q2, 1}, x.subspan(from, count), missing, out + from);
  });
}

void Covariances::evaluate_table(std::span<const double> first, std::span<const double> second,
                                 std::span<const double> x, bool missing, double* out,
                                 int threads) const {
  const ActivationRow* row = activation_.row();
  const std::size_t columns = second.size();
  const u64 bands = (first.size() + kRows - 1) / kRows,
            parts = (columns + kTogether - 1) / kTogether;
  const u64 tasks = bands * parts;
  parallel_for(tasks, tasks < kFewestTasks ? 1 : threads, false, {}, [&](u64 task) {
    const std::size_t from = std::size_t(task % parts) * kTogether,
                      count = std::min(columns - from, kTogether),
                      begin = std::size_t(task / parts) * kRows,
                      end = std::min(first.size(), begin + kRows);
    std::vector<double> sides(kPairSideRows * count);
    row->pair_sides(second.data() + from, count, sides.data(), count);
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t to = i * columns + from;
      const PairPoints points = {
          first.data() + i, second.data() + from, sides.data(), count, x.data() + to, missing,
          kRounding};
      if (row->pair_covariances(activation_.parameters(), points, count, out + to))
        at_infinity({points.q1, 0}, {points.q2, 1}, x.subspan(to, count), missing, out + to);
    }
  });
}

/// The limits, where a variance is infinite.
void Covariances::at_infinity(Column q1, Column q2, std::span<const double> x, bool missing,
                              double* out) const {
  const auto points = std::make_unique<Points>();
  for (std::size_t from = 0; from < x.size(); from += kChunk) {
    points->fill(q1, q2, x, missing, from, std::min(x.size() - from, kChunk));
    limits(*points, {out + from});
  }
}

}  // namespace fanin::engine
