// The core's elementary functions for Python, on arrays of any shape.
#include "engine/functions.hpp"

#include <pybind11/numpy.h>

#include <vector>

#include "bindings/register.hpp"
#include "engine/environment.hpp"

namespace fanin::bindings {
namespace {

namespace py = pybind11;
using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Function = void (*)(const double* in, double* out, std::size_t count);

template <Function function>
Array at_each(const Array& x) {
  Array out(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
  function(x.data(), out.mutable_data(), std::size_t(x.size()));
  return out;
}

}  // namespace

void register_functions(py::module_& m) {
  const py::call_guard<engine::SteadyFloatingPoint> steady;
  m.def("math_log", &at_each<&engine::logarithms>, py::arg("x"), steady);
  m.def("math_exp", &at_each<&engine::exponentials>, py::arg("x"), steady);
  m.def("math_pow", py::vectorize(&engine::power), py::arg("x"), py::arg("y"), steady);
  m.def("math_upper_tail", py::vectorize(&engine::upper_tail), py::arg("x"), steady);
}

}  // namespace fanin::bindings
