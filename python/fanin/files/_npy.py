"""The .npy format of NumPy."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from fanin._types import Progress

from ._pieces import write_pieces
from ._records import Extent, Fill, as_shape, byte_length

__all__ = ["npy_header", "write_npy"]

#: Types of ml_dtypes, which NumPy stores as raw items of their size.
_RAW = (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)
_RAW_BYTES = (np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.float8_e5m2))


def write_npy(
    path: str | os.PathLike[str],
    dtype: npt.DTypeLike,
    shape: Sequence[int],
    fill: Fill,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    replace: bool = True,
) -> int:
    """Write one array to a .npy file, piece by piece and all or nothing.

    The bytes are those of ``numpy.save`` for the same array in C order.

    Parameters
    ----------
    path : str or path
        The target. An existing file, or a symbolic link, is replaced at the end.
    dtype : dtype
        bool, integers, floats or complex. bfloat16 is stored as raw 2-byte items, as by
        ``numpy.save``: ``numpy.load(path).view(ml_dtypes.bfloat16)`` reads it; float8_e4m3fn and
        float8_e5m2 as raw bytes.
    shape : sequence of int
        Each >= 0.
    fill : callable
        As in `Tensor`.
    threads, progress, replace
        As in `write_safetensors`.

    Returns
    -------
    int
        The size of the file in bytes.

    Raises
    ------
    TypeError
        The dtype is structured, an object or text.
    ValueError, OSError
        As in `write_safetensors`.

    Notes
    -----
    Format: numpy.lib.format, version 1.0.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fanin.files import write_npy
    >>> def count(out, start):
    ...     out[:] = np.arange(start, start + out.size)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "count.npy")
    ...     size = write_npy(path, np.float32, (2, 3), count)
    ...     np.load(path)
    array([[0., 1., 2.],
           [3., 4., 5.]], dtype=float32)
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc" and dtype.type not in _RAW:
        raise TypeError(f"dtype {dtype} is not bool, an integer, a float or complex")
    sizes = as_shape("the array", shape)
    length = byte_length("the array", dtype, sizes)
    header = npy_header(dtype, sizes)
    extent = Extent(len(header), len(header) + length, dtype, fill)
    return write_pieces(path, header, [extent], threads, progress, replace=replace)


def npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What stands before the data."""
    text = io.BytesIO()
    description = "|V1" if dtype in _RAW_BYTES else np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        text, {"descr": description, "fortran_order": False, "shape": shape}
    )
    return text.getvalue()
