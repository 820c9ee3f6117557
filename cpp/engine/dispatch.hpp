// Which kernel table runs: detected once, listed, forced.
#pragma once
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

/// The table that every machine runs, whatever FANIN_ISA says.
const KernelTable& baseline_table();

/// Kinds of CPUs whose stores differ. It may decide what is fast, never what is made.
enum class Cpu { amd_before_zen_5, amd, other };
Cpu cpu();

}  // namespace fanin::engine
