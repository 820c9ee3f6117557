"""Random dask arrays with fanin's values: the same for any chunks, scheduler and cluster.

>>> import fanin
>>> import fanin.dask
>>> x = fanin.dask.normal((1000, 400), seed=0, chunks=(256, 100))
>>> bool((x.compute() == fanin.normal((1000, 400), seed=0)).all())
True

Task k makes chunk k and nothing else, from a description of a few bytes: nothing is sent and the
memory of a worker is that of its chunks. dask's own random arrays depend on their chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from dask.array import map_blocks
    from dask.array.core import normalize_chunks
except ImportError as error:
    raise ImportError(f"fanin.dask needs dask: pip install 'fanin[dask]' ({error})") from error

import numpy as np

import fanin

__all__ = ["normal", "orthogonal", "random", "truncated_normal", "uniform"]


def random(shape: Any, *, seed: Any, chunks: Any = "auto", dtype: Any = None) -> Any:
    """Uniform numbers in [0, 1), as `fanin.random`.

    Parameters
    ----------
    shape, seed, chunks, dtype
        As in :func:`normal`.

    Examples
    --------
    >>> import fanin.dask
    >>> x = fanin.dask.random((60, 40), seed=0, chunks=16)
    >>> bool((x.compute() == fanin.random((60, 40), seed=0)).all())
    True
    """
    return _array(fanin.random, shape, {}, seed, chunks, dtype)


def normal(
    shape: Any,
    loc: float = 0.0,
    scale: float = 1.0,
    *,
    seed: Any,
    chunks: Any = "auto",
    dtype: Any = None,
) -> Any:
    """Normal numbers, as `fanin.normal`.

    Parameters
    ----------
    shape : int or sequence of ints
        The full shape.
    loc, scale : float
        Mean and standard deviation.
    seed : int, Stream or Generator
        Give every array a stream of its own: ``seed=fanin.Stream(0)["x"]``.
    chunks : as dask takes them
        The values do not depend on them.
    dtype : optional
        float32 if None.

    Returns
    -------
    dask.array.Array

    Raises
    ------
    TypeError, ValueError
        For bad arguments, at once and not when it is computed.

    Examples
    --------
    >>> import fanin.dask
    >>> x = fanin.dask.normal((60, 40), 0.0, 0.02, seed=0, chunks=16)
    >>> bool((x.compute() == fanin.normal((60, 40), 0.0, 0.02, seed=0)).all())
    True
    """
    return _array(fanin.normal, shape, {"loc": loc, "scale": scale}, seed, chunks, dtype)


def uniform(
    shape: Any,
    low: float = 0.0,
    high: float = 1.0,
    *,
    seed: Any,
    chunks: Any = "auto",
    dtype: Any = None,
) -> Any:
    """Uniform numbers in [low, high), as `fanin.uniform`.

    Parameters
    ----------
    shape, seed, chunks, dtype
        As in :func:`normal`.
    low, high : float

    Examples
    --------
    >>> import fanin.dask
    >>> x = fanin.dask.uniform((60, 40), -0.1, 0.1, seed=0, chunks=16)
    >>> bool((x.compute() == fanin.uniform((60, 40), -0.1, 0.1, seed=0)).all())
    True
    """
    return _array(fanin.uniform, shape, {"low": low, "high": high}, seed, chunks, dtype)


def truncated_normal(
    shape: Any,
    loc: float = 0.0,
    scale: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    *,
    seed: Any,
    chunks: Any = "auto",
    dtype: Any = None,
) -> Any:
    """Normal numbers cut to [low, high], as `fanin.truncated_normal`.

    Parameters
    ----------
    shape, seed, chunks, dtype
        As in :func:`normal`.
    loc, scale : float
        Mean and standard deviation before the cut.
    low, high : float
        In units of scale.

    Examples
    --------
    >>> import fanin.dask
    >>> x = fanin.dask.truncated_normal((60, 40), 0.0, 0.02, seed=0, chunks=16)
    >>> bool((x.compute() == fanin.truncated_normal((60, 40), 0.0, 0.02, seed=0)).all())
    True
    """
    law = {"loc": loc, "scale": scale, "low": low, "high": high}
    return _array(fanin.truncated_normal, shape, law, seed, chunks, dtype)


def orthogonal(
    shape: Any, *, seed: Any, chunks: Any = "auto", gain: float = 1.0, dtype: Any = None
) -> Any:
    """One Haar-distributed orthogonal matrix, as `fanin.orthogonal`, made by parts.

    A tall or square matrix is cut along its columns, a wide one along its rows: such a part costs
    its share of the work and the reflectors, which every task samples for itself, so workers send
    each other nothing. A part of the other axis would cost the whole matrix, so it is one chunk
    unless `chunks` cut it.

    Parameters
    ----------
    shape : pair of ints
    seed, chunks, dtype
        As in :func:`normal`; an int for `chunks` is the width of a part.
    gain : float
        Multiplies the matrix.

    Raises
    ------
    ValueError
        For a shape that has not two axes.

    Examples
    --------
    >>> import fanin.dask
    >>> x = fanin.dask.orthogonal((60, 40), seed=0, chunks=16)
    >>> bool((x.compute() == fanin.orthogonal((60, 40), seed=0)).all())
    True
    """
    full = _as_shape(shape)
    if len(full) != 2:
        raise ValueError(f"orthogonal makes one matrix; its shape has two axes, got {full}")
    cut = 1 if full[0] >= full[1] else 0
    if chunks == "auto" or isinstance(chunks, int):
        whole: list[Any] = [-1, -1]
        whole[cut] = chunks
        chunks = tuple(whole)
    return _array(fanin.orthogonal, full, {"gain": gain}, seed, chunks, dtype)


def _as_shape(shape: Any) -> tuple[int, ...]:
    return tuple(np.broadcast_shapes(shape))


def _array(
    draw: Callable[..., Any], shape: Any, law: dict[str, Any], seed: Any, chunks: Any, dtype: Any
) -> Any:
    full = _as_shape(shape)
    for name, value in law.items():
        if np.ndim(value):
            raise TypeError(
                f"{name} must be a number, got {type(value).__name__} of shape {np.shape(value)}: "
                "scale the array afterwards, loc + scale * fanin.dask.normal(shape, seed=seed)"
            )
    if not isinstance(seed, (fanin.Stream, fanin.Generator)):
        seed = fanin.Stream(seed)
    nothing = draw(full, **law, seed=0, dtype=dtype, index=fanin.flat[0:0])  # refuses at once
    pieces = _pieces(chunks, full, nothing.dtype)
    stream = seed.spawn(1)[0].stream if isinstance(seed, fanin.Generator) else seed
    return map_blocks(
        _chunk,
        draw,
        full,
        law,
        stream,
        chunks=pieces,
        dtype=nothing.dtype,
        meta=np.empty((0,) * len(full), nothing.dtype),
        name=f"fanin-{draw.__name__}-{_token(full, law, stream, pieces, nothing.dtype)}",
    )


def _pieces(chunks: Any, full: tuple[int, ...], dtype: Any) -> tuple[tuple[int, ...], ...]:
    """The sizes of the chunks along each axis; dask itself takes some that are no sizes."""
    try:
        pieces: tuple[tuple[int, ...], ...] = normalize_chunks(chunks, full, dtype=dtype)
        good = all(min(sizes, default=0) >= 0 for sizes in pieces)
    except ZeroDivisionError:
        good = False
    if not good:
        raise ValueError(
            f"chunks={chunks!r} of the shape {full}: a chunk has at least 1 element an axis, or -1 "
            "for the whole axis"
        )
    return pieces


def _token(*description: Any) -> str:
    from dask.base import tokenize

    return str(tokenize(*(str(part) for part in description)))


def _chunk(
    draw: Callable[..., Any],
    shape: tuple[int, ...],
    law: dict[str, Any],
    stream: fanin.Stream,
    block_info: Any = None,
) -> Any:
    """The values of one chunk; dask says which."""
    place = block_info[None]
    index = tuple(slice(start, stop) for start, stop in place["array-location"])
    # A scheduler runs a task on each core; threads of the tasks' own would stand in the way.
    return draw(shape, **law, seed=stream, dtype=place["dtype"], index=index, threads=1)
