"""The console script ``fanin``."""

from __future__ import annotations

import sys

__all__ = ["main"]

USAGE_ERROR = 2


def main() -> int:
    """Run the command line; without its extra say so in one line and return 2."""
    try:
        from fanin import _commands
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
    return _commands.run()


if __name__ == "__main__":
    sys.exit(main())
