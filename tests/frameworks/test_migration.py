"""docs/migration.md: the calls of the adapters, and those they replace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from frameworks.processes import run_python

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migration.md"
ADAPTER = re.compile(r"fanin(\.(torch|keras|jax|dask)\b|>)")

NAMES = """
import fanin
shape, dtype = (96, 64), "float32"
"""
IMPORTS = {
    "torch": NAMES + """
import torch, fanin.torch
w, kernel, model = torch.empty(shape), torch.empty(8, 6, 3, 3), torch.nn.Linear(8, 4)
std, a, b, gain, sparsity = 0.2, -1, 2, 1.5, 0.9
torch.manual_seed(0)
""",
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

#: What both wrote into one tensor is the same, or has one mean and one std within 7 standard errors
#: of a difference of two samples; that of a std follows from the fourth moment.
COMPARED = {
    "torch": """
if torch.is_tensor(there) and not torch.equal(there, here):
    count, mean, std_there = there.numel(), there.mean(), there.std()
    fourth = ((there - mean) / std_there).pow(4).mean()
    assert abs(here.std() / std_there - 1) < 7 * ((fourth - 1) / (2 * count)) ** 0.5 + 1e-6
    assert abs(here.mean() - mean) < 7 * std_there * (2 / count) ** 0.5
    assert (there == 0).sum() == (here == 0).sum()
elif not torch.is_tensor(there) and there is not None:
    assert there == here
"""
}


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
    code = (
        IMPORTS[adapter] + "copy = lambda made: made.clone() if hasattr(made, 'clone') else made\n"
    )
    for there, here in calls:
        code += f"there = copy({there})\nhere = copy({here})\n"
        code += "if hasattr(there, 'shape'): assert there.shape == here.shape\n"
        code += "if hasattr(there, 'dtype'): assert there.dtype == here.dtype\n"
        code += COMPARED.get(adapter, "")
    run_python("-c", code + "print('ran')")
