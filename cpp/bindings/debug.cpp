// The debug door: lets tests and benchmarks drive parts of the core. Not for users.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "engine/dispatch.hpp"
#include "engine/fill.hpp"
#include "engine/integers.hpp"
#include "engine/pages.hpp"

namespace fanin::bindings {
namespace {

std::vector<u32> block(const py::bytes& key, u64 number, u64 id, int rounds) {
  if (rounds != 5 && rounds != 7 && rounds != 10) throw py::value_error("rounds is 5, 7 or 10");
  std::vector<u32> out(kBlockWords);
  engine::table().block(source_from(key, id), number, rounds, out.data());
  return out;
}

template <class T>
using Vector = py::array_t<T, py::array::c_style>;

py::array apply(const std::string& name, const py::array& x) {
  for (const FunctionRow& row : engine::table().functions) {
    if (name != row.name) continue;
    if (py::isinstance<Vector<float>>(x) && row.f32 != nullptr) {
      const auto in = x.cast<Vector<float>>();
      Vector<float> out(in.size());
      row.f32(in.data(), out.mutable_data(), std::size_t(in.size()));
      return out;
    }
    if (py::isinstance<Vector<double>>(x) && row.f64 != nullptr) {
      const auto in = x.cast<Vector<double>>();
      Vector<double> out(in.size());
      row.f64(in.data(), out.mutable_data(), std::size_t(in.size()));
      return out;
    }
    throw py::type_error(name + " does not take this dtype, or the array is not contiguous");
  }
  throw py::value_error("no function named " + name);
}

Vector<u16> to_half(const Vector<float>& x, const std::string& dtype) {
  Vector<u16> out(x.size());
  const Element to = dtype == "bfloat16" ? Element::bf16 : Element::f16;
  engine::table().to_half(x.data(), out.mutable_data(), std::size_t(x.size()), to);
  return out;
}

std::pair<std::string, std::vector<double>> truncated_plan(double low, double high, bool single) {
  const double arguments[] = {0.0, 1.0, low, high};
  const engine::Plan plan =
      engine::plan("truncated_normal", arguments, single ? Element::f32 : Element::f64);
  const FarInterval& far = plan.params.far;
  if (std::strcmp(plan.law, "truncated_far") == 0)
    return {plan.law, {far.near, far.inverse_square, far.ratio, far.rest, far.sign}};
  return {plan.law, {std::begin(plan.params.shape), std::end(plan.params.shape)}};
}

/// Fills memory with 1.0f, the 64-byte lines of it by the kernels: the limit that benchmarks
/// compare with.
void store_constant(char* data, std::size_t bytes, int threads, bool past_cache) {
  constexpr std::size_t line = 64, lines_per_chunk = 16384;
  const auto edge = [](char* from, const char* to) {
    for (; from + sizeof(float) <= to; from += sizeof(float))
      std::memcpy(from, "\0\0\x80\x3f", sizeof(float));
  };
  const std::size_t lead =
      std::min(bytes, (line - reinterpret_cast<std::uintptr_t>(data) % line) % line);
  const std::size_t lines = (bytes - lead) / line;
  edge(data, data + lead);
  edge(data + lead + lines * line, data + bytes);
  const Released released;
  engine::parallel_for(
      (lines + lines_per_chunk - 1) / lines_per_chunk, threads, true, {}, [&](u64 chunk) {
        const std::size_t from = chunk * lines_per_chunk;
        engine::table().store_lines(data + lead + from * line,
                                    std::min(lines - from, lines_per_chunk), past_cache);
      });
}

void store_into(py::array array, int threads, bool past_cache) {
  store_constant(static_cast<char*>(array.mutable_data()), std::size_t(array.nbytes()), threads,
                 past_cache);
}

/// Fresh memory with huge pages, touched by plain stores; returned, so that freeing it is not
/// timed.
py::array first_touch(std::size_t bytes, int threads) {
  constexpr std::size_t huge_page = engine::kHugePage;
  void* data = std::aligned_alloc(huge_page, (bytes + huge_page - 1) / huge_page * huge_page);
  if (data == nullptr) throw std::bad_alloc();
  const py::capsule owner(data, [](void* p) { std::free(p); });
  engine::ask_for_huge_pages(data, bytes);
  store_constant(static_cast<char*>(data), bytes, threads, false);
  return py::array_t<u8>(py::ssize_t(bytes), static_cast<u8*>(data), owner);
}

}  // namespace

void register_debug(py::module_& parent) {
  py::module_ m =
      parent.def_submodule("debug", "Parts of the core, for tests and benchmarks only.");
  m.def("block", &block, py::arg("key"), py::arg("number"), py::arg("id"), py::arg("rounds") = 7);
  m.def("set_isa", &engine::set_isa, py::arg("name"));
  m.def("set_stream_bytes", &engine::set_stream_bytes, py::arg("bytes"));
  m.def("functions", [] {
    std::vector<std::string> names;
    for (const FunctionRow& row : engine::table().functions) names.emplace_back(row.name);
    return names;
  });
  m.def("apply", &apply, py::arg("name"), py::arg("x"));
  m.def("laws", [] {
    std::vector<std::string> names;
    for (const FillRow& row : engine::table().fills) names.emplace_back(row.name);
    return names;
  });
  m.def("to_half", &to_half, py::arg("x"), py::arg("dtype"));
  m.def("contraction",
        [](float a, float b, float c) { return engine::table().contraction_probe(a, b, c); });
  m.def("scaled", &engine::scaled, py::arg("bits"), py::arg("low"), py::arg("span"));
  m.def("truncated_plan", &truncated_plan, py::arg("low"), py::arg("high"), py::arg("single"));
  m.def(
      "stream_store", [](py::array a, int threads) { store_into(std::move(a), threads, true); },
      py::arg("array"), py::arg("threads"));
  m.def(
      "plain_store", [](py::array a, int threads) { store_into(std::move(a), threads, false); },
      py::arg("array"), py::arg("threads"));
  m.def("first_touch", &first_touch, py::arg("nbytes"), py::arg("threads"));
}

}  // namespace fanin::bindings
