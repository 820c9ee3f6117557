"""The edge of chaos of an activation, with its picture.

In the ordered phase gradients vanish with depth, in the chaotic one they explode; networks that
train deep lie near the edge between the two (Poole et al. 2016; Schoenholz et al. 2017). Run
``python examples/edge_of_chaos.py --activation tanh --out tanh-phase.png``; it needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import fanin
from fanin import propagation


def main() -> None:
    """Compute the diagram, draw it, print some of the edge."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--activation", default="tanh")
    options.add_argument("--out", type=Path, default=Path("tanh-phase.png"))
    chosen = options.parse_args()

    weight_var, bias_var = np.linspace(0.5, 4.0, 400), np.linspace(0.0, 0.5, 300)
    diagram = propagation.phase_diagram(chosen.activation, weight_var, bias_var)
    figure = diagram.plot(title=f"{chosen.activation}: order and chaos")
    figure.savefig(chosen.out, dpi=90)

    edge = propagation.critical(chosen.activation, bias_var=[0.01, 0.05, 0.1, 0.2])
    for weight, bias, q in zip(edge.weight_var, edge.bias_var, edge.q, strict=True):
        print(f"bias_var {bias:4.2f}  weight_var {weight:.6f}  q* {q:.4f}")
    print(f"{chosen.out}, fanin {fanin.__version__}")


if __name__ == "__main__":
    main()
