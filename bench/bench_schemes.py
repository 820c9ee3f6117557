"""Every scheme of the table, beside NumPy's normal of the same shape and torch's same scheme.

python bench/bench_schemes.py --threads 1 --save

The rows follow from `fanin.schemes()`: each scheme's own example, whose sides are made 16 times as
long where the values are independent. All write into memory that is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import main, timed

import fanin
from fanin._bench.contenders import Contender, installed
from fanin._bench.timing import Report, Row

LONGER = 16
# Values that a turn makes at least, in as many calls as that takes.
VALUES = 1 << 16
# torch's function for a scheme, called with the tensor.
TORCH = {
    "zeros": ("zeros_", {}),
    "ones": ("ones_", {}),
    "eye": ("eye_", {}),
    "glorot_normal": ("xavier_normal_", {}),
    "glorot_uniform": ("xavier_uniform_", {}),
    "he_normal": ("kaiming_normal_", {"nonlinearity": "relu"}),
    "he_uniform": ("kaiming_uniform_", {"nonlinearity": "relu"}),
    "lecun_normal": ("kaiming_normal_", {"nonlinearity": "linear"}),
    "lecun_uniform": ("kaiming_uniform_", {"nonlinearity": "linear"}),
    "torch_linear_default": ("kaiming_uniform_", {"a": 5**0.5}),
    "sparse": ("sparse_", {"sparsity": 0.9}),
    "orthogonal": ("orthogonal_", {}),
}


def repeated(peer: str, what: str, how: str, call: Callable[[], Any], size: int) -> Contender:
    """Enough calls for a reading of the clock."""
    calls = max(1, VALUES // max(size, 64))

    def run() -> None:
        for _ in range(calls):
            call()

    return Contender(peer, what, how, run, calls)


def arguments(row: Any) -> dict[str, Any]:
    """Those of the example, larger where that changes nothing but the size."""
    chosen = dict(row.example)
    shape = chosen["shape"]
    if row.law is not None and not isinstance(shape, int) and len(shape) == 2:
        chosen["shape"] = tuple(LONGER * side for side in shape)
    return chosen


def assert_spread(name: str, made: Any, expected: float | None) -> None:
    """The std of what somebody made, to a twentieth, where the scheme says it."""
    values = np.asarray(made)
    if expected and values.size > 4096:
        found = float(np.sqrt(np.mean(np.abs(values.astype(np.complex128)) ** 2)))
        assert abs(found / expected - 1) < 0.05, f"{name}: std {found:.4g}, not {expected:.4g}"


def every_scheme(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """One line for each peer of each scheme, in microseconds a call."""
    for name, row in fanin.schemes().items():
        _one_scheme(report, choice, threads, name, row)


def _one_scheme(
    report: Report, choice: argparse.Namespace, threads: int, name: str, row: Any
) -> None:
    given = arguments(row)
    scheme = getattr(fanin, name)
    made = scheme(**given, seed=0)
    shape, dtype = made.shape, made.dtype
    what = f"{name}, {' x '.join(map(str, shape))}"
    ours = repeated(
        "fanin",
        what,
        f"{threads} thr",
        lambda: scheme(**given, seed=0, out=made, threads=threads),
        made.size,
    )
    law_of = {key: value for key, value in given.items() if key not in ("shape", "index")}
    expected = row.expected_std(given["shape"], **law_of) if row.law is not None else None
    assert_spread(ours.name, made, expected)
    generator, room = np.random.Generator(np.random.SFC64(0)), np.empty(shape, np.float32)
    others = [
        repeated("NumPy", what, "standard_normal, SFC64",
                 lambda: generator.standard_normal(dtype=np.float32, out=room), made.size)
    ]  # fmt: skip
    if name in TORCH and "torch" in choice.peers and installed("torch"):
        import torch

        torch.set_num_threads(threads)
        function, options = TORCH[name]
        # torch's matrices are (out, in): the fans of ours.
        weight = torch.empty(*reversed(shape)) if len(shape) == 2 else torch.empty(*shape)
        fill = getattr(torch.nn.init, function)
        assert_spread(f"torch {function}", fill(weight, **options).numpy(), expected)
        others.append(repeated("torch", what, function, lambda: fill(weight, **options), made.size))
    timing = timed(report, choice, [ours, *others])
    own = 1e6 * timing.seconds[ours.name] / ours.values
    for other in others:
        theirs = 1e6 * timing.seconds[other.name] / other.values
        title = f"{what}, {np.dtype(dtype).name}, {ours.how}"
        report.rows.append(Row(title, own, theirs, "us", other.name, theirs / own))


if __name__ == "__main__":
    raise SystemExit(main("schemes", __doc__ or "", {"schemes": every_scheme}))
