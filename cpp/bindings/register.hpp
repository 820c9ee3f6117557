// One register_ function per topic.
#pragma once
#include <pybind11/pybind11.h>

namespace fanin::bindings {

void register_functions(pybind11::module_& m);
void register_random(pybind11::module_& m);
void register_door(pybind11::module_& m);
void register_linear(pybind11::module_& m);
void register_runtime(pybind11::module_& m);
void register_integers(pybind11::module_& m);
void register_bit_generator(pybind11::module_& m);
void register_dlpack(pybind11::module_& m);
void register_files(pybind11::module_& m);
void register_propagation(pybind11::module_& m);
void register_pair_kernels(pybind11::module_& m);
void register_simulate(pybind11::module_& m);
void register_debug(pybind11::module_& m);

}  // namespace fanin::bindings
