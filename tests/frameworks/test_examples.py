"""The examples of the adapters run, and say that the bits are equal."""

from __future__ import annotations

import pytest

from frameworks.processes import run_python


@pytest.mark.parametrize("name", ["keras_digits", "flax_sharded", "dask_chunks"])
def test_an_example_runs_and_finds_what_it_promises(name):
    said = run_python(f"examples/{name}.py", KERAS_BACKEND="torch", TF_CPP_MIN_LOG_LEVEL="3")
    promised = [line for line in said.splitlines() if "same" in line or "orthonormal" in line]
    assert promised and all(line.endswith("True") for line in promised), said
    if name == "keras_digits":
        # Ten classes: a network that has learnt nothing is right in a tenth of the cases.
        assert float(said.split()[-1]) > 0.8
