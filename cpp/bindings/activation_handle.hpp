// An activation travels through Python as a capsule that owns it.
#pragma once
#include <pybind11/pybind11.h>

#include <string>

#include "engine/activation.hpp"

namespace fanin::bindings {

inline constexpr const char* kActivationCapsule = "fanin.activation";

inline const engine::Activation& activation_in(const pybind11::capsule& handle) {
  if (handle.name() == nullptr || std::string(handle.name()) != kActivationCapsule)
    throw pybind11::type_error("this is no handle of an activation");
  return *handle.get_pointer<engine::Activation>();
}

}  // namespace fanin::bindings
