// The words of a bit generator, read one by one by NumPy and by whole tiles by ourselves.
//
// numpy.random.BitGenerator's bridge is a state pointer and four functions, in the order of NumPy's
// public header numpy/random/bitgen.h. The Python class finds the structure in the capsule that
// NumPy's base class makes.
#include <cstring>
#include <limits>

#include "bindings/differing.hpp"
#include "bindings/door.hpp"
#include "bindings/numbers.hpp"
#include "bindings/register.hpp"
#include "engine/dispatch.hpp"
#include "engine/environment.hpp"
#include "engine/integers.hpp"
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

/// Where the words of one bit generator are read: its cursor. Whoever moves it holds the lock that
/// NumPy's methods hold meanwhile; a look at it is one step under the interpreter's lock.
class Cursor {
 public:
  static constexpr u64 kEnd = u64(1) << 63;  ///< words; every address of every dtype fits 63 bits

  /// Fills in the structure behind NumPy's capsule, which points to this object from then on.
  Cursor(const py::capsule& numpy, const py::object& lock, const Door& door)
      : acquire_(lock.attr("acquire")), release_(lock.attr("release")), door_(door) {
    void* const place = PyCapsule_GetPointer(numpy.ptr(), "BitGenerator");
    if (place == nullptr) throw py::error_already_set();
    *static_cast<NumpyBitGenerator*>(place) = {&words_, &next_uint64, &next_uint32, &next_double,
                                               &next_uint64};
  }

  void seek(const py::bytes& key, u64 id, u64 word) { words_.seek(source_from(key, id), word); }

  /// Key, id and number of the next word.
  py::tuple state() const {
    const Source& source = words_.source();
    return py::make_tuple(key_bytes(u128(source.key_low) | u128(source.key_high) << 64), source.id,
                          words_.tell());
  }

  /// Moves on to a whole tile, and past so many more. Returns key, id and that first tile.
  py::tuple take(u64 tiles) {
    const auto [source, tile] = next(tiles);
    return py::make_tuple(key_bytes(u128(source.key_low) | u128(source.key_high) << 64), source.id,
                          tile);
  }

  /// The next words from a whole tile on, as bytes, written where Python keeps them.
  py::object bytes(py::ssize_t length) {
    constexpr std::size_t word = sizeof(u64), per_tile = kTileWords * sizeof(u32);
    const auto made = py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, length));
    if (!made) throw py::error_already_set();
    const auto count = std::size_t(length);
    char* const data = PyBytes_AS_STRING(made.ptr());
    const auto [source, tile] = next((count + per_tile - 1) / per_tile);
    {
      const Released released;
      const engine::Plan words = engine::integers(0, 0, Element::i64);
      const u64 first = tile * u64(words.tile_values);
      engine::fill(words, source, {data, first, {{i64(count / word), word, 1}}, Element::i64}, 0,
                   {});
      if (const std::size_t rest = count % word; rest != 0) {
        alignas(64) u32 last[kTileWords];
        engine::table().words(source, tile + count / per_tile, 1, last);
        std::memcpy(data + count - rest,
                    reinterpret_cast<const char*>(last) + (count - rest) % per_tile, rest);
      }
    }
    return made;
  }

  /// The values of a law at the next whole tile, and past them; None for an unusual call, which
  /// moves nothing. A Python float if neither `size` nor `out` asks for an array.
  py::object draw(const std::string& law, const py::handle& numbers, const py::handle& size,
                  const py::handle& dtype, const py::handle& out) {
    if (dtype.is_none()) return py::none();
    if (differ(numbers)) return draw_each(law, numbers, size, dtype, out);
    if (size.is_none() && out.is_none()) {
      const auto kind = door_.kind(dtype);
      if (law == "integers") return kind ? integer(numbers, *kind) : py::none();
      if (!kind || (kind->element != Element::f64 && kind->element != Element::f32))
        return py::none();
      const auto plan = common_plan(law, numbers, kind->element, 'f');
      if (!plan) return py::none();
      return py::float_(kind->element == Element::f64 ? first_of<double>(*plan)
                                                      : double(first_of<float>(*plan)));
    }
    std::optional<Goal> goal = door_.open(size, dtype, out, py::none());
    if (!goal || goal->count == 0) return py::none();
    engine::Destination& d = goal->destination;
    const auto plan = common_plan(law, numbers, d.element, goal->kind);
    if (!plan) return py::none();
    const u64 per_tile = u64(plan->tile_values);
    const auto [source, tile] = next((u64(goal->count) + per_tile - 1) / per_tile);
    d.first = tile * per_tile;
    return door_.fill(*plan, source, *goal, 0);
  }

  /// The same where elements have parameters of their own.
  py::object draw_each(const std::string& law, const py::handle& numbers, const py::handle& size,
                       const py::handle& dtype, const py::handle& out) {
    auto own = Differing::read(law, numbers);
    if (!own) return py::none();
    py::object shape = py::reinterpret_borrow<py::object>(size);
    if (size.is_none() && out.is_none()) {
      const auto common = own->shape();
      if (!common) return py::none();
      shape = *common;
    }
    std::optional<Goal> goal =
        door_.open(shape, dtype, out, py::none(), std::numeric_limits<i64>::max());
    if (!goal || !own->suit(*goal)) return py::none();
    const u64 per_tile = u64(own->tile_values(goal->destination.element));
    const auto [source, tile] = next((u64(goal->count) + per_tile - 1) / per_tile);
    goal->destination.first = tile * per_tile;
    own->fill(source, *goal, 0);
    return door_.done(*goal);
  }

 private:
  /// The lock of the bit generator, for a C++ scope.
  class Locked {
   public:
    explicit Locked(const Cursor& cursor) : cursor_(cursor) {
      PyObject* const got =
          unless_ending([&] { return PyObject_CallNoArgs(cursor_.acquire_.ptr()); });
      if (got == nullptr) throw py::error_already_set();
      Py_DECREF(got);
    }
    ~Locked() {
      PyObject* const done = PyObject_CallNoArgs(cursor_.release_.ptr());
      if (done == nullptr) PyErr_Clear();
      Py_XDECREF(done);
    }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;

   private:
    const Cursor& cursor_;
  };

  py::object integer(const py::handle& numbers, const Kind& kind) {
    if (!common_plan("integers", numbers, kind.element, kind.letter)) return py::none();
    // Every dtype takes the same words, and 64 bits hold the numbers of all that are common.
    return kind.of_one(first_of<i64>(*common_plan("integers", numbers, Element::i64, 'i')));
  }

  u64 advance(u64 tiles) {
    const u64 first = words_.tell() / kTileWords + (words_.tell() % kTileWords != 0);
    if (first > kEnd / kTileWords || tiles > kEnd / kTileWords - first) {
      const std::string text = "a Generator ends after 2**58 tiles of 32 words; it stands at " +
                               std::to_string(first) + ": spawn one";
      PyErr_SetString(PyExc_OverflowError, text.c_str());
      throw py::error_already_set();
    }
    words_.seek(words_.source(), (first + tiles) * kTileWords);
    return first;
  }

  /// Moves past so many whole tiles; the words' source and the first of them.
  std::pair<Source, u64> next(u64 tiles) {
    const Locked locked(*this);
    const Source source = words_.source();
    return {source, advance(tiles)};
  }

  /// Value 0 of the next tile.
  template <class T>
  T first_of(const engine::Plan& plan) {
    const auto [source, tile] = next(1);
    alignas(64) T values[kTileWords * 8 / sizeof(T)];
    plan.fill(source, tile, 1, plan.params, values, false);
    return values[0];
  }

  const py::object acquire_, release_;
  const Door& door_;
  engine::WordReader words_;
};

}  // namespace

void register_bit_generator(py::module_& m) {
  const py::call_guard<engine::SteadyFloatingPoint> steady;
  py::class_<Cursor>(m, "Cursor", py::module_local())
      .def(py::init<const py::capsule&, const py::object&, const Door&>(), py::arg("numpy"),
           py::arg("lock"), py::arg("door"), py::keep_alive<1, 4>())
      .def("seek", &Cursor::seek, py::arg("key"), py::arg("id"), py::arg("word"))
      .def("state", &Cursor::state)
      .def("take", &Cursor::take, py::arg("tiles"))
      .def("bytes", &Cursor::bytes, py::arg("length"))
      .def("draw", &Cursor::draw, py::arg("law"), py::arg("numbers"), py::arg("size"),
           py::arg("dtype"), py::arg("out"), steady);
}

}  // namespace fanin::bindings
