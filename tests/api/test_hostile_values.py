"""What no parameter was made for, in every parameter of every public function."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CALLS = Path(__file__).resolve().parents[1] / "hostile_values.py"


def test_whatever_is_given_ends_in_a_result_or_an_error_for_people():
    # A process of its own, for its limits of memory and of processor time.
    run = subprocess.run([sys.executable, CALLS], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    count, faults = map(int, re.findall(r"\d+", run.stdout))
    assert count > 10_000
    assert faults == 0, run.stderr[:3000]
