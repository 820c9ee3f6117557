"""Laws written into tensors: a tensor's own memory, its shard, or another device's through ours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import fanin
from fanin import _core
from fanin._arrays.destinations import overlaps_itself
from fanin._arrays.kinds import KINDS
from fanin._checks import as_threads
from fanin._models.tensors import PlanTensor
from fanin._models.values import Value
from fanin._models.writing import write, write_value
from fanin._schemes.choice import chosen
from fanin._schemes.rules import DRAWS, Rule

from . import _hooks
from ._memory import array_of, changed, dtype_of, fill_blocks
from ._seeds import key_of, stream_of, word_of
from ._shards import is_distributed, local_parts

__all__ = [
    "decides_itself",
    "element_of",
    "fill_orthogonal",
    "fill_plain",
    "fill_recorded",
    "fill_run",
    "fill_sparse",
    "fill_tensor",
    "is_fillable",
    "is_kind",
    "try_rule",
    "write_rule",
]

#: The number of a matrix that is no part of a batch.
_ONE_MATRIX = np.zeros(1, np.uint64)
#: Schemes that a plain tensor of the CPU is handed to as it is.
_WHOLE = {"orthogonal": fanin.orthogonal, "sparse": fanin.sparse}
_PLAIN = frozenset((torch.Tensor, torch.nn.Parameter))
#: What a class of tensors has for ``__torch_function__`` that does nothing of its own.
_NO_WORD = (torch.Tensor.__torch_function__.__func__, torch.nn.Parameter.__torch_function__)
_REAL = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
#: The core's numbers of the dtypes that it fills by itself.
_ELEMENTS = {dtype: KINDS[dtype_of(dtype)].element for dtype in _REAL}
_CORE = tuple(map(dtype_of, (*_REAL, torch.complex64, torch.complex128)))
_FLOAT8 = (
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
)
_COMPLEX = (torch.complex64, torch.complex128)


def is_fillable(tensor: Any, law: str = "") -> bool:
    """Whether `fill_tensor` can write the tensor: dense floats, complex for the normal law.

    torch's own functions say what is wrong with the others, or do what their classes want.

    Raises
    ------
    RuntimeError
        Memory that overlaps itself where torch does not look, or that has been freed.
    """
    if not is_kind(tensor, law):
        return False
    if _hooks.recorder() is not None:
        return True  # nothing is written
    if tensor.is_inference() and not torch.is_inference_mode_enabled():
        return False
    return not tensor.is_cpu or is_distributed(tensor) or _lies(tensor)


def is_kind(tensor: Any, law: str = "") -> bool:
    """Whether fanin fills tensors of this class, layout and dtype, if they have memory."""
    if decides_itself(tensor):
        return False
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return False
    return tensor.dtype in (*_REAL, *_FLOAT8, *(_COMPLEX if law == "normal" else ()))


def decides_itself(tensor: Any) -> bool:
    """Whether a class has its own word for what torch's functions do to it, or is no tensor's."""
    kind = type(tensor)
    if kind in _PLAIN or is_distributed(tensor):
        return False
    if not issubclass(kind, torch.Tensor):
        return True
    function = getattr(kind.__torch_function__, "__func__", kind.__torch_function__)
    return function not in _NO_WORD or kind.__torch_dispatch__ != torch.Tensor.__torch_dispatch__


def _lies(tensor: torch.Tensor) -> bool:
    """Whether every element of a tensor of the CPU has memory of its own."""
    try:
        address = tensor.data_ptr()
    except RuntimeError:  # as within torch.func.vmap
        return False
    if not tensor.numel():
        return True
    if not address:
        if tensor._is_zerotensor():
            return False
        raise RuntimeError(
            f"the tensor of shape {tuple(tensor.shape)} has no memory: its storage has been freed"
        )
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    if any(stride == 0 and size > 1 for size, stride in sizes):
        return False
    if not tensor.is_contiguous() and overlaps_itself(array_of(_as_stored(tensor))):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )
    return True


def _as_stored(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory without the marks of a lazy conjugate or negative."""
    plain = tensor.detach()
    plain = plain.conj() if plain.is_conj() else plain
    return plain._neg_view() if plain.is_neg() else plain


def element_of(tensor: Any) -> int | None:
    """The core's number of the dtype of a tensor that `fill_plain` takes; None for all others."""
    if type(tensor) not in _PLAIN or not tensor.is_cpu:
        return None
    element = _ELEMENTS.get(tensor.dtype)
    if element is None or tensor.layout is not torch.strided or not tensor.is_contiguous():
        return None
    if tensor.is_neg() or tensor.is_nested or tensor.is_inference():
        return None
    return element


def fill_plain(
    tensor: torch.Tensor, element: int, law: str, numbers: tuple[Any, ...], generator: Any
) -> bool:
    """Fill a contiguous tensor of the CPU at once; False if anything is unusual or wrong."""
    try:
        address, count = tensor.data_ptr(), tensor.numel()
    except RuntimeError:  # as within torch.func.vmap
        return False
    if not address or not _core.draw_at(law, numbers, element, word_of, generator, address, count):
        return False
    changed(tensor)
    return True


def fill_orthogonal(tensor: torch.Tensor, gain: float, generator: Any) -> torch.Tensor:
    """Fill a contiguous float32 or float64 tensor of the CPU by a Haar matrix; return it.

    The bits are those of ``fanin.orthogonal(shape, gain=gain, layout="oi")``, whose checks a small
    matrix takes longer for than its values.
    """
    array = array_of(tensor)
    rows = array.shape[0]
    columns = array.size // rows
    wide = rows < columns
    long, short = (columns, rows) if wide else (rows, columns)
    matrix = array.reshape((1, rows, columns))
    _core.haar(key_of(word_of(generator)), _ONE_MATRIX, long, short, 0, short, 0, gain, matrix,
               as_threads(None), None, wide)  # fmt: skip
    changed(tensor)
    return tensor


def fill_sparse(tensor: torch.Tensor, sparsity: float, std: float, generator: Any) -> torch.Tensor:
    """Fill a small contiguous matrix of the CPU by a sparse law; return it.

    The bits are those of ``fanin.sparse(shape, sparsity, std, layout="io")``, as above.
    """
    array = array_of(tensor)
    stream = stream_of(generator)
    rows = array.shape[0]
    fanin.normal(array.shape, 0.0, std, seed=stream, out=array)
    words = fanin.random(array.shape, seed=stream["choice"], dtype=np.float64)
    array[~chosen(words, 0, rows - math.ceil(sparsity * rows))] = 0
    changed(tensor)
    return tensor


def fill_tensor(
    tensor: torch.Tensor, scheme: str, arguments: dict[str, Any], stream: fanin.Stream
) -> torch.Tensor:
    """Fill a tensor, or this process's shard of it, by a law or a scheme from one stream."""
    shape = tuple(tensor.shape)
    if (type(tensor) in _PLAIN and tensor.is_cpu and tensor.dtype in _REAL
            and not tensor.is_neg()):  # fmt: skip
        whole = _WHOLE.get(scheme)
        if whole is not None:
            whole(shape, **arguments, seed=stream, out=array_of(tensor))
            changed(tensor)
            return tensor
    value = Value(scheme, arguments)

    def values(array: NDArray[Any], index: Any) -> None:
        write_value(array, index, shape, value, stream)

    _fill(tensor, values)
    return tensor


def fill_recorded(tensor: torch.Tensor, record: PlanTensor, root: fanin.Stream) -> None:
    """Fill a tensor, or this process's shard of it, from its record: ``root[record.name]``."""

    def values(array: NDArray[Any], index: Any) -> None:
        write(record, root, array, index=index)

    _fill(tensor, values)


def fill_run(tensor: torch.Tensor, record: PlanTensor, root: fanin.Stream, start: int) -> None:
    """Fill a 1-D tensor with the run of the flattened record that begins at `start`."""

    def values(array: NDArray[Any], index: Any) -> None:
        (along,) = index if isinstance(index, tuple) else (index,)
        first = start + (along.start or 0)
        write(record, root, array, index=fanin.flat[first : first + array.size])

    _fill(tensor, values)


def _called(rule: Rule) -> tuple[Any, dict[str, Any]]:
    """The function that a rule calls, and its own arguments.

    A scheme by name reads the shape in torch's order, (out, in), unless the rule has a layout.
    """
    scheme: Any = rule.scheme
    arguments = dict(rule.arguments)
    if isinstance(scheme, str) and scheme in DRAWS:
        scheme = DRAWS[scheme]
    elif isinstance(scheme, str):
        scheme = fanin.get(scheme)
        arguments.setdefault("layout", "oi")
    return scheme, arguments


def try_rule(rule: Rule, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Have what a rule calls look at a shape and a dtype, and at an empty part of such a tensor."""
    scheme, arguments = _called(rule)
    empty = np.empty((0,) * len(shape), dtype_of(dtype))
    out = {"out": empty} if empty.dtype in _CORE else {}
    scheme(shape, **arguments, seed=fanin.Stream(0), index=(slice(0, 0),) * len(shape), **out)


def write_rule(
    rule: Rule,
    shape: tuple[int, ...],
    stream: fanin.Stream,
    into: torch.Tensor,
    *,
    start: int | None = None,
) -> None:
    """What a rule says, written into a tensor, or into the run of it that begins at `start`."""
    scheme, arguments = _called(rule)

    def values(array: NDArray[Any], part: Any) -> None:
        if start is not None:
            (along,) = part
            first = start + (along.start or 0)
            part = fanin.flat[first : first + array.size]
        if array.dtype in _CORE:
            scheme(shape, **arguments, seed=stream, out=array, index=part)
        else:  # float8: by float32, rounded once
            array[...] = scheme(shape, **arguments, seed=stream, index=part).astype(array.dtype)

    _fill(into, values)


def _fill(tensor: torch.Tensor, values: Any) -> None:
    """Have ``values(array, index)`` write this process's memory of a tensor."""
    if is_distributed(tensor):
        for view, index in local_parts(tensor):
            _fill_view(view, index, values)
    else:
        _fill_view(tensor.detach(), (slice(None),) * tensor.ndim, values)
    changed(tensor)


def _fill_view(view: torch.Tensor, index: tuple[slice, ...], values: Any) -> None:
    if view.device.type == "meta" or not view.numel():
        return
    if view.device.type == "cpu" and not (view.is_conj() or view.is_neg()):
        values(array_of(view), index)
        return

    def block(array: NDArray[Any], part: tuple[slice, ...]) -> None:
        shifted = tuple(
            slice(first, first + size)
            for first, size in zip(_starts(index, part), array.shape, strict=True)
        )
        values(array, shifted)

    fill_blocks(view, tuple(view.shape), block)


def _starts(index: tuple[slice, ...], part: tuple[slice, ...]) -> list[int]:
    """Where a part of an indexed block begins in the full tensor."""
    return [
        (whole.start or 0) + (along.start or 0) for whole, along in zip(index, part, strict=True)
    ]
