#include "engine/integers.hpp"
#include "bindings/arrays.hpp"
#include "bindings/differing.hpp"
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

/// Ends that are arrays of the destination's shape; all their values fit.
void fill_integers_each(const py::array& low, const py::array& high, int element,
                        const py::bytes& key, u64 id, py::array array, u64 first) {
  const Source source = source_from(key, id);
  const engine::Destination d =
      destination_from(array, py::none(), first, Element(element), false, false);
  std::vector<i64> counts;
  for (const engine::Axis& axis : d.axes) counts.push_back(axis.count);
  const engine::Spread from = spread_over(low, counts), to = spread_over(high, counts);
  const Released released;
  engine::fill_integers_each({from, to, true, counts}, source, d, 0, {});
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
  m.def("fill_integers_each", &fill_integers_each, py::arg("low"), py::arg("high"),
        py::arg("element"), py::arg("key"), py::arg("id"), py::arg("array"), py::arg("first"));
}

}  // namespace fanin::bindings
