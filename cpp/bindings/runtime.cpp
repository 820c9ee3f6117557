#include <pybind11/stl.h>

#include "bindings/register.hpp"
#include "engine/dispatch.hpp"
#include "engine/parallel.hpp"

namespace fanin::bindings {

namespace py = pybind11;

void register_runtime(py::module_& m) {
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
