"""A plan written: to one file, or to a folder of shards with their index and config.json."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fanin import _core
from fanin._arrays.parts import FlatRun
from fanin._random.streams import Stream
from fanin._schemes.registry import schemes
from fanin._types import Progress
from fanin.files import _shards
from fanin.files._npy import npy_header
from fanin.files._pieces import write_pieces
from fanin.files._records import Extent, Fill, Tensor, byte_length
from fanin.files._replacing import open_folder
from fanin.files._resume import Found, found
from fanin.files._safetensors import arranged

from .dtypes import DTYPES, is_packed
from .plan_data import canonical, tensor_to_data
from .tensors import PlanTensor
from .values import Literal
from .writing import write as write_values

__all__ = [
    "FILES",
    "Resolved",
    "Store",
    "config_text",
    "filler",
    "npy_store",
    "safetensors_store",
    "seed_text",
    "stream_of",
    "write_jobs",
]

#: Endings of names that are files; any other is a folder.
FILES = (".safetensors", ".npy")
#: Elements hashed at a time.
_HASHED_AT_A_TIME = 1 << 20

#: Deterministic schemes whose parts cost the whole.
_WHOLE_WITHOUT_SEED = ("zero_hadamard", "norm")


@dataclass(frozen=True)
class Resolved:
    """A tensor, its dtype in the file and the stream of its model."""

    tensor: PlanTensor
    dtype: str
    root: Stream

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return byte_length(self.tensor.name, DTYPES[self.dtype], self.tensor.shape)


@dataclass(frozen=True)
class Job:
    """One file: its name, and what stands in it."""

    name: str
    header: bytes
    extents: Sequence[Extent]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.extents[-1].stop if self.extents else len(self.header)


@dataclass(frozen=True)
class Store:
    """What is written: the files, then the texts beside them."""

    jobs: Sequence[Job]
    texts: Mapping[str, bytes]
    """Name -> content of files that every writer writes alike: the index."""
    config: bytes | None = None
    """config.json, written only where there is none."""


def seed_text(stream: Stream, seed: Any) -> str:
    """A seed as the metadata of files states it: digits, or the key of a stream."""
    if hasattr(seed, "__index__"):
        return str(int(seed))
    return f"key:{stream.key:032x}"


def stream_of(text: str) -> Stream:
    """The stream that :func:`seed_text` states."""
    if text.startswith("key:"):
        return Stream._from_key(bytes.fromhex(text[4:])[::-1])
    return Stream(int(text))


def safetensors_store(
    shards: Sequence[Sequence[Resolved]], seed: str, model: str, config: bytes | None
) -> Store:
    """The files of a model, each of some tensors, and the index of several."""
    names = _shards.names(len(shards))
    rows = list(zip(names, shards, strict=True))
    jobs = [_job(name, tensors, seed, model) for name, tensors in rows]
    if len(jobs) == 1:
        return Store(jobs, {}, config)
    shard_of = {one.tensor.name: name for name, tensors in rows for one in tensors}
    nbytes = sum(one.nbytes for tensors in shards for one in tensors)
    return Store(jobs, {_shards.INDEX: _shards.index_text(shard_of, nbytes)}, config)


def _job(name: str, tensors: Sequence[Resolved], seed: str, model: str) -> Job:
    rows = [_row(one) for one in sorted(tensors, key=lambda one: one.tensor.name)]
    state = {
        "plan": {"model": model, "tensors": rows},
        "seed": seed,
        "stream": _core.STREAM,
        "version": _core.build_config()["version"],
    }
    records = [
        Tensor(one.tensor.name, DTYPES[one.dtype], one.tensor.shape, filler(one)) for one in tensors
    ]
    header, extents = arranged(records, {"format": "pt", "fanin": canonical(state)})
    return Job(name, header, extents)


def npy_store(one: Resolved) -> Store:
    """A .npy file of one tensor."""
    dtype = DTYPES[one.dtype]
    header = npy_header(dtype, one.tensor.shape)
    extent = Extent(len(header), len(header) + one.nbytes, dtype, filler(one))
    return Store([Job("array.npy", header, [extent])], {})


def _row(one: Resolved) -> dict[str, Any]:
    """A tensor as the metadata states it; what holds literals by the SHA-256 of its bytes."""
    literals: dict[str, Literal] = {}
    row = tensor_to_data(one.tensor, literals)
    row["dtype"] = one.dtype
    if literals:
        kept = ("name", "shape", "dtype", "buffer")
        stated = {key: value for key, value in row.items() if key in kept}
        return {**stated, "scheme": "literal", "sha256": _digest(one)}
    return row


def _digest(one: Resolved) -> str:
    """SHA-256 of a tensor's bytes in the file."""
    fill, dtype = filler(one), DTYPES[one.dtype]
    count = one.nbytes // dtype.itemsize
    total = hashlib.sha256()
    for start in range(0, count, _HASHED_AT_A_TIME):
        values = np.empty(min(_HASHED_AT_A_TIME, count - start), dtype)
        fill(values, start)
        total.update(values.view(np.uint8).data)
    return total.hexdigest()


def filler(one: Resolved) -> Fill:
    """A function that writes a run of the flattened tensor.

    A piece is drawn by one thread: the writer has several at work, each on its own piece.
    """
    tensor, root = one.tensor, one.root
    if is_packed(one.dtype):
        return lambda out, start: out.fill(0)
    if _is_one_object(tensor):
        return _Whole(one)

    def fill(out: npt.NDArray[Any], start: int) -> None:
        write_values(tensor, root, out, index=FlatRun(start, start + out.size), threads=1)

    return fill


def _is_one_object(tensor: PlanTensor) -> bool:
    """Whether a part costs the whole, as of orthogonal matrices: it is made once and kept."""

    def is_whole(scheme: str) -> bool:
        row = schemes().get(scheme)
        drawn = row is not None and row.law is None and row.needs_seed
        return drawn or scheme in _WHOLE_WITHOUT_SEED

    values = [tensor.value, *(part.value for part in tensor.parts)]
    return any(is_whole(value.scheme) for value in values)


class _Whole:
    """The values of a tensor that is one object, kept until every element was asked for."""

    def __init__(self, one: Resolved) -> None:
        self._one = one
        self._lock = threading.Lock()
        self._values: npt.NDArray[Any] | None = None
        self._served = 0

    def __call__(self, out: npt.NDArray[Any], start: int) -> None:
        with self._lock:
            if self._values is None:
                shape, dtype = self._one.tensor.shape, DTYPES[self._one.dtype]
                made = np.empty(shape, dtype)
                write_values(self._one.tensor, self._one.root, made)
                self._values = made.reshape(-1)
            values = self._values
        out[...] = values[start : start + out.size]
        with self._lock:
            self._served += out.size
            if self._served >= values.size:
                self._values, self._served = None, 0


# What is on the disk --------------------------------------------------------------------------


def write_jobs(
    target: str,
    store: Store,
    *,
    is_folder: bool,
    only: Iterable[int] | None,
    resume: bool,
    replace: bool,
    threads: int | None,
    progress: Progress | None,
) -> int:
    """Write the files of a store; return the bytes of those that were chosen."""
    numbers = range(len(store.jobs)) if only is None else sorted(set(only))
    chosen = [store.jobs[number] for number in numbers]
    parent, name = (target, None) if is_folder else os.path.split(target)
    if is_folder:
        _make_folder(target)
    folder = open_folder(parent)
    try:
        with _named_after(target, is_folder):
            if is_folder:
                _refuse_foreign(folder, store)
                if not resume and not replace:
                    _refuse_existing(folder, store, chosen)
            whole = _left_to_resume(folder, chosen, name, threads) if resume else set()
            report = _joined(progress, [job.size for job in chosen])
            for job, of_job in zip(chosen, report, strict=True):
                named = name or job.name
                if job.name in whole:
                    state = found(named, folder, job.header, job.extents, threads, of_job)
                    if state is Found.WHOLE:
                        continue
                write_pieces(
                    named, job.header, job.extents, threads, of_job,
                    replace=replace or resume, folder=folder,
                )  # fmt: skip
            for text_name, text in store.texts.items():
                _shards.write_text(text_name, text, folder, replace=True)
            if store.config is not None:
                with suppress(FileExistsError):
                    _shards.write_text("config.json", store.config, folder, replace=False)
    finally:
        os.close(folder)
    return sum(job.size for job in chosen)


class _named_after:
    """Errors name the path that the user gave, with the file's name behind a folder's."""

    def __init__(self, target: str, is_folder: bool) -> None:
        self._target, self._is_folder = target, is_folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, OSError) and error.errno is not None:
            name = error.filename
            if isinstance(name, str) and not os.path.isabs(name) and os.sep not in name:
                path = os.path.join(self._target, name) if self._is_folder else self._target
                raise type(error)(error.errno, error.strerror, path) from error


def _make_folder(path: str) -> None:
    """Make the folder if it is missing, and its name durable."""
    try:
        os.mkdir(path)
    except FileExistsError:
        if os.path.isdir(path):
            return
        text = "what has this name is no folder, and is not replaced by one"
        raise FileExistsError(errno.EEXIST, text, path) from None
    parent = open_folder(os.path.dirname(os.path.abspath(path)))
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _refuse_foreign(folder: int, store: Store) -> None:
    """Refuse a folder with files of another model: a reader might take those for this one."""
    ours = {job.name for job in store.jobs} | set(store.texts)
    present = [name for name in os.listdir(folder) if _shards.is_of_a_model(name)]
    others = sorted(name for name in present if name not in ours)
    if others:
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        text = f"the folder holds files of another model or size ({shown}): remove them first"
        raise FileExistsError(errno.EEXIST, text, others[0])


def _refuse_existing(folder: int, store: Store, chosen: Sequence[Job]) -> None:
    """Refuse what the chosen files would replace; those of other writers may be there.

    The index is every writer's: the same one may stand there, unless all files are written here.
    """
    present = set(os.listdir(folder))
    taken = sorted({job.name for job in chosen} & present)
    for name, text in store.texts.items():
        shared = len(chosen) < len(store.jobs) and _shards.holds(name, text, folder)
        if name in present and not shared:
            taken.append(name)
    if taken:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), taken[0])


def _left_to_resume(
    folder: int, jobs: Sequence[Job], name: str | None, threads: int | None
) -> set[str]:
    """The names of the files that look whole; ValueError if one is of another plan or seed."""
    whole = set()
    for job in jobs:
        state = found(name or job.name, folder, job.header, job.extents, threads, only_header=True)
        if state is Found.OTHER:
            raise ValueError(
                f"{name or job.name} was written from another plan, seed or dtype: nothing was "
                "changed; give the same ones to resume, or another target"
            )
        if state is Found.WHOLE:
            whole.add(job.name)
    return whole


def _joined(progress: Progress | None, sizes: Sequence[int]) -> list[Progress | None]:
    """One progress for several files."""
    if progress is None:
        return [None] * len(sizes)
    total = sum(sizes)

    def after(before: int) -> Callable[[int, int], object]:
        return lambda done, size: progress(before + done, total)

    return [after(sum(sizes[:number])) for number in range(len(sizes))]


def config_text(config: Mapping[str, Any], dtype: str | None) -> bytes:
    """config.json, which states the dtype of the weights if all follow one."""
    stated = dict(config)
    if dtype is not None:
        stated.pop("torch_dtype", None)
        stated["dtype"] = dtype
    return (json.dumps(stated, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
