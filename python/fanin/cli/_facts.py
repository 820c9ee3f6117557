"""The commands `schemes` and `info`: what there is, and what runs."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import typer

import fanin

from . import _tables
from ._console import console

__all__ = ["register"]


def schemes() -> None:
    """List every scheme with its formula and source."""
    console().print(_tables.schemes(fanin.schemes().values()))


def info() -> None:
    """Show the version, the stream, the instruction set, the threads and the build."""
    build = fanin.runtime.build_config()
    facts: dict[str, Any] = {
        "fanin": fanin.__version__,
        "stream": fanin.STREAM,
        "instruction set": fanin.runtime.isa(),
        "available": ", ".join(fanin.runtime.isas()),
        "threads": fanin.runtime.threads(),
        **{name: fact for name, fact in build.items() if name != "version"},
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "platform": platform.platform(),
    }
    console().print(_tables.facts(facts))


def register(app: typer.Typer) -> None:
    """Add the commands to `fanin`."""
    app.command()(schemes)
    app.command()(info)
