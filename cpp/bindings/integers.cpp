#include "engine/integers.hpp"
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"

namespace fanin::bindings {
namespace {

void run(const engine::Plan& plan, int element, const Source& source, py::array& array, u64 first,
         bool fresh) {
  const engine::Destination d =
      destination_from(array, py::none(), first, Element(element), false, fresh);
  const Released released;
  engine::fill(plan, source, d, 0, {});
}

using Words = py::array_t<u64, py::array::c_style>;

void scale_words(Words words, const Words& low, const Words& span) {
  if (low.size() != words.size() || span.size() != words.size())
    throw py::value_error("a low and a span for each word are needed");
  const std::size_t count = std::size_t(words.size());
  u64* const data = words.mutable_data();
  const u64 *const first = low.data(), *const range = span.data();
  const Released released;
  engine::scale_words(data, first, range, count);
}

}  // namespace

void register_integers(py::module_& m) {
  m.def(
      "fill_integers",
      [](u64 low, u64 span, int element, const py::bytes& key, u64 id, py::array array, u64 first,
         bool fresh) {
        run(engine::integers(low, span, Element(element)), element, source_from(key, id), array,
            first, fresh);
      },
      py::arg("low"), py::arg("span"), py::arg("element"), py::arg("key"), py::arg("id"),
      py::arg("array"), py::arg("first"), py::arg("fresh"));
  m.def(
      "fill_signs",
      [](int element, const py::bytes& key, u64 id, py::array array, u64 first, bool fresh) {
        run(engine::signs(Element(element)), element, source_from(key, id), array, first, fresh);
      },
      py::arg("element"), py::arg("key"), py::arg("id"), py::arg("array"), py::arg("first"),
      py::arg("fresh"));
  m.def("scale_words", &scale_words, py::arg("words").noconvert(), py::arg("low").noconvert(),
        py::arg("span").noconvert());
}

}  // namespace fanin::bindings
