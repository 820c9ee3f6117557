"""The one table of schemes.

:func:`add` enters a row and makes the public function: signature, checks, docstring and example.
The rows stand in ``rows/``, one file a kind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fanin._floating_point import steady

from .docs import docstring, table_text
from .fans import LayoutLike, ShapeLike, as_layout, as_shape
from .scheme import Scheme, SchemeFunction, read_gain
from .weight import Weight


class SchemeTable(dict[str, Scheme]):
    """Schemes by name; prints as a table of name, formula and source."""

    def __repr__(self) -> str:
        return table_text(self.values())


_rows = SchemeTable()
_functions: dict[str, SchemeFunction] = {}


def add(row: Scheme) -> SchemeFunction:
    """Enter a row in the table and return its public function."""

    @steady
    def scheme(
        shape: ShapeLike,
        *arguments: Any,
        seed: Any = None,
        dtype: Any = None,
        layout: LayoutLike = "io",
        gain: float | str = 1.0,
        out: Any = None,
        index: Any = None,
        threads: int | None = None,
        **named: Any,
    ) -> Any:
        if seed is None and row.needs_seed:
            raise TypeError(
                f"{row.name}() needs seed=, an int, a fanin.Stream or a fanin.Generator: there is "
                f'no hidden random state. One child per tensor: seed=stream["layer1.weight"]'
            )
        weight = Weight(
            as_shape(shape), as_layout(layout), read_gain(gain), seed, dtype, out, index, threads
        )
        return row.fill(weight, row.read(arguments, named))

    scheme.__name__ = scheme.__qualname__ = row.name
    scheme.__module__ = "fanin"
    scheme.__doc__ = docstring(row)
    scheme.__signature__ = row.signature  # type: ignore[attr-defined]
    _rows[row.name] = row
    _functions[row.name] = scheme
    return scheme


def schemes() -> SchemeTable:
    """All schemes with their formulas and sources.

    Returns
    -------
    SchemeTable
        A new dict from name to row; a row has ``name``, ``summary``, ``formula``, ``source``,
        ``signature`` and ``expected_std(shape, ...)``. It prints as a table.

    Examples
    --------
    >>> import fanin
    >>> fanin.schemes()["he_normal"].formula
    'truncated normal, std = sqrt(2 / n)'
    """
    return SchemeTable(_rows)


def get(name: str, **keywords: Any) -> Callable[..., Any]:
    """A scheme by name, with some of its keywords given.

    Parameters
    ----------
    name : str
        A name of :func:`schemes`.
    **keywords
        Any of the scheme's parameters and common keywords.

    Returns
    -------
    callable
        Called as the scheme itself; keywords of the call win over those given here.

    Raises
    ------
    ValueError
        If there is no scheme of this name.
    TypeError
        If the scheme has no such keyword.

    Examples
    --------
    >>> import fanin
    >>> init = fanin.get("variance_scaling", scale=2.0, mode="fan_out")
    >>> init((64, 32), seed=0).shape
    (64, 32)
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a scheme must be a str, got {name!r}")
    row = _rows.get(name)
    if row is None:
        raise ValueError(f"there is no scheme {name!r}; there are {', '.join(sorted(_rows))}")
    try:
        row.signature.bind_partial(**keywords)
    except TypeError as error:
        raise row.call_error(error) from None
    return functools.partial(_functions[name], **keywords)
