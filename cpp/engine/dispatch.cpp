#include "engine/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace fanin {
namespace baseline {
extern const KernelTable table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const KernelTable table;
}
namespace avx2_vaes {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
namespace avx512_vaes {
extern const KernelTable table;
}
#elif defined(__aarch64__)
namespace crypto {
extern const KernelTable table;
}
#endif
}  // namespace fanin

namespace fanin::engine {
namespace {

std::atomic<const KernelTable*> current{nullptr};

#if defined(__x86_64__)
bool has_vaes() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 9 & 1u);
}

/// Leaf 1 holds AES (bit 25) and F16C (bit 29) in ECX.
bool has_aes_and_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 25 & 1u) && (c >> 29 & 1u);
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_aes_and_f16c();
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

/// The tables whose every flag this CPU has, best first.
std::vector<const KernelTable*> runnable() {
  std::vector<const KernelTable*> tables;
#if defined(__x86_64__)
  if (has_avx512() && has_vaes()) tables.push_back(&avx512_vaes::table);
  if (has_avx512()) tables.push_back(&avx512::table);
  if (has_avx2() && has_vaes()) tables.push_back(&avx2_vaes::table);
  if (has_avx2()) tables.push_back(&avx2::table);
#elif defined(__aarch64__)
  constexpr unsigned long aes = 1ul << 3;  // HWCAP_AES
  if (getauxval(AT_HWCAP) & aes) tables.push_back(&crypto::table);
#endif
  tables.push_back(&baseline::table);
  return tables;
}

const KernelTable* find(const std::string& name, const char* origin) {
  std::string choices;
  for (const KernelTable* t : runnable()) {
    if (name == t->isa) return t;
    choices += choices.empty() ? "" : ", ";
    choices += t->isa;
  }
  throw std::invalid_argument(std::string(origin) + " is '" + name +
                              "'; this machine runs: " + choices);
}

}  // namespace

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const KernelTable* t : runnable()) names.emplace_back(t->isa);
  return names;
}

const KernelTable& table() {
  const KernelTable* t = current.load(std::memory_order_acquire);
  if (t == nullptr) {
    const char* forced = std::getenv("FANIN_ISA");
    t = forced != nullptr && *forced != '\0' ? find(forced, "FANIN_ISA") : runnable().front();
    current.store(t, std::memory_order_release);
  }
  return *t;
}

void set_isa(const std::string& name) {
  current.store(find(name, "the instruction set"), std::memory_order_release);
}

const KernelTable& baseline_table() { return baseline::table; }

Cpu cpu() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_is("amd"))  // of AMD's, Zen 5 is the first with this instruction
    return __builtin_cpu_supports("avx512vp2intersect") ? Cpu::amd : Cpu::amd_before_zen_5;
#endif
  return Cpu::other;
}

}  // namespace fanin::engine
