// Which kernel table runs: detected once, listed, forced.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "core/table.hpp"

namespace fanin::engine {

/// Names this machine can run, best first.
std::vector<std::string> isas();

/// The table in use. The first call reads FANIN_ISA; throws std::invalid_argument if it names none
/// of isas().
const KernelTable& table();

/// Takes another table from now on; throws std::invalid_argument for a name not in isas().
void set_isa(const std::string& name);

/// One of the kernels' float64 functions at one point.
double evaluate(const char* function, double x);
/// The same at many points.
void evaluate(const char* function, const double* in, double* out, std::size_t count);

}  // namespace fanin::engine
