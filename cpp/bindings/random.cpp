#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "engine/dispatch.hpp"

namespace fanin::bindings {
namespace {

py::bytes seed_key(const py::int_& seed) {
  u128 value = 0;
  const py::bytes bytes = seed.attr("to_bytes")(16, "little");
  __builtin_memcpy(&value, PyBytes_AS_STRING(bytes.ptr()), 16);
  return key_bytes(key_of_seed(value));
}

py::bytes fold_bytes(const py::bytes& key, int tag, const py::bytes& payload) {
  char* data = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(payload.ptr(), &data, &size) != 0) throw py::error_already_set();
  return key_bytes(fold(key_from(key), Fold(tag), reinterpret_cast<const u8*>(data), std::size_t(size)));
}

void run_fill(const std::string& law, const std::vector<double>& arguments, int element, bool complex,
              const py::bytes& key, u64 id, py::array array, i64 first, const py::object& steps, int threads,
              bool fresh) {
  const engine::Plan plan = engine::plan(law, arguments, Element(element));
  const Source source = source_from(key, id);
  const engine::Destination d = destination_from(array, steps, first, Element(element), complex, fresh);
  bool finished = true;
  {
    const py::gil_scoped_release release;
    finished = engine::fill(plan, source, d, threads, SignalPoll());
  }
  if (!finished) throw py::error_already_set();
}

using Column = py::array_t<double, py::array::c_style | py::array::forcecast>;

void run_fill_each(const std::string& law, const std::vector<Column>& columns, int element, bool complex,
                   const py::bytes& key, u64 id, py::array array, i64 first, const py::object& steps,
                   int threads) {
  const Source source = source_from(key, id);
  const engine::Destination d = destination_from(array, steps, first, Element(element), complex, false);
  const py::ssize_t count = array.size() * (complex ? 2 : 1);
  std::vector<const double*> arguments;
  for (const Column& column : columns) {
    if (column.size() != count) throw py::value_error("one argument for each element is needed");
    arguments.push_back(column.data());
  }
  bool finished = true;
  {
    const py::gil_scoped_release release;
    finished = engine::fill_each(law, arguments, source, d, threads, SignalPoll());
  }
  if (!finished) throw py::error_already_set();
}

py::array_t<u32> words(const py::bytes& key, u64 id, u64 first_tile, py::ssize_t tiles) {
  py::array_t<u32> out(tiles * kTileWords);
  const Source source = source_from(key, id);
  u32* data = out.mutable_data();
  const py::gil_scoped_release release;
  engine::table().words(source, first_tile, u64(tiles), data);
  return out;
}

}  // namespace

void register_random(py::module_& m) {
  m.attr("STREAM") = kStreamName;
  m.def("seed_key", &seed_key, py::arg("seed"));
  m.def("fold", &fold_bytes, py::arg("key"), py::arg("tag"), py::arg("payload"));
  m.def("fill", &run_fill, py::arg("law"), py::arg("arguments"), py::arg("element"), py::arg("complex"),
        py::arg("key"), py::arg("id"), py::arg("array"), py::arg("first"), py::arg("steps"),
        py::arg("threads"), py::arg("fresh"));
  m.def("fill_each", &run_fill_each, py::arg("law"), py::arg("columns"), py::arg("element"),
        py::arg("complex"), py::arg("key"), py::arg("id"), py::arg("array"), py::arg("first"),
        py::arg("steps"), py::arg("threads"));
  m.def("words", &words, py::arg("key"), py::arg("id"), py::arg("first_tile"), py::arg("tiles"));
  m.def("truncated_normal_std", &engine::truncated_normal_std, py::arg("low"), py::arg("high"));
  m.def("math_log", py::vectorize(&engine::logarithm), py::arg("x"));
  m.def("math_pow", &engine::power, py::arg("x"), py::arg("y"));
}

}  // namespace fanin::bindings
