#include <pybind11/stl.h>

#include "bindings/register.hpp"
#include "engine/dispatch.hpp"
#include "engine/environment.hpp"
#include "engine/parallel.hpp"

namespace fanin::bindings {

namespace py = pybind11;

/// `with` in Python: the default floating-point environment inside.
struct DefaultEnvironment {
  std::optional<engine::DefaultFloatingPoint> held;
};

void register_runtime(py::module_& m) {
  py::class_<DefaultEnvironment>(m, "DefaultEnvironment")
      .def(py::init<>())
      .def("__enter__", [](DefaultEnvironment& self) { self.held.emplace(); })
      .def("__exit__", [](DefaultEnvironment& self, const py::args&) { self.held.reset(); });
  m.def("environment_is_default", &engine::SteadyFloatingPoint::is_default);
  m.def("isa", [] { return std::string(engine::table().isa); });
  m.def("isas", &engine::isas);
  m.def("threads", &engine::default_threads);
  m.def("set_threads", &engine::set_default_threads, py::arg("threads"));
  m.def("build_config", [] {
    py::dict config;
    config["version"] = FANIN_VERSION;
    config["compiler"] = FANIN_COMPILER;
    config["openmp"] = _OPENMP;
#if defined(__OPTIMIZE__)
    config["optimized"] = true;
#else
    config["optimized"] = false;
#endif
    return config;
  });
}

}  // namespace fanin::bindings
