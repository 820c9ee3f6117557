"""What several functions of torch.nn.init have in common, said once for their docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["documented"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_TENSOR = """\
tensor : Tensor
    Filled in place, whatever its strides; a meta tensor is left alone."""

_GAIN = """\
gain : float
    Multiplies every value."""

_KAIMING = """\
a : float
    Slope of the leaky ReLU below 0; other nonlinearities do not look at it.
mode : {"fan_in", "fan_out"}
    Which variance the layer keeps: that of the forward pass, or of the gradient.
nonlinearity : str
    The activation after the layer, as `calculate_gain` takes it."""

_GENERATOR = """\
generator : torch.Generator, fanin.Stream or fanin.Generator, optional
    Where the words come from. None: torch.manual_seed decides. A Stream does not move, so give
    each tensor a child of its own: ``fanin.Stream(0)["name"]``."""

_RETURNS = """\
Returns
-------
Tensor
    `tensor` itself."""

_FANS = """\
ValueError
    Fewer than 2 axes, which have no fans."""

_KAIMING_FANS = """\
ValueError
    Fewer than 2 axes, which have no fans, or an unknown `mode` or `nonlinearity`."""

_REFUSED = """\
TypeError
    What is no number, or no generator.
RuntimeError
    As torch's: integers, sparse layouts, memory that overlaps itself, numbers that give no law."""

_SHARED = {
    "tensor": _TENSOR,
    "gain": _GAIN,
    "kaiming": _KAIMING,
    "generator": _GENERATOR,
    "returns": _RETURNS,
    "fans": _FANS,
    "kaiming_fans": _KAIMING_FANS,
    "refused": _REFUSED,
}


def documented(function: _Function) -> _Function:
    """Put the shared parts in the place of their names in braces."""
    text = inspect.getdoc(function)
    if text is not None:  # python -OO has none
        function.__doc__ = text.format_map(_SHARED) + "\n"
    return function
