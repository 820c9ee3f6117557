// The words of a stream one after the other, made some tiles at a time.
#pragma once
#include "engine/dispatch.hpp"

namespace fanin::engine {

class WordReader {
 public:
  /// The next word read is word number `word` of the source. Throws what table() throws.
  void seek(const Source& source, u64 word) {
    words_ = table().words;
    source_ = source;
    next_ = word;
    end_ = word;
  }

  const Source& source() const { return source_; }

  /// Number of the next word. After 2^64 of them the count begins anew; the words do too.
  u64 tell() const { return next_; }

  /// Called by NumPy's C code, through which no exception may pass.
  u32 next() noexcept {
    if (next_ == end_) refill();
    return buffer_[next_++ % kWords];
  }

 private:
  static constexpr u64 kTiles = 32;
  static constexpr u64 kWords = kTiles * kTileWords;

  /// Makes the whole buffer that holds word `next_`.
  void refill() noexcept;

  decltype(KernelTable::words) words_ = nullptr;
  Source source_;
  u64 next_ = 0, end_ = 0;
  alignas(64) u32 buffer_[kWords];
};

}  // namespace fanin::engine
