// An activation travels through Python as a capsule that owns it.
#pragma once
#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "engine/activation.hpp"
#include "engine/covariance.hpp"

namespace fanin::bindings {

namespace py = pybind11;

/// What the capsule owns.
struct Owned {
  template <class... Arguments>
  explicit Owned(Arguments&&... arguments)
      : activation(std::forward<Arguments>(arguments)...), covariances(activation) {}
  engine::Activation activation;
  engine::Covariances covariances;
};

inline constexpr const char* kActivationCapsule = "fanin.activation";

inline py::capsule capsule_of(Owned* owned) {
  return py::capsule(owned, kActivationCapsule, [](void* p) { delete static_cast<Owned*>(p); });
}

inline const Owned& owned_by(const py::capsule& handle) {
  if (handle.name() == nullptr || std::string(handle.name()) != kActivationCapsule)
    throw py::type_error("this is no handle of an activation");
  return *handle.get_pointer<Owned>();
}
inline const engine::Activation& activation_in(const py::capsule& handle) {
  return owned_by(handle).activation;
}

}  // namespace fanin::bindings
