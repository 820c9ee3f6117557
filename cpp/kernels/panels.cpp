// The panel table of one instruction set.
#include "kernels/panel.hpp"

namespace fanin::FANIN_ISA {

extern const PanelTable panels;
const PanelTable panels = {panel_kernels<float>(), panel_kernels<double>()};

}  // namespace fanin::FANIN_ISA
