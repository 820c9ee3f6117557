"""The commands of ``fanin``: what they take, what they call, what they print.

Results go to the standard output, progress and errors to the standard error.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import fanin
from fanin import files
from fanin._models.dtypes import WRITTEN

from . import _models as _model_commands
from . import _propagation as _propagation_commands
from . import _tables
from ._console import console, progress
from ._models import SEED_LIMIT, DType

__all__ = ["app", "run"]

#: Exit statuses; signals as a shell reports them, 128 + number.
FAILURE = 1
SIGNALLED = 128
INTERRUPTED = SIGNALLED + signal.SIGINT

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, as `fanin.cli.main` states it."""
    try:
        with _termination_as_exit():
            status: int = app(arguments, prog_name="fanin", standalone_mode=False) or 0
        # typer itself turns Ctrl-C into this status, without a word.
        return _failed("interrupted", status) if status == INTERRUPTED else status
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
    """Let SIGTERM and SIGHUP leave as an exception does, so that temporary files are removed.

    What is ignored stays ignored, as SIGHUP is under nohup.
    """

    def leave(number: int, frame: object) -> None:
        raise SystemExit(SIGNALLED + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, leave)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


_model_commands.register(app)


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
        typer.Option("--dtype", metavar="NAME", help="Of the matrix: " + ", ".join(WRITTEN)),
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
    with progress(title, quiet=quiet, counts_bytes=False) as report:
        matrix = _orthogonal.matrix(
            shape,
            seed=seed,
            dtype=WRITTEN[dtype.value],
            gain=gain,
            threads=threads,
            progress=report,
        )
    seconds = time.perf_counter() - begin
    values = matrix.reshape(-1)

    def copy(piece: np.ndarray[Any, Any], start: int) -> None:
        piece[...] = values[start : start + piece.size]

    with progress(f"writing {out.name}", quiet=quiet) as report:
        size = files.write_npy(out, matrix.dtype, shape, copy, threads=threads, progress=report)
    if not quiet:
        print(
            f"{out}: {shape[0]} x {shape[1]}, {dtype.value}, seed {seed}, stream {fanin.STREAM}; "
            f"{size:,} bytes, made in {seconds:.2f} s"
        )


@app.command()
def schemes() -> None:
    """List every scheme with its formula and source."""
    console().print(_tables.schemes(fanin.schemes().values()))


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
    console().print(_tables.facts(facts))


@app.command()
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


_propagation_commands.register(app)
