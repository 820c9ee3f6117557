"""Laws written into tensors: a tensor's own memory, its shard, or another device's through ours."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

import fanin
from fanin._models.tensors import PlanTensor
from fanin._models.values import Value
from fanin._models.writing import write, write_value
from fanin._random.stateless import fill
from fanin._schemes.rules import DRAWS, Rule

from ._memory import array_of, changed, dtype_of, fill_blocks
from ._shards import is_distributed, local_parts

__all__ = ["fill_recorded", "fill_run", "fill_tensor", "is_fillable", "write_rule"]

#: Laws in the core's words, and the dtypes of its short way.
_ORDER = {"normal": ("loc", "scale"), "uniform": ("low", "high"),
          "truncated_normal": ("loc", "scale", "low", "high")}  # fmt: skip
_REAL = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_CORE = tuple(map(dtype_of, (*_REAL, torch.complex64, torch.complex128)))
_FLOAT8 = (
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
)
_COMPLEX = (torch.complex64, torch.complex128)


def is_fillable(tensor: torch.Tensor, law: str = "") -> bool:
    """Whether `fill_tensor` can write the tensor: dense floats, complex for the normal law."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return False
    kinds = (*_REAL, *_FLOAT8, *(_COMPLEX if law == "normal" else ()))
    return tensor.dtype in kinds


def fill_tensor(
    tensor: torch.Tensor, scheme: str, arguments: dict[str, Any], stream: fanin.Stream
) -> torch.Tensor:
    """Fill a tensor, or this process's shard of it, by a law or a scheme from one stream."""
    kind = type(tensor)
    plain = kind is torch.Tensor or kind is torch.nn.Parameter
    names = _ORDER.get(scheme)
    if plain and names is not None and tensor.dtype in _REAL and tensor.is_contiguous():
        if tensor.device.type == "cpu" and scheme != "truncated_normal":
            parameters = tuple(map(arguments.__getitem__, names))
            fill(scheme, parameters, array_of(tensor), stream)
            changed(tensor)
            return tensor
    shape = tuple(tensor.shape)
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


def write_rule(
    rule: Rule,
    shape: tuple[int, ...],
    stream: fanin.Stream,
    *,
    into: torch.Tensor | None = None,
    start: int | None = None,
    index: Any = None,
) -> Any:
    """What a rule says, written into a tensor, or the part `index` of it as an array.

    A scheme by name reads the shape in torch's order, (out, in), unless the rule has a layout.
    """
    scheme: Any = rule.scheme
    arguments = dict(rule.arguments)
    if isinstance(scheme, str) and scheme in DRAWS:
        scheme = DRAWS[scheme]
    elif isinstance(scheme, str):
        scheme = fanin.get(scheme)
        arguments.setdefault("layout", "oi")
    if into is None:
        return scheme(shape, **arguments, seed=stream, index=index)

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
    return into


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
    if view.device.type == "cpu":
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
