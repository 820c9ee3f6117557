"""The option `--plot` and the pictures that it asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["PlotOption", "check_name", "draw"]

PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="A picture as well: png, svg or pdf.")
]


def check_name(path: Path) -> None:
    """Refuse a name under which no picture can be, before the work that the picture shows."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ValueError("--plot needs matplotlib: pip install 'fanin[plot]'") from None
    formats = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix.lstrip(".") not in formats:
        raise typer.BadParameter(f"--plot {path}: the name must end in one of {', '.join(formats)}")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"--plot {path}: there is no folder {path.parent}")


def draw(make: Callable[[], Any], path: Path) -> None:
    """Make the figure and save it."""
    check_name(path)
    make().savefig(path)
