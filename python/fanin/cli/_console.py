"""Where the commands print: the terminal, a plain stream, a progress bar."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console
from rich.markup import escape

from fanin._types import Progress

from . import _tables

__all__ = ["console", "progress", "waiting"]

#: Seconds after which a work that cannot say how far it is shows that it goes on.
_PATIENCE = 1.0


def console() -> Console:
    """The standard output; where it is no terminal, lines keep their length."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=_tables.UNWRAPPED)


@contextmanager
def progress(title: str, *, quiet: bool, counts_bytes: bool = True) -> Iterator[Progress | None]:
    """A progress bar on the standard error, if that is a terminal."""
    errors = Console(stderr=True)
    if quiet or not errors.is_terminal:
        yield None
        return
    told = (bars.DownloadColumn(), bars.TransferSpeedColumn())
    columns = (
        bars.TextColumn("[bold]{task.description}"),
        bars.BarColumn(bar_width=None),
        *(told if counts_bytes else (bars.TaskProgressColumn(),)),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=errors, transient=True, expand=True) as bar:
        task = bar.add_task(escape(title), total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """What goes on and for how long, from the first second on, if the standard error is a terminal.

    For work that does not tell how far it is.
    """
    errors = Console(stderr=True)
    if not errors.is_terminal:
        yield
        return
    columns = (
        bars.SpinnerColumn(),
        bars.TextColumn("[bold]{task.description}"),
        bars.TimeElapsedColumn(),
    )
    shown = bars.Progress(*columns, console=errors, transient=True)
    shown.add_task(escape(title), total=None)
    late = threading.Timer(_PATIENCE, shown.start)
    late.start()
    try:
        yield
    finally:
        late.cancel()
        late.join()
        shown.stop()
