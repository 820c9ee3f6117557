"""docs/migration.md: every call in its column "here" runs, and does what the page says of it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fanin

PAGE = Path(__file__).resolve().parents[1] / "docs" / "migration.md"
#: Calls of the adapters run where their frameworks are: tests/frameworks/test_migration.py.
ADAPTER = re.compile(r"fanin(\.(torch|keras|jax|dask)\b|>)")


def names() -> dict[str, Any]:
    """The names that the page uses."""
    first_rows = lambda shape, sharding, callback: callback((slice(0, 2), slice(None)))  # noqa: E731
    return {
        "np": np, "fanin": fanin, "s": fanin.Stream(0), "rng": fanin.default_rng(0),
        "jax": SimpleNamespace(make_array_from_callback=first_rows), "sharding": None,
        "shape": (96, 64), "kernel": (8, 6, 3, 3),
        "w": np.full((96, 64), np.nan, np.float32), "n": 5, "i": 3, "g": 2,
        "mean": 0.1, "std": 0.2, "a": -1, "b": 2, "gain": 1.5, "sparsity": 0.9, "scale": 2.0,
        "mode": "fan_avg", "distribution": "uniform", "dtype": "float64",
    }  # fmt: skip


def rows() -> list[list[str]]:
    """The cells of every table row but the heads."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rows = [row for row in cells if row[0] != "there" and not row[0].startswith("---")]
    return [row for row in rows if not ADAPTER.search(row[1])]


def calls(cell: str) -> list[str]:
    """The code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)


CALLS = [call for row in rows() for call in calls(row[1])]


def test_every_row_has_three_cells_and_the_page_many_calls():
    assert all(len(row) == 3 for row in rows())
    assert len(CALLS) > 50
    for text in re.findall(r"`([^`]+)`", PAGE.read_text("utf-8")):
        assert not re.match(r"(fanin|rng|s)\b.*\.\.\.", text), text  # nothing is left to guess


@pytest.mark.parametrize("call", CALLS)
def test_the_call_runs(call):
    given = names()
    made = eval(call, given)
    if isinstance(made, np.ndarray) and "index=" not in call:
        assert np.isfinite(made).all()
    if ", out=" in call:
        assert made is given["w"] and np.isfinite(made).all()


#: The call there, and the standard deviation that its documentation states.
STATED = {
    "init.normal_": 0.2,
    "init.uniform_": 3 / math.sqrt(12),
    "init.xavier_uniform_": 1.5 * math.sqrt(2 / (96 + 64)),
    "init.xavier_normal_": 1.5 * math.sqrt(2 / (96 + 64)),
    "init.kaiming_uniform_": math.sqrt(2 / 64),
    "init.kaiming_normal_": math.sqrt(2 / 64),
    "RandomNormal": 0.05,
    "RandomUniform": 0.1 / math.sqrt(12),
    "jax.random.normal": 1.0,
    "what `nn.Linear`": 1 / math.sqrt(3 * 64),
}


@pytest.mark.parametrize("there", STATED)
def test_the_law_is_that_of_the_call_it_replaces(there):
    (row,) = [row for row in rows() if there in row[0].replace("`init", "init")]
    made = eval(calls(row[1])[0], names())
    # 6144 values: the relative error of their std is 1 / sqrt(2 * 6144) = 0.9 %; six of that.
    assert np.std(made) == pytest.approx(STATED[there], rel=0.055)


def test_a_part_has_the_values_of_the_whole():
    (call,) = [call for call in CALLS if "index=slice" in call]
    whole = eval(call.replace(", index=slice(4, 8)", ""), names())
    assert np.array_equal(eval(call, names()), whole[4:8])
    (call,) = [call for call in CALLS if call.startswith("jax.")]
    assert np.array_equal(
        eval(call, names()), fanin.he_normal((96, 64), seed=fanin.Stream(0)["w"])[:2]
    )
