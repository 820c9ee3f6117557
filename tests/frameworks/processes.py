"""Tests that need a process of their own: another backend, another number of devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_python(*arguments: str, **environment: str) -> str:
    """Output of a new Python; an AssertionError with all it said if it failed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_tests(path: Path, **environment: str) -> None:
    """Run a file of tests in a new process; all of them must pass and none be left out."""
    said = run_python("-m", "pytest", str(path), "-q", "-p", "no:cacheprovider", **environment)
    last = said.strip().splitlines()[-1]
    assert " passed" in last and "skipped" not in last and "deselected" not in last, said
