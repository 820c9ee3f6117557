#include "bindings/register.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of fanin; use the functions of the package instead.";
  fanin::bindings::register_functions(m);
  fanin::bindings::register_random(m);
  fanin::bindings::register_linear(m);
  fanin::bindings::register_integers(m);
  fanin::bindings::register_bit_generator(m);
  fanin::bindings::register_dlpack(m);
  fanin::bindings::register_runtime(m);
  fanin::bindings::register_propagation(m);
  fanin::bindings::register_simulate(m);
  fanin::bindings::register_debug(m);
}
