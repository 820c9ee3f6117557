"""Variance propagation: points per second, against quadratures that others use.

python bench/bench_propagation.py --threads 1 2 --json bench/results/propagation.json
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import main, timed

import fanin
from fanin._bench import Report, Row
from fanin._peers import Contender

p = fanin.propagation
# Activations and the pairs (V, chi) a second required of one core with AVX-512.
PAIRS = {"tanh": 2e7, "sigmoid": 2e7, "erf": 2e7, "gelu": 2e7, "sin": 2e7, "elu": 2e7,
         "silu": 1e7, "mish": 1e7, "softplus": 1e7, "relu": 1e7, "hardtanh": 1e7}  # fmt: skip
COVARIANCES = {"relu": 2e7, "erf": 2e7, "gelu": 2e7, "tanh": 5e5, "silu": 1e5, "mish": 1e5}
POINTS = 1 << 18
NODES = 100_000


def contender(peer: str, what: str, run: Callable[[], Any], count: int, threads: int) -> Contender:
    """A call of ours or of a peer's."""
    return Contender(peer, what, f"{threads} thr", run, count)


def rate(report: Report, choice: argparse.Namespace, ours: Contender, theirs: list[Contender],
         required: float | None) -> None:  # fmt: skip
    """Millions of points a second, ours against each of the others."""
    timing = timed(report, choice, [ours, *theirs])
    speed = {c.name: c.values / timing.seconds[c.name] / 1e6 for c in (ours, *theirs)}
    for other in theirs or [ours]:
        report.rows.append(
            Row(
                ours.what,
                speed[ours.name],
                speed[other.name],
                "Mpoint/s",
                other.name,
                speed[ours.name] / (speed[other.name] if theirs else 1.0),
                "x" if theirs else "Mpoint/s",
                1000.0 if other.peer == "scipy.quad" else required,
            )
        )


def moments(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """(V, chi) pairs."""
    fanin.runtime.set_threads(threads)
    q = np.random.default_rng(0).uniform(0.1, 4.0, POINTS)
    for name, required in PAIRS.items():

        def pair(name: str = name) -> Any:
            p.variance_map(q, name, weight_var=1.5, bias_var=0.1)
            return p.chi(q, name, weight_var=1.5)

        needed = required / 1e6 if threads == 1 else None
        ours = contender("fanin", f"(V, chi) {name}", pair, POINTS, threads)
        rate(report, choice, ours, [], needed)


def _by_quad(q: float) -> tuple[float, float]:
    """(F, mu) of tanh as scripts compute them, by scipy.integrate.quad."""
    from scipy import integrate

    root, norm = math.sqrt(q), 1 / math.sqrt(2 * math.pi)

    def second(z: float) -> float:
        return norm * math.exp(-z * z / 2) * math.tanh(root * z) ** 2

    def slope(z: float) -> float:
        return norm * math.exp(-z * z / 2) / math.cosh(root * z) ** 4

    return integrate.quad(second, -30, 30)[0], integrate.quad(slope, -30, 30)[0]


def against_quadrature(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """tanh against scipy.integrate.quad and against a fixed rule of 100 000 nodes."""
    fanin.runtime.set_threads(threads)
    few = np.linspace(0.2, 4.0, 16)
    q = np.random.default_rng(0).uniform(0.1, 4.0, POINTS)
    edges = np.linspace(-10, 10, NODES + 1)
    z = (edges[1:] + edges[:-1]) / 2
    weight = np.exp(-z * z / 2) * (20 / NODES) / math.sqrt(2 * math.pi)

    def rule(at: float) -> tuple[float, float]:
        t = np.tanh(math.sqrt(at) * z)
        square = t * t
        return float(weight @ square), float(weight @ (1 - square) ** 2)

    def ours() -> Any:
        return p.variance_map(q, "tanh", weight_var=1.0), p.chi(q, "tanh", weight_var=1.0)

    # All three compute the same numbers before they are timed.
    for at in few[::5]:
        m = p.moments(at, "tanh")
        here = float(m.second), float(m.slope_second)
        for other, digits in ((_by_quad(float(at)), 1e-7), (rule(float(at)), 1e-10)):
            if not np.allclose(here, other, rtol=digits, atol=0):
                raise SystemExit(f"moments of tanh at {at}: {here} and {other}")
    own = contender("fanin", "(V, chi) tanh", ours, POINTS, threads)
    places = [float(x) for x in few]
    quad = contender("scipy.quad", "tanh", lambda: [*map(_by_quad, places)], few.size, threads)
    nodes = contender("100000 nodes", "tanh", lambda: [*map(rule, places)], few.size, threads)
    rate(report, choice, own, [quad, nodes], None)


def covariances(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """E phi(u) phi(v) at c = 1/2 with two variances up to 4, and along c at one variance."""
    fanin.runtime.set_threads(threads)
    rng = np.random.default_rng(1)
    count = POINTS // 8
    q1, q2 = rng.uniform(0.1, 4.0, (2, count))
    for name, required in COVARIANCES.items():

        def half(name: str = name) -> Any:
            return p.covariance(q1, q2, 0.5, name)

        ours = contender("fanin", f"covariance c=.5 {name}", half, count, threads)
        ours.run()  # tables are made once
        rate(report, choice, ours, [], required / 1e6 if threads == 1 else None)
    c = rng.uniform(-1, 1, POINTS)
    for name in ("tanh", "silu"):

        def along(name: str = name) -> Any:
            return p.covariance(1.0, 1.0, c, name)

        ours = contender("fanin", f"covariance along c {name}", along, POINTS, threads)
        ours.run()
        rate(report, choice, ours, [], 50.0 if threads == 1 else None)


def diagrams(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Phase diagrams of tanh: all of q*, c*, chi, phase and depth scales."""
    fanin.runtime.set_threads(threads)
    weight_var, bias_var = np.linspace(0.5, 4, 500), np.linspace(0, 0.5, 500)

    def diagram() -> Any:
        return p.phase_diagram("tanh", weight_var, bias_var)

    ours = contender("fanin", "phase diagram tanh 500 x 500", diagram, 250_000, threads)
    rate(report, choice, ours, [], None)


if __name__ == "__main__":
    parts = {
        "moments": moments,
        "quadrature": against_quadrature,
        "covariances": covariances,
        "diagrams": diagrams,
    }
    raise SystemExit(main("propagation", __doc__ or "", parts))
