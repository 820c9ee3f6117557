"""docs/migration.md: the calls of fanin.keras, fanin.jax and fanin.dask, and those they replace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from frameworks.processes import run_python

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migration.md"
ADAPTER = re.compile(r"fanin(\.(keras|jax|dask)\b|>)")

NAMES = """
import fanin
shape, dtype = (96, 64), "float32"
"""
IMPORTS = {
    "keras": NAMES + """
import keras, fanin.keras
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
""",
    "jax": NAMES + """
import flax.linen, jax, fanin.jax
key = jax.random.key(1)
mesh = jax.make_mesh((1,), ("x",))
sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
""",
    "dask": NAMES + """
import dask.array as da, fanin.dask
""",
}  # fmt: skip


def rows() -> dict[str, list[tuple[str, str]]]:
    """The calls there and here, by the adapter."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in IMPORTS}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 3 and cells[1] and ADAPTER.search(cells[1][0]):
            there, here = cells[0][0], cells[1][0]
            (adapter,) = {m[1] or "keras" for m in ADAPTER.findall(here)}
            found[adapter].append((there, here))
    return found


@pytest.mark.parametrize("adapter", IMPORTS)
def test_both_columns_run_and_make_arrays_of_one_shape_and_dtype(adapter: Any) -> None:
    calls = rows()[adapter]
    assert len(calls) >= 3
    code = IMPORTS[adapter]
    for there, here in calls:
        code += f"there, here = {there}, {here}\n"
        code += "if hasattr(there, 'shape'): assert there.shape == here.shape\n"
    run_python("-c", code + "print('ran')")
