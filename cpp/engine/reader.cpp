#include "engine/reader.hpp"

namespace fanin::engine {

void WordReader::refill() noexcept {
  const u64 number = next_ / kWords;
  words_(source_, number * kTiles, kTiles, buffer_);
  end_ = (number + 1) * kWords;
}

}  // namespace fanin::engine
