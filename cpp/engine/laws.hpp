// From a law's name and its arguments to a kernel row and its constants.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "core/table.hpp"

namespace fanin::engine {

struct Plan {
  FillFn fill = nullptr;
  Params params;
  const char* law = nullptr;  ///< the kernel row that was chosen
  int tile_values = 0;        ///< values made from the 32 words of one tile
};

/// The most arguments that a law has, and how many this one has.
inline constexpr std::size_t kMostArguments = 4;
inline std::size_t argument_count(std::string_view law) {
  return law == "truncated_normal" ? kMostArguments : 2;
}

/// Laws and their arguments, all in float64:
///   uniform           (low, high)
///   normal            (loc, scale), and for complex fills the imaginary part of loc
///   truncated_normal  (loc, scale, low, high), bounds in units of scale
///   exponential       (loc, scale)
///   laplace           (loc, scale)
/// Throws std::invalid_argument if no value of the destination type lies within the bounds.
Plan plan(const std::string& law, std::span<const double> arguments, Element element);

/// Makes a plan that of other arguments of its law; cheap where these are a loc and a scale.
void change(Plan& made, const std::string& law, std::span<const double> arguments, Element element);

/// Throws what plan() throws, without what makes a plan dear.
void check(const std::string& law, std::span<const double> arguments, Element element);

/// Standard deviation of the unit normal cut to [low, high]; either bound may be infinite.
double truncated_normal_std(double low, double high);

}  // namespace fanin::engine
