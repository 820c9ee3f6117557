"""Without its framework an adapter says which extra is missing, and fanin itself works."""

from __future__ import annotations

import pytest

from frameworks.processes import run_python

CODE = """
import sys
sys.modules[{framework!r}] = None  # what Python does for a module that must not be imported
import fanin
fanin.normal(3, seed=0)
try:
    import fanin.{framework}
except ImportError as error:
    print(error)
try:
    fanin.{framework}
except AttributeError as error:
    print(error)
"""


@pytest.mark.parametrize("framework", ["keras", "jax", "dask", "torch"])
def test_the_error_names_the_extra(framework):
    said = run_python("-c", CODE.format(framework=framework))
    assert said.count(f"pip install 'fanin[{framework}]'") == 2


@pytest.mark.parametrize("framework", ["keras", "jax", "dask", "torch"])
def test_an_adapter_is_imported_when_it_is_first_named(framework):
    said = run_python("-c", f"import fanin; print(fanin.{framework}.__name__, dir(fanin))")
    assert said.startswith(f"fanin.{framework} ")


@pytest.mark.parametrize("framework", ["keras", "jax", "dask", "torch"])
def test_import_fanin_loads_no_framework(framework):
    said = run_python("-c", f"import sys, fanin; print({framework!r} in sys.modules)")
    assert said.split() == ["False"]
