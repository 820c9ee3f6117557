"""The one table of schemes.

:func:`add` enters a row and makes the public function: signature, checks, docstring and example.
The rows stand in ``rows/``, one file a kind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fanin._arrays.shapes import as_shape
from fanin._floating_point import steady
from fanin._hints import did_you_mean, foreign_call, needs_seed, short
from fanin._random.doors import DOOR

from .docs import docstring, table_text
from .fans import LayoutLike, as_layout
from .scheme import Scheme, SchemeFunction
from .weight import Weight


class SchemeTable(dict[str, Scheme]):
    """Schemes by name; prints as a table of name, formula and source."""

    def __repr__(self) -> str:
        return table_text(self.values())


_rows = SchemeTable()
_functions: dict[str, SchemeFunction] = {}


#: Calls of one scheme, told apart by shape and parameters, whose numbers are kept.
_KEPT = 256


def add(row: Scheme) -> SchemeFunction:
    """Enter a row in the table and return its public function."""
    known = functools.lru_cache(_KEPT, typed=True)(row.common_draw) if row.law else None

    @steady
    def explained(
        arguments: Any, named: Any, layout: LayoutLike, gain: Any, shape: Any, *asked: Any
    ) -> Any:
        parameters = row.read(arguments, named)
        sizes, axes = as_shape(shape), as_layout(layout)
        seed = asked[0]
        if seed is None and row.needs_seed:
            raise needs_seed(row.name)
        factor = row.read_gain(gain, parameters)
        return row.fill(Weight(sizes, axes, factor, *asked), parameters)

    def scheme(
        shape: Any = None,
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
        call = arguments, named, layout, gain, shape, seed, dtype, out, index, threads
        made = None if known is None else DOOR.draw_known(known, *call)
        return explained(*call) if made is None else made

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
        raise TypeError(f"the name of a scheme must be a str, got {short(name)}")
    row = _rows.get(name)
    if row is None:
        raise ValueError(_no_scheme(name))
    try:
        row.signature.bind_partial(**keywords)
    except TypeError as error:
        raise row.call_error(error, keywords) from None
    return functools.partial(_functions[name], **keywords)


def gain_held_by(scheme: Callable[..., Any]) -> str:
    """The activation whose gain is in a scheme, given as its function or by :func:`get`."""
    function = scheme.func if isinstance(scheme, functools.partial) else scheme
    row = _rows.get(getattr(function, "__name__", ""))
    if row is None or _functions[row.name] is not function or not isinstance(row.gain_of, str):
        return ""
    return row.gain_of


def _no_scheme(name: str) -> str:
    elsewhere = foreign_call(name)
    if elsewhere is not None:
        return f"there is no scheme {short(name)}, a name carries its convention: {elsewhere}"
    advice, known = did_you_mean(name, _rows), ", ".join(sorted(_rows))
    return (
        f"there is no scheme {short(name)}{advice + ' There' if advice else '; there'} are {known}"
    )
