"""Variance propagation: points per second, beside quadratures that others use.

python bench/bench_propagation.py --threads 1 2 --save
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import first_touch, main, timed

import fanin
from fanin._bench.contenders import Contender
from fanin._bench.timing import Report, Row

p = fanin.propagation
# Pairs (V, chi) a second that one core with AVX-512 is asked for: 2e7 of some, 1e7 of the others.
FAST = ("tanh", "sigmoid", "erf", "gelu", "sin", "elu")
CLOSED = ("relu", "leaky_relu", "abs", "squared_relu", "erf", "gelu", "sin", "cos")
COVARIANCES = {**dict.fromkeys(CLOSED, 20.0), "tanh": 0.5, "silu": 0.1, "mish": 0.1}
POINTS = 1 << 16
NODES = 100_000


def contender(peer: str, what: str, run: Callable[[], Any], count: int, threads: int) -> Contender:
    """A call of ours or of a peer's."""
    return Contender(peer, what, f"{threads} thr", run, count)


def rate(report: Report, choice: argparse.Namespace, ours: Contender, asked: float | None) -> None:
    """Millions of points a second, beside the rate asked for."""
    speed = ours.values / timed(report, choice, [ours]).seconds[ours.name] / 1e6
    theirs = speed if asked is None else asked
    against = "itself: no rate is asked for" if asked is None else "the rate asked for"
    required = None if asked is None else 1.0
    title = f"{ours.what}, {ours.how}"
    report.rows.append(Row(title, speed, theirs, "M/s", against, speed / theirs, "x", required))


def duration(
    report: Report, choice: argparse.Namespace, ours: Contender, asked: float, nbytes: int = 0
) -> None:
    """Seconds, beside the time asked for and the first touch of the memory that it fills."""
    contenders = [ours]
    if nbytes:
        [threads] = choice.threads
        contenders.append(first_touch(nbytes, ours.values, threads))
    timing = timed(report, choice, contenders)
    title, seconds = f"{ours.what}, {ours.how}", timing.seconds[ours.name]
    report.rows.append(Row(title, seconds, asked, "s", "the time asked for", seconds / asked,
                           "of it", 1.0, at_most=True))  # fmt: skip
    for touch in contenders[1:]:
        limit = timing.seconds[touch.name]
        report.rows.append(Row(title, seconds, limit, "s", touch.name, seconds / limit, "of it"))


def ratios(report: Report, choice: argparse.Namespace, ours: Contender,
           peers: dict[str, tuple[Contender, float | None]]) -> None:  # fmt: skip
    """Millions of points a second beside those of others, in turns."""
    timing = timed(report, choice, [ours, *(peer for peer, _ in peers.values())])
    own = 1e3 * timing.rate(ours.name)
    for name, (peer, required) in peers.items():
        other = 1e3 * timing.rate(peer.name)
        title = f"{ours.what}, {ours.how}"
        report.rows.append(Row(title, own, other, "M/s", name, own / other, "x", required))


def moments(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """(V, chi) pairs of every activation, q in 0.1 to 4."""
    fanin.runtime.set_threads(threads)
    q = np.random.default_rng(0).uniform(0.1, 4.0, POINTS)
    for name in fanin.activations():
        if name in ("step", "sign"):  # chi of a jump is infinite
            continue

        def pair(name: str = name) -> Any:
            first = p.variance_map(q, name, weight_var=1.5, bias_var=0.1)
            return first, p.chi(q, name, weight_var=1.5)

        asked = (20.0 if name in FAST else 10.0) if threads == 1 else None
        rate(report, choice, contender("fanin", f"(V, chi) {name}", pair, POINTS, threads), asked)


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
    """tanh beside scipy.integrate.quad and beside a fixed rule of 100 000 nodes."""
    fanin.runtime.set_threads(threads)
    places = [float(x) for x in np.linspace(0.2, 4.0, 16)]
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
    for at in places[::5]:
        m = p.moments(at, "tanh")
        here = float(m.second), float(m.slope_second)
        for other, digits in ((_by_quad(at), 1e-7), (rule(at), 1e-10)):
            if not np.allclose(here, other, rtol=digits, atol=0):
                raise SystemExit(f"moments of tanh at {at}: {here} and {other}")
    count = len(places)
    quad = contender("scipy.quad", "tanh", lambda: [*map(_by_quad, places)], count, 1)
    nodes = contender("100 000 nodes", "tanh", lambda: [*map(rule, places)], count, 1)
    own = contender("fanin", "(V, chi) tanh", ours, POINTS, threads)
    peers = {"scipy.integrate.quad": (quad, 1000.0), "NumPy, 100 000 nodes": (nodes, None)}
    ratios(report, choice, own, peers)


def _neural_tangents(report: Report, threads: int) -> tuple[Any, Any] | None:
    """jax, in float64, and stax; None, and a note, where they are not installed or for one thread,
    because XLA takes as many as there are CPUs."""
    if threads != 2:
        return None
    try:
        import jax
        from neural_tangents import stax
    except ImportError as error:
        report.notes.append(f"neural-tangents is not here: {error}")
        return None
    fanin.runtime.set_threads(threads)
    jax.config.update("jax_enable_x64", True)
    return jax, stax


def against_neural_tangents(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Covariances of all pairs of 1000 inputs beside neural-tangents, where it is installed."""
    found = _neural_tangents(report, threads)
    if found is None:
        return
    jax, stax = found
    count = 1000
    x = np.random.default_rng(0).standard_normal((count, 100))
    gram = x @ x.T / 100
    q = np.diag(gram)
    q1, q2, c = np.broadcast_arrays(q[:, None], q, gram / np.sqrt(np.outer(q, q)))
    layers = {"relu": stax.Relu(), "erf": stax.Erf(), "gelu": stax.Gelu(approximate=False)}
    for name, layer in layers.items():
        kernel = stax.serial(stax.Dense(100), layer)[2]
        compiled = jax.jit(lambda a, k=kernel: k(a, None, "nngp"))

        def theirs(compiled: Any = compiled) -> Any:
            return compiled(x).block_until_ready()

        def ours(name: str = name) -> Any:
            return p.covariance(q1, q2, c, name)

        if not np.allclose(theirs(), ours(), rtol=1e-6, atol=1e-9):
            raise SystemExit(f"covariances of {name} differ from neural-tangents'")
        own = contender("fanin", f"covariance {name}, 1000 x 1000 pairs", ours, count**2, threads)
        peer = contender("neural-tangents", name, theirs, count**2, threads)
        ratios(report, choice, own, {"neural-tangents (jit, with the Gram matrix)": (peer, None)})


#: Equal to this, and times as fast: what is asked of kernels beside neural-tangents.
KERNEL_DIGITS, KERNEL_SPEED = 1e-11, 1.3


def kernels_beside_neural_tangents(
    report: Report, choice: argparse.Namespace, threads: int
) -> None:
    """NNGP and NTK of all pairs of two sets of inputs, dense and convolutional, both at once."""
    found = _neural_tangents(report, threads)
    if found is None:
        return
    jax, stax = found
    rng, weight, bias, depth = np.random.default_rng(0), 1.7, 0.1, 3
    std = {"W_std": math.sqrt(weight), "b_std": math.sqrt(bias)}
    layers = {"relu": stax.Relu, "erf": stax.Erf}

    def peer_of(first: Any, last: list[Any], phi: str, x: Any, y: Any) -> Any:
        rows = [layer for _ in range(depth) for layer in (first(), layers[phi]())]
        kernel = stax.serial(*rows, *last, stax.Dense(1, **std))[2]
        compiled = jax.jit(lambda a, b: kernel(a, b, ("nngp", "ntk")))
        return lambda: jax.block_until_ready(compiled(x, y))

    def convolution(padding: str) -> Any:
        return lambda: stax.Conv(1, (3, 3), padding=padding, **std)

    features, images = (
        (rng.standard_normal((800, 100)) for _ in range(2)),
        (rng.standard_normal((64, 12, 12, 3)) for _ in range(2)),
    )
    dense, pictures = tuple(features), tuple(images)
    flat, mean = [stax.Flatten()], [stax.GlobalAvgPool()]
    small = tuple(part[:24, :8, :8] for part in pictures)
    cases: list[tuple[str, Any, list[Any], tuple[Any, Any], dict[str, Any]]] = [
        ("dense, 800 x 800", lambda: stax.Dense(1, **std), [], dense, {}),
        ("3 x 3 circular, flattened, 64 x 64 images of 12 x 12", convolution("CIRCULAR"), flat,
         pictures, {"kernel": 3}),
        ("3 x 3 zero-padded, mean, 24 x 24 images of 8 x 8", convolution("SAME"), mean, small,
         {"kernel": 3, "padding": "zero", "readout": "mean"}),
    ]  # fmt: skip
    for title, first, last, (x, y), given in cases:
        for phi in layers:
            theirs = peer_of(first, last, phi, x, y)

            def ours(x: Any = x, y: Any = y, phi: str = phi, given: Any = given) -> Any:
                return p.kernels(x, phi, depth, weight_var=weight, bias_var=bias, x2=y, **given)

            mine, other = ours(), theirs()
            for a, b in ((mine.covariance, other.nngp), (mine.tangent, other.ntk)):
                if not np.allclose(a, b, rtol=KERNEL_DIGITS, atol=0):
                    worst = float(np.max(np.abs(a / np.asarray(b) - 1)))
                    raise SystemExit(f"kernels of {phi}, {title}: off by {worst}")
            count, what = len(x) * len(y), f"NNGP and NTK of {phi}, {title}"
            own = contender("fanin", what, ours, count, threads)
            peer = contender("neural-tangents", what, theirs, count, threads)
            ratios(report, choice, own, {"neural-tangents (jit)": (peer, KERNEL_SPEED)})


def covariances(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """E phi(u) phi(v) at c = 1/2 with two variances up to 4, and along c at one variance."""
    fanin.runtime.set_threads(threads)
    rng = np.random.default_rng(1)
    for name, asked in COVARIANCES.items():
        count = POINTS if name in CLOSED else POINTS // 64
        q1, q2 = rng.uniform(0.1, 4.0, (2, count))

        def half(name: str = name, q1: Any = q1, q2: Any = q2) -> Any:
            return p.covariance(q1, q2, 0.5, name)

        ours = contender("fanin", f"covariance at c = 1/2, {name}", half, count, threads)
        rate(report, choice, ours, asked if threads == 1 else None)
    c = rng.uniform(-1, 1, 16 * POINTS)
    for name in ("tanh", "silu", "elu", "gelu", "relu"):

        def along(name: str = name) -> Any:
            return p.covariance(1.0, 1.0, c, name)

        ours = contender("fanin", f"covariance along c, {name}", along, c.size, threads)
        rate(report, choice, ours, 50.0 if threads == 1 else None)


def batches(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """A million lanes through 100 layers, and phase diagrams of a million points; two threads."""
    if threads != 2:
        return
    fanin.runtime.set_threads(threads)
    q0 = np.random.default_rng(0).uniform(0.1, 4.0, 1_000_000)

    def layers() -> Any:
        return p.propagate("tanh", 100, weight_var=1.5, bias_var=0.1, q0=q0)

    grids = np.linspace(0.5, 4, 1000), np.linspace(0, 0.5, 1000)

    def points() -> Any:
        return p.phase_diagram("tanh", *grids)

    def whole() -> Any:
        diagram = p.phase_diagram("tanh", *grids)
        return diagram.c, diagram.xi_c

    for what, run, count, asked, nbytes in (
        ("tanh, 1e6 points through 100 layers", layers, 10**8, 1.0, 8 * 101 * q0.size),
        ("tanh, 1000 x 1000 diagram: q*, chi, phase", points, 10**6, 2.0, 0),
        ("tanh, 1000 x 1000 diagram: with c* and xi_c", whole, 10**6, 20.0, 0),
    ):
        duration(report, choice, contender("fanin", what, run, count, threads), asked, nbytes)


def simulations(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Networks of explicit float32 weights, forward and backward; two threads."""
    if threads != 2:
        return
    fanin.runtime.set_threads(threads)

    def simulated() -> Any:
        shape = {"depth": 100, "width": 1000, "inputs": 64, "networks": 32}
        return p.simulate("tanh", **shape, weight_var=1.5, bias_var=0.1, seed=0)

    what = "simulate, 100 layers x 1000 units x 64 inputs x 32 networks"
    duration(report, choice, contender("fanin", what, simulated, 32, threads), 15.0)


if __name__ == "__main__":
    parts = {
        "moments": moments,
        "quadrature": against_quadrature,
        "neural_tangents": against_neural_tangents,
        "kernels": kernels_beside_neural_tangents,
        "covariances": covariances,
        "batches": batches,
        "simulations": simulations,
    }
    raise SystemExit(main("propagation", __doc__ or "", parts))
