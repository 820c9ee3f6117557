"""Every case of `fanin/_bench/cases.py` under pytest-benchmark, for regressions of one machine.

pytest bench --benchmark-autosave                      # then, after a change:
pytest bench --benchmark-compare --benchmark-compare-fail=min:10%
pytest bench -k "fanin and normal" --benchmark-histogram=normal
pytest bench --benchmark-disable --megabytes 1         # once each, with the moments asserted

A case is a group. Its contenders run one after the other, so a ratio of two of them is not a
claim: those come from the scripts beside this file, where they take turns.
"""

from __future__ import annotations

from typing import Any

import pytest

from fanin._bench.cases import CASES, Case, Setting
from fanin._bench.contenders import installed
from fanin._bench.timing import check

#: What a peer is imported from.
MODULES = {"fanin": "fanin", "NumPy": "numpy", "randompack": "randompack", "oneMKL": "mkl",
           "torch": "torch", "JAX": "jax", "Keras": "keras"}  # fmt: skip
PAIRS = [
    (case, peer)
    for case in CASES.values()
    for peer in ("fanin", *case.peers)
    if installed(MODULES[peer])
]


@pytest.mark.parametrize(
    ("case", "peer"), PAIRS, ids=[f"{case.name} {peer}" for case, peer in PAIRS]
)
def test_speed(benchmark: Any, setting: Setting, case: Case, peer: str) -> None:
    """Of a peer with several ways the first: the best needs turns with the others."""
    benchmark.group = f"{case.name}, {setting.threads} thr"
    one = case.contender(peer, setting)
    try:
        check(one)
    except AssertionError as wrong:
        if peer == "fanin":
            raise
        # A peer that makes something else is timed under another name.
        benchmark.group += " (wrong moments)"
        benchmark.extra_info["flaw"] = str(wrong)
    benchmark.extra_info["values"] = one.values
    benchmark(one.run)
