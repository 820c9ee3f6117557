// Parameters of a law some of which are arrays: the quick way of calls whose elements have
// parameters of their own.
#pragma once
#include <array>
#include <optional>
#include <string>

#include "bindings/door.hpp"
#include "engine/fill.hpp"

namespace fanin::bindings {

/// An array of integers that broadcasts to an array of `counts`.
engine::Spread spread_over(const py::array& array, std::span<const i64> counts);

/// Whether a NumPy array of one axis or more is among the parameters.
bool differ(const py::handle& numbers);

/// The parameters of one call. Integers take two numbers and whether the second can itself occur.
class Differing {
 public:
  /// Nothing if one is neither a plain number nor a plain array of numbers of at most 64 bits, in
  /// the machine's order.
  static std::optional<Differing> read(const std::string& law, const py::handle& numbers);

  /// The shape to which they broadcast; nothing if they do not.
  std::optional<py::tuple> shape() const;

  /// Ready to fill a goal: false if they do not broadcast to it, or share memory with it, or
  /// hold something unusual or wrong.
  bool suit(const Goal& goal);

  int tile_values(Element element) const;

  /// Writes the values of a goal that suits.
  void fill(const Source& source, const Goal& goal, int threads) const;

 private:
  union Plain {
    double real;
    i64 whole;
  };
  bool usual_reals(Element element) const;
  engine::Columns reals() const;

  std::string law_;
  bool integers_ = false, endpoint_ = false;
  std::size_t given_ = 0;
  std::array<Plain, engine::kMostArguments> plain_{};
  std::array<py::object, engine::kMostArguments> array_;  ///< null for a plain number
  std::array<engine::Spread, engine::kMostArguments> spread_;
  std::vector<i64> counts_;
};

}  // namespace fanin::bindings
