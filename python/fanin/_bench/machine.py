"""What a result must say of the machine and of the software it was made with."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from . import mkl, peers


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def machine() -> dict[str, Any]:
    """The facts, as plain data for JSON."""
    import fanin

    huge_pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "isa": fanin.runtime.isa(),
        "isas": list(fanin.runtime.isas()),
        "huge_pages": huge_pages.read_text().strip() if huge_pages.exists() else "",
        "system": platform.platform(),
        "python": platform.python_version(),
        "stream": fanin.STREAM,
        "versions": peers.versions(),
        "onemkl": mkl.mkl_version(),
    }
