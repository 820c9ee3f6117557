// Kernels of pairs of inputs for Python.
#include "engine/pair_kernels.hpp"
#include "bindings/activation_handle.hpp"
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "engine/environment.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

namespace fanin::bindings {
namespace {

using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// start (places, rows, other places, columns), other places 1 if not `full`; q1 (depth, rows,
/// places) and q2 (depth, columns, places). `same` is the column that is the input of row 0, or -1.
/// Returns covariances and tangent kernels, (2, rows, columns).
py::array_t<double> pair_kernels(const py::capsule& handle, const Array& start, const Array& q1,
                                 const Array& q2, const std::array<std::size_t, 2>& image,
                                 const std::array<std::size_t, 2>& kernel, bool zero, bool full,
                                 double weight_var, double bias_var, py::ssize_t same) {
  const Owned& owned = owned_by(handle);
  const engine::Places places{image[0], image[1], kernel[0], kernel[1], zero, full};
  if (start.ndim() != 4 || q1.ndim() != 3 || q2.ndim() != 3 || q1.shape(0) != q2.shape(0) ||
      q1.shape(1) != start.shape(1) || q2.shape(1) != start.shape(3) ||
      start.shape(0) != py::ssize_t(places.count()) ||
      start.shape(2) != py::ssize_t(places.others()) ||
      q1.shape(2) != py::ssize_t(places.count()) || q2.shape(2) != q1.shape(2) ||
      kernel[0] > image[0] || kernel[1] > image[1])
    throw py::value_error("start, q1, q2 and the image do not fit");
  const engine::PairTask task{std::size_t(start.shape(1)),
                              std::size_t(start.shape(3)),
                              std::size_t(q1.shape(0)),
                              start.data(),
                              q1.data(),
                              q2.data(),
                              same >= 0,
                              same >= 0 ? std::size_t(same) : 0,
                              weight_var,
                              bias_var};
  py::array_t<double> out({py::ssize_t(2), start.shape(1), start.shape(3)});
  if (out.size() == 0) return out;
  double* const to = out.mutable_data();
  const Released released;
  engine::pair_kernels(owned.covariances, places, task, to, to + task.rows * task.columns, 0);
  return out;
}

}  // namespace

void register_pair_kernels(py::module_& m) {
  m.def("pair_kernels", &pair_kernels, py::arg("handle"), py::arg("start"), py::arg("q1"),
        py::arg("q2"), py::arg("image"), py::arg("kernel"), py::arg("zero"), py::arg("full"),
        py::arg("weight_var"), py::arg("bias_var"), py::arg("same"),
        py::call_guard<engine::SteadyFloatingPoint>());
}

}  // namespace fanin::bindings
