#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "engine/gemm.hpp"

namespace fanin::bindings {
namespace {

template <class T>
engine::View<T> view_of(const py::array& array, bool complex, bool transposed) {
  const py::ssize_t size = array.itemsize();
  const engine::View<T> view{static_cast<const T*>(array.data()), array.strides(0) / size, array.strides(1) / size,
                             complex ? Form::complex : Form::real};
  return transposed ? view.transposed() : view;
}

template <class T>
bool run_gemm(const py::array& a, const py::array& b, py::array& out, bool complex, bool transpose_a,
              bool transpose_b, int threads) {
  const auto left = view_of<T>(a, complex, transpose_a), right = view_of<T>(b, complex, transpose_b);
  const i64 depth = a.shape(transpose_a ? 0 : 1);
  const i64 rows = out.shape(0), columns = out.shape(1), step = out.strides(0) / i64(sizeof(T));
  T* const to = static_cast<T*>(out.mutable_data());
  const py::gil_scoped_release release;
  return engine::in_default_environment([&] {
    return engine::gemm(left, right, rows, columns, depth, to, step, Update::store,
                        engine::Work{engine::threads_for(threads), SignalPoll()});
  });
}

/// out = a b for contiguous or strided matrices of one dtype; the rows of `out` are contiguous.
void gemm(const py::array& a, const py::array& b, py::array out, bool transpose_a, bool transpose_b, int threads) {
  const char kind = out.dtype().kind();
  const py::ssize_t number = kind == 'c' ? out.itemsize() / 2 : out.itemsize();
  if (!a.dtype().equal(out.dtype()) || !b.dtype().equal(out.dtype()) || (kind != 'f' && kind != 'c') || number < 4)
    throw py::type_error("a, b and out need one dtype: float32, float64, complex64 or complex128");
  if (a.ndim() != 2 || b.ndim() != 2 || out.ndim() != 2) throw py::value_error("a, b and out need two axes");
  if (out.shape(0) != a.shape(transpose_a) || a.shape(!transpose_a) != b.shape(transpose_b) ||
      out.shape(1) != b.shape(!transpose_b))
    throw py::value_error("the shapes of a, b and out do not fit each other");
  if (out.shape(1) > 1 && out.strides(1) != out.itemsize()) throw py::value_error("the rows of out must be contiguous");
  const bool complex = kind == 'c';
  const bool finished = number == 4 ? run_gemm<float>(a, b, out, complex, transpose_a, transpose_b, threads)
                                    : run_gemm<double>(a, b, out, complex, transpose_a, transpose_b, threads);
  if (!finished) throw py::error_already_set();
}

}  // namespace

void register_linear(py::module_& m) {
  m.def("gemm", &gemm, py::arg("a"), py::arg("b"), py::arg("out"), py::arg("transpose_a") = false,
        py::arg("transpose_b") = false, py::arg("threads") = 0);
}

}  // namespace fanin::bindings
