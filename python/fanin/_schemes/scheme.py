"""Schemes: one row each, and everything that follows from the row.

A :class:`Scheme` states a law and its spread (or how to write the values), its parameters, its
formula and its source. :func:`add` enters it in the one table and makes the public function:
signature, checks, docstring and example. The rows stand in ``_scheme_table.py``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fanin._floating_point import steady
from fanin._public import public

from .accepts import REQUIRED, Parameter, finite
from .docs import docstring, table_text
from .fans import LayoutLike, ShapeLike, as_layout, as_shape
from .laws import Law, Weight

__all__ = ["Scheme", "SchemeFunction", "SchemeTable", "add", "get", "schemes"]


class SchemeFunction(Protocol):
    """The type of ``fanin.he_normal`` and of every other scheme."""

    __name__: str

    def __call__(
        self,
        shape: ShapeLike,
        *parameters: Any,
        seed: Any = ...,
        dtype: Any = None,
        layout: LayoutLike = "io",
        gain: float | str = 1.0,
        out: Any = None,
        index: Any = None,
        threads: int | None = None,
        **named_parameters: Any,
    ) -> Any: ...


_COMMON_DEFAULTS: Mapping[str, Any] = {
    "dtype": None,
    "layout": "io",
    "gain": 1.0,
    "out": None,
    "index": None,
    "threads": None,
}


@public("fanin")
@dataclass(frozen=True)
class Scheme:
    """One row of the table of schemes.

    Attributes
    ----------
    name : str
        Name of the public function.
    summary, formula, source : str
        One sentence, the formula (n = fan_in, m = fan_out) and where it comes from.
    example : dict
        Arguments of a typical call: ``shape`` and the parameters without a default.
    law : Law or callable, optional
        The law of independent values, or ``law(**parameters)`` where parameters choose it; goes
        with `spread`. Other schemes have `write`.
    spread : callable, optional
        ``spread(weight, **parameters)``: the std of a normal law, the half width of the uniform.
    write : callable, optional
        ``write(weight, **parameters)`` writes the values of a scheme without `law`.
    std : callable, optional
        ``std(weight, **parameters)`` of a scheme without `law`, before `gain`, where it is known.
    parameters : tuple of Parameter
        The scheme's own parameters, in order.
    keyword_only : bool
        Whether the parameters are given by name only.
    default_dtype : str
        The dtype of the values if neither `dtype` nor `out` says.
    needs_seed : bool
        False for deterministic schemes, which accept a seed and ignore it.
    notes : str
        Paragraphs for the docstring's Notes.
    printed : str
        What the docstring's example prints, for a deterministic scheme.
    """

    name: str
    summary: str
    formula: str
    source: str
    example: Mapping[str, Any]
    law: Law | Callable[..., Law] | None = None
    spread: Callable[..., float] | None = None
    write: Callable[..., Any] | None = None
    std: Callable[..., float] | None = None
    parameters: tuple[Parameter, ...] = ()
    keyword_only: bool = False
    default_dtype: str = "float32"
    needs_seed: bool = True
    notes: str = ""
    printed: str = ""
    own_signature: inspect.Signature = field(init=False, repr=False)
    signature: inspect.Signature = field(init=False, repr=False)

    def __post_init__(self) -> None:
        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        kind = inspect.Parameter.KEYWORD_ONLY if self.keyword_only else positional
        own = [inspect.Parameter(p.name, kind, default=p.default) for p in self.parameters]
        common = {"seed": REQUIRED if self.needs_seed else None, **_COMMON_DEFAULTS}
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in common.items()
        ]
        full = inspect.Signature([inspect.Parameter("shape", positional), *own, *shared])
        object.__setattr__(self, "own_signature", inspect.Signature(own))
        object.__setattr__(self, "signature", full)

    def read(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """The scheme's own parameters, complete and checked."""
        if not (self.parameters or arguments or named):
            return {}
        try:
            bound = self.own_signature.bind(*arguments, **named)
        except TypeError as error:
            raise self.call_error(error) from None
        bound.apply_defaults()
        return {p.name: p.accepts.read(p.name, bound.arguments[p.name]) for p in self.parameters}

    def call_error(self, error: TypeError) -> TypeError:
        """A TypeError that shows how the scheme is called."""
        return TypeError(f"{self.name}() {error}; it is called {self.name}{self.signature}")

    def law_and_spread(
        self, weight: Weight, parameters: Mapping[str, Any]
    ) -> tuple[Law, float] | None:
        """The law of this call and its spread with gain; None for a scheme without law."""
        if self.law is None or self.spread is None:
            return None
        law = self.law if isinstance(self.law, Law) else self.law(**parameters)
        spread = weight.gain * self.spread(weight, **parameters)
        return law, finite(f"gain * spread of {self.name}", spread)

    def fill(self, weight: Weight, parameters: Mapping[str, Any]) -> Any:
        """Write the values and return the result."""
        drawn = self.law_and_spread(weight, parameters)
        if drawn is not None:
            law, spread = drawn
            return law.draw(weight, spread)
        assert self.write is not None, "a row has either a spread or its own way to write"
        return self.write(weight, **parameters)

    def expected_std(
        self, shape: ShapeLike, *, layout: LayoutLike = "io", gain: float | str = 1.0, **named: Any
    ) -> float | None:
        """Standard deviation that the formula promises; None where it promises none."""
        weight = Weight(as_shape(shape), as_layout(layout), _read_gain(gain))
        parameters = self.read((), named)
        drawn = self.law_and_spread(weight, parameters)
        if drawn is not None:
            law, spread = drawn
            return spread * law.unit_std
        return None if self.std is None else weight.gain * self.std(weight, **parameters)


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
            as_shape(shape), as_layout(layout), _read_gain(gain), seed, dtype, out, index, threads
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


def _read_gain(gain: float | str) -> float:
    """A gain given as a number or by the name of an activation."""
    if not isinstance(gain, str):
        return finite("gain", gain)
    from fanin._activations.activation import (  # the activations stand above the schemes
        gain as gain_of_activation,
    )

    return finite(f"the gain of {gain!r}", gain_of_activation(gain))
