"""One tensor of a plan."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np

from fanin._hints import short
from fanin._public import public

from .values import Part, Step, Value, std_of

__all__ = ["PlanTensor"]


@public("fanin")
@dataclass(frozen=True)
class PlanTensor:
    """One tensor of a model: its name, its shape, and the law of its values.

    Attributes
    ----------
    name : str
        Its qualified name, which is the name of its stream: ``Stream(seed)[name]``.
    shape : tuple of int
        The full shape.
    dtype : str or None
        Its own dtype ("float32", "int64", ...); None: the one that the user asks for.
    scheme, arguments, steps
        See `fanin._models.values.Value`.
    parts : tuple of Part
        Boxes that hold something else, the last one winning.
    is_buffer : bool
        A buffer is not trained, so it is no parameter.
    is_stored : bool
        False for the buffers that a state_dict leaves out.
    tied : tuple of str
        Further names of the same tensor.
    set_by : str
        The code that set the law, for tables.
    seed : int, optional
        Its own seed; None: the one of the plan or the call.
    """

    name: str
    shape: tuple[int, ...]
    scheme: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    steps: tuple[Step, ...] = ()
    parts: tuple[Part, ...] = ()
    is_buffer: bool = False
    is_stored: bool = True
    tied: tuple[str, ...] = ()
    set_by: str = field(default="", compare=False)
    seed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(map(operator.index, self.shape)))
        if not isinstance(self.arguments, Mapping):
            raise TypeError(
                "arguments of a PlanTensor are a mapping of names to values, as {'std': 0.02}, got "
                f"{short(self.arguments)}; it is PlanTensor(name, shape, scheme, arguments, dtype)"
            )
        given = self.arguments.items()
        plain = {name: _plain(value) for name, value in given if value is not None}
        object.__setattr__(self, "arguments", MappingProxyType(plain))

    def __reduce__(self) -> tuple[Any, ...]:
        values = [getattr(self, each.name) for each in fields(self)]
        values[3] = dict(self.arguments)
        return (PlanTensor, tuple(values))

    def __hash__(self) -> int:
        return hash((self.name, self.shape, self.scheme, self.dtype))

    @property
    def value(self) -> Value:
        """The law and its steps, without the parts."""
        return Value(self.scheme, self.arguments, self.steps)

    def expected_std(self) -> float | None:
        """The standard deviation that the law promises; None where no formula gives it."""
        return std_of(self.shape, self.value)


def _plain(value: Any) -> Any:
    """An argument as it is after a plan was saved and read: Python's numbers, tuples."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value
