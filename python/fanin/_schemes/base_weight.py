"""The matrix that a structured weight is made from, a block of its columns at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from fanin._arrays.boxes import Box, as_slices
from fanin._arrays.kinds import REAL
from fanin._arrays.targets import Target, target
from fanin._checks import as_threads
from fanin._random.seeds import as_stream, check_seed
from fanin._random.streams import Stream

from .weight import Weight

if TYPE_CHECKING:
    from numpy.typing import NDArray


class BaseWeight:
    """The weight that another one is made of: only what the boxes touch, made in one call.

    Along the axes `free` its parts are independent, along the others they are one object.
    """

    def __init__(
        self,
        scheme: Callable[..., NDArray[Any]],
        shape: tuple[int, ...],
        free: Collection[int],
        touched: Sequence[Box],
        **keywords: Any,
    ) -> None:
        self._ranges = tuple(
            _cover([box[axis] for box in touched]) if axis in free else range(size)
            for axis, size in enumerate(shape)
        )
        self._values = scheme(shape, index=as_slices(self._ranges), **keywords)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """The values of a box that was named at the start, or of a part of one."""
        return self._values[as_slices(tuple(map(_within, box, self._ranges)))]


def _cover(parts: Sequence[range]) -> range:
    """The range itself if there is one, else the shortest of step 1 that holds all of them."""
    if len(parts) == 1:
        return parts[0]
    ends = [end for part in parts if part for end in (part[0], part[-1])]
    return range(min(ends), max(ends) + 1) if ends else range(0)


def _within(part: range, whole: range) -> range:
    """Where the numbers of `part` stand in `whole`, in the order of `part`."""
    if not part:
        return range(0)
    first = whole.index(part[0])
    step = part.step // whole.step if len(part) > 1 else 1
    return range(first, first + len(part) * step, step)


def begin(weight: Weight, name: str) -> tuple[Target, Stream]:
    """Where to write and with which words, once all else is checked; takes a generator's child."""
    check_seed(weight.seed)
    as_threads(weight.threads)
    goal = target(
        weight.shape, weight.dtype, weight.out, weight.index, accepted=REAL, function=name
    )
    return goal, as_stream(weight.seed)


def require_no_groups(weight: Weight, name: str) -> None:
    if weight.layout.groups != 1:
        raise ValueError(f"{name} has no grouped form, got groups={weight.layout.groups}")


def require_enough_outputs(inputs: int, outputs: int, weight: Weight, name: str) -> None:
    if inputs > outputs:
        raise ValueError(
            f"{name} keeps the norm of every input, which needs at least as many outputs as "
            f"inputs; shape {weight.shape} has {inputs} inputs and {outputs} outputs. Are its axes "
            f'those of the layout, "io" (*kernel, in, out) or "oi" (out, in, *kernel)?'
        )
