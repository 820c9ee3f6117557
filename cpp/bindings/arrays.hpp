// From Python objects to plain data. No algorithm here.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings/gil.hpp"
#include "core/stream.hpp"
#include "engine/fill.hpp"

namespace fanin::bindings {

namespace py = pybind11;

/// A 128-bit key travels as 16 bytes, little-endian.
inline u128 key_from(const py::bytes& bytes) {
  char* data = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(bytes.ptr(), &data, &size) != 0) throw py::error_already_set();
  if (size != 16) throw py::value_error("a key has 16 bytes, got " + std::to_string(size));
  u128 key;
  __builtin_memcpy(&key, data, 16);
  return key;
}

inline py::bytes key_bytes(u128 key) { return py::bytes(reinterpret_cast<const char*>(&key), 16); }

inline Source source_from(const py::bytes& key, u64 id) {
  const u128 k = key_from(key);
  return {u64(k), u64(k >> 64), id};
}

/// The destination `array` describes. `steps`: the address step of each of its axes, or None for
/// consecutive addresses in C order. A complex element is two reals at addresses 2 i and 2 i + 1.
inline engine::Destination destination_from(py::array& array, const py::object& steps, u64 first,
                                            Element element, bool complex, bool fresh) {
  engine::Destination d;
  d.data = static_cast<char*>(array.mutable_data());
  d.element = element;
  d.fresh = fresh;
  const u64 factor = complex ? 2 : 1;
  d.first = first * factor;
  const std::size_t rank = std::size_t(array.ndim());
  d.axes.resize(rank);
  u64 consecutive = factor;
  for (std::size_t a = rank; a-- > 0;) {
    d.axes[a] = {i64(array.shape(py::ssize_t(a))), i64(array.strides(py::ssize_t(a))), consecutive};
    consecutive *= u64(d.axes[a].count);
  }
  if (!steps.is_none()) {
    const auto given = steps.cast<py::tuple>();
    if (given.size() != rank) throw py::value_error("one address step for each axis is needed");
    for (std::size_t a = 0; a < rank; ++a) d.axes[a].address = u64(given[a].cast<i64>()) * factor;
  }
  if (complex) d.axes.push_back({2, i64(element_bytes(element)), 1});
  return d;
}

}  // namespace fanin::bindings
