"""A file of a plan generated again from its own metadata, and compared byte by byte."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from fanin import _core
from fanin._public import public
from fanin._random.streams import Stream
from fanin._types import Progress
from fanin.files import _shards
from fanin.files._pieces import first_difference
from fanin.files._records import Entry, Extent, bits
from fanin.files._safetensors import read_safetensors_header

from .plan_data import tensor_from_data
from .reporting import shown
from .storing import Resolved, filler, stream_of
from .tensors import PlanTensor

__all__ = ["Difference", "Stated", "Verification", "read_stated", "verify"]

#: Bytes hashed at a time.
_HASHED_AT_A_TIME = 1 << 22


@dataclass(frozen=True)
class Difference:
    """Where a file first differs from what its metadata states.

    Attributes
    ----------
    file, tensor : str
        The file's name and the tensor's.
    index : tuple of int or None
        The first element that differs; None if the tensor is missing, of another shape or dtype,
        or compared by its hash.
    found, expected : str
        What the file holds there, and what belongs there.
    """

    file: str
    tensor: str
    index: tuple[int, ...] | None
    found: str
    expected: str

    def __str__(self) -> str:
        at = "" if self.index is None else f"[{', '.join(map(str, self.index))}]"
        return f"{self.file}: {self.tensor}{at} is {self.found}, not {self.expected}"


@public("fanin")
@dataclass(frozen=True)
class Verification:
    """What `fanin.verify` found.

    Attributes
    ----------
    ok : bool
        Every tensor of every file is there, byte for byte; also the truth value of the record.
    tensors : tuple of str
        The tensors that were compared.
    first_difference : Difference or None
        The first one, in the order of the files and of their bytes.
    missing : tuple of str
        Files of the folder that are not there.
    by_hash : tuple of str
        Tensors that hold literal values: compared with the SHA-256 in the metadata, the one place
        where a recorded hash counts.
    """

    ok: bool
    tensors: tuple[str, ...]
    first_difference: Difference | None
    missing: tuple[str, ...] = ()
    by_hash: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = []
        if self.missing:
            lines.append(f"missing: {', '.join(self.missing)}")
        if self.first_difference is not None:
            lines.append(f"first difference: {self.first_difference}")
        if self.ok:
            lines.append(f"{len(self.tensors)} tensors, every byte as generated")
        if self.by_hash:
            lines.append(f"compared by SHA-256: {', '.join(self.by_hash)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Stated:
    """What the metadata of a file says of its tensors."""

    seed: str
    model: str
    tensors: Mapping[str, PlanTensor]
    digests: Mapping[str, str]
    """Tensor -> SHA-256 of its bytes, for those that hold literals."""


def verify(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Verification:
    """Generate a file of `Plan.write` again, from the file alone, and compare every byte.

    Nothing is taken on trust: the metadata says seed, stream and laws, and all values are drawn
    again in pieces. Only tensors of literal values, which no law states, are compared with a
    SHA-256; the result names them.

    Parameters
    ----------
    path : str or path
        A .safetensors file, or a folder of them with their index.
    threads : int, optional
        Default: ``fanin.runtime.threads()``.
    progress : bool or callable, optional
        True shows a line on the standard error; ``progress(done, total)`` gets bytes.

    Returns
    -------
    Verification

    Raises
    ------
    ValueError
        The file is no whole safetensors file, was not written by fanin, or by another stream.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> import fanin
    >>> plan = fanin.Plan.for_model("gpt2", layers=1, width=64, vocabulary=100)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "small.safetensors")
    ...     size = plan.write(path, seed=0)
    ...     fanin.verify(path).ok
    True
    """
    target = os.fsdecode(path)
    parent, files, index = _files(target)
    missing = tuple(name for name in files if not os.path.exists(os.path.join(parent, name)))
    present = [name for name in files if name not in missing]
    sizes = [os.path.getsize(os.path.join(parent, name)) for name in present]
    tensors: list[str] = []
    hashed: list[str] = []
    first: Difference | None = None
    seeds: dict[tuple[str, str], str] = {}
    with shown(progress, f"verifying {os.path.basename(target)}") as report:
        for number, name in enumerate(present):
            before = sum(sizes[:number])

            def of_file(done: int, total: int, before: int = before) -> None:
                if report is not None:
                    report(before + done, sum(sizes))

            stated, entries, difference, by_hash = _verify_file(parent, name, threads, of_file)
            seeds.setdefault((stated.seed, stated.model), name)
            tensors += entries
            hashed += by_hash
            if difference is None and index is not None:
                difference = _against_index(name, entries, index, missing)
            if first is None:
                first = difference
    if len(seeds) > 1 and first is None:
        one, other = list(seeds)[:2]
        found, wanted = f"{other[1]} of seed {other[0]}", f"{one[1]} of seed {one[0]}"
        first = Difference(seeds[other], "(every tensor)", None, found, wanted)
    return Verification(
        first is None and not missing, tuple(tensors), first, missing, tuple(hashed)
    )


def _files(target: str) -> tuple[str, list[str], Mapping[str, str] | None]:
    """The folder, the names of the model's files, and which tensor the index has in which."""
    if not os.path.isdir(target):
        parent, name = os.path.split(target)
        os.stat(target)
        return parent, [name], None
    index = os.path.join(target, _shards.INDEX)
    shards = [
        name
        for name in sorted(os.listdir(target))
        if _shards.is_of_a_model(name) and name != _shards.INDEX
    ]
    if os.path.exists(index):
        shard_of = _shards.read_index(index)
        return target, sorted(set(shard_of.values()) | set(shards)), shard_of
    if not shards:
        raise FileNotFoundError(2, "the folder holds no model", target)
    return target, sorted({name for shard in shards for name in _shards.all_names(shard)}), None


def _against_index(
    name: str, entries: Iterable[str], index: Mapping[str, str], missing: tuple[str, ...]
) -> Difference | None:
    """The first tensor that the index has elsewhere, or that its file lacks."""
    held = set(entries)
    for tensor in held:
        if index.get(tensor) != name:
            return Difference(name, tensor, None, "here", f"in {index.get(tensor)} by the index")
    for tensor, file in index.items():
        if file == name and tensor not in held:
            return Difference(name, tensor, None, "missing", "here by the index")
    return None


def _verify_file(
    parent: str, name: str, threads: int | None, progress: Progress
) -> tuple[Stated, list[str], Difference | None, list[str]]:
    path = os.path.join(parent, name)
    metadata, entries = read_safetensors_header(path)
    stated = read_stated(path, metadata)
    ordered = sorted(entries.items(), key=lambda item: item[1][2:])
    names = [tensor for tensor, _ in ordered]
    difference = _of_shapes(name, stated, entries)
    if difference is not None:
        return stated, names, difference, []
    root = stream_of(stated.seed)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        extents = [
            Extent(
                entry.start, entry.stop, entry.dtype, _fill(descriptor, stated, tensor, entry, root)
            )
            for tensor, entry in ordered
        ]
        begin = extents[0].start if extents else os.fstat(descriptor).st_size
        found = first_difference(descriptor, begin, extents, threads, progress)
        if found is not None:
            extent, at = found
            tensor, entry = ordered[extents.index(extent)]
            difference = _at(name, tensor, entry, at, descriptor, extent)
        for tensor, digest in stated.digests.items():
            if difference is None:
                difference = _of_hash(name, tensor, entries[tensor], digest, descriptor)
    finally:
        os.close(descriptor)
    return stated, names, difference, list(stated.digests)


def read_stated(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Stated:
    """The plan, seed and stream in a file's metadata.

    Raises
    ------
    ValueError
        There is none, or it is of another stream.
    """
    text = metadata.get("fanin")
    where = repr(os.fspath(path))
    if text is None:
        raise ValueError(
            f"{where} was not written by Plan.write or `fanin init`: its metadata has no entry "
            "'fanin', so there is nothing to compare it with"
        )
    try:
        state = json.loads(text, parse_constant=_no_constant)
        stream = state["stream"]
        if stream != _core.STREAM:
            raise ValueError(
                f"it holds the stream {stream}, this package draws {_core.STREAM}: use the "
                f"version that wrote it, {state.get('version')}"
            )
        rows = state["plan"]["tensors"]
        digests = {
            row["name"]: str(row["sha256"]) for row in rows if row.get("scheme") == "literal"
        }
        tensors = {}
        for row in rows:
            if row["name"] in digests:
                row = {**row, "scheme": "zeros"}
                del row["sha256"]
            tensors[row["name"]] = tensor_from_data(row, {})
        stream_of(state["seed"])
        return Stated(state["seed"], str(state["plan"]["model"]), tensors, digests)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{where}: the metadata of fanin cannot be read: {error}") from error


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of a plan")


def _of_shapes(name: str, stated: Stated, entries: Mapping[str, Entry]) -> Difference | None:
    """The first tensor that is missing, too many, or of another shape or dtype."""
    for tensor, row in stated.tensors.items():
        entry = entries.get(tensor)
        if entry is None:
            return Difference(name, tensor, None, "missing", "in the file")
        if (entry.dtype.name, entry.shape) != (row.dtype, row.shape):
            found = f"{entry.dtype.name} {entry.shape}"
            return Difference(name, tensor, None, found, f"{row.dtype} {row.shape}")
    for tensor in entries:
        if tensor not in stated.tensors:
            return Difference(name, tensor, None, "in the file", "of its plan")
    return None


def _fill(descriptor: int, stated: Stated, tensor: str, entry: Entry, root: Stream) -> Any:
    """Generates a tensor; one of literals is read from the file and compared by its hash."""
    row = stated.tensors[tensor]
    if tensor not in stated.digests:
        own = root if row.seed is None else Stream(row.seed)
        return filler(Resolved(row, str(row.dtype), own))

    def read(out: Any, start: int) -> None:
        raw = out.view(np.uint8)
        data = os.pread(descriptor, raw.size, entry.start + start * out.itemsize)
        raw[: len(data)] = np.frombuffer(data, np.uint8)

    return read


def _at(
    name: str, tensor: str, entry: Entry, at: int, descriptor: int, extent: Extent
) -> Difference:
    """The element at a byte of the file, as it is and as it should be."""
    if bits(entry.dtype) < 8:
        position = (at - entry.start) * 8 // bits(entry.dtype)
        return Difference(name, tensor, _coordinates(position, entry.shape), "not 0", "0")
    position = (at - entry.start) // entry.dtype.itemsize
    expected = np.empty(1, entry.dtype)
    extent.fill(expected, position)
    start = entry.start + position * entry.dtype.itemsize
    given = os.pread(descriptor, entry.dtype.itemsize, start)
    found = np.frombuffer(given, entry.dtype) if len(given) == entry.dtype.itemsize else None
    return Difference(
        name,
        tensor,
        _coordinates(position, entry.shape),
        "missing" if found is None else _number(found, expected),
        _number(expected, found),
    )


def _coordinates(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()


def _number(value: Any, other: Any) -> str:
    """The number, with its bits where they alone tell it from the other."""
    text = str(value[0])
    if other is not None and text == str(other[0]):
        text += f" (0x{value.tobytes()[::-1].hex()})"
    return text


def _of_hash(
    name: str, tensor: str, entry: Entry, digest: str, descriptor: int
) -> Difference | None:
    total = hashlib.sha256()
    for start in range(entry.start, entry.stop, _HASHED_AT_A_TIME):
        length = min(_HASHED_AT_A_TIME, entry.stop - start)
        total.update(os.pread(descriptor, length, start))
    if total.hexdigest() == digest:
        return None
    found = f"of SHA-256 {total.hexdigest()[:16]}..."
    return Difference(name, tensor, None, found, f"of {digest[:16]}...")
