"""What a recorder knows of a storage: which views of it were written, in order, and with what."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fanin._models.values import Literal, Step, Value

from ._memory import array_of

__all__ = [
    "Cell",
    "Contents",
    "Geometry",
    "Seen",
    "apart",
    "box_of",
    "draw_of",
    "geometry_of",
    "literal_of",
]

#: Values of a literal, at most: what is larger has a law or cannot be described.
MOST_VALUES = 1 << 26


@dataclass(frozen=True)
class Geometry:
    """A view of a storage, in elements."""

    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.size)

    def dense(self) -> Geometry:
        """The same elements with the axes of size 1 left out, the widest strides first."""
        axes = sorted(
            ((st, si) for st, si in zip(self.stride, self.size, strict=True) if si != 1),
            key=lambda axis: -axis[0],
        )
        return Geometry(self.offset, tuple(si for _, si in axes), tuple(st for st, _ in axes))

    def ordered(self) -> Geometry:
        """The same elements in the same order, by as few axes as that takes."""
        axes: list[tuple[int, int]] = []
        for stride, size in zip(self.stride, self.size, strict=True):
            if size == 1:
                continue
            if axes and axes[-1][0] == stride * size:
                axes[-1] = (stride, axes[-1][1] * size)
            else:
                axes.append((stride, size))
        return Geometry(self.offset, tuple(si for _, si in axes), tuple(st for st, _ in axes))

    def repeats(self) -> bool:
        """Whether elements of the view may share memory, as those of an expanded one do."""
        dense, end = self.dense(), 0
        for stride, size in zip(reversed(dense.stride), reversed(dense.size), strict=True):
            if stride <= end:
                return True
            end += (size - 1) * stride
        return False

    def is_run(self) -> bool:
        """Whether the view is a run of the storage without holes, in whatever order of axes."""
        wanted = 1
        dense = self.dense()
        for stride, size in zip(reversed(dense.stride), reversed(dense.size), strict=True):
            if stride != wanted:
                return False
            wanted *= size
        return True


def geometry_of(tensor: torch.Tensor) -> Geometry:
    """Where a tensor lies in its storage."""
    return Geometry(int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride()))


class Seen(NamedTuple):
    """A draw, seen through a view that has its numbers in another order."""

    leaf: object
    size: tuple[int, ...]
    stride: tuple[int, ...]


def draw_of(leaf: object) -> object:
    """The draw that a leaf is, in whatever order."""
    while isinstance(leaf, Seen):
        leaf = leaf.leaf
    return leaf


@dataclass(frozen=True)
class Cell:
    """What was written: a law with steps, real values, or something that has no description.

    `leaf` is the draw that a law stands for: two cells of one leaf hold the same numbers in the
    same order. A `Seen` is a leaf whose numbers stand in another order.
    """

    value: Value | None = None
    real: torch.Tensor | None = None
    opaque: str = ""
    leaf: object = None
    set_by: str = ""

    @property
    def is_random(self) -> bool:
        return self.value is not None and self.leaf is not None

    @property
    def constant(self) -> float | None:
        """The number, where all values are one."""
        if self.value is None or self.leaf is not None or self.value.steps:
            return None
        named = {"zeros": 0.0, "ones": 1.0}
        found = named.get(self.value.scheme, self.value.arguments.get("value"))
        return None if found is None else float(found)

    def then(self, step: Step) -> Cell:
        """The cell after one more step on a random value."""
        assert self.value is not None
        value = self.value
        return replace(self, value=Value(value.scheme, value.arguments, (*value.steps, step)))


@dataclass
class Contents:
    """The writes to one storage, oldest first; a write of everything makes the rest void."""

    keep: Any  # the storage itself, so that its address is not used again
    count: int
    dtype: torch.dtype
    writes: list[tuple[Geometry, Cell]] = field(default_factory=list)
    initial: torch.Tensor | None = None
    """The real memory of a tensor that existed before, as one flat view."""

    def write(self, where: Geometry, cell: Cell) -> None:
        if where.count == 0:
            return
        if where.count == self.count and where.is_run():
            self.writes = []
            self.initial = None
        same = where.dense()
        self.writes = [(at, old) for at, old in self.writes if at.dense() != same]
        self.writes.append((where, cell))

    def read(self, where: Geometry) -> Cell:
        """What a view holds."""
        for at, cell in reversed(self.writes):
            if at == where:
                return cell
            if apart(at, where):
                continue
            if at.count == self.count and at.is_run():  # a view of something that covers all
                if cell.constant is not None:
                    return cell
                if cell.is_random and cell.value is not None and _independent(cell.value):
                    return _part_of(cell, at, where)
            if at.dense() == where.dense() and cell.value is not None:
                if cell.constant is not None:
                    return cell
                if _independent(cell.value):
                    return _part_of(cell, at, where)
            break
        else:
            if self.initial is None:
                return Cell(opaque="memory that nothing was written to")
        made = self.materialised(where)
        return made if made is not None else Cell(opaque=self._reason(where))

    def _reason(self, where: Geometry) -> str:
        for at, cell in reversed(self.writes):
            if not apart(at, where):
                return cell.opaque or "a tensor that is drawn in part"
        return "memory that nothing was written to"

    def materialised(self, where: Geometry) -> Cell | None:
        """The real values of a view, if nothing random or unknown was written to it."""
        touched = [(at, cell) for at, cell in self.writes if not apart(at, where)]
        if any(cell.is_random or cell.opaque for _, cell in touched) or self.count > MOST_VALUES:
            return None
        if self.initial is not None:
            flat = self.initial.clone()
        else:
            flat = torch.zeros(self.count, dtype=self.dtype)
            covered = torch.zeros(self.count, dtype=torch.bool)
            for at, _ in touched:
                covered.as_strided(at.size, at.stride, at.offset).fill_(True)
            if not covered.as_strided(where.size, where.stride, where.offset).all():
                return None
        for at, cell in touched:
            view = flat.as_strided(at.size, at.stride, at.offset)
            if cell.real is not None:
                view.copy_(cell.real)
            else:
                view.fill_(cell.constant)
        real = flat.as_strided(where.size, where.stride, where.offset)
        set_by = touched[-1][1].set_by if touched else ""
        return Cell(real=real, set_by=set_by)


def _part_of(cell: Cell, at: Geometry, where: Geometry) -> Cell:
    """A view of an independent law: part of it, or all of it in another shape or order."""
    if where.repeats():
        return Cell(opaque="a random tensor that is repeated")
    if at.count != where.count:
        return replace(cell, leaf=object())
    if at.ordered() == where.ordered():
        return cell
    return replace(cell, leaf=Seen(cell.leaf, where.size, where.stride))


def _independent(value: Value) -> bool:
    """Whether the values of a law are drawn each for itself, and its steps know no place."""
    alone = value.scheme in ("normal", "uniform", "truncated_normal", "zeros", "ones", "constant")
    return alone and not any(isinstance(step.operand, Literal) for step in value.steps)


def apart(one: Geometry, other: Geometry) -> bool:
    """Whether two views surely share no element: by their ends, or as boxes of one grid."""
    if not one.count or not other.count:
        return True

    def last(view: Geometry) -> int:
        ends = ((size - 1) * stride for size, stride in zip(view.size, view.stride, strict=True))
        return view.offset + sum(ends)

    if last(one) < other.offset or last(other) < one.offset:
        return True
    if one.stride == other.stride and len(one.size) == len(other.size):
        difference = other.offset - one.offset
        order = sorted(range(len(one.size)), key=lambda axis: -one.stride[axis])
        sign = 1 if difference >= 0 else -1
        difference = abs(difference)
        for axis in order:  # the distance along each axis, as if the views were boxes
            stride = one.stride[axis] or 1
            steps, difference = divmod(difference, stride)
            if steps >= (one.size[axis] if sign > 0 else other.size[axis]):
                return True
        return difference != 0
    return False


def box_of(where: Geometry, shape: tuple[int, ...]) -> tuple[tuple[int, int, int], ...] | None:
    """A view of a contiguous tensor as one box of its shape; None if it is none.

    The axes of the view may be in another order and split further: the box has the same elements.
    """
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    box = []
    rest = where.offset
    left = [
        (stride, size)
        for stride, size in zip(where.dense().stride, where.dense().size, strict=True)
    ]
    for axis, size in enumerate(shape):
        unit = strides[axis]
        start, rest = divmod(rest, unit) if unit else (0, rest)
        # The view's axes that walk along this one: strides from unit up to unit * size.
        mine = [(stride, n) for stride, n in left if unit <= stride < unit * size or stride == 0]
        mine = [(stride, n) for stride, n in mine if stride % unit == 0]
        left = [entry for entry in left if entry not in mine]
        step, count = 1, 1
        for stride, n in reversed(mine):  # the narrowest first: they must nest without holes
            if count == 1:
                step, count = stride // unit, n
            elif stride == step * count * unit:
                count *= n
            else:
                return None
        if step < 1 or start + (count - 1) * step >= size:
            return None
        box.append((start, start + (count - 1) * step + 1, step))
    return tuple(box) if not left and not rest else None


def literal_of(real: torch.Tensor) -> Value:
    """Real values as a constant where they are one number, else as a literal."""
    flat = real.detach().contiguous()
    array = array_of(flat)
    number = _number_in(array) if array.size else None
    if number is None:
        return Value("literal", {"value": Literal.of(array)})
    # -0.0 is kept as it is: a constant would be +0.0 in an integer's words
    if number == 0.0 and math.copysign(1.0, number) > 0:
        return Value("zeros")
    return Value("ones") if number == 1.0 else Value("constant", {"value": number})


def _number_in(array: NDArray[Any]) -> float | None:
    """The float that every value of a contiguous array is, bit for bit, or None."""
    flat = array.reshape(-1)
    first = flat[0]
    if array.dtype.kind == "c" and (first.imag != 0 or np.signbit(first.imag)):
        return None
    number = float(first.real)
    if array.dtype.kind in "iu" and int(first) != number:
        return None
    if number == 0.0 or math.isnan(number):  # of which there are several
        words = flat.view(f"u{min(8, array.itemsize)}")
        if array.itemsize > 8:  # both halves of a complex128 are zero, or it is a literal
            return number if not words.any() else None
        return number if bool((words == words[0]).all()) else None
    return number if bool((array == first).all()) else None
