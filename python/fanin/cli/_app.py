"""The command ``fanin``: its groups of commands, its exit statuses, its signals.

Results go to the standard output, progress and errors to the standard error.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

import fanin

from . import _bench, _facts, _models, _orthogonal, _propagation

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
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
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


for group in (_models, _orthogonal, _facts, _bench, _propagation):
    group.register(app)
