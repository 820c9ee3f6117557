#include "engine/integers.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "engine/dispatch.hpp"

namespace fanin::engine {
namespace {

constexpr i64 kEachValues = 1024;  ///< of a chunk with ends of their own
constexpr double kEachTime = 2;    ///< nanoseconds of one of them

i64 elements(std::span<const i64> counts) {
  i64 total = 1;
  for (const i64 count : counts) total *= count;
  return total;
}

i64 chunks_of(i64 count) { return (count + kEachValues - 1) / kEachValues; }

/// The ends of some elements, modulo 2^64.
struct Ends {
  Ends(const Between& between, i64 from, i64 count) {
    read(between.low, between.counts, from, count, low);
    read(between.high, between.counts, from, count, high);
  }
  u64 low[kEachValues], high[kEachValues];
};

/// Whether least <= low <= last <= most. `Wide` holds the ends of all types.
template <class Wide>
bool fits(const Between& ends, Wide least, Wide most) {
  const bool low_large = ends.low.type == Number::u64, high_large = ends.high.type == Number::u64;
  const auto wide = [](u64 bits, bool large) { return large ? Wide(bits) : Wide(i64(bits)); };
  const Wide beyond = ends.endpoint ? 0 : 1;
  const i64 total = elements(ends.counts);
  std::atomic<bool> all = true;
  parallel_for(u64(chunks_of(total)), threads_for(0, kEachTime * double(total)), false, {},
               [&](u64 chunk) {
                 const i64 from = i64(chunk) * kEachValues;
                 const i64 length = std::min(kEachValues, total - from);
                 const Ends of(ends, from, length);
                 bool good = true;
                 for (i64 k = 0; k < length; ++k) {
                   const Wide low = wide(of.low[k], low_large), high = wide(of.high[k], high_large);
                   good &= (low >= least) & (low < high || (low == high && beyond == 0)) &
                           (high <= most || high - beyond <= most);
                 }
                 if (!good) all = false;
               });
  return all;
}

/// Between `least` and `most`, numbers of 64 bits or fewer.
bool fits_between(const Between& ends, __int128 least, __int128 most) {
  if (ends.low.type == Number::u64 || ends.high.type == Number::u64)
    return fits<__int128>(ends, least, most);
  constexpr __int128 largest = std::numeric_limits<i64>::max();
  return fits<i64>(ends, i64(least), i64(std::min(most, largest)));
}

template <class T>
bool fill_each_as(const Between& ends, const Source& source, const Destination& d, int threads,
                  const Poll& poll) {
  constexpr i64 values = kTileWords / 2;
  const i64 total = elements(ends.counts);
  const auto words_of = table().words;
  const u64 more = ends.endpoint ? 1 : 0;
  const auto chunk = [&](u64 number) {
    const i64 from = i64(number) * kEachValues;
    const i64 length = std::min(kEachValues, total - from);
    const Ends of(ends, from, length);
    alignas(64) u32 words[2 * kEachValues + kTileWords];
    const u64 address = d.first + u64(from);
    const u64 skipped = address % values;
    words_of(source, address / values, (skipped + u64(length) + values - 1) / values, words);
    T made[kEachValues];
    for (i64 k = 0; k < length; ++k) {
      const u32* const pair = words + 2 * (skipped + u64(k));
      made[k] =
          T(scaled(u64(pair[0]) | u64(pair[1]) << 32, of.low[k], of.high[k] - of.low[k] + more));
    }
    for_runs(ends.counts, from, length, [&](const i64* at, i64 run, i64 done) {
      char* to = d.data;
      for (std::size_t a = 0; a < d.axes.size(); ++a) to += at[a] * d.axes[a].bytes;
      const i64 step = d.axes.empty() ? 0 : d.axes.back().bytes;
      if (step == i64(sizeof(T))) {
        std::memcpy(to, made + done, std::size_t(run) * sizeof(T));
      } else {
        for (i64 k = 0; k < run; ++k) std::memcpy(to + k * step, made + done + k, sizeof(T));
      }
    });
  };
  return parallel_for(u64(chunks_of(total)), threads_for(threads, kEachTime * double(total)), false,
                      poll, chunk);
}

}  // namespace

Plan integers(u64 low, u64 span, Element element) {
  if (element < Element::i8) throw std::invalid_argument("integers fill integer elements only");
  Plan made;
  made.params.integer_low = low;
  made.params.integer_span = span;
  made.law = "integers";
  made.fill = table().integers.integers[int(element) - int(Element::i8)];
  made.tile_values = kTileWords / 2;
  return made;
}

Plan signs(Element element) {
  Plan made;
  made.law = "rademacher";
  made.fill = table().integers.signs[int(element)];
  made.tile_values = kTileWords;
  return made;
}

bool fits_each(const Between& ends, Element element, bool is_signed) {
  const int bits = 8 * int(element_bytes(element)) - (is_signed ? 1 : 0);
  const __int128 beyond = __int128(1) << bits;
  return fits_between(ends, is_signed ? -beyond : 0, beyond - 1);
}

bool fits_bool_each(const Between& ends) { return fits_between(ends, 0, 1); }

bool fill_integers_each(const Between& ends, const Source& source, const Destination& d,
                        int threads, const Poll& poll) {
  switch (element_bytes(d.element)) {
    case 1: return fill_each_as<u8>(ends, source, d, threads, poll);
    case 2: return fill_each_as<u16>(ends, source, d, threads, poll);
    case 4: return fill_each_as<u32>(ends, source, d, threads, poll);
    default: return fill_each_as<u64>(ends, source, d, threads, poll);
  }
}

}  // namespace fanin::engine
