"""Popular claims about initialisation, measured: one line each, beside what is true.

python examples/what_is_true.py
"""

from __future__ import annotations

import math

import numpy as np

import fanin
from fanin import propagation as p

FAN_IN, FAN_OUT = 1000, 500


def variance(name: str) -> float:
    weight = fanin.get(name)((FAN_IN, FAN_OUT), seed=0)
    return float(np.var(np.asarray(weight, np.float64)))


def lines() -> list[tuple[str, float, float]]:
    """What is asked, the answer that is often given, and the one that holds."""
    uniform = (math.sqrt(6) / (2 * math.sqrt(FAN_IN + FAN_OUT))) ** 2 / 3
    relu = p.propagate("relu", 20, weight_var=2.0, c0=0.0)
    return [
        ("variance of He's uniform weights, in units of 2 / fan_in",
         uniform * FAN_IN / 2, variance("he_uniform") * FAN_IN / 2),
        ("variance of LeCun's uniform weights, in units of 1 / fan_in",
         1 / 3, variance("lecun_uniform") * FAN_IN),
        ("deviation of a unit normal cut at two deviations",
         1.0, fanin.truncated_normal_std(-2, 2)),
        ("the gain that keeps q = 1 for tanh", 5 / 3, float(fanin.gain("tanh"))),
        ("the gain that keeps gradients at q = 1 for tanh",
         float(fanin.gain("tanh")), float(fanin.gain("tanh", kind="backward"))),
        ("factor of q in a layer of gelu under He's weights",
         1.0, float(p.variance_map(1.0, "gelu", weight_var=2.0))),
        ("correlation of two inputs after 20 layers of relu, 0 at first", 0.0, float(relu.c[20])),
    ]  # fmt: skip


if __name__ == "__main__":
    print(f"{'':64}{'said':>8}{'true':>8}")
    for question, said, true in lines():
        print(f"{question:64}{said:8.3f}{true:8.3f}")
