"""The values of a tensor of a plan, whole or in part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fanin._arrays.boxes import Box, as_slices, boxes, common, pieces
from fanin._arrays.kinds import KINDS
from fanin._arrays.targets import target
from fanin._random.stateless import normal, truncated_normal, uniform
from fanin._random.streams import Stream
from fanin._schemes.registry import get

from .bounds import ends_of
from .steps import STEPS
from .values import CONSTANTS, Before, Literal, Norm, Part, Step, Value

__all__ = ["write", "write_value"]

# Values of a chain of steps are made in blocks of this many, so that temporaries stay small.
_BLOCK_VALUES = 1 << 18

#: Laws of independent values: a block of them costs that block.
_SAMPLED: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"normal": normal, "uniform": uniform, "truncated_normal": truncated_normal}
)


class RecordedTensor(Protocol):
    """What :func:`write` needs of a tensor of a plan."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def value(self) -> Value: ...
    @property
    def parts(self) -> tuple[Part, ...]: ...


def write(
    tensor: RecordedTensor,
    root: Stream,
    out: NDArray[Any],
    *,
    index: Any = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Write a tensor, or the part of it that `index` selects, into `out`; return `out`.

    Parameters
    ----------
    tensor : RecordedTensor
        Anything with ``name``, ``shape``, ``value`` and ``parts``.
    root : Stream
        The stream of the whole model: ``Stream(seed)``.
    out : array
        Any strides; its dtype may be any that holds the values, integers, bool and float8 too.
    index, threads
        As in `fanin.normal`.
    """
    simple = not tensor.parts and not tensor.value.steps and out.dtype in KINDS
    if simple and _is_drawn(tensor.value):
        draw = _function(tensor.value.scheme)
        arguments = tensor.value.arguments
        draw(tensor.shape, **arguments, seed=root[tensor.name], out=out, index=index,
             threads=threads)  # fmt: skip
        return out
    accepted = (out.dtype,)
    goal = target(tensor.shape, out.dtype, out, index, accepted=accepted, function="write")
    for array, box in boxes(goal):
        writer = _Writer(root, root[tensor.name], threads)
        writer.write(array, box, tensor.shape, tensor.value)
        for number, part in enumerate(tensor.parts, 1):
            shared = [
                common(have, range(*wanted)) for have, wanted in zip(box, part.box, strict=True)
            ]
            if any(meeting is None for meeting in shared):
                continue
            meetings = [meeting for meeting in shared if meeting is not None]
            block = array[tuple(here for here, _ in meetings)]
            sizes = part.shape
            within = tuple(
                range(size)[there] for size, (_, there) in zip(sizes, meetings, strict=True)
            )
            writer.at(root[tensor.name][number]).write(block, within, sizes, part.value)
    return out


def write_value(
    out: NDArray[Any], index: Any, shape: tuple[int, ...], value: Value, stream: Stream
) -> None:
    """Write the part `index` of a value of that full shape, drawn from `stream` itself."""
    goal = target(shape, out.dtype, out, index, accepted=(out.dtype,), function="write_value")
    for array, box in boxes(goal):
        _Writer(stream, stream, None).write(array, box, shape, value)


def _is_drawn(value: Value) -> bool:
    return value.scheme not in ("literal", "norm", *CONSTANTS)


def _function(scheme: str) -> Callable[..., Any]:
    return _SAMPLED.get(scheme) or get(scheme)


@dataclass(frozen=True)
class _Writer:
    """Where the words of a value come from."""

    root: Stream
    stream: Stream
    threads: int | None

    def at(self, stream: Stream) -> _Writer:
        return _Writer(self.root, stream, self.threads)

    def write(self, array: NDArray[Any], box: Box, shape: tuple[int, ...], value: Value) -> None:
        """Write the elements of `box` of the full `shape` into `array`, which has its axes."""
        if not array.size:
            return
        if not value.steps and (array.dtype in KINDS or not _is_drawn(value)):
            self.leaf(array, box, shape, value)
            return
        compute, ends = np.dtype(np.float32), None
        if array.dtype in KINDS:
            compute = KINDS[array.dtype].compute
        elif not value.steps:
            ends = ends_of(shape, value, array.dtype)
        blocks = pieces(array, box, range(array.ndim), _BLOCK_VALUES)
        independent = value.scheme in (*_SAMPLED, *CONSTANTS, "literal")
        for block, part in blocks if independent else [(array, box)]:
            made = np.empty(block.shape, compute)
            self.leaf(made, part, shape, value)
            if ends is not None:  # rounded afterwards, which then leaves no end behind
                made = np.clip(made, *ends)
            block[...] = _stepped(made, value.steps, shape, part)

    def leaf(self, array: NDArray[Any], box: Box, shape: tuple[int, ...], value: Value) -> None:
        """The values before the first step."""
        arguments = value.arguments
        if value.scheme in CONSTANTS:
            number = {"zeros": 0.0, "ones": 1.0}.get(value.scheme, arguments.get("value"))
            array[...] = np.asarray(number).astype(array.dtype)
        elif value.scheme == "literal":
            array[...] = _of_literal(arguments["value"], shape, box).astype(array.dtype)
        elif value.scheme == "norm":
            self.norm(array, box, arguments["of"])
        else:
            _function(value.scheme)(
                shape, **arguments, seed=self.stream, out=array, index=as_slices(box),
                threads=self.threads,
            )  # fmt: skip

    def norm(self, array: NDArray[Any], box: Box, of: Norm) -> None:
        """The 2-norm along the axes that are not kept, summed in float64 in a fixed order."""
        source = self.at(self.root[of.name])
        wanted = tuple(box[a] if a in of.kept else range(n) for a, n in enumerate(of.shape))
        values = np.empty(tuple(map(len, wanted)), array.dtype)
        source.write(values, wanted, of.shape, of.value)
        kept = tuple(n if a in of.kept else 1 for a, n in enumerate(values.shape))
        rest = [a for a in range(values.ndim) if a not in of.kept]
        squares = np.moveaxis(values.astype(np.float64), rest, range(len(rest)))
        squares = squares.reshape(-1, *[n for a, n in enumerate(values.shape) if a in of.kept])
        squares = squares * squares
        while len(squares) > 1:  # halves are added element by element: one order on every machine
            half = len(squares) // 2
            odd = squares[2 * half :]
            squares = np.concatenate([squares[:half] + squares[half : 2 * half], odd])
        total = squares[0] if len(squares) else np.zeros([n for n in kept if n != 1])
        array[...] = np.sqrt(total).reshape(kept).astype(array.dtype)


def _of_literal(literal: Literal, shape: tuple[int, ...], box: Box) -> NDArray[Any]:
    """The box of a literal that broadcasts to the full shape."""
    values = literal.array()
    values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    at = tuple(
        slice(None) if size == 1 else along
        for size, along in zip(values.shape, as_slices(box), strict=True)
    )
    return values[at]


def _stepped(
    values: NDArray[Any], steps: tuple[Step, ...], shape: tuple[int, ...], box: Box
) -> NDArray[Any]:
    """The values after every step."""
    history = [values]
    compute = values.dtype.type
    with np.errstate(all="ignore"):  # log 0 is -inf, as in the code that was recorded
        for step in steps:
            value, operand = history[-1], step.operand
            if operand is None:
                history.append(STEPS[step.operation](value))
                continue
            if isinstance(operand, Before):
                other: Any = history[operand.step]
            elif isinstance(operand, Literal):
                other = _of_literal(operand, shape, box).astype(compute)
            else:
                other = compute(operand)
            pair = (other, value) if step.swapped else (value, other)
            if step.swapped and step.operation == "pow":
                pair = (np.broadcast_to(np.asarray(other, compute), value.shape), value)
            history.append(STEPS[step.operation](*pair))
    return history[-1]
