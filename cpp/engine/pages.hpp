// The system's pages: whether memory has any yet, and large ones where it has none.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fanin::engine {

constexpr std::size_t kPage = 4096, kHugePage = 2u << 20;

/// Asks the system for huge pages under memory that nobody has touched: fewer first touches.
inline void ask_for_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  const std::uintptr_t begin = (std::uintptr_t(data) + kPage - 1) / kPage * kPage;
  const std::uintptr_t end = (std::uintptr_t(data) + bytes) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

/// Whether memory of several pages seems never to have been touched: its middle has no page.
inline bool is_untouched([[maybe_unused]] const void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  const std::uintptr_t middle = (std::uintptr_t(data) + bytes / 2) / kPage * kPage;
  unsigned char resident = 1;
  return mincore(reinterpret_cast<void*>(middle), kPage, &resident) == 0 && (resident & 1) == 0;
#else
  return false;
#endif
}

}  // namespace fanin::engine
