"""What is known of one tensor: a law, elementwise steps after it, and parts that overwrite it.

A recorder (``fanin.torch.record``) makes these records, a plan stores them, and ``writing.py``
evaluates them, whole or in part, without the framework that they were recorded from.

* A :class:`Value` is one law, named as in the face of the package (``normal``, ``uniform``,
  ``truncated_normal`` with bounds in units of its scale, ``orthogonal`` with layout "oi",
  ``dirac``, a constant, a literal), and a chain of elementwise steps. Steps are computed in the
  compute type (float32; float64 for float64 tensors), the last is rounded once to the dtype.
* A :class:`Part` is a box of the tensor and the value that stands there instead.

The words: tensor ``name`` draws its law from ``root[name]``, its k-th part (from 1) from
``root[name][k]``, each at the addresses of its own full shape.
"""

from __future__ import annotations

import base64
import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

import ml_dtypes  # noqa: F401  (registers the names bfloat16 and float8_*)
import numpy as np
from numpy.typing import NDArray

from fanin._random.stateless import truncated_normal_std
from fanin._schemes.registry import schemes

__all__ = ["Before", "CONSTANTS", "Literal", "Norm", "Part", "Step", "Value", "std_of"]

CONSTANTS = ("zeros", "ones", "constant")


@dataclass(frozen=True)
class Literal:
    """Values as they are: dtype, shape and compressed little-endian bytes in C order.

    Two literals are equal if their values are, whatever compressed them.
    """

    shape: tuple[int, ...]
    dtype: str
    digest: str
    """SHA-256 of the bytes before compression, in hexadecimal."""
    data: bytes = field(compare=False, repr=False)

    @classmethod
    def of(cls, array: NDArray[Any]) -> Literal:
        """The values of an array."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        raw = array.tobytes()
        digest = hashlib.sha256(raw).hexdigest()
        return cls(array.shape, array.dtype.name, digest, zlib.compress(raw, 6))

    def array(self) -> NDArray[Any]:
        """The values, read-only; the last few literals used stay decompressed."""
        return _decompressed(self)

    def to_data(self) -> dict[str, Any]:
        """Plain JSON values."""
        text = base64.b64encode(self.data).decode("ascii")
        return {"dtype": self.dtype, "shape": list(self.shape), "data": text}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Literal:
        """What :meth:`to_data` made.

        Raises
        ------
        ValueError
            The bytes are not those of an array of that dtype and shape.
        """
        shape = tuple(int(size) for size in data["shape"])
        dtype = np.dtype(data["dtype"])
        wanted = math.prod(shape) * dtype.itemsize
        try:
            compressed = base64.b64decode(data["data"], validate=True)
            unpacking = zlib.decompressobj()
            raw = unpacking.decompress(compressed, wanted + 1)
        except (ValueError, zlib.error) as error:
            raise ValueError(f"a literal's data is not base64 of zlib bytes: {error}") from None
        if len(raw) != wanted:
            raise ValueError(
                f"a literal of dtype {dtype.name} and shape {shape} has {wanted} bytes, "
                f"its data has {'more' if len(raw) > wanted else len(raw)}"
            )
        return cls(shape, dtype.name, hashlib.sha256(raw).hexdigest(), compressed)


@lru_cache(maxsize=4)
def _decompressed(literal: Literal) -> NDArray[Any]:
    raw = zlib.decompress(literal.data)
    return np.frombuffer(raw, np.dtype(literal.dtype)).reshape(literal.shape)


@dataclass(frozen=True)
class Before:
    """An earlier value of the same chain: 0 is the law's, k the value after the k-th step."""

    step: int


Operand: TypeAlias = "float | Literal | Before"


@dataclass(frozen=True)
class Step:
    """One elementwise step: ``operation(value)``, ``operation(value, operand)``, or swapped.

    A literal operand has the shape of the value or broadcasts to it.
    """

    operation: str
    operand: Operand | None = None
    swapped: bool = False


@dataclass(frozen=True)
class Norm:
    """The 2-norm of another tensor over all axes but some, as weight norm's magnitude is.

    It stands as ``arguments["of"]`` of the scheme ``"norm"``: the tensor's name, shape and value,
    and the axes that are kept (of length 1 elsewhere).
    """

    name: str
    shape: tuple[int, ...]
    value: Value
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A law and what is done to its values.

    Attributes
    ----------
    scheme : str
        ``normal``, ``uniform``, ``truncated_normal`` (bounds in units of scale), ``zeros``,
        ``ones``, ``constant``, ``literal`` (``arguments["value"]`` is a `Literal`), ``norm``
        (``arguments["of"]`` is a `Norm`), or any name of :func:`fanin.schemes`.
    arguments : mapping
        Its arguments, all plain numbers and strings but for the two above.
    steps : tuple of Step
        Done one after the other.
    """

    scheme: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))

    def __hash__(self) -> int:
        return hash((self.scheme, tuple(sorted(self.arguments)), self.steps))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Value, (self.scheme, dict(self.arguments), self.steps))


@dataclass(frozen=True)
class Part:
    """A box of the tensor and what stands there: one (start, stop, step) per axis, steps >= 1."""

    box: tuple[tuple[int, int, int], ...]
    value: Value

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the box, with all axes."""
        return tuple(len(range(*along)) for along in self.box)


def std_of(shape: tuple[int, ...], value: Value) -> float | None:
    """The standard deviation that a value promises; None where no formula gives it.

    That of the law's own values: parts that overwrite it are left out.
    """
    arguments = value.arguments
    if value.scheme == "normal":
        std: float | None = float(arguments.get("scale", 1.0))
    elif value.scheme == "uniform":
        std = (arguments.get("high", 1.0) - arguments.get("low", 0.0)) / math.sqrt(12.0)
    elif value.scheme == "truncated_normal":
        bounds = truncated_normal_std(arguments.get("low", -2.0), arguments.get("high", 2.0))
        std = arguments.get("scale", 1.0) * bounds
    elif value.scheme in CONSTANTS:
        std = 0.0
    elif value.scheme == "literal":
        std = _spread_of_literal(arguments["value"])
    elif value.scheme == "norm":
        std = None
    else:
        std = schemes()[value.scheme].expected_std(shape, **arguments)
    for step in value.steps:
        if std is None:
            return None
        number = step.operand if isinstance(step.operand, (int, float)) else None
        if step.operation in ("add", "sub") and number is not None or step.operation == "neg":
            continue
        if step.operation == "mul" and number is not None:
            std = std * abs(number)
        elif step.operation == "div" and number is not None and not step.swapped and number:
            std = std / abs(number)
        else:
            return None
    return std


def _spread_of_literal(literal: Literal) -> float | None:
    values = literal.array()
    if values.dtype.kind not in "fV" or not values.size:
        return None
    return float(np.std(values.astype(np.float64)))
