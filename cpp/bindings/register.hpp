// One register_ function per topic.
#pragma once
#include <pybind11/pybind11.h>

namespace fanin::bindings {

void register_random(pybind11::module_& m);
void register_runtime(pybind11::module_& m);
void register_propagation(pybind11::module_& m);
void register_debug(pybind11::module_& m);

}  // namespace fanin::bindings
