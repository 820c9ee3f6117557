// numpy.random.BitGenerator's bridge: a state pointer and four functions, in the order of NumPy's
// public header numpy/random/bitgen.h. The Python class finds the structure in the capsule that
// NumPy's base class makes.
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "engine/reader.hpp"

namespace fanin::bindings {
namespace {

struct NumpyBitGenerator {
  void* state;
  u64 (*next_uint64)(void*);
  u32 (*next_uint32)(void*);
  double (*next_double)(void*);
  u64 (*next_raw)(void*);
};

engine::WordReader& reader(void* state) { return *static_cast<engine::WordReader*>(state); }

u32 next_uint32(void* state) { return reader(state).next(); }

u64 next_uint64(void* state) {
  const u64 low = reader(state).next();
  return low | u64(reader(state).next()) << 32;
}

/// The upper 53 bits of the next two words: the value of fanin.random in float64.
double next_double(void* state) { return double(next_uint64(state) >> 11) * 0x1p-53; }

constexpr const char* kOwner = "fanin.WordReader";

engine::WordReader& owned(const py::capsule& owner) { return reader(owner.get_pointer<void>()); }

/// Fills in the structure behind NumPy's capsule; the result owns what it points to.
py::capsule bit_generator(const py::capsule& numpy) {
  void* place = PyCapsule_GetPointer(numpy.ptr(), "BitGenerator");
  if (place == nullptr) throw py::error_already_set();
  auto* words = new engine::WordReader;
  py::capsule owner(words, kOwner, [](void* p) { delete static_cast<engine::WordReader*>(p); });
  *static_cast<NumpyBitGenerator*>(place) = {words, &next_uint64, &next_uint32, &next_double,
                                             &next_uint64};
  return owner;
}

}  // namespace

void register_bit_generator(py::module_& m) {
  m.def("bit_generator", &bit_generator, py::arg("numpy"));
  m.def(
      "bit_generator_seek",
      [](const py::capsule& owner, const py::bytes& key, u64 id, u64 word) {
        owned(owner).seek(source_from(key, id), word);
      },
      py::arg("owner"), py::arg("key"), py::arg("id"), py::arg("word"));
  m.def(
      "bit_generator_tell", [](const py::capsule& owner) { return owned(owner).tell(); },
      py::arg("owner"));
}

}  // namespace fanin::bindings
