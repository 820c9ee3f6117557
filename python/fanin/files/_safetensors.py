"""The safetensors format: header, then raw little-endian data."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from fanin._types import Progress

from ._pieces import write_pieces
from ._records import SIZE_LIMIT, Entry, Extent, Tensor, as_shape, byte_length

__all__ = [
    "HEADER_LIMIT", "SAFETENSORS_NAMES", "arranged", "read_safetensors_header", "write_safetensors"
]  # fmt: skip

#: The safetensors package refuses longer headers.
HEADER_LIMIT = 100_000_000

#: safetensors' names of the dtypes, in the order in which its files hold them.
SAFETENSORS_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(np.uint64): "U64",
    np.dtype(np.int64): "I64",
    np.dtype(np.float64): "F64",
    np.dtype(np.complex64): "C64",
    np.dtype(np.float32): "F32",
    np.dtype(np.uint32): "U32",
    np.dtype(np.int32): "I32",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(np.float16): "F16",
    np.dtype(np.uint16): "U16",
    np.dtype(np.int16): "I16",
    np.dtype(ml_dtypes.float8_e5m2fnuz): "F8_E5M2FNUZ",
    np.dtype(ml_dtypes.float8_e4m3fnuz): "F8_E4M3FNUZ",
    np.dtype(ml_dtypes.float8_e8m0fnu): "F8_E8M0",
    np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3",
    np.dtype(ml_dtypes.float8_e5m2): "F8_E5M2",
    np.dtype(np.int8): "I8",
    np.dtype(np.uint8): "U8",
    np.dtype(ml_dtypes.float6_e3m2fn): "F6_E3M2",
    np.dtype(ml_dtypes.float6_e2m3fn): "F6_E2M3",
    np.dtype(ml_dtypes.float4_e2m1fn): "F4",
    np.dtype(np.bool_): "BOOL",
}
_DTYPES = {name: dtype for dtype, name in SAFETENSORS_NAMES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(SAFETENSORS_NAMES)}


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Sequence[Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    replace: bool = True,
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
        Workers, >= 1; fewer where the system starts no more. Default: ``fanin.runtime.threads()``.
    progress : callable, optional
        ``progress(done, total)``, in bytes, is called in the calling thread after each piece.
    replace : bool
        False: a file that exists, now or at the end, is a FileExistsError and stays as it is.

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
    header, extents = arranged(tensors, metadata)
    return write_pieces(path, header, extents, threads, progress, replace=replace)


def arranged(
    tensors: Sequence[Tensor], metadata: Mapping[str, str] | None = None
) -> tuple[bytes, list[Extent]]:
    """The header of a file with these tensors, and their places in the order of the file."""
    ordered = sorted(tensors, key=lambda t: (_rank(t.dtype, t.name), t.name))
    entries, header = _header(ordered, metadata or {})
    return header, [
        Extent(entry.start, entry.stop, entry.dtype, tensor.fill)
        for tensor, entry in zip(ordered, entries, strict=True)
    ]


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
    with open(path, "rb", opener=_without_waiting) as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise ValueError(f"{os.fspath(path)!r} is a device, pipe or socket, no file")
        size = state.st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, HEADER_LIMIT):
            raise ValueError(f"{os.fspath(path)!r} is not a whole safetensors file")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if not isinstance(header, dict):
            raise ValueError("it is no JSON object")
        metadata = _read_metadata(header.pop("__metadata__", None))
        entries = {name: _read_entry(name, row, 8 + length) for name, row in header.items()}
        _check_places(entries, 8 + length, size)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)!r}: bad safetensors header: {error}") from error
    return metadata, entries


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe too at once, to which nobody may ever write."""
    return os.open(path, flags | os.O_NONBLOCK)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; two equal keys are refused, and what UTF-8 cannot hold."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice")
    for key in result:
        key.encode()
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of a header")


def _read_metadata(value: Any) -> dict[str, str]:
    """A mapping of str to str; the format's own reader takes null for none."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("metadata must map text to text")
    for text in value.values():
        text.encode()
    return value


def _read_entry(name: str, row: Any, begin: int) -> Entry:
    """One row of the header; `begin` is where the data begins."""
    if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} needs dtype, shape and data_offsets, nothing else")
    if not isinstance(row["dtype"], str) or row["dtype"] not in _DTYPES:
        raise ValueError(f"tensor {name!r}: no dtype {row['dtype']!r} in safetensors")
    if not isinstance(row["shape"], list):
        raise ValueError(f"tensor {name!r}: the shape must be a list")
    offsets = row["data_offsets"]
    if not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        raise ValueError(f"tensor {name!r}: data_offsets must be two ints")
    shape = as_shape(f"tensor {name!r}", row["shape"])
    return Entry(_DTYPES[row["dtype"]], shape, begin + offsets[0], begin + offsets[1])


def _check_places(entries: Mapping[str, Entry], begin: int, size: int) -> None:
    """Every byte of the data belongs to one tensor."""
    at = begin
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.start != at:
            raise ValueError(f"tensor {name!r} leaves a hole or overlaps")
        at += byte_length(f"tensor {name!r}", entry.dtype, entry.shape)
        if entry.stop != at:
            raise ValueError(f"tensor {name!r} has another size than its shape")
    if at != size:
        raise ValueError(f"the header says {at} bytes, the file has {size}")


def _rank(dtype: np.dtype[Any], name: str) -> int:
    """The place of a dtype in the order of safetensors files."""
    try:
        return _RANKS[np.dtype(dtype)]
    except KeyError:
        accepted = ", ".join(str(known) for known in SAFETENSORS_NAMES)
        raise TypeError(
            f"tensor {name!r}: safetensors has no dtype {dtype} (accepted: {accepted})"
        ) from None


def _header(tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> tuple[list[Entry], bytes]:
    """The places of tensors already in the file's order, and the header with its length."""
    rows: dict[str, Any] = {}
    if metadata:
        for key, value in metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError(f"metadata must map str to str, got {key!r}: {value!r}")
        rows["__metadata__"] = dict(sorted(metadata.items()))
    places = []
    at = 0
    for tensor in tensors:
        if not tensor.name or tensor.name == "__metadata__":
            raise ValueError(f"a tensor cannot be named {tensor.name!r}")
        if tensor.name in rows:
            raise ValueError(f"two tensors are named {tensor.name!r}")
        dtype, what = np.dtype(tensor.dtype), f"tensor {tensor.name!r}"
        shape = as_shape(what, tensor.shape)
        stop = at + byte_length(what, dtype, shape)
        if stop > SIZE_LIMIT:
            raise ValueError(f"the tensors take {stop} bytes, over 2**63 - 1")
        rows[tensor.name] = {
            "dtype": SAFETENSORS_NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [at, stop],
        }
        places.append(Entry(dtype, shape, at, stop))
        at = stop
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
    if len(header) + at > SIZE_LIMIT:
        raise ValueError(f"the file takes {len(header) + at} bytes, over 2**63 - 1")
    begin = len(header)
    return [e._replace(start=begin + e.start, stop=begin + e.stop) for e in places], header
