// The floating-point environment: rounding to nearest, no flushing of subnormals, whatever another
// library has set.
#pragma once
#include <cfenv>
#include <optional>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace fanin::engine {

/// Sets the default environment of this thread for its own lifetime, then the old one again.
class DefaultFloatingPoint {
 public:
  DefaultFloatingPoint() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
#if defined(__x86_64__)
    _mm_setcsr(0x1f80);  // all exceptions masked, round to nearest, no FTZ, no DAZ
#endif
  }
  ~DefaultFloatingPoint() {
    std::fesetenv(&saved_);
#if defined(__x86_64__)
    _mm_setcsr(saved_.__mxcsr);
#endif
  }
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;

 private:
  std::fenv_t saved_;
};

/// The same, where asking is cheaper than setting: nothing if the environment is the default one.
class SteadyFloatingPoint {
 public:
  SteadyFloatingPoint() {
    if (!is_default()) held_.emplace();
  }
  /// Whether nothing has to be set.
  static bool is_default() {
#if defined(__x86_64__)
    return (_mm_getcsr() & 0xffc0u) == 0x1f80u;  // all but the flags of past exceptions
#else
    return false;
#endif
  }

 private:
  std::optional<DefaultFloatingPoint> held_;
};

}  // namespace fanin::engine
