#include "engine/reader.hpp"

#include "engine/dispatch.hpp"

namespace fanin::engine {

void WordReader::refill() {
  const u64 number = next_ / kWords;
  table().words(source_, number * kTiles, kTiles, buffer_);
  end_ = (number + 1) * kWords;
}

}  // namespace fanin::engine
