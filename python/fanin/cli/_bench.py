"""The command `bench`: fanin beside its peers."""

from __future__ import annotations

from typing import Annotated

import typer

import fanin

from . import _tables
from ._console import console

__all__ = ["register"]


def bench(
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads for everybody.")
    ] = None,
    megabytes: Annotated[int, typer.Option("--megabytes", min=1, help="Size of the array.")] = 64,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns; the least counts.")] = 7,
) -> None:
    """Time fanin beside the peers that are installed, taking turns in one run."""
    from fanin._bench import cases, machine

    report = cases.run(threads=threads, megabytes=megabytes, rounds=rounds)
    screen = console()
    screen.print(_tables.bench(report.rows))
    notes = [
        *report.notes,
        f"{machine.cpu_model()}, {fanin.runtime.isa()}, arrays of {megabytes} MB, least of "
        f"{rounds} interleaved turns; G/s: 10^9 values a second",
    ]
    for note in notes:
        screen.print(f"note: {note}", markup=False, style="dim")


def register(app: typer.Typer) -> None:
    """Add the command to `fanin`."""
    app.command()(bench)
