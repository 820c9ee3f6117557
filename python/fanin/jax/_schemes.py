"""fanin's other schemes as factories of JAX initializers, made from the table of schemes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

import fanin

from ._initializers import Initializer

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_COMMON = {"gain": 1.0, "in_axis": None, "out_axis": None, "batch_axis": (), "dtype": None}


def factories(besides: Collection[str]) -> dict[str, Callable[..., Initializer]]:
    """A factory for each scheme whose name is not among `besides`."""
    return {name: _factory(row) for name, row in fanin.schemes().items() if name not in besides}


def _factory(row: fanin.Scheme) -> Callable[..., Initializer]:
    """``factory(*parameters, gain, in_axis, out_axis, batch_axis, dtype) -> Initializer``."""
    common = [inspect.Parameter(n, _KEYWORD, default=d) for n, d in _COMMON.items()]
    own = [p for n, p in row.signature.parameters.items() if n in row.own_signature.parameters]
    signature = inspect.Signature([*own, *common])

    def factory(*arguments: Any, **named: Any) -> Initializer:
        try:
            bound = signature.bind(*arguments, **named).arguments
        except TypeError as error:
            raise TypeError(f"{row.name}() {error}; it is called {row.name}{signature}") from None
        axes: dict[str, Any] = {
            "in_axes": bound.pop("in_axis", None),
            "out_axes": bound.pop("out_axis", None),
            "batch_axes": bound.pop("batch_axis", ()),
        }
        dtype = bound.pop("dtype", row.default_dtype if row.name == "unitary" else None)
        draw = fanin.get(row.name, layout=fanin.Layout("io", **axes), **bound)
        assert isinstance(draw, functools.partial)
        return Initializer(draw, dtype)

    factory.__name__ = factory.__qualname__ = row.name
    factory.__module__ = "fanin.jax"
    factory.__doc__ = f"{row.summary}\n\n{row.formula} ({row.source}); see fanin.{row.name}."
    factory.__signature__ = signature  # type: ignore[attr-defined]
    return factory
