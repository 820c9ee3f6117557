// A NumPy view of the memory behind a DLPack capsule. The structures are those of the DLPack
// standard, versions 0
// ("dltensor") and 1 ("dltensor_versioned"), https://dmlc.github.io/dlpack/latest/c_api.html
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"

namespace fanin::bindings {
namespace {

struct Device {
  i32 kind, number;
};

struct DataType {
  u8 code, bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  i32 rank;
  DataType dtype;
  i64* shape;
  i64* strides;  ///< in elements; null: C order
  u64 byte_offset;
};

struct Managed {
  Tensor tensor;
  void* context;
  void (*deleter)(Managed*);
};

struct ManagedVersioned {
  u32 major, minor;
  void* context;
  void (*deleter)(ManagedVersioned*);
  u64 flags;
  Tensor tensor;
};

constexpr u64 kReadOnly = 1;
constexpr i32 kCpu = 1, kCudaHost = 3, kRocmHost = 11;

/// The name NumPy has for the type; ml_dtypes provides bfloat16.
std::string name_of(const DataType& dtype) {
  constexpr int integer = 0, natural = 1, real = 2, brain = 4, complex = 5, boolean = 6;
  if (dtype.lanes != 1)
    throw py::type_error("out offers a DLPack dtype of " + std::to_string(dtype.lanes) +
                         " lanes; one value an element (lanes 1) is accepted");
  const std::string bits = std::to_string(int(dtype.bits));
  switch (dtype.code) {
    case integer: return "int" + bits;
    case natural: return "uint" + bits;
    case real: return "float" + bits;
    case brain: return "bfloat" + bits;
    case complex: return "complex" + bits;
    case boolean: return dtype.bits == 8 ? "bool" : "bool" + bits;
  }
  throw py::type_error("out offers a DLPack dtype of code " + std::to_string(int(dtype.code)) +
                       ", which NumPy has no name for");
}

template <class M>
void release(M* managed) {
  if (managed->deleter != nullptr) managed->deleter(managed);
}

/// Takes the tensor out of its capsule: from here on the result owns it.
template <class M>
py::capsule take(const py::object& capsule, const char* name, const char* used, M*& managed) {
  managed = static_cast<M*>(PyCapsule_GetPointer(capsule.ptr(), name));
  if (managed == nullptr) throw py::error_already_set();
  py::capsule owner(managed, [](void* p) { release(static_cast<M*>(p)); });
  if (PyCapsule_SetName(capsule.ptr(), used) != 0) throw py::error_already_set();
  return owner;
}

py::array view_of(const Tensor& tensor, bool read_only, const py::capsule& owner,
                  const py::object& dtype_of) {
  const i32 kind = tensor.device.kind;
  if (kind != kCpu && kind != kCudaHost && kind != kRocmHost)
    throw py::type_error("out must be CPU memory, got a DLPack tensor on a device of type " +
                         std::to_string(kind) + "; fill a CPU tensor and copy it");
  const py::dtype dtype = call(dtype_of, name_of(tensor.dtype));
  if (dtype.itemsize() * 8 != tensor.dtype.bits)
    throw py::type_error("out offers a DLPack dtype of " + std::to_string(int(tensor.dtype.bits)) +
                         " bits, not accepted");
  const std::size_t rank = std::size_t(tensor.rank);
  std::vector<py::ssize_t> shape(tensor.shape, tensor.shape + rank), strides(rank);
  i64 step = 1;
  for (std::size_t a = rank; a-- > 0;) {
    strides[a] = dtype.itemsize() * (tensor.strides == nullptr ? step : tensor.strides[a]);
    step *= shape[a];
  }
  py::array array(dtype, shape, strides, static_cast<char*>(tensor.data) + tensor.byte_offset,
                  owner);
  if (read_only) array.attr("flags").attr("writeable") = false;
  return array;
}

/// A view of the memory behind `capsule`; the capsule is used up. `dtype_of` turns a name into a
/// dtype; `writable` tells what a capsule without a version does not.
py::array from_dlpack(const py::object& capsule, const py::object& dtype_of, bool writable) {
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
    ManagedVersioned* managed = nullptr;
    const py::capsule owner =
        take(capsule, "dltensor_versioned", "used_dltensor_versioned", managed);
    if (managed->major > 1)  // the layout of what follows the deleter is unknown
      throw py::buffer_error("out offers DLPack version " + std::to_string(managed->major) +
                             "; versions 0 and 1 are accepted");
    return view_of(managed->tensor, (managed->flags & kReadOnly) != 0, owner, dtype_of);
  }
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor")) {
    Managed* managed = nullptr;
    const py::capsule owner = take(capsule, "dltensor", "used_dltensor", managed);
    return view_of(managed->tensor, !writable, owner, dtype_of);
  }
  const std::string got =
      PyCapsule_CheckExact(capsule.ptr()) && PyCapsule_GetName(capsule.ptr()) != nullptr
          ? std::string("a capsule named ") + PyCapsule_GetName(capsule.ptr())
          : std::string(py::str(py::type::of(capsule)));
  throw py::buffer_error(
      "out.__dlpack__() must return a fresh capsule named dltensor or dltensor_versioned, got " +
      got + (got.find("used") != std::string::npos ? ": it can be taken only once" : ""));
}

/// The memory at an address, which lives as long as `owner`; strides count elements.
py::array lent(const py::object& owner, std::uintptr_t address, const py::tuple& shape,
               const py::tuple& strides, const py::dtype& dtype) {
  std::vector<py::ssize_t> counts, steps;
  for (const py::handle count : shape) counts.push_back(py::cast<py::ssize_t>(count));
  for (const py::handle step : strides)
    steps.push_back(py::cast<py::ssize_t>(step) * dtype.itemsize());
  return py::array(dtype, std::move(counts), std::move(steps),
                   reinterpret_cast<const void*>(address), owner);
}

}  // namespace

void register_dlpack(py::module_& m) {
  m.def("lent", &lent, py::arg("owner"), py::arg("address"), py::arg("shape"), py::arg("strides"),
        py::arg("dtype"));
  m.def("from_dlpack", &from_dlpack, py::arg("capsule"), py::arg("dtype_of"), py::arg("writable"));
}

}  // namespace fanin::bindings
