"""Sizes of any kind, alone and as factors, in every public function that takes one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CALLS = Path(__file__).resolve().parents[1] / "huge_sizes.py"


def test_no_size_crashes_hangs_or_allocates():
    # A process of its own ends by a crash, and by its limits of memory and of processor time.
    run = subprocess.run([sys.executable, CALLS, "1500"], capture_output=True, text=True)
    last = "\n".join(run.stderr.splitlines()[-40:])
    assert run.returncode == 0 and run.stdout == "done\n", f"ended by {run.returncode}:\n{last}"
