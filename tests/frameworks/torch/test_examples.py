"""The examples for torch run and say that the bits agree."""

import os
from pathlib import Path

import pytest
from frameworks.processes import run_python

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch_drop_in", "equal bits for another number of threads: True"),
        ("torch_transformers", "the head is tied again: True"),
        ("torch_fsdp2", "rank 1 holds (128, 64) of (257, 64); equal to one process: True"),
    ],
)
def test_the_example_runs(name, words, monkeypatch):
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    assert words in run_python(str(EXAMPLES / f"{name}.py"))
