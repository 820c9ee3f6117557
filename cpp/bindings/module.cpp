#include "bindings/register.hpp"
#include "engine/parallel.hpp"

namespace {

/// A loop ends so after a signal's handler has raised: the interpreter holds the error already.
void pass_on(std::exception_ptr caught) {
  try {
    if (caught) std::rethrow_exception(caught);
  } catch (const fanin::engine::Interrupted&) {
    if (PyErr_Occurred() == nullptr) PyErr_SetNone(PyExc_KeyboardInterrupt);
  }
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of fanin; use the functions of the package instead.";
  pybind11::register_local_exception_translator(&pass_on);
  fanin::bindings::register_functions(m);
  fanin::bindings::register_random(m);
  fanin::bindings::register_door(m);
  fanin::bindings::register_linear(m);
  fanin::bindings::register_integers(m);
  fanin::bindings::register_bit_generator(m);
  fanin::bindings::register_dlpack(m);
  fanin::bindings::register_runtime(m);
  fanin::bindings::register_files(m);
  fanin::bindings::register_propagation(m);
  fanin::bindings::register_pair_kernels(m);
  fanin::bindings::register_simulate(m);
  fanin::bindings::register_debug(m);
}
