"""Where the commands print: the terminal, a plain stream, a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from fanin.files._records import Progress as Written

from . import _tables

__all__ = ["console", "progress"]


def console() -> Console:
    """The standard output; where it is no terminal, lines keep their length."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=_tables.UNWRAPPED)


@contextmanager
def progress(title: str, *, quiet: bool, counts_bytes: bool = True) -> Iterator[Written | None]:
    """A progress bar on the standard error, if that is a terminal."""
    errors = Console(stderr=True)
    if quiet or not errors.is_terminal:
        yield None
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=None),
        *((DownloadColumn(), TransferSpeedColumn()) if counts_bytes else (TaskProgressColumn(),)),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True, expand=True) as bar:
        task = bar.add_task(escape(title), total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
