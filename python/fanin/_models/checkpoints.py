"""The plan of a checkpoint: its names, shapes and dtypes, with laws for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fanin.files import _shards
from fanin.files._records import Entry, bits
from fanin.files._safetensors import read_safetensors_header

from .dtypes import is_float
from .tensors import PlanTensor
from .values import Literal
from .verifying import Stated, read_stated

__all__ = ["tensors_like"]

#: Last parts of the names of tensors that start as ones, and of statistics.
_ONES = ("weight", "gamma", "scale", "g")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def tensors_like(path: str | os.PathLike[str]) -> tuple[str, tuple[PlanTensor, ...]]:
    """The model's name and the tensors of a file, of a folder, or of the folder of an index."""
    target = os.fsdecode(path)
    if os.path.isdir(target):
        index = os.path.join(target, _shards.INDEX)
        target = index if os.path.exists(index) else os.path.join(target, _shards.WHOLE)
    if target.endswith(".json"):
        shard_of = _shards.read_index(target)
        parent = os.path.dirname(target)
        files = [os.path.join(parent, name) for name in dict.fromkeys(shard_of.values())]
    else:
        files = [target]
    model = ""
    rows: dict[str, PlanTensor] = {}
    for file in files:
        name, found = _of_file(file)
        model = model or name
        rows.update((tensor.name, tensor) for tensor in found)
    return model or os.path.basename(target), tuple(rows.values())


def _of_file(path: str) -> tuple[str, list[PlanTensor]]:
    metadata, entries = read_safetensors_header(path)
    if "fanin" not in metadata:
        return "", [_guessed(name, entry) for name, entry in entries.items()]
    stated = read_stated(path, metadata)
    return stated.model, list(_stated(path, entries, stated))


def _stated(path: str, entries: dict[str, Entry], stated: Stated) -> Iterator[PlanTensor]:
    """The file's own laws; literal values are read from it."""
    with open(path, "rb") as file:
        for name, tensor in stated.tensors.items():
            if name not in stated.digests:
                yield tensor
                continue
            entry = entries[name]
            file.seek(entry.start)
            data = file.read(entry.stop - entry.start)
            values = np.frombuffer(data, entry.dtype).reshape(entry.shape)
            yield replace(tensor, scheme="literal", arguments={"value": Literal.of(values)})


def _guessed(name: str, entry: Entry) -> PlanTensor:
    """A law by name and shape: matrices N(0, 0.02), weights of one axis 1, all else 0."""
    last = name.rpartition(".")[2]
    dtype = entry.dtype.name
    if not is_float(dtype) or bits(entry.dtype) < 8:
        return PlanTensor(name, entry.shape, "zeros", dtype=dtype, is_buffer=True)
    if last in _BUFFERS:
        scheme = "ones" if last == "running_var" else "zeros"
        return PlanTensor(name, entry.shape, scheme, dtype=dtype, is_buffer=True)
    if len(entry.shape) < 2:
        scheme = "ones" if last in _ONES else "zeros"
        return PlanTensor(name, entry.shape, scheme, dtype=dtype)
    return PlanTensor(name, entry.shape, "transformers_default", dtype=dtype)
