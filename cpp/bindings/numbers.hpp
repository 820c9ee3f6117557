// Python's own numbers, read without a detour; for the quick ways, which leave the rest to others.
#pragma once
#include <pybind11/pybind11.h>

#include "core/types.hpp"

namespace fanin::bindings {

/// An exact Python int or float as a double; false for anything else, and for larger ones.
inline bool plain_number(PyObject* object, double& value) {
  if (PyFloat_CheckExact(object)) {
    value = PyFloat_AS_DOUBLE(object);
    return true;
  }
  if (!PyLong_CheckExact(object)) return false;
  value = PyLong_AsDouble(object);
  if (value == -1.0 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return false;
  }
  return true;
}

/// An exact Python int that 64 bits hold.
inline bool plain_integer(PyObject* object, i64& value) {
  if (!PyLong_CheckExact(object)) return false;
  int overflow = 0;
  value = PyLong_AsLongLongAndOverflow(object, &overflow);
  return overflow == 0;
}

}  // namespace fanin::bindings
