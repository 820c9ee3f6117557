"""Fans of a weight: how many inputs feed an output, and how many outputs an input feeds.

A :class:`Layout` says which axes of a shape are inputs, outputs, kernel positions and batches;
:func:`fans` multiplies them. Everything here is arithmetic on Python integers, so shapes of any
size are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, SupportsIndex, TypeAlias, cast

from fanin._arrays.shapes import as_sizes
from fanin._checks import as_integer
from fanin._hints import short
from fanin._public import public

__all__ = [
    "Fans",
    "Layout",
    "LayoutLike",
    "Order",
    "ShapeLike",
    "as_layout",
    "fans",
    "fans_of",
]

Order: TypeAlias = Literal["io", "oi"] | None
ShapeLike: TypeAlias = SupportsIndex | Iterable[SupportsIndex]
AxesLike: TypeAlias = SupportsIndex | Iterable[SupportsIndex]


@public("fanin")
class Fans(NamedTuple):
    """The fans of one weight, as Python integers.

    Attributes
    ----------
    fan_in : int, >= 1
        Inputs that one output sums over: the n of ``Var(W) = scale / n``.
    fan_out : int, >= 1
        Outputs that one input feeds (stride 1).
    receptive_field : int, >= 0
        Kernel positions: the product of the axes that are neither input, output nor batch.
    """

    fan_in: int
    fan_out: int
    receptive_field: int


class Axes(NamedTuple):
    """The axes of one shape by their meaning, each a tuple of non-negative axis numbers."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: tuple[int, ...]
    batch: tuple[int, ...]


@public("fanin")
@dataclass(frozen=True, init=False)
class Layout:
    """How the axes of a weight are to be read.

    The axes named by `in_axes`, `out_axes` and `batch_axes` are what they are named. The axes
    that are left are read in the base order; those that are neither input nor output are the
    kernel.

    Parameters
    ----------
    order : {"io", "oi", None}, default "io"
        Base order. ``"io"`` is that of Keras and JAX, ``(*kernel, in, out)``; ``"oi"`` that of
        torch, ``(out, in, *kernel)``; None assumes nothing, so `in_axes` and `out_axes` must
        name their axes.
    in_axes, out_axes : int or sequence of int, optional
        Axes of the inputs and of the outputs, negative from the end. Several axes count with
        their product; an empty sequence is a side without axes (its size is 1).
    batch_axes : int or sequence of int, default ()
        Axes that number independent weights, as the experts of a mixture. They belong to no fan.
    groups : int, >= 1, default 1
        Groups of a grouped convolution of `groups` independent parts. The input axis of the shape
        then holds ``in / groups`` and the output axis all outputs, as torch and JAX store it.
    transposed : bool, default False
        A transposed convolution as it is stored for a convolution run backwards: the base order
        has input and output exchanged, ``"oi"`` is torch's ``(in, out / groups, *kernel)`` and
        ``"io"`` is Keras's ``(*kernel, out, in)``. (flax stores ``(*kernel, in, out)`` for its
        transposed convolutions: no `transposed` there.)

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `order` is unknown or `groups` is less than 1. Axes are checked against a shape by
        :func:`fans`.

    Notes
    -----
    Stride is not part of a layout. Keras stores a depthwise kernel as ``(*kernel, channels,
    multiplier)``, one independent filter bank a channel:
    ``Layout("io", in_axes=(), batch_axes=-2)``.

    Examples
    --------
    Eight experts of 64 inputs and 32 outputs, and a projection to 4 heads of 16:

    >>> import fanin
    >>> fanin.fans((8, 64, 32), fanin.Layout("io", batch_axes=0))
    Fans(fan_in=64, fan_out=32, receptive_field=1)
    >>> fanin.fans((64, 4, 16), fanin.Layout("io", out_axes=(1, 2)))
    Fans(fan_in=64, fan_out=64, receptive_field=1)
    """

    order: Order
    in_axes: tuple[int, ...] | None
    out_axes: tuple[int, ...] | None
    batch_axes: tuple[int, ...]
    groups: int
    transposed: bool

    def __init__(
        self,
        order: Order = "io",
        *,
        in_axes: AxesLike | None = None,
        out_axes: AxesLike | None = None,
        batch_axes: AxesLike = (),
        groups: SupportsIndex = 1,
        transposed: bool = False,
    ) -> None:
        if order is not None and not isinstance(order, str):
            raise TypeError(f'order must be "io", "oi" or None, got {short(order)}')
        if order not in ("io", "oi", None):
            raise ValueError(
                f'unknown layout {short(order)}: "io" is (*kernel, in, out) as in Keras and JAX, '
                f'"oi" is (out, in, *kernel) as in torch'
            )
        if not isinstance(transposed, bool):
            raise TypeError(f"transposed must be True or False, got {short(transposed)}")
        group_count = as_integer(groups, "groups")
        if group_count < 1:
            raise ValueError(f"groups must be at least 1, got {group_count}")
        set_field = object.__setattr__  # the dataclass is frozen, and this is its constructor
        set_field(self, "order", order)
        set_field(self, "in_axes", None if in_axes is None else _axis_tuple(in_axes, "in_axes"))
        set_field(self, "out_axes", None if out_axes is None else _axis_tuple(out_axes, "out_axes"))
        set_field(self, "batch_axes", _axis_tuple(batch_axes, "batch_axes"))
        set_field(self, "groups", group_count)
        set_field(self, "transposed", transposed)

    def axes(self, shape: tuple[int, ...]) -> Axes:
        """The axes of `shape` by their meaning; ValueError if the two do not fit."""
        taken: dict[int, str] = {}
        inputs = self._named(self.in_axes, "in_axes", shape, taken)
        outputs = self._named(self.out_axes, "out_axes", shape, taken)
        batch = self._named(self.batch_axes, "batch_axes", shape, taken) or ()
        rest = [axis for axis in range(len(shape)) if axis not in taken]
        if inputs is None or outputs is None:
            if self.order is None and rest:
                raise ValueError(
                    f"Layout(None) assumes no order, and axes {tuple(rest)} of shape {shape} have "
                    f'no name: give in_axes= and out_axes=, or a base order "io" or "oi"'
                )
            if inputs is None and outputs is None and len(rest) < 2:
                besides = f" besides batch axes {batch}" if batch else ""
                raise ValueError(
                    f"shape {shape} has no fan: a weight needs at least 2 axes{besides} "
                    f"(got {len(rest)}), or a fanin.Layout that names in_axes= and out_axes="
                )
            # Both base orders put input and output beside each other at one end of the shape;
            # `nearest` lists them from that end: out, in for "oi" (front) and "io" (back) alike.
            from_front = self.order == "oi"
            nearest = ["inputs", "outputs"] if self.transposed else ["outputs", "inputs"]
            found = {"inputs": inputs, "outputs": outputs}
            for side in nearest:
                if found[side] is None:
                    found[side] = (rest.pop(0 if from_front else -1),) if rest else ()
            inputs, outputs = found["inputs"], found["outputs"]
        return Axes(
            cast(tuple[int, ...], inputs), cast(tuple[int, ...], outputs), tuple(rest), batch
        )

    @staticmethod
    def _named(
        axes: tuple[int, ...] | None, name: str, shape: tuple[int, ...], taken: dict[int, str]
    ) -> tuple[int, ...] | None:
        """Axes counted from 0, entered in `taken` under `name`; None stays None."""
        if axes is None:
            return None
        counted = []
        for axis in axes:
            if not -len(shape) <= axis < len(shape):
                raise ValueError(
                    f"{name}: axis {axis} is out of bounds for shape {shape} of {len(shape)} axes"
                )
            axis %= len(shape)
            if axis in taken:
                raise ValueError(
                    f"axis {axis} of shape {shape} is named twice, by {taken[axis]} and by {name}"
                )
            taken[axis] = name
            counted.append(axis)
        return tuple(counted)


LayoutLike: TypeAlias = Literal["io", "oi"] | Layout


def fans(shape: ShapeLike, layout: LayoutLike = "io") -> Fans:
    """Fans of a weight of the given shape.

    ``fan_in = inputs * kernel`` and ``fan_out = outputs * kernel``, where inputs and outputs are
    those of one group: a grouped weight stores ``in / groups`` inputs and all outputs, so
    ``fan_out`` is divided by the groups (for a transposed one, which stores all inputs,
    ``fan_in``). These are the true numbers of terms of the forward and the backward sum at
    stride 1 (He et al. 2015, sections 2.2); several frameworks read others from the same shape.

    Parameters
    ----------
    shape : int or sequence of int, >= 0
        The *full* shape of the weight, also when only a part of it is filled.
    layout : {"io", "oi"} or Layout, default "io"
        ``"io"`` reads ``(*kernel, in, out)`` (Keras, JAX, NumPy), ``"oi"`` reads
        ``(out, in, *kernel)`` (torch). Grouped, transposed, batched and einsum kernels are
        described by a :class:`Layout`.

    Returns
    -------
    Fans
        Named tuple ``(fan_in, fan_out, receptive_field)`` of Python integers. A fan of 0 counts
        as 1.

    Raises
    ------
    ValueError
        If the shape has no two axes for input and output, has negative sizes, does not fit the
        axes that the layout names, or its outputs cannot be divided into the groups.
    TypeError
        If `shape` or `layout` is of another type.

    Examples
    --------
    >>> import fanin
    >>> fanin.fans((3, 3, 16, 32))
    Fans(fan_in=144, fan_out=288, receptive_field=9)
    >>> fanin.fans((32, 16, 3, 3), "oi") == fanin.fans((3, 3, 16, 32), "io")
    True

    A depthwise convolution of 4 channels (torch's own rule says 9 and 36):

    >>> fanin.fans((4, 1, 3, 3), fanin.Layout("oi", groups=4))
    Fans(fan_in=9, fan_out=9, receptive_field=9)
    """
    return fans_of(as_sizes(shape), as_layout(layout))


def fans_of(shape: tuple[int, ...], layout: Layout) -> Fans:
    """Fans of a shape and a layout that are checked already."""
    axes = layout.axes(shape)
    inputs = math.prod([shape[axis] for axis in axes.inputs])
    outputs = math.prod([shape[axis] for axis in axes.outputs])
    kernel = math.prod([shape[axis] for axis in axes.kernel])
    if layout.transposed:
        inputs = _per_group(inputs, layout.groups, "input", shape)
    else:
        outputs = _per_group(outputs, layout.groups, "output", shape)
    return Fans(max(1, inputs * kernel), max(1, outputs * kernel), kernel)


def as_layout(layout: LayoutLike) -> Layout:
    """A Layout from ``"io"``, ``"oi"`` or a Layout."""
    if isinstance(layout, Layout):
        return layout
    if isinstance(layout, str):
        return _BASE_LAYOUTS.get(layout) or Layout(layout)
    raise TypeError(f'layout must be "io", "oi" or a fanin.Layout, got {short(layout)}')


def _per_group(channels: int, groups: int, side: str, shape: tuple[int, ...]) -> int:
    if channels % groups:
        raise ValueError(
            f"groups={groups} does not divide the {channels} {side} channels of shape {shape}"
        )
    return channels // groups


def _axis_tuple(axes: AxesLike, name: str) -> tuple[int, ...]:
    if isinstance(axes, Iterable):
        return tuple(as_integer(axis, name) for axis in axes)
    return (as_integer(axes, name),)


_BASE_LAYOUTS = {"io": Layout("io"), "oi": Layout("oi")}
