"""Generator: NumPy's Generator on a stream, whose laws that fanin draws itself are parallel."""

from __future__ import annotations

import copy
import operator
import sys
from typing import Any

import numpy as np
from numpy.random import Generator as NumpyGenerator

from fanin import _core
from fanin._arrays.destinations import destination
from fanin._arrays.kinds import ALL, KINDS, REAL
from fanin._arrays.targets import Target, target
from fanin._hints import short
from fanin._public import public

from .bit_generator import BitGenerator
from .blocks import all_of, blocks
from .draws import parameter, prepare, require_bounds, require_range
from .integers import (
    INTEGERS,
    TILE,
    as_integer_dtype,
    held_integers,
    low_and_last,
    low_and_span,
    refuse_bounds,
)
from .seeds import as_stream
from .streams import Spawner, Stream

_UNIT = (0.0, 1.0)


@public("fanin")
class Generator(Spawner, NumpyGenerator):
    """`numpy.random.Generator` on a stream: everywhere where one is accepted, so is this.

    The cursor is the number of the next word of `bit_generator`. The methods that stand here draw
    in parallel, take ``dtype=`` and ``out=`` everywhere (any strides), and move the cursor by
    whole tiles of 32 words: a call first moves up to a whole tile, takes the addresses from
    there on and ends on one, atomically, so that threads that share a Generator get disjoint
    values. So ``standard_normal(5)`` twice is not ``standard_normal(10)`` once; for values that do
    not depend on how calls are cut, use the stateless functions with ``index=``.

    All other methods are NumPy's own, on the same words: serial, read word by word, and not frozen
    with the stream (see Notes).

    Made by `fanin.default_rng`. Arguments and the words of errors are NumPy's.

    Parameters
    ----------
    bit_generator : BitGenerator
        fanin's own.

    Raises
    ------
    TypeError
        For another bit generator.
    ValueError
        For a class of them.

    Notes
    -----
    Inherited from NumPy, all of them serial, whatever the number of threads:

    * Distributions: beta, binomial, chisquare, f, gamma, geometric, gumbel, hypergeometric,
      logistic, lognormal, logseries, negative_binomial, noncentral_chisquare, noncentral_f, pareto,
      poisson, power, rayleigh, standard_cauchy, standard_gamma, standard_t, triangular, vonmises,
      wald, weibull, zipf.
    * Several values that belong together: dirichlet, multinomial, multivariate_hypergeometric,
      multivariate_normal.
    * Orders and selections: choice, permutation, permuted, shuffle.

    >>> import fanin
    >>> rng = fanin.default_rng(0)
    >>> x = rng.standard_normal(4, dtype="float32")
    >>> bool((x == fanin.normal((4,), seed=0)).all())
    True
    >>> rng.permutation(5).shape
    (5,)
    """

    def __init__(self, bit_generator: BitGenerator) -> None:
        if isinstance(bit_generator, type):
            raise ValueError("Invalid bit generator. The bit generator must be instantiated.")
        if not isinstance(bit_generator, BitGenerator):
            raise TypeError(
                f"a fanin.Generator needs a fanin.BitGenerator, got {short(bit_generator)}; an int "
                "or a Stream goes to fanin.default_rng, NumPy's own to numpy.random.Generator"
            )
        super().__init__(bit_generator)
        self._bits = bit_generator
        self._cursor = bit_generator.cursor

    @property
    def stream(self) -> Stream:
        """The stream of the values, whatever the cursor."""
        return self._bits.stream

    def spawn(self, n_children: int) -> list[Generator]:  # type: ignore[override]
        """`n_children` new generators on streams of their own; never equal to a named or numbered
        child. ``seed=rng`` and `spawn` of the bit generator and of its seed_seq share one count."""
        return [Generator(bits) for bits in self._bits.spawn(n_children)]

    def _next_child(self) -> Stream:
        return self._bits.seeds.spawn(1)[0].stream

    # ---- state: ==, copy, pickle -----------------------------------------------------------------

    def __reduce__(self) -> Any:
        return Generator, (self._bits,)

    def __copy__(self) -> Generator:
        return Generator(copy.copy(self._bits))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Generator):
            return NotImplemented
        return self._facts() == other._facts()

    def _facts(self) -> tuple[Any, ...]:
        seeds = self._bits.seeds
        return self._bits.state, seeds.stream, seeds.n_children_spawned

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<fanin.Generator on {self.stream!r}, word {self._cursor.state()[2]}>"

    # ---- laws ------------------------------------------------------------------------------------

    def _draw(self, law: str, parameters: tuple[Any, ...], size: Any, dtype: Any, out: Any,
              accepted: tuple[np.dtype[Any], ...], function: str,
              check: Any = None) -> Any:  # fmt: skip
        arrays = [p for p in parameters if isinstance(p, np.ndarray)]
        if arrays:  # made of lists, perhaps
            made = self._cursor.draw(law, parameters, size, dtype, out)
            if made is not None:
                return made
        goal = _goal(size, dtype, out, arrays, np.float64, accepted, function)
        draw = prepare(law, parameters, goal, check)
        key, id, first = self._take_values(goal, KINDS[goal.array.dtype].tile)
        draw.write(goal, key, first, 0, id)
        return _result(goal, size, out, arrays)

    def _take_values(self, goal: Target, per_tile: int) -> tuple[bytes, int, int]:
        """Moves the cursor past the values of `goal`; key, id and the address of the first."""
        key, id, tile = self._cursor.take(-(-goal.array.size // per_tile))
        return key, id, tile * per_tile

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Uniform in [0, 1). See `fanin.random`."""
        made = self._cursor.draw("uniform", _UNIT, size, dtype, out)
        if made is not None:
            return made
        return self._draw("uniform", _UNIT, size, dtype, out, REAL, "random")

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Normal with mean 0 and standard deviation 1. See `fanin.normal`."""
        made = self._cursor.draw("normal", _UNIT, size, dtype, out)
        if made is not None:
            return made
        return self._draw("normal", _UNIT, size, dtype, out, ALL, "standard_normal")

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None,
               dtype: Any = np.float64, out: Any = None) -> Any:  # fmt: skip
        """``loc + scale * z``; loc and scale broadcast. See `fanin.normal`."""
        made = self._cursor.draw("normal", (loc, scale), size, dtype, out)
        if made is not None:
            return made
        loc, scale = _number(loc, "loc", True), _number(scale, "scale")
        _refuse_negative(scale)

        def check(loc: Any, scale: Any, chosen: np.dtype[Any]) -> None:
            if np.iscomplexobj(loc) and not KINDS[chosen].complex:
                raise TypeError(f"a complex loc needs a complex dtype, got {chosen.name}")

        return self._draw("normal", (loc, scale), size, dtype, out, ALL, "normal", check)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None,
                dtype: Any = np.float64, out: Any = None) -> Any:  # fmt: skip
        """Uniform in [low, high); both broadcast. See `fanin.uniform`."""
        made = self._cursor.draw("uniform", (low, high), size, dtype, out)
        if made is not None:
            return made
        low, high = _number(low, "low"), _number(high, "high")
        return self._draw("uniform", (low, high), size, dtype, out, REAL, "uniform", require_range)

    def truncated_normal(self, loc: Any = 0.0, scale: Any = 1.0, low: Any = -2.0, high: Any = 2.0,
                         size: Any = None, dtype: Any = np.float64,
                         out: Any = None) -> Any:  # fmt: skip
        """Normal cut to [low, high], in units of scale. See `fanin.truncated_normal`."""
        given = loc, scale, low, high
        made = self._cursor.draw("truncated_normal", given, size, dtype, out)
        if made is not None:
            return made
        names = ("loc", "scale", "low", "high")
        values = tuple(_number(v, n) for n, v in zip(names, given, strict=True))
        _refuse_negative(values[1])
        return self._draw("truncated_normal", values, size, dtype, out, REAL, "truncated_normal",
                          lambda loc, scale, *ends: require_bounds(*ends[:2]))  # fmt: skip

    def standard_exponential(self, size: Any = None, dtype: Any = np.float64,
                             method: str = "zig", out: Any = None) -> Any:  # fmt: skip
        """Exponential with mean 1: ``-log u``, by the inverse distribution function.

        `method` is NumPy's; whatever it says, fanin uses the inverse, one word a value (two in
        float64). The largest value is 22.9 in float32 and the half types, 45.1 in float64.
        """
        made = self._cursor.draw("exponential", _UNIT, size, dtype, out)
        if made is not None:
            return made
        return self._draw("exponential", _UNIT, size, dtype, out, REAL, "standard_exponential")

    def exponential(self, scale: Any = 1.0, size: Any = None, dtype: Any = np.float64,
                    out: Any = None) -> Any:  # fmt: skip
        """Exponential with mean `scale`, which broadcasts: ``scale * standard_exponential``."""
        made = self._cursor.draw("exponential", (0.0, scale), size, dtype, out)
        if made is not None:
            return made
        scale = _number(scale, "scale")
        _refuse_negative(scale)
        return self._draw("exponential", (0.0, scale), size, dtype, out, REAL, "exponential")

    def laplace(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None,
                dtype: Any = np.float64, out: Any = None) -> Any:  # fmt: skip
        """Laplace, density ``exp(-|x - loc| / scale) / (2 scale)``; both broadcast."""
        made = self._cursor.draw("laplace", (loc, scale), size, dtype, out)
        if made is not None:
            return made
        loc, scale = _number(loc, "loc"), _number(scale, "scale")
        _refuse_negative(scale)
        return self._draw("laplace", (loc, scale), size, dtype, out, REAL, "laplace")

    def rademacher(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """-1 or 1, each with probability 1/2: -1 where bit 31 of word i is set, for every dtype.

        dtype is real or a signed integer.
        """
        made = self._cursor.draw("rademacher", (), size, dtype, out)
        if made is not None:
            return made
        goal = _goal(size, dtype, out, [], np.float64, _SIGNED, "rademacher")
        kind = goal.array.dtype
        element = KINDS[kind].element if kind in KINDS else INTEGERS[kind]
        key, id, first = self._take_values(goal, 32)
        _core.fill_signs(element, key, id, goal.array, first, goal.fresh)
        return _result(goal, size, out, [])

    def integers(self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64,
                 endpoint: bool = False, out: Any = None) -> Any:  # fmt: skip
        """Integers from low up to high, without high unless `endpoint`; both broadcast.

        ``low + floor(bits * range / 2**64)``, bits the words 2i and 2i + 1 for every dtype: never a
        rejection. Each probability is off by less than 2**-64, the total variation from uniform
        is at most range / 2**66; a range of 2**64 takes the bits as they are.

        Parameters
        ----------
        low, high : int or array
            As NumPy's: without `high`, from 0 up to low. Floats are cut to integers.
        dtype : bool or an integer dtype of 8 to 64 bits
            `bool` and `int` themselves give a Python bool or int if `size` is None.
        endpoint : bool
            Whether `high` itself can occur.

        Raises
        ------
        ValueError
            If a bound does not fit the dtype or no integer lies between the bounds.

        >>> import fanin
        >>> rng = fanin.default_rng(0)
        >>> x = rng.integers(-2, 2, 1000, dtype="int8", endpoint=True)
        >>> sorted(set(x.tolist()))
        [-2, -1, 0, 1, 2]
        """
        low, high = (0, low) if high is None else (low, high)
        made = self._cursor.draw("integers", (low, high, endpoint), size, dtype, out)
        if made is not None:
            return made
        chosen = as_integer_dtype(dtype)
        low, high = held_integers(low), held_integers(high)
        arrays = [value for value in (low, high) if isinstance(value, np.ndarray)]
        if arrays:  # made of lists, perhaps
            made = self._cursor.draw("integers", (low, high, bool(endpoint)), size, chosen, out)
            if made is not None:
                return made
        goal = _goal(size, chosen, out, arrays, chosen, tuple(INTEGERS), "integers")
        if arrays:
            self._draw_between((low, high), goal, bool(endpoint))
        elif goal.array.size:
            refuse_bounds(low, high, chosen, bool(endpoint))
            limits = low_and_span(low, high, bool(endpoint))
            key, id, first = self._take_values(goal, TILE)
            _core.fill_integers(*limits, INTEGERS[chosen], key, id, goal.array, first, goal.fresh)
        if size is None and out is None and not arrays and (dtype is int or dtype is bool):
            return dtype(goal.array[()])
        return _result(goal, size, out, arrays)

    def _draw_between(self, ends: tuple[Any, ...], goal: Target, endpoint: bool) -> None:
        """Integers between ends that differ by element."""
        dtype = goal.array.dtype
        for low, high in blocks(ends, goal.shape, exact=True):
            refuse_bounds(low, high, dtype, endpoint)  # before a word is taken
        low, last = low_and_last(ends[0], ends[1], dtype, endpoint)
        key, id, first = self._take_values(goal, TILE)
        _core.fill_integers_each(low, last, INTEGERS[dtype], key, id, goal.array, first)

    def bytes(self, length: int) -> bytes:
        """`length` random bytes: the stream's words from the cursor on, little-endian.

        >>> import fanin
        >>> len(fanin.default_rng(0).bytes(10))
        10
        """
        count = operator.index(length)
        if count < 0:
            raise ValueError(f"negative dimensions are not allowed: {count} bytes")
        if count > sys.maxsize:
            raise OverflowError(f"{count} bytes: at most {sys.maxsize} fit an object of Python")
        made: bytes = self._cursor.bytes(count)
        return made


_SIGNED = (*REAL, *(dtype for dtype in INTEGERS if dtype.kind == "i"))


def _goal(size: Any, dtype: Any, out: Any, arrays: list[np.ndarray[Any, Any]], default: Any,
          accepted: tuple[np.dtype[Any], ...], function: str) -> Target:  # fmt: skip
    """The destination of a call: checked, in NumPy's words, and allocated if there is no `out`."""
    array = None if out is None else _output(out)
    shape = size
    if size is None:
        if array is not None:
            shape = array.shape
        else:
            shape = np.broadcast(*arrays).shape if arrays else ()
    goal = target(shape, dtype, array, None, default, accepted, function)
    if arrays and np.broadcast(np.broadcast_to(_NOTHING, goal.shape), *arrays).shape != goal.shape:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ValueError(
            f"Output size {goal.shape} is not compatible with broadcast dimensions of inputs "
            f"{shapes}."
        )
    if out is not None:
        goal = goal._replace(result=out)
    return goal


_NOTHING = np.zeros((), np.int8)
_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def _output(out: Any) -> np.ndarray[Any, Any]:
    """A view of `out`; NumPy's words for what it would not write to, except that strides are
    fine."""
    words = (
        "Supplied output array must be contiguous, writable, aligned, and in machine byte-order. "
        "(fanin takes any strides and alignment.) "
    )
    try:
        array = destination(out)
    except TypeError as error:
        raise ValueError(f"{words}{error}") from None
    if not array.dtype.isnative:
        raise ValueError(f"{words}This one has dtype {array.dtype}.")
    if not array.flags.writeable:
        raise ValueError(f"{words}This one is read-only.")
    return array


def _result(goal: Target, size: Any, out: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """A scalar if nothing asked for an array: a Python float where NumPy returns one."""
    if size is not None or out is not None or arrays:
        return goal.done()
    value = goal.array[()]
    return float(value) if goal.array.dtype in _FLOATS else value


def _number(value: Any, name: str, complex_allowed: bool = False) -> Any:
    """`parameter`, with NumPy's errors."""
    if isinstance(value, str):
        raise ValueError(f"could not convert string to float: {value!r}")
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray and not value.ndim:
        value = value[()] if complex_allowed and np.iscomplexobj(value) else float(value)
    try:
        return parameter(value, name, complex_allowed)
    except ValueError:
        np.asarray(value).astype(np.float64)  # NumPy's words, as for an int that no float holds
        raise


def _refuse_negative(scale: Any) -> None:
    """NumPy's check: a set sign bit is refused, -0.0 too; NaN and inf are not."""
    if not all_of(lambda part: ~np.signbit(part) | np.isnan(part), scale):
        raise ValueError("scale < 0")


def default_rng(seed: int | Stream | BitGenerator | Generator | None = None) -> Generator:
    """A Generator on `seed`.

    Parameters
    ----------
    seed : int, Stream, BitGenerator, Generator or None
        An int or a Stream gives a fresh Generator on that stream; a BitGenerator of fanin one that
        draws from it; a Generator is returned as it is; None takes 128 bits of entropy from the
        operating system.

    Raises
    ------
    TypeError, ValueError
        For any other seed.

    >>> import fanin
    >>> fanin.default_rng(3).stream == fanin.Stream(3)
    True
    """
    if isinstance(seed, Generator):
        return seed
    if isinstance(seed, BitGenerator):
        return Generator(seed)
    return Generator(BitGenerator(None if seed is None else as_stream(seed)))
