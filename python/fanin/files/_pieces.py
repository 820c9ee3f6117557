"""Whole files on disk: complete under their name, or not there at all.

A file is written beside its target under a temporary name: the data first, the header last (eight
zero bytes stand in its place until then), then fsync, rename, and fsync of the folder. A process
that dies on the way leaves the old file as it was and a ``.tmp`` that no reader takes for a whole
file; the next write to the same target removes it. Nothing larger than a few pieces of
``PIECE_BYTES`` is ever in memory: worker threads each generate a piece and write it.
"""

from __future__ import annotations

import io
import json
import math
import os
import queue
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from fanin import runtime
from fanin._public import public

from ._replacing import Replacement, replacing

__all__ = ["Entry", "Tensor", "read_safetensors_header", "write_npy", "write_safetensors"]

#: Bytes that one worker generates and writes at a time. Measured (1 GiB, 2 workers): 4 MiB pieces
#: of a file whose blocks are reserved first take 0.14 s, 64 MiB pieces 0.36 s (they leave the
#: cache), stores into a shared mapping 0.16 s plus more in fsync.
PIECE_BYTES = 4 << 20

#: The safetensors package refuses longer headers.
HEADER_LIMIT = 100_000_000

#: The largest offset of a file, and the largest number of elements of a tensor.
SIZE_LIMIT = 2**63 - 1

#: safetensors' names of the dtypes, in the order in which its files hold them.
SAFETENSORS_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(np.int64): "I64",
    np.dtype(np.float64): "F64",
    np.dtype(np.complex64): "C64",
    np.dtype(np.float32): "F32",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(np.float16): "F16",
}
_DTYPES = {name: dtype for dtype, name in SAFETENSORS_NAMES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(SAFETENSORS_NAMES)}

Fill = Callable[[npt.NDArray[Any], int], object]
Progress = Callable[[int, int], object]


@public("fanin.files")
class Tensor(NamedTuple):
    """One tensor to be written.

    Attributes
    ----------
    name : str
        Its name in the file.
    dtype : numpy.dtype
        float64, float32, float16, bfloat16, complex64 or int64.
    shape : tuple of int
        Each >= 0; () is one element.
    fill : callable
        ``fill(out, start)`` writes elements ``start`` to ``start + out.size`` of the flattened
        tensor into the 1-D array ``out``. Several threads call it at once.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fill: Fill


@public("fanin.files")
class Entry(NamedTuple):
    """Where a tensor lies in a file: dtype, shape, and its bytes ``start`` to ``stop``."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


class _Extent(NamedTuple):
    """A tensor's place in the file to be written."""

    start: int
    stop: int
    dtype: np.dtype[Any]
    fill: Fill


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Sequence[Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write tensors to a safetensors file, piece by piece and all or nothing.

    The bytes are those of ``safetensors.numpy.save_file`` for the same tensors, whatever the order
    given and the number of threads; metadata is sorted by key (the package leaves its order to a
    hash table).

    Parameters
    ----------
    path : str or path
        The target. An existing file, or a symbolic link, is replaced at the end.
    tensors : sequence of Tensor
        Names are unique, not empty and not ``__metadata__``.
    metadata : mapping of str to str, optional
        Stored in the header.
    threads : int, optional
        Workers, >= 1. Default: ``fanin.runtime.threads()``.
    progress : callable, optional
        ``progress(done, total)``, in bytes, is called in the calling thread after each piece.

    Returns
    -------
    int
        The size of the file in bytes.

    Raises
    ------
    ValueError
        A name, shape or the header's length is not allowed. Nothing has been written.
    TypeError
        safetensors has no such dtype, or metadata is not str to str.
    OSError
        The folder or the disk refuses; ``filename`` is the target, which is as it was before.

    Notes
    -----
    Format: a 64-bit little-endian header length, a JSON header padded with spaces to a multiple
    of 8 bytes, then the raw little-endian data (huggingface/safetensors, README, "Format").

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fanin.files import Tensor, write_safetensors
    >>> def count(out, start):
    ...     out[:] = np.arange(start, start + out.size)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "count.safetensors")
    ...     write_safetensors(path, [Tensor("n", np.dtype(np.float32), (2, 3), count)])
    96
    """
    ordered = sorted(tensors, key=lambda t: (_rank(t.dtype, t.name), t.name))
    entries, header = _safetensors_header(ordered, metadata or {})
    extents = [
        _Extent(entry.start, entry.stop, tensor.dtype, tensor.fill)
        for tensor, entry in zip(ordered, entries, strict=True)
    ]
    return _write(path, header, extents, threads, progress)


def write_npy(
    path: str | os.PathLike[str],
    dtype: npt.DTypeLike,
    shape: tuple[int, ...],
    fill: Fill,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write one array to a .npy file, piece by piece and all or nothing.

    The bytes are those of ``numpy.save`` for the same array in C order.

    Parameters
    ----------
    path : str or path
        The target. An existing file, or a symbolic link, is replaced at the end.
    dtype : dtype
        bool, integers, floats or complex. bfloat16 is stored as raw 2-byte items, as by
        ``numpy.save``: ``numpy.load(path).view(ml_dtypes.bfloat16)`` reads it.
    shape : tuple of int
        Each >= 0.
    fill : callable
        As in `Tensor`.
    threads, progress
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
    if dtype.kind not in "biufc" and dtype != ml_dtypes.bfloat16:
        raise TypeError(f"dtype {dtype} is not bool, an integer, a float or complex")
    length = _byte_length("the array", dtype, shape)
    text = io.BytesIO()
    description = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        text, {"descr": description, "fortran_order": False, "shape": tuple(shape)}
    )
    header = text.getvalue()
    extent = _Extent(len(header), len(header) + length, dtype, fill)
    return _write(path, header, [extent], threads, progress)


def read_safetensors_header(
    path: str | os.PathLike[str],
) -> tuple[dict[str, str], dict[str, Entry]]:
    """Read the metadata and the places of the tensors of a safetensors file.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    metadata : dict of str to str
    entries : dict of str to Entry
        Offsets count from the start of the file.

    Raises
    ------
    ValueError
        The file is not a whole safetensors file: no header, duplicate names, tensors that
        overlap or leave holes, or a size that is not the header's.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fanin.files import Tensor, read_safetensors_header, write_safetensors
    >>> def zero(out, start):
    ...     out[:] = 0
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "zero.safetensors")
    ...     size = write_safetensors(path, [Tensor("b", np.dtype(np.float32), (3,), zero)])
    ...     read_safetensors_header(path)
    ({}, {'b': Entry(dtype=dtype('float32'), shape=(3,), start=64, stop=76)})
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, HEADER_LIMIT):
            raise ValueError(f"{os.fspath(path)!r} is not a whole safetensors file")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_unique)
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("metadata must be text")
        entries = {
            name: Entry(
                _DTYPES[row["dtype"]],
                tuple(row["shape"]),
                8 + length + row["data_offsets"][0],
                8 + length + row["data_offsets"][1],
            )
            for name, row in header.items()
        }
        at = 8 + length
        for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
            if entry.start != at:
                raise ValueError(f"tensor {name!r} leaves a hole or overlaps")
            at += _byte_length(f"tensor {name!r}", entry.dtype, entry.shape)
            if entry.stop != at:
                raise ValueError(f"tensor {name!r} has another size than its shape")
        if at != size:
            raise ValueError(f"the header says {at} bytes, the file has {size}")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)!r}: bad safetensors header: {error}") from error
    return metadata, entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; two equal keys are refused."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice")
    return result


def _rank(dtype: np.dtype[Any], name: str) -> int:
    """The place of a dtype in the order of safetensors files."""
    try:
        return _RANKS[dtype]
    except KeyError:
        accepted = ", ".join(str(known) for known in SAFETENSORS_NAMES)
        raise TypeError(
            f"tensor {name!r}: safetensors has no dtype {dtype} (accepted: {accepted})"
        ) from None


def _byte_length(what: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Bytes of an array, checked."""
    for extent in shape:
        if isinstance(extent, bool) or not isinstance(extent, int) or extent < 0:
            raise ValueError(f"{what}: shape {shape} must hold ints >= 0")
    length = math.prod(shape) * dtype.itemsize
    if length > SIZE_LIMIT:
        raise ValueError(f"{what}: shape {shape} of {dtype} takes {length} bytes, over 2**63 - 1")
    return length


def _safetensors_header(
    tensors: Sequence[Tensor], metadata: Mapping[str, str]
) -> tuple[list[Entry], bytes]:
    """The places of tensors already in the file's order, and the header with its length."""
    rows: dict[str, Any] = {}
    if metadata:
        for key, value in metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError(f"metadata must map str to str, got {key!r}: {value!r}")
        rows["__metadata__"] = dict(sorted(metadata.items()))
    offsets = [0]
    for tensor in tensors:
        if not tensor.name or tensor.name == "__metadata__":
            raise ValueError(f"a tensor cannot be named {tensor.name!r}")
        if tensor.name in rows:
            raise ValueError(f"two tensors are named {tensor.name!r}")
        stop = offsets[-1] + _byte_length(f"tensor {tensor.name!r}", tensor.dtype, tensor.shape)
        if stop > SIZE_LIMIT:
            raise ValueError(f"the tensors take {stop} bytes, over 2**63 - 1")
        rows[tensor.name] = {
            "dtype": SAFETENSORS_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offsets[-1], stop],
        }
        offsets.append(stop)
    try:
        text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a name or metadata is not valid Unicode: {error}") from None
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise ValueError(
            f"the header takes {len(text)} bytes; safetensors accepts {HEADER_LIMIT}: "
            "use fewer or shorter names"
        )
    header = len(text).to_bytes(8, "little") + text
    if len(header) + offsets[-1] > SIZE_LIMIT:
        raise ValueError(f"the file takes {len(header) + offsets[-1]} bytes, over 2**63 - 1")
    entries = [
        Entry(tensor.dtype, tensor.shape, len(header) + start, len(header) + stop)
        for tensor, start, stop in zip(tensors, offsets[:-1], offsets[1:], strict=True)
    ]
    return entries, header


def _write(
    path: str | os.PathLike[str],
    header: bytes,
    extents: Sequence[_Extent],
    threads: int | None,
    progress: Progress | None,
) -> int:
    """Write the extents, which lie one after the other, then the header before them."""
    workers = runtime.threads() if threads is None else threads
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"threads must be an int >= 1, got {workers!r}")
    size = extents[-1].stop if extents else len(header)
    with replacing(path) as file:
        file.reserve(size)
        _write_pieces(file, len(header), size, extents, workers, progress)
        file.write(header, 0)
        file.commit()
    return size


def _write_pieces(
    file: Replacement,
    begin: int,
    size: int,
    extents: Sequence[_Extent],
    workers: int,
    progress: Progress | None,
) -> None:
    """Generate and write bytes ``begin`` to ``size``, cut at multiples of PIECE_BYTES.

    Every tensor starts at a multiple of its item size (the wider dtypes come first, and a header
    is a multiple of 8 or 64 bytes), so no cut goes through an element.
    """
    stops = [extent.stop for extent in extents]
    buffers: queue.SimpleQueue[npt.NDArray[np.uint8]] = queue.SimpleQueue()
    for _ in range(workers):
        buffers.put(np.empty(min(PIECE_BYTES, max(size - begin, 0)), np.uint8))

    def piece(start: int) -> int:
        stop = min(size, start - start % PIECE_BYTES + PIECE_BYTES)
        buffer = buffers.get()
        try:
            for extent in extents[bisect_right(stops, start) :]:
                if extent.start >= stop:
                    break
                first, last = max(start, extent.start), min(stop, extent.stop)
                if first < last:
                    part = buffer[first - start : last - start].view(extent.dtype)
                    extent.fill(part, (first - extent.start) // extent.dtype.itemsize)
            file.write(buffer[: stop - start].data, start)
        finally:
            buffers.put(buffer)
        return stop

    starts = list(range(begin - begin % PIECE_BYTES, size, PIECE_BYTES))
    starts[:1] = [begin] if begin < size else []
    left = deque(starts)
    written: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def work() -> None:
        """Take piece after piece; None says that this worker has ended."""
        try:
            while left:
                try:
                    start = left.popleft()
                except IndexError:  # another worker took the last one
                    break
                written.put(piece(start))
        except BaseException:
            left.clear()
            raise
        finally:
            written.put(None)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="fanin-write")
    try:
        # One task for each worker, not for each piece: Ctrl-C within `submit` can leave a lock of
        # the pool taken for ever, and then no worker ends. A SimpleQueue has no such moment.
        tasks = [pool.submit(work) for _ in range(workers)]
        furthest = begin
        for _ in tasks:
            while (stop := written.get()) is not None:
                furthest = max(furthest, stop)
                if progress is not None:
                    progress(furthest, size)
        for task in tasks:
            task.result()
    finally:
        left.clear()
        _join(pool)


def _join(pool: ThreadPoolExecutor) -> None:
    """Wait until no worker can touch the file any more, however often Ctrl-C is pressed."""
    interrupt = None
    while True:
        try:
            pool.shutdown(cancel_futures=True)
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
