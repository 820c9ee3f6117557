"""Sampling without state: random, normal, uniform, truncated_normal.

Element i of the result is a function of (stream, i) and of the parameters of its element, of
nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np

from fanin import _core
from fanin._arrays.kinds import ALL, KINDS, REAL
from fanin._arrays.targets import target
from fanin._checks import as_threads
from fanin._hints import needs_seed, of_one_number, unknown_keyword
from fanin._numbers import as_float

from .blocks import localise
from .doors import DOOR
from .draws import (
    ends_meet,
    parameter,
    prepare,
    require_bounds,
    require_finite,
    require_range,
    require_scale,
)
from .seeds import Seed, as_stream, check_seed


def _lists_sizes(value: tuple[Any, ...]) -> bool:
    return all(type(size) is int for size in value)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def _taught(function: _Function) -> _Function:
    """A shape or seed that is left out arrives as None, a keyword that there is not in `wrong`, and
    the error says how to call.

    The signature, for readers and type checkers, still requires both and has no such keyword.
    """
    told = inspect.signature(function)
    asked = [p for p in told.parameters.values() if p.kind is not p.VAR_KEYWORD]
    function.__signature__ = told.replace(parameters=asked)  # type: ignore[attr-defined]
    function.__defaults__ = (None, *(function.__defaults__ or ()))
    function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), "seed": None}
    return function


def symmetric(shape: Any, low: float, high: float, **destination: Any) -> Any:
    """``uniform(shape, -limit, limit)`` of a scheme: zeros where the dtype has no such number."""
    return _explained(_SYMMETRIC, (low, high), _Call(shape, **destination))


def _check_uniform(low: Any, high: Any, dtype: np.dtype[Any]) -> None:
    require_range(low, high, dtype)
    if np.any(ends_meet(low, high, dtype)):
        raise ValueError(of_one_number(dtype, low, high))


def _check_truncated(loc: Any, scale: Any, low: Any, high: Any, dtype: np.dtype[Any]) -> None:
    require_bounds(low, high)


def _finite(name: str) -> Callable[[Any], None]:
    return lambda value: require_finite(value, name)


class _Law(NamedTuple):
    """What `_sample` has to know of a law."""

    name: str  # the core's
    parameters: Mapping[str, Callable[[Any], None] | None]  # each with its own check
    check: Callable[..., None] | None  # of them together, element by element, and the dtype last
    accepted: tuple[np.dtype[Any], ...]
    function: str  # as errors name it


_ENDS = {"low": _finite("low"), "high": _finite("high")}
_RANDOM = _Law("uniform", _ENDS, _check_uniform, REAL, "random")
_UNIFORM = _RANDOM._replace(function="uniform")
_SYMMETRIC = _UNIFORM._replace(check=require_range)
_NORMAL = _Law("normal", {"loc": _finite("loc"), "scale": require_scale}, None, ALL, "normal")
_TRUNCATED_NORMAL = _Law(
    "truncated_normal",
    {**_NORMAL.parameters, "low": None, "high": None},
    _check_truncated,
    REAL,
    "truncated_normal",
)


class _Call(NamedTuple):
    """What every function here is asked besides the parameters of its law, in the door's order."""

    shape: Any
    seed: Any
    dtype: Any
    out: Any
    index: Any
    threads: Any


def _sample(law: _Law, given: tuple[Any, ...], wrong: Mapping[str, Any], *asked: Any) -> Any:
    if wrong:  # keywords that there are not
        signature = inspect.signature(globals()[law.function])
        raise unknown_keyword(law.function, signature, next(iter(wrong)))
    made = DOOR.draw(law.name, given, *asked)
    return _explained(law, given, _Call(*asked)) if made is None else made


def _explained(law: _Law, given: tuple[Any, ...], call: _Call) -> Any:
    """The way of every call, also of an unusual or a wrong one."""
    if call.seed is None:
        raise needs_seed(law.function)
    if type(call.shape) is int and any(type(v) is tuple and _lists_sizes(v) for v in given):
        raise ValueError(
            f"the shape comes first: {law.function}() got the shape {call.shape} and the "
            f"parameters {given}; call {law.function}((3, 4), ...), and give parameters that "
            "differ by element as a list or an array"
        )
    takes_complex = law.accepted is ALL
    values = [
        parameter(v, n, n == "loc" and takes_complex)
        for n, v in zip(law.parameters, given, strict=True)
    ]
    count = as_threads(call.threads)
    check_seed(call.seed)
    goal = target(
        call.shape, call.dtype, call.out, call.index, np.float32, law.accepted, law.function
    )
    if law is _UNIFORM and all(isinstance(v, (int, np.integer)) for v in given):
        if given[0] < given[1] and values[0] == values[1]:  # apart, and one float64
            raise ValueError(of_one_number(goal.array.dtype, *given))
    for check, value in zip(law.parameters.values(), values, strict=True):
        if check is not None:
            check(value)
    if np.iscomplexobj(values[0]) and not KINDS[goal.array.dtype].complex:
        raise TypeError(f"a complex loc needs a complex dtype, got {goal.array.dtype.name}")
    local = tuple(localise(v, goal, n) for n, v in zip(law.parameters, values, strict=True))
    prepare(law.name, local, goal, law.check).write(goal, as_stream(call.seed)._key, 0, count)
    return goal.done()


@_taught
def random(
    shape: Any,
    *,
    seed: Seed,
    dtype: Any = None,
    out: Any = None,
    index: Any = None,
    threads: int | None = None,
    **wrong: NoReturn,
) -> Any:
    """Uniform numbers in [0, 1): ``uniform(shape, 0, 1)``.

    float32 values are k / 2**24 and float64 values k / 2**53, so 0 can occur and 1 cannot. The
    half types are the float32 values rounded to nearest even, kept below 1.

    Parameters
    ----------
    shape : int or sequence of ints
        The full logical shape.
    seed : int, Stream or Generator
        Give every array a stream of its own: ``seed=fanin.Stream(0)["layer1.weight"]``.
    dtype : float32 (default), float64, float16 or bfloat16
    out : array or torch CPU tensor, optional
        Any strides; exactly the shape of the result; is returned.
    index : basic index or ``fanin.flat[start:stop]``, optional
        Returns ``full[index]`` in time and memory of that part.
    threads : int, optional
        At most this many; the values do not depend on it.

    Raises
    ------
    TypeError, ValueError, IndexError
        For bad arguments, before anything is written.

    >>> import fanin
    >>> fanin.random(3, seed=0, dtype="float64").shape
    (3,)
    """
    return _sample(_RANDOM, (0.0, 1.0), wrong, shape, seed, dtype, out, index, threads)


@_taught
def normal(
    shape: Any,
    loc: Any = 0.0,
    scale: Any = 1.0,
    *,
    seed: Seed,
    dtype: Any = None,
    out: Any = None,
    index: Any = None,
    threads: int | None = None,
    **wrong: NoReturn,
) -> Any:
    """Normal numbers: ``loc + scale * z``, z by the method of Box & Muller (1958).

    The largest |z| is 7.54 in float32 and the half types, 10.06 in float64. A complex value is
    ``(v[2i] + 1j v[2i+1]) * sqrt(1/2)`` of the real fill, so that E|z - loc|**2 = scale**2.

    Parameters
    ----------
    shape : int or sequence of ints
        The full logical shape.
    loc : float or array (complex for complex dtypes)
        Mean; broadcasts to `shape`.
    scale : float or array, >= 0
        Standard deviation; broadcasts to `shape`.
    seed : int, Stream or Generator
        Give every array a stream of its own: ``seed=fanin.Stream(0)["layer1.weight"]``.
    dtype : float32 (default), float64, float16, bfloat16, complex64 or complex128
    out, index, threads
        As in `fanin.random`.

    Raises
    ------
    TypeError, ValueError, IndexError
        For bad arguments (NaN, infinities, scale < 0), before anything is written.

    Notes
    -----
    float16 ends at 65504: ``loc + scale * z`` beyond rounds to infinity, as NumPy's conversion
    does.

    >>> import fanin
    >>> full = fanin.normal((4, 6), seed=1)
    >>> part = fanin.normal((4, 6), seed=1, index=(slice(2, None), 3))
    >>> bool((part == full[2:, 3]).all())
    True
    """
    return _sample(_NORMAL, (loc, scale), wrong, shape, seed, dtype, out, index, threads)


@_taught
def uniform(
    shape: Any,
    low: Any = 0.0,
    high: Any = 1.0,
    *,
    seed: Seed,
    dtype: Any = None,
    out: Any = None,
    index: Any = None,
    threads: int | None = None,
    **wrong: NoReturn,
) -> Any:
    """Uniform numbers in [low, high): ``fma(u, high - low, low)``, kept below high in the output's
    dtype.

    Parameters
    ----------
    shape : int or sequence of ints
        The full logical shape.
    low, high : float or array
        Broadcast to `shape`; low <= high. With low == high every value is low.
    seed : int, Stream or Generator
        Give every array a stream of its own: ``seed=fanin.Stream(0)["layer1.weight"]``.
    dtype : float32 (default), float64, float16 or bfloat16
    out, index, threads
        As in `fanin.random`.

    Raises
    ------
    TypeError, ValueError, IndexError
        For bad arguments (NaN, infinities, low > high), before anything is written.
    OverflowError
        If high - low is not finite in the compute type.

    >>> import fanin
    >>> x = fanin.uniform((1000,), -2.0, 3.0, seed=2)
    >>> bool((x >= -2).all() and (x < 3).all())
    True
    """
    return _sample(_UNIFORM, (low, high), wrong, shape, seed, dtype, out, index, threads)


@_taught
def truncated_normal(
    shape: Any,
    loc: Any = 0.0,
    scale: Any = 1.0,
    low: Any = -2.0,
    high: Any = 2.0,
    *,
    seed: Seed,
    dtype: Any = None,
    out: Any = None,
    index: Any = None,
    threads: int | None = None,
    **wrong: NoReturn,
) -> Any:
    """``loc + scale * z``, z normal and cut to [low, high], by its inverse distribution function.

    One word (two in float64) a value, never a rejection, whatever the bounds. The standard
    deviation of z is
    `fanin.truncated_normal_std`\\ ``(low, high)``, 0.8796... for the default bounds: it is not
    corrected here.

    Parameters
    ----------
    shape : int or sequence of ints
        The full logical shape.
    loc : float or array
    scale : float or array, >= 0
    low, high : float or array, low < high
        Bounds in units of scale; either may be infinite.
    seed : int, Stream or Generator
        Give every array a stream of its own: ``seed=fanin.Stream(0)["layer1.weight"]``.
    dtype : float32 (default), float64, float16 or bfloat16
    out, index, threads
        As in `fanin.random`.

    Raises
    ------
    TypeError, ValueError, IndexError
        For bad arguments, or if no value of the dtype lies within the bounds; before anything is
        written.

    >>> import fanin
    >>> x = fanin.truncated_normal((1000,), low=5.0, high=float("inf"), seed=3)
    >>> bool((x >= 5).all())
    True
    """
    given = loc, scale, low, high
    return _sample(_TRUNCATED_NORMAL, given, wrong, shape, seed, dtype, out, index, threads)


def truncated_normal_std(low: float, high: float) -> float:
    """Standard deviation of the unit normal cut to [low, high].

    Computed by the core from the density, without the cancellation of the closed form, the same
    bits on every machine. Divide a wanted standard deviation by it to get the `scale` of
    `fanin.truncated_normal`.

    Parameters
    ----------
    low, high : float, low < high
        Either may be infinite.

    Raises
    ------
    ValueError
        Unless low < high.

    >>> import fanin
    >>> round(fanin.truncated_normal_std(-2.0, 2.0), 12)
    0.879625661034
    """
    low, high = as_float(low, "low"), as_float(high, "high")
    require_bounds(low, high)
    return float(_core.truncated_normal_std(low, high))
