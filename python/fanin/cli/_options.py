"""The options that several commands have."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fanin._models.dtypes import WRITTEN, as_dtype_name

__all__ = [
    "DTypeOption", "ForceOption", "JsonOption", "QuietOption", "ThreadsOption", "check_seed",
    "dtype_option", "refuse_existing",
]  # fmt: skip

_SEED_LIMIT = 2**128 - 1


def dtype_option(accepted: dict[str, np.dtype[Any]], default: str) -> Any:
    """`--dtype` with a list of what it may name; other names of the same dtypes are taken too."""

    def named(value: str | None) -> str | None:
        try:
            return None if value is None else as_dtype_name(value, accepted)
        except TypeError as error:
            raise typer.BadParameter(str(error)) from None

    names = ", ".join(accepted)
    help_text = f"Of all floats: {names} (default: {default})."
    return typer.Option("--dtype", metavar="NAME", callback=named, help=help_text)


def check_seed(seed: int | None) -> None:
    """Refuse an int that is no seed."""
    if seed is not None and not 0 <= seed <= _SEED_LIMIT:
        raise typer.BadParameter(f"--seed {seed}: accepted is 0 to 2^128 - 1")


def refuse_existing(path: Path) -> None:
    """An error that names the way out, if there is anything of that name."""
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "exists; --force replaces it", os.fspath(path))


DTypeOption = Annotated[str | None, dtype_option(WRITTEN, "the plan's, else float32")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="INT", min=1, help="Workers; no bit depends on it (default: all)."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what exists.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no table.")]
