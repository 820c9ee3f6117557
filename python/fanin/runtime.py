"""What runs: instruction set, threads, build."""

from __future__ import annotations

from typing import Any

from . import _core
from ._checks import as_threads


def isa() -> str:
    """Name of the instruction set in use.

    Chosen once: ``FANIN_ISA`` if it is set, else the best this CPU runs. The bits never depend on
    it.

    >>> import fanin
    >>> fanin.runtime.isa() in fanin.runtime.isas()
    True
    """
    return str(_core.isa())


def isas() -> list[str]:
    """Names this machine can run, best first.

    >>> import fanin
    >>> fanin.runtime.isas()[-1]
    'baseline'
    """
    return list(_core.isas())


def threads() -> int:
    """The most threads a call uses unless it says ``threads=``.

    Work of less than half a millisecond stays on the calling thread. On a machine whose cores are
    shared with other busy processes, ``OMP_WAIT_POLICY=passive`` (set before Python starts) keeps
    larger calls from waiting for theirs.

    >>> import fanin
    >>> fanin.runtime.threads() >= 1
    True
    """
    return int(_core.threads())


def set_threads(count: int | None) -> None:
    """Sets the most threads of calls that do not say ``threads=``.

    Parameters
    ----------
    count : int >= 1, or None
        None goes back to what OpenMP takes (``OMP_NUM_THREADS``, the CPUs of this process).

    Raises
    ------
    ValueError
        For a count below 1.

    >>> import fanin
    >>> fanin.runtime.set_threads(None)
    """
    _core.set_threads(0 if count is None else as_threads(count))


def build_config() -> dict[str, Any]:
    """Version, compiler and OpenMP date of the compiled core.

    >>> import fanin
    >>> sorted(fanin.runtime.build_config())
    ['compiler', 'openmp', 'optimized', 'version']
    """
    return dict(_core.build_config())
