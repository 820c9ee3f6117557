// The words of a stream one after the other, made some tiles at a time.
#pragma once
#include "core/table.hpp"

namespace fanin::engine {

class WordReader {
 public:
  /// The next word read is word number `word` of the source.
  void seek(const Source& source, u64 word) {
    source_ = source;
    next_ = word;
    end_ = word;
  }

  /// Number of the next word.
  u64 tell() const { return next_; }

  u32 next() {
    if (next_ == end_) refill();
    return buffer_[next_++ % kWords];
  }

 private:
  static constexpr u64 kTiles = 32;
  static constexpr u64 kWords = kTiles * kTileWords;

  /// Makes the whole buffer that holds word `next_`.
  void refill();

  Source source_;
  u64 next_ = 0, end_ = 0;
  alignas(64) u32 buffer_[kWords];
};

}  // namespace fanin::engine
