// What a computation works with: memory of its own, threads, something for each of them.
#pragma once
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "core/types.hpp"
#include "engine/pages.hpp"
#include "engine/parallel.hpp"

namespace fanin::engine {

/// Memory on cache lines that only grows; what it held is lost when it does. Much of it lies on
/// huge pages where the system has them: fewer first touches.
template <class T>
class Buffer {
 public:
  T* take(i64 count) {
    if (count > count_) {
      data_.reset();
      count_ = 0;
      const i64 least = count * i64(sizeof(T)), unit = least >= kLarge ? i64(kHugePage) : kLine;
      const std::size_t bytes = std::size_t((least + unit - 1) / unit * unit);
      data_.reset(static_cast<T*>(std::aligned_alloc(std::size_t(unit), bytes)));
      if (!data_) throw std::bad_alloc();
      if (unit != kLine) ask_for_huge_pages(data_.get(), bytes);
      count_ = count;
    }
    return data_.get();
  }

 private:
  static constexpr i64 kLine = 64, kLarge = 2 * i64(kHugePage);
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  i64 count_ = 0;
};

/// How a computation may run. One thread means that everything happens here, without parallel_for.
struct Work {
  int threads = 1;
  Poll poll;

  /// body(chunk) for each chunk; false if the poll stopped it.
  template <class Body>
  bool each(i64 chunks, const Body& body) const {
    if (threads > 1 && chunks > 1) return parallel_for(u64(chunks), threads, false, poll, body);
    for (i64 chunk = 0; chunk < chunks; ++chunk) {
      if (poll && poll()) return false;
      if (!poll) listen();
      body(u64(chunk));
    }
    return true;
  }
};

/// One object for each thread of a team, on cache lines of its own.
template <class Thing>
class PerThread {
 public:
  explicit PerThread(int threads) : slots_(std::size_t(threads)) {}
  /// That of the calling thread.
  Thing& own() { return slots_[std::size_t(number_in_team()) % slots_.size()].thing; }

 private:
  struct alignas(64) Slot {
    Thing thing;
  };
  std::vector<Slot> slots_;
};

}  // namespace fanin::engine
