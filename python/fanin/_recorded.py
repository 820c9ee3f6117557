"""What is known of one tensor: a law, elementwise steps after it, and parts that overwrite it.

A recorder (``fanin.torch.record``) makes these records, a plan stores them, and :func:`write`
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import ml_dtypes  # noqa: F401  (registers the names bfloat16 and float8_*)
import numpy as np
from numpy.typing import NDArray

from . import _core
from ._arrays import KINDS, target
from ._patterns import Box, as_slices, boxes, common, pieces
from ._random import normal, truncated_normal, truncated_normal_std, uniform
from ._schemes import get, schemes
from ._stream import Stream

__all__ = [
    "Before",
    "Literal",
    "Norm",
    "Part",
    "RecordedTensor",
    "STEPS",
    "Step",
    "Value",
    "part_from_data",
    "part_to_data",
    "std_of",
    "value_from_data",
    "value_to_data",
    "write",
]

# Values of a chain of steps are made in blocks of this many, so that temporaries stay small.
_BLOCK_VALUES = 1 << 18

#: Laws of independent values: a block of them costs that block.
_SAMPLED: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"normal": normal, "uniform": uniform, "truncated_normal": truncated_normal}
)
_CONSTANTS = ("zeros", "ones", "constant")


# ---- literals -----------------------------------------------------------------------------------


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


# ---- steps --------------------------------------------------------------------------------------


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


def _exp(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # e^x is below the smallest and above the largest double outside; nan stays nan.
    inside = np.where((x >= -745.0) & (x <= 709.0), x, 0.0)
    made = _core.exponentials(inside.ravel()).reshape(x.shape)
    made = np.where(x < -745.0, 0.0, np.where(x > 709.0, np.inf, made))
    return np.where(np.isnan(x), x, made)


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    tiny = x < np.finfo(np.float64).tiny  # the core takes normal numbers: scale up by 2^54
    scaled = np.where(tiny, x * 2.0**54, x)
    inside = np.where((scaled > 0.0) & (scaled < np.inf), scaled, 1.0)
    made = _core.logarithms(inside.ravel()).reshape(x.shape)
    made = np.where(tiny, made - 54.0 * 0.6931471805599453, made)
    made = np.where(x == 0.0, -np.inf, np.where(x == np.inf, np.inf, made))
    return np.where((x < 0.0) | np.isnan(x), np.nan, made)


def _expm1(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # (u - 1) x / log u with u = e^x rounded: what rounding u costs cancels (Kahan; Higham 2002,
    # section 1.14.1).
    u = _exp(x)
    with_log = (u - 1.0) * x / np.where((u == 1.0) | (u == 0.0) | np.isinf(u), 1.0, _log(u))
    return np.where(u == 1.0, x, np.where((u == 0.0) | np.isinf(u), u - 1.0, with_log))


def _log1p(x: NDArray[np.float64]) -> NDArray[np.float64]:
    u = 1.0 + x  # log u * x / (u - 1): the same cancellation (Higham 2002, problem 1.5)
    return np.where((u == 1.0) | (u == np.inf), x, _log(u) * x / np.where(u == 1.0, 1.0, u - 1.0))


def _power(x: Any, y: Any) -> Any:
    """x ** y by the core for x > 0; small whole powers and roots by products."""
    if np.ndim(y) == 0:
        exact: dict[float, Callable[[Any], Any]] = {
            2.0: lambda v: v * v,
            3.0: lambda v: v * v * v,
            0.5: np.sqrt,
            -0.5: lambda v: 1.0 / np.sqrt(v),
            -1.0: lambda v: 1.0 / v,
            1.0: lambda v: v,
        }
        if float(y) in exact:
            return exact[float(y)](x)
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    # |x|^y = e^(y log |x|) in the core; the sign is that of a whole odd power.
    size = np.abs(x)
    usual = (size > 0) & np.isfinite(size)
    made = np.asarray(_core.math_pow(np.where(usual, size, 1.0), y))
    made = np.where(size == 0, np.where(y > 0, 0.0, np.where(y == 0, 1.0, np.inf)), made)
    made = np.where(np.isinf(size), np.where(y > 0, np.inf, np.where(y == 0, 1.0, 0.0)), made)
    whole = np.floor(y) == y
    odd = np.floor(y / 2) * 2 != y
    return np.where(x < 0, np.where(whole, np.where(odd, -made, made), np.nan), made)


def _in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """Computed in float64 and rounded to the type of the chain."""

    def rounded(x: NDArray[Any], *operands: Any) -> NDArray[Any]:
        wide = (o.astype(np.float64) if isinstance(o, np.ndarray) else o for o in operands)
        made: NDArray[Any] = np.asarray(function(x.astype(np.float64), *wide)).astype(x.dtype)
        return made

    return rounded


#: Every step by its name. + - * / and roots are NumPy's (IEEE, so the same bits everywhere), the
#: other functions the core's.
STEPS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "neg": np.negative,
        "abs": np.abs,
        "sqrt": np.sqrt,
        "at_least": np.maximum,
        "at_most": np.minimum,
        "exp": _in_double(_exp),
        "log": _in_double(_log),
        "expm1": _in_double(_expm1),
        "log1p": _in_double(_log1p),
        "pow": _in_double(_power),
    }
)

_WITHOUT_OPERAND = ("neg", "abs", "sqrt", "exp", "log", "expm1", "log1p")


# ---- values and parts ---------------------------------------------------------------------------


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


def _is_drawn(value: Value) -> bool:
    return value.scheme not in ("literal", "norm", *_CONSTANTS)


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
        compute = KINDS[array.dtype].compute if array.dtype in KINDS else np.dtype(np.float32)
        blocks = pieces(array, box, range(array.ndim), _BLOCK_VALUES)
        independent = value.scheme in (*_SAMPLED, *_CONSTANTS, "literal")
        for block, part in blocks if independent else [(array, box)]:
            made = np.empty(block.shape, compute)
            self.leaf(made, part, shape, value)
            block[...] = _stepped(made, value.steps, shape, part)

    def leaf(self, array: NDArray[Any], box: Box, shape: tuple[int, ...], value: Value) -> None:
        """The values before the first step."""
        arguments = value.arguments
        if value.scheme in _CONSTANTS:
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


# ---- the spread that a record promises ----------------------------------------------------------


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
    elif value.scheme in _CONSTANTS:
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


# ---- plain data ---------------------------------------------------------------------------------


def value_to_data(value: Value, literals: dict[str, Literal]) -> dict[str, Any]:
    """A value as plain JSON values; its literals are entered in `literals` by their digest."""

    def kept(literal: Literal) -> dict[str, str]:
        key = f"{literal.digest[:16]}-{literal.dtype}-{'x'.join(map(str, literal.shape))}"
        literals[key] = literal
        return {"literal": key}

    def plain(argument: Any) -> Any:
        if isinstance(argument, Literal):
            return kept(argument)
        if isinstance(argument, Norm):
            of = {"name": argument.name, "shape": list(argument.shape)}
            return {**of, "kept": list(argument.kept), **value_to_data(argument.value, literals)}
        if isinstance(argument, float) and not math.isfinite(argument):
            return repr(argument)
        return list(argument) if isinstance(argument, tuple) else argument

    def step_data(step: Step) -> dict[str, Any]:
        data: dict[str, Any] = {"do": step.operation}
        if isinstance(step.operand, Before):
            data["before"] = step.operand.step
        elif isinstance(step.operand, Literal):
            data |= kept(step.operand)
        elif step.operand is not None:
            data["by"] = plain(float(step.operand))
        if step.swapped:
            data["swapped"] = True
        return data

    data: dict[str, Any] = {"scheme": value.scheme}
    if value.arguments:
        data["arguments"] = {name: plain(given) for name, given in value.arguments.items()}
    if value.steps:
        data["steps"] = [step_data(step) for step in value.steps]
    return data


def value_from_data(data: Mapping[str, Any], literals: Mapping[str, Literal]) -> Value:
    """What :func:`value_to_data` made.

    Raises
    ------
    ValueError
        A step that does not exist, or a literal that is not in `literals`.
    """

    def found(key: Any) -> Literal:
        if key not in literals:
            raise ValueError(f"there is no literal {key!r}")
        return literals[key]

    def argument(name: str, given: Any) -> Any:
        if name == "of" and isinstance(given, Mapping):
            shape, kept = tuple(given["shape"]), tuple(given["kept"])
            return Norm(given["name"], shape, value_from_data(given, literals), kept)
        if isinstance(given, Mapping) and "literal" in given:
            return found(given["literal"])
        if given in ("inf", "-inf", "nan"):
            return float(given)
        return tuple(given) if isinstance(given, list) else given

    steps = []
    for number, row in enumerate(data.get("steps", ())):
        operation = row.get("do")
        if operation not in STEPS:
            raise ValueError(f"there is no step {operation!r}; there are {', '.join(STEPS)}")
        operand: Operand | None = None
        if "before" in row:
            operand = Before(int(row["before"]))
            if not 0 <= operand.step <= number:
                raise ValueError(f"step {number + 1} uses the value before step {operand.step + 1}")
        elif "literal" in row:
            operand = found(row["literal"])
        elif "by" in row:
            operand = float(row["by"])
        if (operand is None) != (operation in _WITHOUT_OPERAND):
            needs = "takes no operand" if operand is not None else "needs an operand"
            raise ValueError(f"the step {operation!r} {needs}")
        steps.append(Step(operation, operand, bool(row.get("swapped", False))))
    given = data.get("arguments", {})
    arguments = {name: argument(name, value) for name, value in given.items()}
    return Value(data["scheme"], arguments, tuple(steps))


def part_to_data(part: Part, literals: dict[str, Literal]) -> dict[str, Any]:
    """A part as plain JSON values."""
    box = [list(along) for along in part.box]
    return {"box": box, **value_to_data(part.value, literals)}


def part_from_data(data: Mapping[str, Any], literals: Mapping[str, Literal]) -> Part:
    """What :func:`part_to_data` made."""
    box = []
    for along in data["box"]:
        start, stop, step = (int(number) for number in along)
        if not (0 <= start <= stop and step >= 1):
            raise ValueError(f"a part's box has start, stop, step with 0 <= start <= stop, step "
                             f">= 1, got {list(along)}")  # fmt: skip
        box.append((start, stop, step))
    return Part(tuple(box), value_from_data(data, literals))
