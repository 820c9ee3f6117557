#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "engine/gemm.hpp"
#include "engine/orthogonal.hpp"
#include "engine/qr.hpp"

namespace fanin::bindings {
namespace {

template <class T>
engine::View<T> view_of(const py::array& array, bool complex, bool transposed) {
  const py::ssize_t size = array.itemsize();
  const engine::View<T> view{static_cast<const T*>(array.data()), array.strides(0) / size,
                             array.strides(1) / size, complex ? Form::complex : Form::real};
  return transposed ? view.transposed() : view;
}

template <class T>
void run_gemm(const py::array& a, const py::array& b, py::array& out, bool complex,
              bool transpose_a, bool transpose_b, int threads) {
  const auto left = view_of<T>(a, complex, transpose_a),
             right = view_of<T>(b, complex, transpose_b);
  const i64 depth = a.shape(transpose_a ? 0 : 1);
  const i64 rows = out.shape(0), columns = out.shape(1), step = out.strides(0) / i64(sizeof(T));
  T* const to = static_cast<T*>(out.mutable_data());
  const double time = 0.02 * double(rows) * double(columns) * double(depth);  // nanoseconds
  const Released released;
  engine::in_default_environment([&] {
    return engine::gemm(left, right, rows, columns, depth, to, step, Update::store,
                        engine::Work{engine::threads_for(threads, time), {}});
  });
}

/// out = a b for contiguous or strided matrices of one dtype; the rows of `out` are contiguous.
void gemm(const py::array& a, const py::array& b, py::array out, bool transpose_a, bool transpose_b,
          int threads) {
  const char kind = out.dtype().kind();
  const py::ssize_t number = kind == 'c' ? out.itemsize() / 2 : out.itemsize();
  if (!a.dtype().equal(out.dtype()) || !b.dtype().equal(out.dtype()) ||
      (kind != 'f' && kind != 'c') || number < 4)
    throw py::type_error("a, b and out need one dtype: float32, float64, complex64 or complex128");
  if (a.ndim() != 2 || b.ndim() != 2 || out.ndim() != 2)
    throw py::value_error("a, b and out need two axes");
  if (out.shape(0) != a.shape(transpose_a) || a.shape(!transpose_a) != b.shape(transpose_b) ||
      out.shape(1) != b.shape(!transpose_b))
    throw py::value_error("the shapes of a, b and out do not fit each other");
  if (out.size() > 0 && out.shape(1) > 1 && out.strides(1) != out.itemsize())
    throw py::value_error("the rows of out must be contiguous");
  const bool complex = kind == 'c';
  number == 4 ? run_gemm<float>(a, b, out, complex, transpose_a, transpose_b, threads)
              : run_gemm<double>(a, b, out, complex, transpose_a, transpose_b, threads);
}

/// Columns first..last - 1 of the tall matrices `ids` into out (matrices, rows, last - first), or
/// `turned` (matrices, last - first, rows); C-contiguous.
void haar(const py::bytes& key, const std::vector<u64>& ids, i64 rows, i64 columns, i64 first,
          i64 last, int determinant, double gain, py::array out, int threads,
          const py::object& progress, bool turned) {
  const char kind = out.dtype().kind();
  const bool complex = kind == 'c';
  const i64 number = i64(out.itemsize()) / (complex ? 2 : 1);
  if (!complex && (kind != 'f' || number < 4))
    throw py::type_error("out needs float32, float64 or complex");
  if (rows < columns || first < 0 || first > last || last > columns || out.ndim() != 3 ||
      out.shape(0) != py::ssize_t(ids.size()) || out.shape(turned ? 2 : 1) != rows ||
      out.shape(turned ? 1 : 2) != last - first || !(out.flags() & py::array::c_style))
    throw py::value_error(
        "out must be C-contiguous, (matrices, rows, last - first) or, turned, (matrices, last - "
        "first, rows), with rows >= columns");
  const engine::HaarColumns wanted{source_from(key, 0), rows,    columns, first, last,
                                   determinant,         complex, turned,  gain};
  const i64 ratio = complex ? 2 : 1, size = rows * (last - first) * ratio;
  const i64 step = (turned ? rows : last - first) * ratio;
  void* const data = out.mutable_data();
  engine::Progress tell;
  if (!progress.is_none())
    tell = [&progress](i64 done, i64 total) {
      const Held gil;
      call(progress, done, total);
    };
  const Released released;
  number == 4
      ? engine::sample_haar(wanted, ids, static_cast<float*>(data), size, step, threads, {}, tell)
      : engine::sample_haar(wanted, ids, static_cast<double*>(data), size, step, threads, {}, tell);
}

/// a (matrices, rows, columns) = q r, all C-contiguous; r may be None if rows >= columns.
void qr(const py::array& a, py::array q, const py::object& r, int threads) {
  const bool complex = a.dtype().kind() == 'c';
  const i64 number = i64(a.itemsize()) / (complex ? 2 : 1);
  const i64 count = a.shape(0), rows = a.shape(1), columns = a.shape(2);
  const void* const from = a.data();
  void* const to = q.mutable_data();
  void* const upper = r.is_none() ? nullptr : r.cast<py::array>().mutable_data();
  const Released released;
  number == 4 ? engine::qr(static_cast<const float*>(from), count, rows, columns, complex,
                           static_cast<float*>(to), static_cast<float*>(upper), threads, {})
              : engine::qr(static_cast<const double*>(from), count, rows, columns, complex,
                           static_cast<double*>(to), static_cast<double*>(upper), threads, {});
}

}  // namespace

void register_linear(py::module_& m) {
  m.def("gemm", &gemm, py::arg("a"), py::arg("b"), py::arg("out"), py::arg("transpose_a") = false,
        py::arg("transpose_b") = false, py::arg("threads") = 0);
  m.def("qr", &qr, py::arg("a"), py::arg("q"), py::arg("r"), py::arg("threads") = 0);
  m.def("haar", &haar, py::arg("key"), py::arg("ids"), py::arg("rows"), py::arg("columns"),
        py::arg("first"), py::arg("last"), py::arg("determinant"), py::arg("gain"), py::arg("out"),
        py::arg("threads") = 0, py::arg("progress") = py::none(), py::arg("turned") = false);
}

}  // namespace fanin::bindings
