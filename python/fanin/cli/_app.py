"""The commands of ``fanin``: what they take, what they call, what they print.

Results go to the standard output, progress and errors to the standard error.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

import fanin
from fanin import files
from fanin._models import catalogue as _models
from fanin._models import plan as _plan
from fanin.files._pieces import Progress as Written

from . import _propagation as _propagation_commands
from . import _tables

__all__ = ["app", "run"]

#: Exit statuses; SIGINT and SIGTERM as a shell reports them, 128 + number.
FAILURE = 1
INTERRUPTED = 130
TERMINATED = 143

SEED_LIMIT = 2**128 - 1

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

DType = Enum("DType", {name: name for name in _plan.DTYPES}, type=str)  # type: ignore[misc]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, as `fanin.cli.main` states it."""
    try:
        with _termination_as_exit():
            return app(arguments, prog_name="fanin", standalone_mode=False) or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILURE
    except (KeyboardInterrupt, typer.Abort):
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone, as in `fanin schemes | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}", FAILURE)
    except (ValueError, TypeError, MemoryError) as error:
        return _failed(str(error) or type(error).__name__, FAILURE)
    except Exception as error:
        # typer's usage errors; their class lives in another package from version to version.
        if not hasattr(error, "format_message") or not hasattr(error, "exit_code"):
            raise
        return _failed(f"{error.format_message()}  (see `fanin --help`)", error.exit_code)


def _failed(text: str, status: int) -> int:
    """One line on the standard error."""
    print("fanin:", " ".join(text.split()), file=sys.stderr)
    return status


@contextmanager
def _termination_as_exit() -> Iterator[None]:
    """Let SIGTERM leave as an exception does, so that temporary files are removed."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _console() -> Console:
    """The standard output; where it is no terminal, lines keep their length."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_tables.UNWRAPPED)
    return console


@contextmanager
def _progress(
    title: str, *, quiet: bool, counts_bytes: bool = True
) -> Iterator[Written | None]:
    """A progress bar on the standard error, if that is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=None),
        *((DownloadColumn(), TransferSpeedColumn()) if counts_bytes else (TaskProgressColumn(),)),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task(title, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"fanin {fanin.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and leave."
        ),
    ] = False,
) -> None:
    """Initialise neural networks: every number has an address."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def init(
    model: Annotated[str | None, typer.Argument(help="The architecture.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file to write (default: MODEL.safetensors)."),
    ] = None,
    dtype: Annotated[
        DType,
        typer.Option(
            "--dtype", metavar="NAME", help="Of the weights: " + ", ".join(_plan.DTYPES) + "."
        ),
    ] = DType.float32,  # type: ignore[attr-defined]
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="INT", help="Which weights, 0 to 2^128 - 1."),
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", metavar="INT", min=1, help="Workers; no bit depends on it (default: all)."
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Refuse if the file exists; else it is replaced.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="One line per tensor: layers not grouped.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar and no table.")
    ] = False,
    show_list: Annotated[
        bool, typer.Option("--list", help="List the architectures and leave.")
    ] = False,
) -> None:
    """Write a freshly initialised model to a safetensors file.

    Names and shapes are those of transformers, the scheme is the published one. Every tensor has
    its own stream, `fanin.Stream(seed)[name]`; the bytes depend on model, dtype and seed only.

    The file appears complete or not at all. The table shows the standard deviation that each
    scheme asks for, and the one of the bytes in the file, which are read again.
    """
    console = _console()
    if show_list:
        console.print(_tables.models(_models.MODELS.values()))
        return
    if model is None:
        raise typer.BadParameter("which model? `fanin init --list` names them all")
    try:
        plan = _plan.Plan.for_model(model)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not 0 <= seed <= SEED_LIMIT:
        raise typer.BadParameter(f"--seed {seed}: accepted is 0 to 2^128 - 1")
    path = out or Path(f"{model}.safetensors")
    if path.suffix != ".safetensors":
        raise typer.BadParameter(f"--out {path}: the name must end in .safetensors")
    if keep and os.path.lexists(path):
        text = "exists, and --keep forbids to replace it"
        raise FileExistsError(errno.EEXIST, text, os.fspath(path))
    replaced = path.is_file()

    begin = time.perf_counter()
    with _progress(f"writing {path.name}", quiet=quiet) as report:
        size = plan.write(path, seed=seed, dtype=dtype.value, threads=threads, progress=report)
    seconds = time.perf_counter() - begin
    if quiet:
        return
    with _progress(f"measuring {path.name}", quiet=quiet) as report:
        measured = _plan.measure(path, threads=threads, progress=report)
    console.print(_tables.tensors(plan.tensors, measured, grouped=not verbose))
    console.print(f"\n{path}: {model}, {dtype.value}, seed {seed}, stream {fanin.STREAM}", end="")
    console.print(" (replaced)" if replaced else "", markup=False)
    numbers = _models.parameters(plan.tensors)
    totals = _tables.totals(numbers=numbers, count=len(plan.tensors), size=size, seconds=seconds)
    console.print(totals)


@app.command()
def orthogonal(
    rows: Annotated[int, typer.Argument(min=1, help="Rows.")],
    columns: Annotated[
        int | None, typer.Argument(min=1, help="Columns (default: as many as rows).")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "orthogonal.npy"
    ),
    dtype: Annotated[
        DType,
        typer.Option("--dtype", metavar="NAME", help="Of the matrix: " + ", ".join(_plan.DTYPES)),
    ] = DType.float32,  # type: ignore[attr-defined]
    seed: Annotated[
        int, typer.Option("--seed", metavar="INT", help="Which matrix, 0 to 2^128 - 1.")
    ] = 0,
    gain: Annotated[float, typer.Option("--gain", help="Multiplies every value.")] = 1.0,
    threads: Annotated[
        int | None,
        typer.Option("--threads", metavar="INT", min=1, help="No bit depends on it."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")] = False,
) -> None:
    """Write a Haar-distributed orthogonal matrix to a .npy file: `fanin.orthogonal` on disk.

    The matrix is made in memory and the file appears complete or not at all.
    """
    from fanin._schemes import haar as _orthogonal

    if not 0 <= seed <= SEED_LIMIT:
        raise typer.BadParameter(f"--seed {seed}: accepted is 0 to 2^128 - 1")
    if not 0 <= gain < float("inf"):
        raise typer.BadParameter(f"--gain {gain}: accepted is a finite number >= 0")
    if out.suffix != ".npy":
        raise typer.BadParameter(f"--out {out}: the name must end in .npy")
    shape = (rows, rows if columns is None else columns)
    begin = time.perf_counter()
    title = f"making {shape[0]} x {shape[1]}"
    with _progress(title, quiet=quiet, counts_bytes=False) as report:
        matrix = _orthogonal.matrix(
            shape,
            seed=seed,
            dtype=_plan.DTYPES[dtype.value],
            gain=gain,
            threads=threads,
            progress=report,
        )
    seconds = time.perf_counter() - begin
    values = matrix.reshape(-1)

    def copy(piece: np.ndarray[Any, Any], start: int) -> None:
        piece[...] = values[start : start + piece.size]

    with _progress(f"writing {out.name}", quiet=quiet) as report:
        size = files.write_npy(out, matrix.dtype, shape, copy, threads=threads, progress=report)
    if not quiet:
        print(
            f"{out}: {shape[0]} x {shape[1]}, {dtype.value}, seed {seed}, stream {fanin.STREAM}; "
            f"{size:,} bytes, made in {seconds:.2f} s"
        )


@app.command()
def schemes() -> None:
    """List every scheme with its formula and source."""
    _console().print(_tables.schemes(fanin.schemes().values()))


@app.command()
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
    _console().print(_tables.facts(facts))


@app.command()
def bench(
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads for everybody.")
    ] = None,
    megabytes: Annotated[int, typer.Option("--megabytes", min=1, help="Size of the array.")] = 64,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns; the least counts.")] = 7,
) -> None:
    """Time fanin beside the peers that are installed, taking turns in one run."""
    from fanin._bench import timing as _bench

    report = _bench.run(threads=threads, megabytes=megabytes, rounds=rounds)
    console = _console()
    console.print(_tables.bench(report.rows))
    notes = [
        *report.notes,
        f"{_bench.cpu_model()}, {fanin.runtime.isa()}, arrays of {megabytes} MB, least of {rounds} "
        "interleaved turns; G/s: 10^9 values a second",
    ]
    for note in notes:
        console.print(f"note: {note}", markup=False, style="dim")


_propagation_commands.register(app)
