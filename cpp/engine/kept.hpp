// Things made once and kept.
#pragma once
#include <array>
#include <atomic>
#include <memory>

namespace fanin::engine {

/// Things by number, each made when it is first asked for. Without a lock: making one may ask for
/// another or run for long, and a fork at any moment leaves them whole.
template <class T>
class Kept {
 public:
  Kept() = default;
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    for (const auto& first : first_)
      for (const Node* node = first.load(); node != nullptr;) {
        const std::unique_ptr<const Node> gone(node);
        node = node->next;
      }
  }

  /// Null if there is none yet.
  const T* find(long number) const {
    for (const Node* node = list(number).load(std::memory_order_acquire); node != nullptr;
         node = node->next)
      if (node->number == number) return node->made.get();
    return nullptr;
  }

  /// Keeps what was made, unless another thread has been faster; what is kept.
  const T& keep(long number, std::unique_ptr<T> made) {
    std::unique_ptr<Node> node(new Node{number, std::move(made), nullptr});
    std::atomic<const Node*>& first = list(number);
    const Node* seen = first.load(std::memory_order_acquire);
    for (;;) {
      for (const Node* other = seen; other != node->next; other = other->next)
        if (other->number == number) return *other->made;
      node->next = seen;
      if (first.compare_exchange_weak(seen, node.get(), std::memory_order_acq_rel))
        return *node.release()->made;
    }
  }

 private:
  struct Node {
    long number;
    std::unique_ptr<T> made;
    const Node* next;
  };
  static constexpr unsigned long kLists = 256;
  std::atomic<const Node*>& list(long number) const {
    return first_[(unsigned long)(number) % kLists];
  }
  mutable std::array<std::atomic<const Node*>, kLists> first_{};
};

}  // namespace fanin::engine
