"""What a result must say of the machine and of the software it was made with."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from . import mkl, peers

# Maker, an instruction of that generation, and the generation's name; the newest first. Not the
# model's number: a virtual machine may state another CPU's.
_CLASSES = (
    ("GenuineIntel", "amx_tile", "Intel Sapphire Rapids"),
    ("GenuineIntel", "avx512_vbmi2", "Intel Ice Lake"),
    ("GenuineIntel", "avx512f", "Intel Skylake"),
    ("AuthenticAMD", "avx512_vp2intersect", "AMD Zen 5"),
    ("AuthenticAMD", "avx512f", "AMD Zen 4"),
    ("AuthenticAMD", "vaes", "AMD Zen 3"),
)


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


def machine_class() -> str:
    """The first generation of CPUs that has this one's instructions, or the processor's name.

    Results of one class stand in one folder and one column of the tables.
    """
    facts = _cpu_facts()
    flags = facts.get("flags", "").split()
    for maker, flag, generation in _CLASSES:
        if facts.get("vendor_id") == maker and flag in flags:
            return generation
    return cpu_model() or platform.machine()


def machine() -> dict[str, Any]:
    """The facts, as plain data for JSON."""
    import fanin

    huge_pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "class": machine_class(),
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
