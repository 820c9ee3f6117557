// Python's own numbers and NumPy's two commonest, read without a detour; for the quick ways, which
// leave the rest to others.
#pragma once
#include <pybind11/gil_safe_call_once.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>

#include "core/types.hpp"

namespace fanin::bindings {

/// Whether this is a scalar of the NumPy dtype of `T`: no subclass, no array.
template <class T>
bool is_scalar_of(PyObject* object) {
  // No plain static: its making may hand the interpreter's lock to a thread that then waits for it.
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> type;
  const auto found = [] { return py::object(py::dtype::of<T>().attr("type")); };
  return type.call_once_and_store_result(found).get_stored().is(py::type::handle_of(object));
}

/// A Python int that 64 bits hold or a numpy.int64, and no subclass.
inline bool plain_integer(PyObject* object, i64& value) {
  if (is_scalar_of<i64>(object)) {
    const auto whole = py::reinterpret_steal<py::object>(PyNumber_Index(object));
    value = PyLong_AsLongLong(whole.ptr());
    return true;
  }
  if (!PyLong_CheckExact(object)) return false;
  int overflow = 0;
  value = PyLong_AsLongLongAndOverflow(object, &overflow);
  return overflow == 0;
}

/// A Python int or float, a numpy.int64 or numpy.float64, and no subclass, as a double; false for
/// anything else, and for larger ones.
inline bool plain_number(PyObject* object, double& value) {
  if (PyFloat_CheckExact(object) || is_scalar_of<double>(object)) {
    value = PyFloat_AS_DOUBLE(object);  // a numpy.float64 is a float, whose value lies there
    return true;
  }
  if (i64 whole = 0; is_scalar_of<i64>(object) && plain_integer(object, whole)) {
    value = double(whole);
    return std::fabs(value) < 0x1p53;
  }
  if (!PyLong_CheckExact(object)) return false;
  value = PyLong_AsDouble(object);
  if (value == -1.0 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return false;
  }
  return std::fabs(value) < 0x1p53;  // larger ones may be apart and one double
}

}  // namespace fanin::bindings
