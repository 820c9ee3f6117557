"""What a result must say of the machine and of the software it was made with."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from . import mkl, peers


def _cpu_facts() -> dict[str, str]:
    """What the system says of its first processor; nothing where it has no such file."""
    facts: dict[str, str] = {}
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return facts
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return facts


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    return _cpu_facts().get("model name") or platform.processor()


def cpu_family() -> str:
    """The processor's numbers, which tell generations apart that share a name."""
    facts = _cpu_facts()
    named = {"cpu family": "family", "model": "model"}
    return ", ".join(f"{named[fact]} {facts[fact]}" for fact in named if fact in facts)


def machine() -> dict[str, Any]:
    """The facts, as plain data for JSON."""
    import fanin

    huge_pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "cpu": cpu_model(),
        "family": cpu_family(),
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
