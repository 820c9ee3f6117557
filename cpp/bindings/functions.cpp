// The core's elementary functions for Python; fanin/_functions.py states their ranges.
#include "engine/functions.hpp"

#include <pybind11/numpy.h>

#include "bindings/register.hpp"
#include "engine/environment.hpp"

namespace fanin::bindings {

namespace py = pybind11;

void register_functions(py::module_& m) {
  const py::call_guard<engine::SteadyFloatingPoint> steady;
  m.def("math_log", py::vectorize(&engine::logarithm), py::arg("x"), steady);
  m.def("math_exp", py::vectorize(&engine::exponential), py::arg("x"), steady);
  m.def("math_pow", py::vectorize(&engine::power), py::arg("x"), py::arg("y"), steady);
  m.def("math_upper_tail", py::vectorize(&engine::upper_tail), py::arg("x"), steady);
}

}  // namespace fanin::bindings
