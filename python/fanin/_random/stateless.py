"""Sampling without state: random, normal, uniform, truncated_normal.

Element i of the result is a function of (stream, i) and of the parameters of its element, of
nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from fanin import _core
from fanin._arrays.destinations import ALL, KINDS, REAL, Target, target
from fanin._floating_point import steady
from fanin.runtime import as_threads

from .streams import Stream, as_stream, check_seed

if TYPE_CHECKING:
    from .generator import Generator

    Seed: TypeAlias = int | Stream | Generator

_HALF_ROOT = 0.7071067811865476  # sqrt(1/2), whatever the rounding at import


class Draw(NamedTuple):
    """A law and its parameters, checked against the destination; writing it cannot be refused any
    more."""

    law: str
    scalars: tuple[float, ...] | None
    columns: list[np.ndarray[Any, Any]]  # one parameter an element, if they are not all scalars

    def write(self, goal: Target, key: bytes, first: int, threads: int) -> None:
        """Fills `goal`; `first` is the address of element 0 of the full array."""
        kind = KINDS[goal.array.dtype]
        address = first + goal.first
        rest = (kind.element, kind.complex, key, 0, goal.array, address, goal.steps, threads)
        if self.scalars is None:
            _core.fill_each(self.law, self.columns, *rest)
        else:
            _core.fill(self.law, self.scalars, *rest, goal.fresh)


def prepare(law: str, parameters: tuple[Any, ...], goal: Target) -> Draw:
    """`parameters` are floats, or arrays that broadcast to the result's shape; a loc may be
    complex."""
    kind = KINDS[goal.array.dtype]
    if not any(isinstance(p, np.ndarray) for p in parameters):
        if kind.complex:
            loc, scale = parameters
            parameters = (loc.real, _half_power(scale), loc.imag)
        if law == "truncated_normal" and goal.array.size:
            _core.check_each(law, [np.array([p]) for p in parameters], kind.element)
        return Draw(law, parameters, [])
    full = [np.broadcast_to(p, goal.array.shape) for p in parameters]
    if kind.complex:
        loc, scale = full
        full = [
            np.stack([loc.real, loc.imag], axis=-1),
            np.stack([_half_power(scale)] * 2, axis=-1),
        ]
    columns = [np.ascontiguousarray(c, np.float64) for c in full]
    if law == "truncated_normal" and goal.array.size:
        _core.check_each(law, columns, kind.element)
    return Draw(law, None, columns)


def parameter(value: Any, name: str, complex_allowed: bool = False) -> Any:
    """A float (or complex) or an array of them; anything else is a TypeError."""
    if type(value) is float:
        return value
    array = np.asarray(value)
    if array.dtype.kind == "c" and complex_allowed:
        return complex(array) if array.ndim == 0 else array.astype(np.complex128)
    if array.dtype.kind not in "biuf" and array.dtype not in KINDS or array.dtype.kind == "c":
        raise TypeError(f"{name} must be a real number or an array of them, got {value!r}")
    return float(array) if array.ndim == 0 else array.astype(np.float64)


@steady
def _half_power(scale: Any) -> Any:
    """The scale of a real or imaginary part, which carry half the variance each."""
    return scale * _HALF_ROOT


def localise(value: Any, goal: Target, name: str) -> Any:
    """The elements of a broadcast parameter that belong to the part of the array that is wanted."""
    if not isinstance(value, np.ndarray):
        return value
    full = goal.shape
    sizes = (1,) * (len(full) - value.ndim) + value.shape
    if len(sizes) > len(full) or any(s not in (1, n) for s, n in zip(sizes, full, strict=True)):
        raise ValueError(f"{name} of shape {value.shape} does not broadcast to the shape {full}")
    value = value.reshape(sizes)
    if goal.axes is not None:
        return value[
            tuple(
                (slice(None) if s == 1 else _as_slice(r)) if kept else (0 if s == 1 else r.start)
                for s, r, kept in zip(sizes, goal.axes, goal.kept, strict=True)
            )
        ]
    assert goal.flat is not None  # a Target has axes or a flat run
    at = np.arange(goal.flat.start, goal.flat.stop, dtype=np.int64)
    where = []
    for s, n in zip(reversed(sizes), reversed(full), strict=True):
        where.append(at % n if s != 1 else np.zeros_like(at))
        at = at // n
    return value[tuple(reversed(where))]


def _as_slice(r: range) -> slice:
    return slice(r.start, r.stop if r.stop >= 0 else None, r.step) if len(r) else slice(0, 0)


def require_finite(value: Any, name: str) -> None:
    """ValueError for NaN and infinities."""
    if not (math.isfinite(value) if isinstance(value, float) else np.isfinite(value).all()):
        raise ValueError(f"{name} must be finite, got {value}")


def require_scale(scale: Any) -> None:
    require_finite(scale, "scale")
    if not (scale >= 0 if isinstance(scale, float) else (scale >= 0).all()):
        raise ValueError(f"scale < 0: it is a standard deviation, got {scale}")


def require_range(low: Any, high: Any, dtype: np.dtype[Any]) -> None:
    """ValueError for low > high, OverflowError for a range beyond the compute type."""
    with np.errstate(over="ignore", invalid="ignore"):
        span = np.subtract(high, low)
        limit = float(np.finfo(KINDS[dtype].compute).max)
        if not np.all(np.isfinite(span) & (np.abs(span) <= limit)):
            raise OverflowError("high - low range exceeds valid bounds")
    if not np.all(span >= 0):
        raise ValueError(f"high - low < 0: low is {low}, high is {high}")


def require_bounds(low: Any, high: Any) -> None:
    """Bounds of a truncated normal, in units of scale; infinite ones are allowed."""
    if not np.all(np.less(low, high)):
        raise ValueError(f"truncated_normal needs low < high, got low {low}, high {high}")


def _sample(
    law: str,
    names: tuple[str, ...],
    given: tuple[Any, ...],
    check: Any,
    accepted: tuple[np.dtype[Any], ...],
    function: str,
    shape: Any,
    seed: Any,
    dtype: Any,
    out: Any,
    index: Any,
    threads: Any,
) -> Any:
    if out is None and index is None and dtype is None:
        made = _core.small(law, shape, given, seed._key if type(seed) is Stream else seed,
                           type(seed) is Stream)  # fmt: skip
        if made is not None:
            as_threads(threads)
            return made
    values = [
        parameter(v, n, n == "loc" and accepted is ALL) for n, v in zip(names, given, strict=True)
    ]
    count = as_threads(threads)
    check_seed(seed)
    goal = target(shape, dtype, out, index, np.float32, accepted, function)
    check(*values, goal.array.dtype)
    if isinstance(values[0], complex) and not KINDS[goal.array.dtype].complex:
        raise TypeError(f"a complex loc needs a complex dtype, got {goal.array.dtype.name}")
    local = tuple(localise(v, goal, n) for n, v in zip(names, values, strict=True))
    prepare(law, local, goal).write(goal, as_stream(seed)._key, 0, count)
    return goal.done()


def _check_normal(loc: Any, scale: Any, dtype: np.dtype[Any]) -> None:
    require_finite(loc, "loc")
    require_scale(scale)


def _check_uniform(low: Any, high: Any, dtype: np.dtype[Any]) -> None:
    require_finite(low, "low")
    require_finite(high, "high")
    require_range(low, high, dtype)


def _check_truncated(loc: Any, scale: Any, low: Any, high: Any, dtype: np.dtype[Any]) -> None:
    require_finite(loc, "loc")
    require_scale(scale)
    require_bounds(low, high)


def random(
    shape: Any,
    *,
    seed: Seed,
    dtype: Any = None,
    out: Any = None,
    index: Any = None,
    threads: int | None = None,
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
    return _sample("uniform", ("low", "high"), (0.0, 1.0), _check_uniform, REAL, "random",
                   shape, seed, dtype, out, index, threads)  # fmt: skip


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
    return _sample("normal", ("loc", "scale"), (loc, scale), _check_normal, ALL, "normal",
                   shape, seed, dtype, out, index, threads)  # fmt: skip


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
    return _sample("uniform", ("low", "high"), (low, high), _check_uniform, REAL, "uniform",
                   shape, seed, dtype, out, index, threads)  # fmt: skip


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
    return _sample(
        "truncated_normal",
        ("loc", "scale", "low", "high"),
        (loc, scale, low, high),
        _check_truncated, REAL, "truncated_normal", shape, seed, dtype, out, index, threads,
    )  # fmt: skip


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
    low, high = parameter(low, "low"), parameter(high, "high")
    require_bounds(low, high)
    return float(_core.truncated_normal_std(low, high))
