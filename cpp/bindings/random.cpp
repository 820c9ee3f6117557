#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "engine/dispatch.hpp"
#include "engine/environment.hpp"

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
  return key_bytes(
      fold(key_from(key), Fold(tag), reinterpret_cast<const u8*>(data), std::size_t(size)));
}

void run_fill(const std::string& law, const std::vector<double>& arguments, int element,
              bool complex, const py::bytes& key, u64 id, py::array array, u64 first,
              const py::object& steps, int threads, bool fresh) {
  const engine::Plan plan = engine::plan(law, arguments, Element(element));
  const Source source = source_from(key, id);
  const engine::Destination d =
      destination_from(array, steps, first, Element(element), complex, fresh);
  const Released released;
  engine::fill(plan, source, d, threads, {});
}

using Column = py::array_t<double, py::array::c_style>;

/// Equally long columns, one for each argument of a law.
class ColumnsFrom {
 public:
  ColumnsFrom(const std::vector<Column>& columns, i64 begin, i64 factor) {
    if (columns.empty() || columns.size() > engine::kMostArguments)
      throw py::value_error("a law has 1 to 4 arguments");
    const py::ssize_t count = columns[0].size();
    for (const Column& column : columns) {
      if (column.size() != count) throw py::value_error("one argument for each element is needed");
      argument_.push_back(
          {reinterpret_cast<const char*>(column.data()), engine::Number::f64, {sizeof(double)}});
    }
    count_ = count;
    made = {argument_, {&count_, 1}, begin * factor, count};
  }
  ColumnsFrom(const ColumnsFrom&) = delete;
  engine::Columns made{};

 private:
  std::vector<engine::Spread> argument_;
  i64 count_;
};

void check_each(const std::string& law, const std::vector<Column>& columns, int element) {
  const ColumnsFrom from(columns, 0, 1);
  const Released released;
  engine::check_each(law, from.made, Element(element));
}

void run_fill_each(const std::string& law, const std::vector<Column>& columns, i64 begin,
                   int element, bool complex, const py::bytes& key, u64 id, py::array array,
                   u64 first, const py::object& steps, int threads) {
  const Source source = source_from(key, id);
  const engine::Destination d =
      destination_from(array, steps, first, Element(element), complex, false);
  const ColumnsFrom from(columns, begin, complex ? 2 : 1);
  const i64 total = array.size() * (complex ? 2 : 1);
  if (from.made.begin < 0 || from.made.begin + from.made.count > total)
    throw py::value_error("one argument for each element is needed");
  const Released released;
  engine::fill_each(law, from.made, source, d, threads, {});
}

py::array_t<u32> words(const py::bytes& key, u64 id, u64 first_tile, py::ssize_t tiles) {
  py::array_t<u32> out(tiles * kTileWords);
  const Source source = source_from(key, id);
  u32* data = out.mutable_data();
  const Released released;
  engine::table().words(source, first_tile, u64(tiles), data);
  return out;
}

}  // namespace

void register_random(py::module_& m) {
  const py::call_guard<engine::SteadyFloatingPoint> steady;
  m.attr("STREAM") = kStreamName;
  m.def("seed_key", &seed_key, py::arg("seed"));
  m.def("fold", &fold_bytes, py::arg("key"), py::arg("tag"), py::arg("payload"));
  m.def("fill", &run_fill, py::arg("law"), py::arg("arguments"), py::arg("element"),
        py::arg("complex"), py::arg("key"), py::arg("id"), py::arg("array"), py::arg("first"),
        py::arg("steps"), py::arg("threads"), py::arg("fresh"), steady);
  m.def("check_each", &check_each, py::arg("law"), py::arg("columns").noconvert(),
        py::arg("element"), steady);
  m.def("fill_each", &run_fill_each, py::arg("law"), py::arg("columns").noconvert(),
        py::arg("begin"), py::arg("element"), py::arg("complex"), py::arg("key"), py::arg("id"),
        py::arg("array"), py::arg("first"), py::arg("steps"), py::arg("threads"), steady);
  m.def("words", &words, py::arg("key"), py::arg("id"), py::arg("first_tile"), py::arg("tiles"));
  m.def("truncated_normal_std", &engine::truncated_normal_std, py::arg("low"), py::arg("high"),
        steady);
}

}  // namespace fanin::bindings
