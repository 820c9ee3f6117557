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


#: Runs the examples in the docstrings of a module's public functions and classes; prints the names
#: of what has none, but for records, what is the framework's own, and old names.
DOCSTRINGS = """
import dataclasses, doctest, importlib, sys
import fanin
module = importlib.import_module(sys.argv[1])
runner = doctest.DocTestRunner()
for name in module.__all__:
    value = getattr(module, name)
    if not value.__module__.startswith("fanin") or dataclasses.is_dataclass(value):
        continue
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for t in finder.find(value, name, module=False, globs={}) if t.examples]
    for example in found:
        assert runner.run(example).failed == 0, example.name
    if not found and not value.__doc__.startswith(("Deprecated", "``keras.")):
        print("without an example:", name)
print("ran", runner.tries)
"""


@pytest.mark.parametrize(
    "framework, least", [("torch", 70), ("keras", 30), ("jax", 50), ("dask", 15)]
)
def test_every_docstring_of_an_adapter_has_an_example_that_runs(framework: str, least: int) -> None:
    said = run_python("-c", DOCSTRINGS, f"fanin.{framework}", KERAS_BACKEND="torch").splitlines()
    assert not [line for line in said if line.startswith("without")]
    assert said[-1].startswith("ran") and int(said[-1].split()[1]) >= least
