#include "bindings/differing.hpp"

#include "bindings/numbers.hpp"
#include "engine/integers.hpp"

namespace fanin::bindings {
namespace {

constexpr i64 kMostHeld = 4096;  ///< elements for which the interpreter's lock is held meanwhile

bool is_array(PyObject* object) {
  return Py_TYPE(object) == py::detail::npy_api::get().PyArray_Type_;
}

std::optional<engine::Number> number_of(const py::dtype& dtype) {
  using engine::Number;
  const char order = dtype.byteorder();
  if (order != '=' && order != '|') return {};
  const bool is_signed = dtype.kind() == 'i';
  switch (dtype.kind()) {
    case 'f':
      if (dtype.itemsize() == 8) return Number::f64;
      if (dtype.itemsize() == 4) return Number::f32;
      return {};
    case 'b': return Number::u8;
    case 'i':
    case 'u':
      switch (dtype.itemsize()) {
        case 1: return is_signed ? Number::i8 : Number::u8;
        case 2: return is_signed ? Number::i16 : Number::u16;
        case 4: return is_signed ? Number::i32 : Number::u32;
        default: return is_signed ? Number::i64 : Number::u64;
      }
    default: return {};
  }
}

/// The bytes of memory that an array or a destination lies in.
struct Extent {
  const char *begin, *end;
  Extent(const char* data, std::size_t size) : begin(data), end(data + size) {}
  void axis(i64 count, i64 step) { (step < 0 ? begin : end) += (count - 1) * step; }
  bool meets(const Extent& other) const { return begin < other.end && other.begin < end; }
};

/// Steps of an array in one of `counts`, aligned at the last axis; false if it does not broadcast.
bool broadcast(const py::array& array, std::span<const i64> counts, std::vector<i64>& steps) {
  const std::size_t rank = counts.size(), own = std::size_t(array.ndim());
  steps.assign(rank, 0);
  if (own > rank) return false;
  for (std::size_t a = 0; a < own; ++a) {
    const i64 size = array.shape(py::ssize_t(a));
    if (size == 1) continue;
    if (size != counts[rank - own + a]) return false;
    steps[rank - own + a] = array.strides(py::ssize_t(a));
  }
  return true;
}

}  // namespace

engine::Spread spread_over(const py::array& array, std::span<const i64> counts) {
  engine::Spread made;
  const auto type = number_of(array.dtype());
  if (!type || *type <= engine::Number::f32 || !broadcast(array, counts, made.steps))
    throw py::value_error("ends are integers that broadcast to the array");
  made.data = static_cast<const char*>(array.data());
  made.type = *type;
  return made;
}

bool differ(const py::handle& numbers) {
  if (!PyTuple_CheckExact(numbers.ptr())) return false;
  for (py::ssize_t i = 0; i < PyTuple_GET_SIZE(numbers.ptr()); ++i) {
    PyObject* const one = PyTuple_GET_ITEM(numbers.ptr(), i);
    if (is_array(one) && py::detail::array_proxy(one)->nd > 0) return true;
  }
  return false;
}

std::optional<Differing> Differing::read(const std::string& law, const py::handle& numbers) {
  Differing made;
  made.law_ = law;
  made.integers_ = law == "integers";
  made.given_ = engine::argument_count(law);
  const std::size_t told = std::size_t(PyTuple_GET_SIZE(numbers.ptr()));
  if (told != made.given_ + (made.integers_ ? 1 : 0)) return {};
  for (std::size_t i = 0; i < made.given_; ++i) {
    PyObject* const one = PyTuple_GET_ITEM(numbers.ptr(), py::ssize_t(i));
    engine::Spread& spread = made.spread_[i];
    if (is_array(one)) {
      const auto array = py::reinterpret_borrow<py::array>(one);
      const auto type = number_of(array.dtype());
      if (!type || (made.integers_ && *type <= engine::Number::f32)) return {};
      spread.data = static_cast<const char*>(array.data());
      spread.type = *type;
      made.array_[i] = array;
    } else if (made.integers_) {
      if (!plain_integer(one, made.plain_[i].whole)) return {};
      spread.type = engine::Number::i64;
    } else if (!plain_number(one, made.plain_[i].real)) {
      return {};
    }
  }
  if (made.integers_) {
    PyObject* const endpoint = PyTuple_GET_ITEM(numbers.ptr(), 2);
    if (endpoint != Py_True && endpoint != Py_False) return {};
    made.endpoint_ = endpoint == Py_True;
  }
  return made;
}

std::optional<py::tuple> Differing::shape() const {
  std::vector<i64> sizes;
  for (std::size_t i = 0; i < given_; ++i) {
    if (!array_[i]) continue;
    const auto array = py::reinterpret_borrow<py::array>(array_[i]);
    const std::size_t rank = std::size_t(array.ndim());
    if (rank > sizes.size()) sizes.insert(sizes.begin(), rank - sizes.size(), 1);
    for (std::size_t a = 0; a < rank; ++a) {
      i64& size = sizes[sizes.size() - rank + a];
      const i64 own = array.shape(py::ssize_t(a));
      if (size == 1) size = own;
      if (own != 1 && own != size) return {};
    }
  }
  py::tuple made(sizes.size());
  for (std::size_t a = 0; a < sizes.size(); ++a) made[a] = py::int_(sizes[a]);
  return made;
}

bool Differing::suit(const Goal& goal) {
  const engine::Destination& d = goal.destination;
  counts_.clear();
  Extent written(d.data, element_bytes(d.element));
  for (const engine::Axis& axis : d.axes) {
    if (axis.count == 0) return false;
    counts_.push_back(axis.count);
    written.axis(axis.count, axis.bytes);
  }
  for (std::size_t i = 0; i < given_; ++i) {
    engine::Spread& spread = spread_[i];
    if (!array_[i]) {
      spread.data = reinterpret_cast<const char*>(&plain_[i]);
      spread.steps.assign(counts_.size(), 0);
      continue;
    }
    const auto array = py::reinterpret_borrow<py::array>(array_[i]);
    if (!broadcast(array, counts_, spread.steps)) return false;
    Extent read(spread.data, std::size_t(array.itemsize()));
    for (std::size_t a = 0; a < counts_.size(); ++a) read.axis(counts_[a], spread.steps[a]);
    if (read.meets(written)) return false;
  }

  const auto good = [&] {
    if (!integers_) return usual_reals(d.element);
    const engine::Between ends{spread_[0], spread_[1], endpoint_, counts_};
    if (d.element < Element::i8) return false;
    return goal.kind == 'b' ? engine::fits_bool_each(ends)
                            : engine::fits_each(ends, d.element, goal.kind == 'i');
  };
  if (goal.count <= kMostHeld) return good();
  const Released released;
  return good();
}

bool Differing::usual_reals(Element element) const {
  if (element >= Element::i8) return false;
  return engine::all_each(
      reals(), [&](std::span<const double> values) { return usual(law_, values, element); });
}

engine::Columns Differing::reals() const {
  i64 total = 1;
  for (const i64 count : counts_) total *= count;
  return {{spread_.data(), given_}, counts_, 0, total};
}

int Differing::tile_values(Element element) const {
  return integers_ ? kTileWords / 2 : fanin::tile_values(element);
}

void Differing::fill(const Source& source, const Goal& goal, int threads) const {
  const auto go = [&](int asked) {
    const engine::Destination& d = goal.destination;
    if (integers_)
      engine::fill_integers_each({spread_[0], spread_[1], endpoint_, counts_}, source, d, asked,
                                 {});
    else
      engine::fill_each(law_, reals(), source, d, asked, {});
  };
  if (goal.count <= kMostHeld) return go(1);
  const Released released;
  go(threads);
}

}  // namespace fanin::bindings
