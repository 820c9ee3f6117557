#include "bindings/door.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "bindings/differing.hpp"
#include "bindings/numbers.hpp"
#include "bindings/register.hpp"
#include "engine/environment.hpp"
#include "engine/integers.hpp"

namespace fanin::bindings {
namespace {

constexpr i64 kMostHeld = 16384;  ///< values for which the interpreter's lock is held meanwhile
constexpr std::size_t kRank = 8;
constexpr i64 kAny = std::numeric_limits<i64>::max();

/// One axis of the full array or of the part that is wanted.
struct Span {
  i64 count, start, step;
  bool kept;
};

bool read_shape(PyObject* shape, Span* axes, std::size_t& rank) {
  const bool tuple = PyTuple_CheckExact(shape);
  rank = tuple ? std::size_t(PyTuple_GET_SIZE(shape)) : 1;
  if (rank > kRank) return false;
  i64 total = 1;
  for (std::size_t a = 0; a < rank; ++a) {
    i64 size;
    if (!plain_integer(tuple ? PyTuple_GET_ITEM(shape, py::ssize_t(a)) : shape, size) || size < 0 ||
        __builtin_mul_overflow(total, size, &total))
      return false;
    axes[a] = {size, 0, 1, true};
  }
  return true;
}

/// Ints and slices, in order from the first axis on; no Ellipsis.
bool read_index(PyObject* index, Span* axes, std::size_t rank) {
  const bool tuple = PyTuple_CheckExact(index);
  const std::size_t entries = tuple ? std::size_t(PyTuple_GET_SIZE(index)) : 1;
  if (entries > rank) return false;
  for (std::size_t a = 0; a < entries; ++a) {
    PyObject* const entry = tuple ? PyTuple_GET_ITEM(index, py::ssize_t(a)) : index;
    const i64 size = axes[a].count;
    if (PySlice_Check(entry)) {
      py::ssize_t start, stop, step;
      if (PySlice_Unpack(entry, &start, &stop, &step) != 0) {
        PyErr_Clear();
        return false;
      }
      const i64 count = PySlice_AdjustIndices(size, &start, &stop, step);
      axes[a] = {count, count == 0 ? 0 : i64(start), count > 1 ? i64(step) : 1, true};
    } else {
      i64 at;
      if (!plain_integer(entry, at) || at < -size || at >= size) return false;
      axes[a] = {1, at < 0 ? at + size : at, 1, false};
    }
  }
  return true;
}

/// Whether no two elements can share memory: contiguous, or axes that lie within each other.
bool apart(const py::array& array) {
  if (array.flags() & (py::array::c_style | py::array::f_style)) return true;
  std::pair<i64, i64> steps[kRank];  // bytes, elements
  std::size_t used = 0;
  for (py::ssize_t a = 0; a < array.ndim(); ++a)
    if (array.shape(a) != 1) steps[used++] = {std::abs(i64(array.strides(a))), i64(array.shape(a))};
  std::sort(steps, steps + used);
  i64 reach = array.itemsize();
  for (std::size_t a = 0; a < used; ++a) {
    if (steps[a].first < reach) return false;
    reach += steps[a].first * (steps[a].second - 1);
  }
  return true;
}

/// Whether [low, high) surely holds a number of the element type: the two do not round to one.
bool ends_differ(double low, double high, Element element) {
  if (element == Element::f64 || low == high) return true;
  if (element == Element::f32) return float(low) != float(high);
  const double most = std::max(std::fabs(low), std::fabs(high));
  return most < 0x1p15 && high - low > std::max(0x1p-6 * most, 0x1p-20);  // float16 ends at 2^16
}

/// Integers from `low` up to `high`, with high if `endpoint`.
std::optional<engine::Plan> common_integers(const py::handle& low, const py::handle& high,
                                            const py::handle& endpoint, Element element,
                                            char kind) {
  i64 from, end;
  const bool closed = endpoint.ptr() == Py_True;
  if (element < Element::i8 || !plain_integer(low.ptr(), from) || !plain_integer(high.ptr(), end) ||
      !(closed || endpoint.ptr() == Py_False) || !(closed ? from <= end : from < end))
    return {};
  const i64 last = closed ? end : end - 1;
  const int bits = kind == 'b' ? 1 : 8 * int(element_bytes(element));
  const i64 least = kind == 'i' ? i64(-1) << (bits - 1) : 0;
  const int magnitude = kind == 'i' ? bits - 1 : bits;
  if (from < least || (magnitude < 63 && last >= i64(1) << magnitude)) return {};
  return engine::integers(u64(from), u64(last) - u64(from) + 1, element);
}

/// Whether a value can be told by its type and ==, and never changes.
bool is_fixed(PyObject* value) {
  if (PyTuple_CheckExact(value)) {
    for (py::ssize_t i = 0; i < PyTuple_GET_SIZE(value); ++i)
      if (!PyLong_CheckExact(PyTuple_GET_ITEM(value, i))) return false;
    return true;
  }
  return value == Py_None || PyLong_CheckExact(value) || PyFloat_CheckExact(value) ||
         PyUnicode_CheckExact(value);
}

bool is_exact(const py::handle& object, const py::type& type) {
  return reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())) == type.ptr();
}

}  // namespace

bool usual(const std::string& law, std::span<const double> values, Element element) {
  const bool uniform = law == "uniform";
  const double extent = uniform ? values[1] - values[0] : values[1];
  const double limit = element == Element::f64 ? 1e300 : 1e37;
  if (!(extent >= 0 && extent < limit && std::fabs(values[0]) < limit) || std::signbit(extent))
    return false;
  if (uniform && !ends_differ(values[0], values[1], element)) return false;
  if (law != "truncated_normal") return true;
  if (!(values[2] < values[3])) return false;
  try {
    engine::check(law, values, element);
  } catch (const std::invalid_argument&) {  // no value within the bounds
    return false;
  }
  return true;
}

std::optional<engine::Plan> common_plan(const std::string& law, const py::handle& numbers,
                                        Element element, char kind) {
  if (!PyTuple_CheckExact(numbers.ptr())) return {};
  const bool integer = element >= Element::i8;
  if (law == "integers") {
    if (PyTuple_GET_SIZE(numbers.ptr()) != 3) return {};
    return common_integers(PyTuple_GET_ITEM(numbers.ptr(), 0), PyTuple_GET_ITEM(numbers.ptr(), 1),
                           PyTuple_GET_ITEM(numbers.ptr(), 2), element, kind);
  }
  if (law == "rademacher") {
    if (integer && kind != 'i') return {};
    return engine::signs(element);
  }
  if (integer) return {};
  double values[engine::kMostArguments];
  const std::size_t given = std::size_t(PyTuple_GET_SIZE(numbers.ptr()));
  if (given != engine::argument_count(law)) return {};
  for (std::size_t i = 0; i < given; ++i)
    if (!plain_number(PyTuple_GET_ITEM(numbers.ptr(), py::ssize_t(i)), values[i])) return {};
  if (!usual(law, {values, given}, element)) return {};
  return engine::plan(law, {values, given}, element);
}

PyObject* Door::known(const py::handle& dtype) const {
  PyObject* const found = PyDict_GetItemWithError(dtypes_.ptr(), dtype.ptr());
  if (found == nullptr) PyErr_Clear();
  return found;
}

std::optional<Kind> Door::kind(const py::handle& dtype) const {
  PyObject* const found = known(dtype);
  if (found == nullptr) return {};
  return Kind{Element(PyLong_AsLong(PyTuple_GET_ITEM(found, 1))),
              py::reinterpret_borrow<py::dtype>(PyTuple_GET_ITEM(found, 0)).kind(),
              PyTuple_GET_ITEM(found, 2)};
}

std::optional<py::array> Door::array_of(const py::handle& out) const {
  PyTypeObject* const plain = py::detail::npy_api::get().PyArray_Type_;
  if (Py_TYPE(out.ptr()) == plain) return py::reinterpret_borrow<py::array>(out);
  const py::object view = view_(out);
  if (view.is_none()) return {};
  return py::reinterpret_borrow<py::array>(view);
}

std::optional<Goal> Door::open(const py::handle& shape, const py::handle& dtype,
                               const py::handle& out, const py::handle& index, i64 most_new) const {
  Goal goal;
  std::optional<py::array> array;
  PyObject* kind = nullptr;
  if (!out.is_none()) {
    array = array_of(out);
    const int fit = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if (!array || !array->writeable() || !(array->flags() & fit) || array->ndim() > int(kRank) ||
        !apart(*array))
      return {};
    kind = known(array->dtype());
    if (kind == nullptr || !(dtype.is_none() || known(dtype) == kind)) return {};
    goal.result = py::reinterpret_borrow<py::object>(out);
    goal.watched = array->ptr() != out.ptr();
  } else {
    kind = known(dtype);
    if (kind == nullptr) return {};
  }

  Span axes[kRank];
  std::size_t rank = 0;
  if (shape.is_none()) {
    if (!array) return {};
    rank = std::size_t(array->ndim());
    for (std::size_t a = 0; a < rank; ++a) axes[a] = {array->shape(py::ssize_t(a)), 0, 1, true};
  } else if (!read_shape(shape.ptr(), axes, rank)) {
    return {};
  }
  u64 full[kRank];
  for (std::size_t a = 0; a < rank; ++a) full[a] = u64(axes[a].count);
  if (!index.is_none() && !read_index(index.ptr(), axes, rank)) return {};

  py::ssize_t sizes[kRank];
  std::size_t kept = 0;
  for (std::size_t a = 0; a < rank; ++a) {
    if (__builtin_mul_overflow(goal.count, axes[a].count, &goal.count)) return {};
    if (axes[a].kept) sizes[kept++] = axes[a].count;
  }
  if (rank > 0 && kept == 0) return {};  // a scalar
  if (!array) {
    if (goal.count > most_new) return {};
    array.emplace(py::reinterpret_borrow<py::dtype>(PyTuple_GET_ITEM(kind, 0)),
                  py::array::ShapeContainer(sizes, sizes + kept));
    goal.result = *array;
  } else if (std::size_t(array->ndim()) != kept ||
             !std::equal(sizes, sizes + kept, array->shape())) {
    return {};
  }

  goal.kind = array->dtype().kind();
  engine::Destination& d = goal.destination;
  d.data = static_cast<char*>(array->mutable_data());
  d.element = Element(PyLong_AsLong(PyTuple_GET_ITEM(kind, 1)));
  d.axes.resize(kept);
  u64 stride = 1;
  for (std::size_t a = rank; a-- > 0;) {
    d.first += u64(axes[a].start) * stride;
    if (axes[a].kept) {
      --kept;
      d.axes[kept] = {axes[a].count, i64(array->strides(py::ssize_t(kept))),
                      u64(axes[a].step) * stride};
    }
    stride *= full[a];
  }
  return goal;
}

py::object Door::fill(const engine::Plan& plan, const Source& source, const Goal& goal,
                      int threads) const {
  if (goal.count <= kMostHeld) {
    engine::fill(plan, source, goal.destination, 1, {});
  } else {
    const Released released;
    engine::fill(plan, source, goal.destination, threads, {});
  }
  return done(goal);
}

py::object Door::done(const Goal& goal) const {
  if (goal.watched) touched_(goal.result);
  return goal.result;
}

py::object Door::draw(const std::string& law, const py::handle& numbers, const py::handle& shape,
                      const py::handle& seed, const py::handle& dtype, const py::handle& out,
                      const py::handle& index, const py::handle& threads) const {
  if (shape.is_none()) return py::none();
  i64 count = 0, number = 0;
  if (!threads.is_none() && (!plain_integer(threads.ptr(), count) || count < 1 || count > 4096))
    return py::none();
  const bool integer = plain_integer(seed.ptr(), number);
  const bool stream = is_exact(seed, stream_);
  if (integer ? number < 0 : !stream && !py::isinstance(seed, spawner_)) return py::none();
  const bool each = index.is_none() && differ(numbers);
  const std::optional<Goal> goal = open(shape, dtype, out, index, each ? kAny : kMostNew);
  if (!goal) return py::none();
  std::optional<engine::Plan> plan;
  std::optional<Differing> own;
  if (each) {
    own = Differing::read(law, numbers);
    if (!own || !own->suit(*goal)) return py::none();
  } else {
    plan = common_plan(law, numbers, goal->destination.element, goal->kind);
    if (!plan) return py::none();
  }

  // Nothing can be refused any more, so a generator may give its child.
  u128 key;
  if (integer) {
    key = key_of_seed(u128(u64(number)));
  } else {
    const py::object found = stream ? py::reinterpret_borrow<py::object>(seed) : as_stream_(seed);
    key = key_from(found.attr("_key").cast<py::bytes>());
  }
  const Source source{u64(key), u64(key >> 64), 0};
  if (plan) return fill(*plan, source, *goal, int(count));
  own->fill(source, *goal, int(count));
  return done(*goal);
}

py::object Door::draw_known(const py::object& known, const py::tuple& arguments,
                            const py::dict& named, const py::handle& layout, const py::handle& gain,
                            const py::handle& shape, const py::handle& seed,
                            const py::handle& dtype, const py::handle& out, const py::handle& index,
                            const py::handle& threads) const {
  py::tuple asked(3 + arguments.size());
  const py::handle first[] = {shape, layout, gain};
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const py::handle value =
        i < 3 ? first[i] : PyTuple_GET_ITEM(arguments.ptr(), py::ssize_t(i - 3));
    if (i > 0 && !is_fixed(value.ptr())) return py::none();
    asked[i] = value;
  }
  for (const auto& [name, value] : named)
    if (!is_fixed(value.ptr())) return py::none();
  const auto found = py::reinterpret_steal<py::object>(
      PyObject_Call(known.ptr(), asked.ptr(), named.size() == 0 ? nullptr : named.ptr()));
  if (!found) {
    for (PyObject* const wrong : {PyExc_TypeError, PyExc_ValueError, PyExc_OverflowError})
      if (PyErr_ExceptionMatches(wrong)) {
        PyErr_Clear();
        return py::none();
      }
    throw py::error_already_set();
  }
  const auto law = found.cast<std::pair<std::string, py::object>>();
  return draw(law.first, law.second, shape, seed, dtype, out, index, threads);
}

/// The same for dense memory that its owner answers for, from what word_of(generator) gives once
/// nothing can be refused any more: a key's bytes, or the 64 bits of a seed as a signed number.
/// False for an unusual law, and then nothing was asked for or written.
bool draw_at(const std::string& law, const py::handle& numbers, int element,
             const py::object& word_of, const py::object& generator, u64 address, i64 count) {
  if (element < 0 || Element(element) >= Element::i8) return false;
  const auto plan = common_plan(law, numbers, Element(element), 'f');
  if (!plan) return false;
  const py::object word = word_of(generator);
  u128 key;
  if (PyBytes_CheckExact(word.ptr()))
    key = key_from(py::reinterpret_borrow<py::bytes>(word));
  else
    key = key_of_seed(u128(u64(word.cast<i64>())));
  engine::Destination d;
  d.data = reinterpret_cast<char*>(address);
  d.element = Element(element);
  d.axes = {{count, i64(element_bytes(d.element)), 1}};
  const Source source{u64(key), u64(key >> 64), 0};
  if (count <= kMostHeld) {
    engine::fill(*plan, source, d, 1, {});
  } else {
    const Released released;
    engine::fill(*plan, source, d, 0, {});
  }
  return true;
}

void register_door(py::module_& m) {
  const py::call_guard<engine::SteadyFloatingPoint> steady;
  m.def("draw_at", &draw_at, py::arg("law"), py::arg("numbers"), py::arg("element"),
        py::arg("word_of"), py::arg("generator"), py::arg("address"), py::arg("count"), steady);
  py::class_<Door>(m, "Door", py::module_local())
      .def(py::init<py::dict, py::type, py::type, py::object, py::object, py::object>(),
           py::arg("dtypes"), py::arg("stream"), py::arg("spawner"), py::arg("as_stream"),
           py::arg("view"), py::arg("touched"))
      .def("draw", &Door::draw, py::arg("law"), py::arg("numbers"), py::arg("shape"),
           py::arg("seed"), py::arg("dtype"), py::arg("out"), py::arg("index"), py::arg("threads"),
           steady)
      .def("draw_known", &Door::draw_known, py::arg("known"), py::arg("arguments"),
           py::arg("named"), py::arg("layout"), py::arg("gain"), py::arg("shape"), py::arg("seed"),
           py::arg("dtype"), py::arg("out"), py::arg("index"), py::arg("threads"), steady);
}

}  // namespace fanin::bindings
