"""The console script ``fanin``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

USAGE_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the name of the command. Default: ``sys.argv[1:]``.

    Returns
    -------
    int
        0; 1 for a failure; 2 for wrong usage, or if the extra ``cli`` is not installed; 128 plus
        the number of the signal that ended it. Errors are one line on the standard error.
    """
    try:
        from . import _app as _commands
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "fanin":
            raise
        print(
            f"fanin: the command needs the extra 'cli' ({missing} is missing): "
            "pip install 'fanin[cli]'",
            file=sys.stderr,
        )
        return USAGE_ERROR
    except KeyboardInterrupt:  # while the packages are imported
        print("fanin: interrupted", file=sys.stderr)
        return INTERRUPTED
    return _commands.run(arguments)
