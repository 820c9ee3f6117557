// Fills any strided destination from any box of addresses, in parallel.
#pragma once
#include <span>
#include <vector>

#include "engine/laws.hpp"
#include "engine/parallel.hpp"
#include "engine/spread.hpp"

namespace fanin::engine {

struct Axis {
  i64 count;    ///< elements along the axis
  i64 bytes;    ///< step in the destination
  u64 address;  ///< step of the element's address, modulo 2^64
};

/// Where values go and which addresses they come from. Element (k0, k1, ...) of the destination, at
/// data + sum k_d axes[d].bytes, takes the value at address first + sum k_d axes[d].address.
struct Destination {
  char* data = nullptr;
  u64 first = 0;
  std::vector<Axis> axes;
  Element element = Element::f32;
  /// Memory not touched yet: each thread takes one contiguous part, by plain stores.
  bool fresh = false;
};

/// False if `poll` asked to stop; then the destination is partly written.
bool fill(const Plan& plan, const Source& source, Destination destination, int threads,
          const Poll& poll);

/// From how many bytes on stores go past the caches; 0: as is best on this machine. For tests.
void set_stream_bytes(i64 bytes);

/// Arguments of their own for the elements begin .. begin + count of a destination, in C order:
/// those of element begin + k stand at place k of an array of `counts`.
struct Columns {
  std::span<const Spread> argument;
  std::span<const i64> counts;
  i64 begin, count;
};

/// Whether it holds for the arguments of every element.
bool all_each(const Columns& columns, const std::function<bool(std::span<const double>)>& holds);

/// Throws what plan() throws for any set of arguments.
void check_each(const std::string& law, const Columns& columns, Element element);

/// Fills the elements that `columns` names. Every value has the bits that a fill with its scalar
/// arguments gives at its address.
bool fill_each(const std::string& law, const Columns& columns, const Source& source,
               const Destination& destination, int threads, const Poll& poll);

}  // namespace fanin::engine
