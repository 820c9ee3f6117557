// The quick way into a draw: everything that is checked of a common call, in one step.
//
// Whatever is unusual or wrong is left alone, and the caller then goes the way that checks and
// explains: so nothing here raises what the arguments deserve, and what is taken here is taken
// there too, with the same values.
#pragma once
#include <optional>
#include <string>

#include "bindings/arrays.hpp"

namespace fanin::bindings {

inline constexpr i64 kMostNew = 16384;  ///< values in new memory; more of it is mapped with care

/// Where a common call writes and what it returns.
struct Goal {
  py::object result;
  engine::Destination destination;
  i64 count = 1;
  char kind = 'f';       ///< NumPy's letter of the dtype: tells signed integers from unsigned ones
  bool watched = false;  ///< whether somebody counts how often the result's memory is written
};

/// A dtype as a caller may say it.
struct Kind {
  Element element;
  char letter;        ///< NumPy's: tells signed integers from unsigned ones
  py::handle of_one;  ///< makes a scalar of a Python number
};

class Door {
 public:
  /// `dtypes`: what a caller may say for a dtype -> (the dtype, its Element, what makes a scalar).
  /// `view`: an array on the memory of an `out` that is no array, or None; `touched`: tells its
  /// owner of a change.
  Door(py::dict dtypes, py::type stream, py::type spawner, py::object as_stream, py::object view,
       py::object touched)
      : dtypes_(std::move(dtypes)),
        stream_(std::move(stream)),
        spawner_(std::move(spawner)),
        as_stream_(std::move(as_stream)),
        view_(std::move(view)),
        touched_(std::move(touched)) {}

  /// The values of a stream, from element 0 of the full array on; None for an unusual call.
  py::object draw(const std::string& law, const py::handle& numbers, const py::handle& shape,
                  const py::handle& seed, const py::handle& dtype, const py::handle& out,
                  const py::handle& index, const py::handle& threads) const;

  /// The same for a law and numbers that known(shape, layout, gain, *arguments, **named) gives. It
  /// may keep them: what it is asked here are values that do not change.
  py::object draw_known(const py::object& known, const py::tuple& arguments, const py::dict& named,
                        const py::handle& layout, const py::handle& gain, const py::handle& shape,
                        const py::handle& seed, const py::handle& dtype, const py::handle& out,
                        const py::handle& index, const py::handle& threads) const;

  /// Shape, dtype, out and index, and memory if there is no out. Without a shape that of `out`.
  std::optional<Goal> open(const py::handle& shape, const py::handle& dtype, const py::handle& out,
                           const py::handle& index, i64 most_new = kMostNew) const;

  std::optional<Kind> kind(const py::handle& dtype) const;

  /// Tells the owner of the memory, if somebody counts, and returns what the call returns.
  py::object done(const Goal& goal) const;

  /// Writes the values and returns what the call returns. Many of them without the interpreter's
  /// lock and by `threads` (0: the default).
  py::object fill(const engine::Plan& plan, const Source& source, const Goal& goal,
                  int threads) const;

 private:
  /// The dtype's entry, borrowed from the table; null for an unusual one.
  PyObject* known(const py::handle& dtype) const;
  std::optional<py::array> array_of(const py::handle& out) const;

  py::dict dtypes_;
  py::type stream_, spawner_;
  py::object as_stream_, view_, touched_;
};

/// Whether these are parameters that every way takes.
bool usual(const std::string& law, std::span<const double> values, Element element);

/// The law with parameters that every way takes; nothing where one is unusual or wrong.
std::optional<engine::Plan> common_plan(const std::string& law, const py::handle& numbers,
                                        Element element, char kind);

}  // namespace fanin::bindings
