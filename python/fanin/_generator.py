"""Generator: NumPy's method names on a Stream and a cursor. The only mutable object of the
package."""

from __future__ import annotations

import operator
import secrets
import threading
from typing import Any

import numpy as np

from ._arrays import ALL, KINDS, REAL, target
from ._random import parameter, prepare, require_bounds, require_range
from ._stream import Stream

_TILE_LIMIT = 1 << 58  # so that every address of every dtype fits 63 bits


class Generator:
    """Random numbers by NumPy's names: a stream, and a cursor that moves by whole tiles of 32
    words.

    A call takes the addresses from the cursor on and moves it to the next tile, atomically:
    threads that share a
    Generator get disjoint values. So ``standard_normal(5)`` twice is not ``standard_normal(10)``
    once; for values
    that do not depend on how calls are cut, use the stateless functions with ``index=``.

    Made by `fanin.default_rng`. Methods have the arguments and the error words of
    `numpy.random.Generator`, and
    take ``dtype=`` and ``out=`` everywhere; ``out`` may have any strides.

    >>> import fanin
    >>> rng = fanin.default_rng(0)
    >>> x = rng.standard_normal(4, dtype="float32")
    >>> bool((x == fanin.normal((4,), seed=0)).all())
    True
    """

    def __init__(self, stream: Stream) -> None:
        if not isinstance(stream, Stream):
            raise TypeError(f"a Generator needs a fanin.Stream, got {stream!r}; see default_rng")
        self._stream = stream
        self._tile = 0
        self._children = 0
        self._lock = threading.Lock()

    @property
    def stream(self) -> Stream:
        """The stream of the values, whatever the cursor."""
        return self._stream

    def spawn(self, n_children: int) -> list[Generator]:
        """`n_children` new generators on streams of their own; never equal to a named or numbered
        child."""
        count = operator.index(n_children)
        if count < 0:
            raise ValueError(f"n_children must be at least 0, got {count}")
        with self._lock:
            first = self._children
            self._children += count
        return [Generator(self._stream._spawned(first + i)) for i in range(count)]

    def _next_child(self) -> Stream:
        return self.spawn(1)[0].stream

    def _take(self, tiles: int) -> int:
        """Moves the cursor on by `tiles` and returns where it stood."""
        with self._lock:
            first = self._tile
            if first + tiles > _TILE_LIMIT:
                raise OverflowError(
                    "a Generator ends after 2**58 tiles of 32 words; "
                    f"it stands at {first}: spawn one"
                )
            self._tile = first + tiles
        return first

    # ---- state: ==, copy, pickle
    # ------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {"stream": self._stream, "tile": self._tile, "children": self._children}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["stream"])  # type: ignore[misc]
        self._tile, self._children = state["tile"], state["children"]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Generator):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<fanin.Generator on {self._stream!r}, tile {self._tile}>"

    # ---- laws ------------------------------------------------------------------------------------

    def _draw(self, law: str, parameters: tuple[Any, ...], size: Any, dtype: Any, out: Any,
              accepted: tuple[np.dtype[Any], ...], function: str,
              check: Any = None) -> Any:  # fmt: skip
        arrays = [p for p in parameters if isinstance(p, np.ndarray)]
        shape = size
        if size is None:
            if out is not None:
                shape = tuple(out.shape)
            else:
                shape = np.broadcast_shapes(*(a.shape for a in arrays)) if arrays else ()
        goal = target(shape, dtype, out, None, np.float64, accepted, function)
        if check is not None:
            check(goal.array.dtype)
        for a in arrays:
            wide = np.broadcast_shapes(a.shape, goal.shape)
            if len(a.shape) > len(goal.shape) or wide != goal.shape:
                raise ValueError(
                    f"Output size {goal.shape} is not compatible with broadcast dimensions "
                    f"of inputs {a.shape}."
                )
        draw = prepare(law, parameters, goal)
        kind = KINDS[goal.array.dtype]
        first = self._take(-(-goal.array.size // kind.tile)) * kind.tile
        draw.write(goal, self._stream._key, first, 0)
        return goal.array[()] if size is None and out is None and not arrays else goal.done()

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Uniform in [0, 1). See `fanin.random`."""
        return self._draw("uniform", (0.0, 1.0), size, dtype, out, REAL, "random")

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Normal with mean 0 and standard deviation 1. See `fanin.normal`."""
        return self._draw("normal", (0.0, 1.0), size, dtype, out, ALL, "standard_normal")

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None,
               dtype: Any = np.float64, out: Any = None) -> Any:  # fmt: skip
        """``loc + scale * z``; loc and scale broadcast. See `fanin.normal`."""
        loc, scale = parameter(loc, "loc", True), parameter(scale, "scale")
        _refuse_negative(scale)

        def check(chosen: np.dtype[Any]) -> None:
            if np.iscomplexobj(loc) and not KINDS[chosen].complex:
                raise TypeError(f"a complex loc needs a complex dtype, got {chosen.name}")

        return self._draw("normal", (loc, scale), size, dtype, out, ALL, "normal", check)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None,
                dtype: Any = np.float64, out: Any = None) -> Any:  # fmt: skip
        """Uniform in [low, high); both broadcast. See `fanin.uniform`."""
        low, high = parameter(low, "low"), parameter(high, "high")
        return self._draw("uniform", (low, high), size, dtype, out, REAL, "uniform",
                          lambda chosen: require_range(low, high, chosen))  # fmt: skip

    def truncated_normal(self, loc: Any = 0.0, scale: Any = 1.0, low: Any = -2.0, high: Any = 2.0,
                         size: Any = None, dtype: Any = np.float64,
                         out: Any = None) -> Any:  # fmt: skip
        """Normal cut to [low, high], in units of scale. See `fanin.truncated_normal`."""
        names = ("loc", "scale", "low", "high")
        values = tuple(parameter(v, n) for n, v in zip(names, (loc, scale, low, high), strict=True))
        _refuse_negative(values[1])
        require_bounds(values[2], values[3])
        return self._draw("truncated_normal", values, size, dtype, out, REAL, "truncated_normal")


def _refuse_negative(scale: Any) -> None:
    """NumPy's check: a set sign bit is refused, -0.0 too; NaN and inf are not."""
    negative = np.signbit(scale) & ~np.isnan(scale)
    if np.any(negative):
        raise ValueError("scale < 0")


def default_rng(seed: int | Stream | Generator | None = None) -> Generator:
    """A Generator on `seed`.

    Parameters
    ----------
    seed : int, Stream, Generator or None
        An int or a Stream gives a fresh Generator on that stream; a Generator is returned as it
        is; None takes 128 bits of entropy from the operating system.

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
    if seed is None:
        return Generator(Stream(secrets.randbits(128)))
    return Generator(seed if isinstance(seed, Stream) else Stream(seed))
