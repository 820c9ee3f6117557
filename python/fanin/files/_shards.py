"""A model in several files: how it is cut, what the files are called, and their index."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ._replacing import replacing

__all__ = [
    "INDEX", "WHOLE", "as_size", "cut", "holds", "index_text", "is_of_a_model", "names",
    "read_index", "write_text",
]  # fmt: skip

#: Names that transformers looks for in a folder.
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d{5,}-of-(\d{5,})\.safetensors")

#: An index is some hundred bytes a tensor.
_INDEX_LIMIT = 1 << 30

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)}
_UNITS |= {f"{prefix}IB": 1024**power for power, prefix in enumerate("KMGT", 1)}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Z]*)")


def as_size(size: int | str) -> int:
    """Bytes of a size such as "5GB" (10^9 each), "512MiB" (2^20 each) or an int."""
    if isinstance(size, str):
        match = _SIZE.fullmatch(size.strip().upper())
        if match is None or match[2] not in _UNITS:
            raise ValueError(
                f'a size is an int of bytes or a text as "5GB", "512MiB", got {size!r}'
            )
        size = int(float(match[1]) * _UNITS[match[2]])
    if isinstance(size, bool) or not hasattr(size, "__index__"):
        raise TypeError(f'a size is an int of bytes or a text as "5GB", got {size!r}')
    if size < 1:
        raise ValueError(f"a shard must hold at least a byte, got the size {size!r}")
    return int(size)


def cut(lengths: Sequence[int], most: int | None) -> list[list[int]]:
    """Which tensors stand in which file: in order, as many as `most` bytes hold, at least one."""
    if most is None or not lengths:
        return [list(range(len(lengths)))]
    shards: list[list[int]] = [[]]
    held = 0
    for number, length in enumerate(lengths):
        if shards[-1] and held + length > most:
            shards.append([])
            held = 0
        shards[-1].append(number)
        held += length
    return shards


def names(count: int) -> list[str]:
    """The files' names, as in the published checkpoints."""
    if count == 1:
        return [WHOLE]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


def is_of_a_model(name: str) -> bool:
    """Whether a reader of the folder would take this name for a part of the model."""
    return name in (WHOLE, INDEX) or _SHARD.fullmatch(name) is not None


def all_names(name: str) -> list[str]:
    """Every file of the model that a shard's name speaks of."""
    match = _SHARD.fullmatch(name)
    return [name] if match is None else names(int(match[1]))


def index_text(shard_of: Mapping[str, str], total_size: int) -> bytes:
    """The index, with the entries that transformers writes."""
    index = {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(shard_of.items()))}
    return (json.dumps(index, indent=2, ensure_ascii=False) + "\n").encode()


def read_index(path: str | os.PathLike[str]) -> dict[str, str]:
    """Which file of the folder holds which tensor.

    Raises
    ------
    ValueError
        It is no index, or names a file outside its folder.
    """
    if os.path.getsize(path) > _INDEX_LIMIT:
        raise ValueError(f"{os.fspath(path)!r} is too long for an index")
    try:
        with open(path, "rb") as file:
            index = json.loads(file.read())
        shard_of = index["weight_map"] if isinstance(index, dict) else None
        if not isinstance(shard_of, dict):
            raise ValueError("it has no weight_map")
        for tensor, name in shard_of.items():
            check_name(tensor, name)
    except (ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)!r}: bad index: {error}") from error
    return shard_of


def check_name(tensor: str, name: Any) -> None:
    """Refuse what is not the plain name of a file in the same folder."""
    if not isinstance(name, str) or name in ("", ".", "..") or re.search(r"[/\\\0]", name):
        raise ValueError(f"tensor {tensor!r} is said to be in {name!r}, no name of a file")


def holds(name: str, text: bytes, folder: int) -> bool:
    """Whether the file of that name has just these bytes."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    with open(descriptor, "rb") as file:
        return file.read(len(text) + 1) == text


def write_text(name: str, text: bytes, folder: int, *, replace: bool) -> None:
    """Write a small file, all or nothing."""
    with replacing(name, replace=replace, folder=folder) as file:
        file.write(text, 0)
        file.commit()
