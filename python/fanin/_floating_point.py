"""The floating-point environment of Python code that decides values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from . import _core

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def steady(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """The function under rounding to nearest and without flushing of subnormals.

    Another library may have set otherwise in this thread; it finds its own setting afterwards.
    """

    @functools.wraps(function)
    def call(*arguments: _Parameters.args, **keywords: _Parameters.kwargs) -> _Result:
        if _core.environment_is_default():
            return function(*arguments, **keywords)
        with _core.DefaultEnvironment():
            return function(*arguments, **keywords)

    return call
