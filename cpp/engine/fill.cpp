#include "engine/fill.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <string_view>

#include "engine/dispatch.hpp"
#include "engine/pages.hpp"

namespace fanin::engine {
namespace {

constexpr i64 kSerialValues = 64 * 1024;           ///< up to here the caller does the work itself
constexpr double kValueTime = 0.5;                 ///< nanoseconds; between .2 (uniform) and 1.3
constexpr i64 kEachValues = 1024;                  ///< of a chunk with own arguments: plans of 5 ms
constexpr i64 kSerialEach = 4096;                  ///< of these, what the caller does itself
constexpr i64 kChunkBytes = 256 * 1024;            ///< of one chunk of a contiguous run
constexpr i64 kFreshChunkBytes = i64(kHugePage);   ///< of fresh memory
constexpr i64 kFreshBytes = 2 * kFreshChunkBytes;  ///< from here on it is worth asking
constexpr u64 kStreamRun = 8 * 1024;               ///< of a run whose stores go past the caches
constexpr std::size_t kLine = 64;

/// The arguments of kEachValues elements at most.
class Arguments {
 public:
  using One = std::array<double, kMostArguments>;  ///< zeros beyond those that the law has

  /// Those of elements from .. from + count of the columns.
  Arguments(const Columns& columns, i64 from, i64 count) : columns_(columns.argument.size()) {
    for (std::size_t a = 0; a < columns_; ++a)
      read(columns.argument[a], columns.counts, from, count, value_[a]);
  }
  One at(i64 k) const {
    One values{};
    for (std::size_t a = 0; a < columns_; ++a) values[a] = value_[a][k];
    return values;
  }

 private:
  std::size_t columns_;
  double value_[kMostArguments][kEachValues];
};

std::atomic<i64> chosen_stream_bytes{0};

/// From how many bytes on stores go past the caches (docs/decisions/0010). Until Zen 4, AMD's plain
/// stores to far memory cost no more, so there only what is bound by memory gains, once it is far
/// larger than the caches.
i64 stream_bytes(const Plan& plan) {
  constexpr i64 kMega = 1024 * 1024;
  if (const i64 chosen = chosen_stream_bytes.load(); chosen > 0) return chosen;
  static const Cpu cpu_here = cpu();
  if (cpu_here == Cpu::other) return 16 * kMega;
  if (cpu_here == Cpu::amd) return 32 * kMega;
  const std::string_view law = plan.law;
  const bool light = law.starts_with("uniform") || law == "integers" || law == "rademacher";
  return light ? 128 * kMega : std::numeric_limits<i64>::max();
}

/// Values at consecutive addresses to consecutive memory. A partial tile at either end goes through
/// a buffer on the stack; so does memory that is not aligned to its element.
void fill_run(const Plan& plan, const Source& source, Element element, u64 first, u64 count,
              char* out, bool stream) {
  const u64 per_tile = u64(plan.tile_values);
  const std::size_t size = element_bytes(element);
  alignas(kLine) char buffer[kTileWords * 8];
  const auto part = [&](u64 address, u64 values) {
    plan.fill(source, address / per_tile, 1, plan.params, buffer, false);
    std::memcpy(out, buffer + address % per_tile * size, values * size);
    out += values * size;
  };
  if (const u64 offset = first % per_tile; offset != 0) {
    const u64 values = std::min(count, per_tile - offset);
    part(first, values);
    first += values;
    count -= values;
  }
  if (const u64 tiles = count / per_tile; tiles != 0) {
    plan.fill(source, first / per_tile, tiles, plan.params, out,
              stream && tiles * per_tile * size >= kStreamRun);
    out += tiles * per_tile * size;
    first += tiles * per_tile;
    count -= tiles * per_tile;
  }
  if (count != 0) part(first, count);
}

/// Values one by one, at any steps; a tile is made once for all neighbours that fall into it.
void fill_scattered(const Plan& plan, const Source& source, Element element, u64 first,
                    const Axis& axis, i64 from, i64 to, char* data) {
  const u64 per_tile = u64(plan.tile_values);
  const std::size_t size = element_bytes(element);
  alignas(kLine) char buffer[kTileWords * 8];
  u64 made = ~u64(0);
  for (i64 k = from; k < to; ++k) {
    const u64 address = first + u64(k) * axis.address;
    if (address / per_tile != made) {
      made = address / per_tile;
      plan.fill(source, made, 1, plan.params, buffer, false);
    }
    std::memcpy(data + k * axis.bytes, buffer + address % per_tile * size, size);
  }
}

/// Drops axes of length 1 and merges neighbours that form one progression in memory and in
/// addresses.
std::vector<Axis> merged(const std::vector<Axis>& axes) {
  std::vector<Axis> result;
  for (const Axis& axis : axes) {
    if (axis.count == 1) continue;
    if (!result.empty() && result.back().bytes == axis.count * axis.bytes &&
        result.back().address == u64(axis.count) * axis.address) {
      result.back() = {result.back().count * axis.count, axis.bytes, axis.address};
    } else {
      result.push_back(axis);
    }
  }
  return result;
}

/// Whether memory is untouched, as what torch.empty gives; then it is to come in huge pages.
bool made_ready(char* data, std::size_t bytes) {
  if (!is_untouched(data, bytes)) return false;
  ask_for_huge_pages(data, bytes);
  return true;
}

}  // namespace

void set_stream_bytes(i64 bytes) { chosen_stream_bytes.store(bytes); }

bool fill(const Plan& plan, const Source& source, Destination d, int threads, const Poll& poll) {
  for (const Axis& axis : d.axes)
    if (axis.count == 0) return true;
  d.axes = merged(d.axes);
  const i64 size = i64(element_bytes(d.element));
  const Axis inner = d.axes.empty() ? Axis{1, size, 1} : d.axes.back();
  if (!d.axes.empty()) d.axes.pop_back();
  i64 rows = 1;
  for (const Axis& axis : d.axes) rows *= axis.count;

  const bool run = inner.bytes == size && inner.address == 1;
  const i64 total_bytes = rows * inner.count * size;
  if (!d.fresh && rows == 1 && run && total_bytes >= kFreshBytes)
    d.fresh = made_ready(d.data, std::size_t(total_bytes));
  const bool stream = !d.fresh && total_bytes >= stream_bytes(plan);
  const i64 values = rows * inner.count;
  threads = values <= kSerialValues ? 1 : threads_for(threads, kValueTime * double(values));

  // A chunk is a piece of one row, or several short rows.
  const i64 chunk_values = (d.fresh ? kFreshChunkBytes : kChunkBytes) / size;
  const i64 pieces = std::max<i64>(1, (inner.count + chunk_values - 1) / chunk_values);
  const i64 rows_per_chunk = std::max<i64>(1, chunk_values / inner.count);
  const i64 chunks = pieces > 1 ? rows * pieces : (rows + rows_per_chunk - 1) / rows_per_chunk;
  // Chunks of a run start at whole tiles, and at whole lines if the row does.
  const u64 per_tile = u64(plan.tile_values);
  const i64 lead = run ? i64((per_tile - d.first % per_tile) % per_tile) : 0;

  const auto row = [&](i64 number, i64 from, i64 to) {
    char* data = d.data;
    u64 first = d.first;
    for (std::size_t a = d.axes.size(); a-- > 0;) {
      const Axis& axis = d.axes[a];
      const i64 k = number % axis.count;
      number /= axis.count;
      data += k * axis.bytes;
      first += u64(k) * axis.address;
    }
    if (run) {
      fill_run(plan, source, d.element, first + u64(from), u64(to - from), data + from * size,
               stream);
    } else {
      fill_scattered(plan, source, d.element, first, inner, from, to, data);
    }
  };

  return parallel_for(u64(chunks), threads, d.fresh, poll, [&](u64 chunk) {
    if (pieces > 1) {
      const i64 number = i64(chunk) / pieces, piece = i64(chunk) % pieces;
      const i64 from = piece == 0 ? 0 : std::min(inner.count, lead + piece * chunk_values);
      const i64 to = piece + 1 == pieces ? inner.count
                                         : std::min(inner.count, lead + (piece + 1) * chunk_values);
      if (from < to) row(number, from, to);
    } else {
      const i64 end = std::min(rows, i64(chunk + 1) * rows_per_chunk);
      for (i64 number = i64(chunk) * rows_per_chunk; number < end; ++number)
        row(number, 0, inner.count);
    }
  });
}

bool all_each(const Columns& columns, const std::function<bool(std::span<const double>)>& holds) {
  Arguments::One values{};
  for (i64 from = 0; from < columns.count; from += kEachValues) {
    const i64 length = std::min(kEachValues, columns.count - from);
    const Arguments arguments(columns, from, length);
    listen();
    for (i64 k = 0; k < length; ++k) {
      const Arguments::One before = values;
      values = arguments.at(k);
      if ((from + k == 0 || values != before) && !holds({values.data(), columns.argument.size()}))
        return false;
    }
  }
  return true;
}

void check_each(const std::string& law, const Columns& columns, Element element) {
  all_each(columns, [&](std::span<const double> values) {
    check(law, values, element);
    return true;
  });
}

bool fill_each(const std::string& law, const Columns& columns, const Source& source,
               const Destination& d, int threads, const Poll& poll) {
  const Axis inner = d.axes.empty() ? Axis{1, 0, 1} : d.axes.back();
  if (columns.count == 0) return true;
  const std::size_t given = columns.argument.size();

  const auto place = [&](i64 number) {  // of a row
    char* data = d.data;
    u64 first = d.first;
    for (std::size_t a = d.axes.size() > 1 ? d.axes.size() - 1 : 0; a-- > 0;) {
      const i64 k = number % d.axes[a].count;
      number /= d.axes[a].count;
      data += k * d.axes[a].bytes;
      first += u64(k) * d.axes[a].address;
    }
    return std::pair(data, first);
  };
  const auto chunk = [&](u64 number) {
    const i64 begin = i64(number) * kEachValues;
    const i64 length = std::min(kEachValues, columns.count - begin);
    const Arguments arguments(columns, begin, length);
    Arguments::One values = arguments.at(0);
    Plan chosen = plan(law, {values.data(), given}, d.element);
    for (i64 k = 0, next = 0; k < length; k = next) {
      if (k > 0) {
        values = arguments.at(k);
        change(chosen, law, {values.data(), given}, d.element);
      }
      const i64 from = (columns.begin + begin + k) % inner.count;
      const i64 row_end = std::min(length, k + inner.count - from);
      for (next = k + 1; next < row_end && arguments.at(next) == values;) ++next;
      const auto [data, first] = place((columns.begin + begin + k) / inner.count);
      fill_scattered(chosen, source, d.element, first, inner, from, from + next - k, data);
    }
  };
  return parallel_for(u64((columns.count + kEachValues - 1) / kEachValues),
                      columns.count <= kSerialEach ? 1 : threads, false, poll, chunk);
}

}  // namespace fanin::engine
