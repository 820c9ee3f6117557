"""The command `orthogonal`: a Haar matrix on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import fanin
from fanin import files
from fanin._arrays.kinds import REAL
from fanin._models.dtypes import DEFAULT
from fanin._schemes import haar

from ._console import progress
from ._options import (
    ForceOption,
    QuietOption,
    ThreadsOption,
    check_seed,
    dtype_option,
    refuse_existing,
)

__all__ = ["register"]

_DTYPES = {dtype.name: dtype for dtype in REAL}


def orthogonal(
    rows: Annotated[int, typer.Argument(min=1, help="Rows.")],
    columns: Annotated[
        int | None, typer.Argument(min=1, help="Columns (default: as many as rows).")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "orthogonal.npy"
    ),
    dtype: Annotated[str | None, dtype_option(_DTYPES, "float32")] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="INT", help="Which matrix, 0 to 2^128 - 1.")
    ] = 0,
    gain: Annotated[float, typer.Option("--gain", help="Multiplies every value.")] = 1.0,
    force: ForceOption = False,
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a Haar-distributed orthogonal matrix to a .npy file: `fanin.orthogonal` on disk.

    The matrix is made in memory and the file appears complete or not at all.
    """
    check_seed(seed)
    if not 0 <= gain < float("inf"):
        raise typer.BadParameter(f"--gain {gain}: accepted is a finite number >= 0")
    if out.suffix != ".npy":
        raise typer.BadParameter(f"--out {out}: the name must end in .npy")
    if not force:
        refuse_existing(out)
    named = dtype or DEFAULT
    shape = (rows, rows if columns is None else columns)
    begin = time.perf_counter()
    title = f"making {shape[0]} x {shape[1]}"
    with progress(title, quiet=quiet, counts_bytes=False) as report:
        matrix = haar.matrix(
            shape,
            seed=seed,
            dtype=named,
            gain=gain,
            threads=threads,
            progress=report,
        )
    seconds = time.perf_counter() - begin
    values = matrix.reshape(-1)

    def copy(piece: np.ndarray[Any, Any], start: int) -> None:
        piece[...] = values[start : start + piece.size]

    with progress(f"writing {out.name}", quiet=quiet) as report:
        size = files.write_npy(
            out, matrix.dtype, shape, copy, threads=threads, progress=report, replace=force
        )
    if not quiet:
        print(
            f"{out}: {shape[0]} x {shape[1]}, {named}, seed {seed}, stream {fanin.STREAM}; "
            f"{size:,} bytes, made in {seconds:.2f} s"
        )


def register(app: typer.Typer) -> None:
    """Add the command to `fanin`."""
    app.command()(orthogonal)
