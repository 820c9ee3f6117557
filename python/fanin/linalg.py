"""Orthonormal factors with the same bits on every machine: QR on fanin's own kernels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanin._arrays.kinds import KINDS

from . import _core
from ._checks import as_threads

__all__ = ["QR", "orthonormalize", "qr"]


class QR(NamedTuple):
    """The factors of :func:`qr`.

    Attributes
    ----------
    Q : array, (..., m, k)
        Orthonormal columns, k = min(m, n).
    R : array, (..., k, n)
        Upper triangular, its diagonal real and >= 0.
    """

    Q: NDArray[Any]
    R: NDArray[Any]


def _stack(a: Any, function: str) -> tuple[NDArray[Any], np.dtype[Any]]:
    """`a` as a contiguous stack (matrices, m, n) in its compute type, and its own dtype."""
    array = np.asarray(a)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    kind = KINDS.get(array.dtype.newbyteorder("="))
    if kind is None:
        names = ", ".join(dtype.name for dtype in KINDS)
        raise TypeError(f"{function} takes {names} or integers, got dtype {array.dtype}")
    if array.ndim < 2:
        raise ValueError(
            f"{function} takes matrices, (..., m, n); got an array of {array.ndim} dimensions"
        )
    compute = np.result_type(kind.compute, np.complex64) if kind.complex else kind.compute
    work = np.asarray(array, dtype=compute, order="C")
    matrices = int(np.prod(array.shape[:-2], dtype=np.int64))
    return work.reshape(matrices, *array.shape[-2:]), array.dtype.newbyteorder("=")


def qr(a: Any, *, threads: int | None = None) -> QR:
    """QR factorisation with a non-negative diagonal: ``a = Q R``.

    By Householder reflectors in blocks, with fixed orders of sums: the same bits whatever the
    thread count, instruction set or machine. With diag(R) >= 0 the factors of a matrix of full
    column rank are unique, and Q of a Gaussian matrix has Haar's law      (Mezzadri 2007)

    Parameters
    ----------
    a : array_like, (..., m, n)
        Matrices of float32, float64, complex64, complex128; float16 and bfloat16 are computed in
        float32 and rounded once; integers are computed in float64.
    threads : int >= 1, optional
        Threads to use; the values do not depend on it.

    Returns
    -------
    QR
        ``Q`` (..., m, k) with orthonormal columns and ``R`` (..., k, n) upper triangular with a
        real diagonal >= 0, k = min(m, n) (the reduced form).

    Raises
    ------
    ValueError
        If `a` has less than two axes, or `threads` is less than 1.
    TypeError
        If its dtype is none of those above.

    Notes
    -----
    Where a column depends on those before it, the diagonal of R holds a zero, or what rounding
    leaves of it, and Q has some unit vector orthogonal to the others there: ``a = Q R`` and
    ``Q^H Q = I`` hold all the same.

    A matrix that holds a NaN or an infinity, or whose R would leave the range of its dtype, has NaN
    in all of ``Q`` and ``R``; the other matrices of a stack do not see it.

    Examples
    --------
    >>> import fanin
    >>> q, r = fanin.linalg.qr([[3.0, 1.0], [4.0, 2.0]])
    >>> r.round(12).tolist()
    [[5.0, 2.2], [0.0, 0.4]]
    """
    count = as_threads(threads)
    work, dtype = _stack(a, "qr")
    matrices, rows, columns = work.shape
    lead, rank = np.shape(a)[:-2], min(rows, columns)
    q = np.empty((matrices, rows, rank), work.dtype)
    r = np.empty((matrices, rank, columns), work.dtype)
    _core.qr(work, q, r, count)
    return QR(
        q.reshape(*lead, rows, rank).astype(dtype, copy=False),
        r.reshape(*lead, rank, columns).astype(dtype, copy=False),
    )


def orthonormalize(a: Any, *, threads: int | None = None) -> NDArray[Any]:
    """The orthonormal factor of each matrix: columns of a tall one, rows of a wide one.

    The Q of ``a = Q R`` with diag(R) >= 0 for m >= n, else the transposed Q of the transpose; the
    Gram-Schmidt vectors of the columns (or rows), by Householder reflectors.

    Parameters
    ----------
    a : array_like, (..., m, n)
        Matrices, of the dtypes that :func:`qr` takes.
    threads : int >= 1, optional
        Threads to use; the values do not depend on it.

    Returns
    -------
    array, (..., m, n)
        ``Q^H Q = I`` if m >= n, else ``Q Q^H = I``, of the dtype of `a`.

    Raises
    ------
    ValueError
        If `a` has less than two axes, or `threads` is less than 1.
    TypeError
        If its dtype is not accepted.

    Notes
    -----
    A matrix of any rank is accepted: a vector that depends on those before it is replaced by some
    unit vector orthogonal to all others, so the zero matrix gives an orthonormal one too. One that
    is not finite gives NaN, as in :func:`qr`.

    Examples
    --------
    >>> import fanin
    >>> fanin.linalg.orthonormalize([[3.0], [4.0]]).round(12).tolist()
    [[0.6], [0.8]]
    """
    count = as_threads(threads)
    if np.ndim(a) >= 2 and np.shape(a)[-2] < np.shape(a)[-1]:
        tall = np.swapaxes(np.asarray(a), -1, -2)
        return np.ascontiguousarray(np.swapaxes(orthonormalize(tall, threads=threads), -1, -2))
    work, dtype = _stack(a, "orthonormalize")
    q = np.empty_like(work)
    _core.qr(work, q, None, count)
    return q.reshape(np.shape(a)).astype(dtype, copy=False)
