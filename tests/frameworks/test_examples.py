"""The examples of the adapters run, and say that the bits are equal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frameworks.processes import ROOT, run_python

README = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)
SHOWN = {
    "torch": "assert model.lm_head.weight is model.transformer.wte.weight",
    "keras": "assert (model.layers[0].kernel.numpy() != 0).all()",
    "jax": """
import numpy
assert (numpy.asarray(parts) == fanin.he_normal((784, 512), seed=0)).all()
assert weight.shape == (784, 512)""",
    "dask": """
assert (x.compute() == fanin.normal((2000, 3000), seed=0)).all()
assert q.shape == (1024, 512)""",
}


@pytest.mark.parametrize("name", ["keras_digits", "flax_sharded", "dask_chunks"])
def test_an_example_runs_and_finds_what_it_promises(name):
    said = run_python(f"examples/{name}.py", KERAS_BACKEND="torch", TF_CPP_MIN_LOG_LEVEL="3")
    promised = [line for line in said.splitlines() if "same" in line or "orthonormal" in line]
    assert promised and all(line.endswith("True") for line in promised), said
    if name == "keras_digits":
        # Ten classes: a network that has learnt nothing is right in a tenth of the cases.
        assert float(said.split()[-1]) > 0.8


@pytest.mark.parametrize("framework", SHOWN)
def test_what_the_readme_shows_of_a_framework_runs(framework: str, tmp_path: Path) -> None:
    start = re.compile(rf"^(from fanin )?import (fanin\.)?{framework}\b", re.MULTILINE)
    [shown] = [block for block in README if start.search(block)]
    program = tmp_path / "shown.py"
    program.write_text(f"import fanin\n{shown}\n{SHOWN[framework]}\nprint('ran')\n")
    said = run_python(str(program), KERAS_BACKEND="torch", HF_HUB_OFFLINE="1")
    assert said.splitlines()[-1] == "ran"
