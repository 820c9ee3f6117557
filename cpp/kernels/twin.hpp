// Two vectors side by side. One vector's chain of operations is longer than the machine's window of
// waiting instructions; two in lockstep keep its units busy. A function written on a type V takes
// one vector or a Twin.
#pragma once
#include "kernels/lanes.hpp"

namespace fanin::FANIN_ISA {
namespace {

template <class V>
struct Twin {
  V first, second;
};

template <class V>
inline constexpr bool kIsTwin = false;
template <class V>
inline constexpr bool kIsTwin<Twin<V>> = true;

template <class... V>
concept SomeTwin = (kIsTwin<V> || ...);

template <class V>
[[gnu::always_inline]] inline auto first_of(V x) {
  if constexpr (kIsTwin<V>)
    return x.first;
  else
    return x;
}
template <class V>
[[gnu::always_inline]] inline auto second_of(V x) {
  if constexpr (kIsTwin<V>)
    return x.second;
  else
    return x;
}

/// One vector, or a twin of two.
template <int Width, class V>
[[gnu::always_inline]] inline auto side_by_side(V a, V b) {
  if constexpr (Width == 2)
    return Twin<V>{a, b};
  else
    return a;
}
template <int Width, class V>
using Side = decltype(side_by_side<Width>(V{}, V{}));

/// f on one vector, or on both of a twin; what is not one counts for both.
template <class F, class... V>
[[gnu::always_inline]] inline auto each(F f, V... x) {
  if constexpr ((kIsTwin<V> || ...)) {
    using Result = decltype(f(first_of(x)...));
    return Twin<Result>{f(first_of(x)...), f(second_of(x)...)};
  } else {
    return f(x...);
  }
}

template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator+(A a, B b) {
  return each([](auto x, auto y) { return x + y; }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator-(A a, B b) {
  return each([](auto x, auto y) { return x - y; }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator*(A a, B b) {
  return each([](auto x, auto y) { return x * y; }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator/(A a, B b) {
  return each([](auto x, auto y) { return x / y; }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator&(A a, B b) {
  return each([](auto x, auto y) { return x & y; }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator|(A a, B b) {
  return each([](auto x, auto y) { return x | y; }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator^(A a, B b) {
  return each([](auto x, auto y) { return x ^ y; }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator<(A a, B b) {
  return each([](auto x, auto y) { return x < y; }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto operator!=(A a, B b) {
  return each([](auto x, auto y) { return x != y; }, a, b);
}
template <class V>
[[gnu::always_inline]] inline auto operator-(Twin<V> a) {
  return each([](auto x) { return -x; }, a);
}
template <class V>
[[gnu::always_inline]] inline auto operator~(Twin<V> a) {
  return each([](auto x) { return ~x; }, a);
}
template <class V>
[[gnu::always_inline]] inline auto operator<<(Twin<V> a, int n) {
  return each([n](auto x) { return x << n; }, a);
}
template <class V>
[[gnu::always_inline]] inline auto operator>>(Twin<V> a, int n) {
  return each([n](auto x) { return x >> n; }, a);
}

template <class A, class B, class C>
  requires SomeTwin<A, B, C>
[[gnu::always_inline]] inline auto fma(A a, B b, C c) {
  return each([](auto x, auto y, auto z) { return fma(x, y, z); }, a, b, c);
}
template <class V>
[[gnu::always_inline]] inline auto sqrt(Twin<V> a) {
  return each([](auto x) { return sqrt(x); }, a);
}
template <class V>
[[gnu::always_inline]] inline auto without_low_byte(Twin<V> a) {
  return each([](auto x) { return without_low_byte(x); }, a);
}
template <class V>
[[gnu::always_inline]] inline auto to_float(Twin<V> a) {
  return each([](auto x) { return to_float(x); }, a);
}
template <class M, class V>
[[gnu::always_inline]] inline auto select(Twin<M> mask, V a, V b) {
  return each([](auto m, auto x, auto y) { return select(m, x, y); }, mask, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto minimum(A a, B b) {
  return each([](auto x, auto y) { return minimum(x, y); }, a, b);
}
template <class A, class B>
  requires SomeTwin<A, B>
[[gnu::always_inline]] inline auto maximum(A a, B b) {
  return each([](auto x, auto y) { return maximum(x, y); }, a, b);
}
template <class T, int N, class V>
[[gnu::always_inline]] inline auto lookup(const T (&table)[N], Twin<V> index) {
  return each([&](auto i) { return lookup(table, i); }, index);
}

/// The same bits as lanes of another type: T, or the unsigned or the signed integer of T's width.
template <class T, class V>
[[gnu::always_inline]] inline auto as_lanes(V x) {
  if constexpr (kIsTwin<V>)
    return each([](auto v) { return as_lanes<T>(v); }, x);
  else
    return bit_cast<Lanes<T>>(x);
}
template <class T, class V>
[[gnu::always_inline]] inline auto as_float(V x) {
  return as_lanes<T>(x);
}
template <class T, class V>
[[gnu::always_inline]] inline auto as_unsigned(V x) {
  return as_lanes<typename BitsOf<T>::Unsigned>(x);
}
template <class T, class V>
[[gnu::always_inline]] inline auto as_signed(V x) {
  return as_lanes<typename BitsOf<T>::Signed>(x);
}

}  // namespace
}  // namespace fanin::FANIN_ISA
