"""The command `bench`: fanin beside its peers."""

from __future__ import annotations

from typing import Annotated

import typer

import fanin

from . import _tables
from ._console import console
from ._pictures import PlotOption, check_name, draw

__all__ = ["register"]


def bench(
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads for everybody.")
    ] = None,
    megabytes: Annotated[int, typer.Option("--megabytes", min=1, help="Size of the array.")] = 64,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns; the least counts.")] = 7,
    plot: PlotOption = None,
) -> None:
    """Time fanin beside the peers that are installed, taking turns in one run."""
    from fanin._bench import cases, machine, pictures

    if plot is not None:
        check_name(plot)
    report = cases.run(threads=threads, megabytes=megabytes, rounds=rounds)
    screen = console()
    screen.print(_tables.bench(report.rows))
    how = (
        f"{machine.cpu_model()}, {fanin.runtime.isa()}, arrays of {megabytes} MB, least of "
        f"{rounds} interleaved turns"
    )
    for note in [*report.notes, f"{how}; G/s: 10^9 values a second"]:
        screen.print(f"note: {note}", markup=False, style="dim")
    if plot is not None:
        draw(lambda: pictures.plot(report, how), plot)
        screen.print(f"picture: {plot}", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command to `fanin`."""
    app.command()(bench)
