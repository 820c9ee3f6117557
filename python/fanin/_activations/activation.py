"""Activations: what the theory of propagation needs to know of them, and their gains."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fanin import _core
from fanin._floating_point import steady
from fanin._public import public
from fanin._schemes.accepts import finite

__all__ = [
    "Activation",
    "ActivationLike",
    "ActivationTable",
    "activations",
    "as_activation",
    "calculate_gain",
    "gain",
]

Floats = NDArray[np.float64]

# Columns of _core.activation_moments.
MEAN, SECOND, SLOPE_SECOND, SLOPE_FOURTH, CURVATURE_SECOND, GROWTH, VARIANCE, EXCESS = range(8)

#: Other names of built-in activations.
ALIASES = {
    "identity": "linear",
    "prelu": "leaky_relu",
    "CReLU": "crelu",
    "relu^2": "squared_relu",
    "swish": "silu",
}


@dataclass(frozen=True)
class ActivationRow:
    """What is known of a built-in activation."""

    name: str
    formula: str
    source: str
    parameters: dict[str, float]
    parity: int
    kinks: tuple[float, ...]
    degree: int


class ActivationTable(dict[str, ActivationRow]):
    """Activations by name; prints as a table of name, formula and source."""

    def __repr__(self) -> str:
        lines = []
        for row in self.values():
            own = ", ".join(f"{name}={value:g}" for name, value in row.parameters.items())
            title = f"{row.name}({own})" if own else row.name
            source = f"   [{row.source}]" if row.source else ""
            lines.append(f"{title:<28} {row.formula}{source}")
        return "\n".join(lines)


@functools.cache
def _rows() -> ActivationTable:
    made = ActivationTable()
    for entry in _core.activation_rows():
        made[entry["name"]] = ActivationRow(**{**entry, "kinks": tuple(entry["kinks"])})
    return made


def activations() -> ActivationTable:
    """All built-in activations with their formulas.

    Returns
    -------
    ActivationTable
        A new dict from name to row; a row has ``name``, ``formula``, ``source``, ``parameters``
        (names and standard values), ``parity`` (1 even, -1 odd, 0 neither), ``kinks`` and
        ``degree`` (of a positively homogeneous activation, else 0). It prints as a table.

    Examples
    --------
    >>> import fanin
    >>> fanin.activations()["silu"].formula
    'x / (1 + exp(-beta x))'
    >>> fanin.activations()["leaky_relu"].parameters
    {'negative_slope': 0.01}
    """
    return ActivationTable(_rows())


@public("fanin")
class Activation:
    """An activation with its parameters, or any function of arrays.

    Parameters
    ----------
    activation : str or callable
        A name of :func:`fanin.activations` (or ``prelu``, ``swish``, ``identity``, ``relu^2``), or
        a function that takes a float64 array and returns phi of each element.
    derivative : callable, optional
        phi' of a callable, likewise. Without it phi' comes from differences of phi, with an error
        near 1e-11.
    kinks : sequence of float, optional
        Where phi or phi' of a callable jumps. None: jumps of phi and phi' in [-16, 16] are found
        by bisection.
    unit : float > 0, default 1.0
        The length over which a callable changes. Panels are cut further, up to 32 times, until
        its integrals settle; :meth:`error` tells how well they did.
    **parameters : float
        Parameters of a named activation, as ``negative_slope=0.2``.

    Raises
    ------
    ValueError
        Unknown name or parameter, or a parameter that is not finite (alpha and beta not 0).
    TypeError
        If `activation` is neither a name nor a callable.

    Notes
    -----
    An activation is called on arrays and returns values of the same shape; ``crelu`` doubles the
    last axis. Gaussian moments of a callable are computed by the same panels as those of the
    built-in activations; only the values come from Python.

    Examples
    --------
    >>> import fanin
    >>> leaky = fanin.Activation("leaky_relu", negative_slope=0.2)
    >>> leaky([-1.0, 2.0]), leaky.derivative([-1.0, 2.0])
    (array([-0.2,  2. ]), array([0.2, 1. ]))
    >>> fanin.Activation("prelu")
    Activation('leaky_relu', negative_slope=0.01)
    """

    __slots__ = (
        "_call",
        "_derivative",
        "_handle",
        "_key",
        "_kinks",
        "_parameters",
        "_unit",
        "name",
    )

    name: str
    _call: Callable[..., Any] | None
    _derivative: Callable[..., Any] | None
    _key: tuple[Any, ...]

    def __init__(
        self,
        activation: str | Callable[..., Any] | Activation,
        *,
        derivative: Callable[..., Any] | None = None,
        kinks: Sequence[float] | None = None,
        unit: float = 1.0,
        **parameters: float,
    ) -> None:
        if isinstance(activation, str):
            if derivative is not None or kinks is not None or unit != 1.0:
                raise TypeError("derivative, kinks and unit belong to a callable, not to a name")
            self._from_name(activation, parameters)
        elif callable(activation):
            if parameters:
                raise TypeError(f"parameters {sorted(parameters)} belong to a named activation")
            self._from_callable(activation, derivative, kinks, finite("unit", unit))
        else:
            raise TypeError(
                "an activation is a name, a fanin.Activation or a callable on arrays, got "
                f"{activation!r}"
            )

    def _from_name(self, given: str, parameters: dict[str, float]) -> None:
        name = ALIASES.get(given, given)
        row = _rows().get(name)
        if row is None:
            raise ValueError(
                f"there is no activation {given!r}; there are {', '.join(_rows())} "
                f"(and {', '.join(ALIASES)}), or give any callable on arrays"
            )
        unknown = set(parameters) - set(row.parameters)
        if unknown:
            own = ", ".join(row.parameters) or "none"
            raise ValueError(f"{name} has no parameter {sorted(unknown)}; its parameters: {own}")
        values = {}
        for key, standard in row.parameters.items():
            value = float(parameters.get(key, standard))
            if not math.isfinite(value):
                raise ValueError(f"{key} must be finite, got {value!r}")
            if value <= 0 and key == "beta" or value == 0 and name == "celu":
                raise ValueError(f"{key} of {name} must be positive, got {value!r}")
            values[key] = value
        self.name = name
        self._parameters = values
        self._kinks = row.kinks
        self._unit = 1.0
        self._call = self._derivative = None
        self._key = (name, tuple(values.items()))
        self._handle = _core.activation(name, list(values.values()))

    def _from_callable(
        self,
        call: Callable[..., Any],
        derivative: Callable[..., Any] | None,
        kinks: Sequence[float] | None,
        unit: float,
    ) -> None:
        from .callables import find_kinks, values_and_slopes

        if unit <= 0:
            raise ValueError(f"unit must be positive, got {unit!r}")
        found = find_kinks(call) if kinks is None else [finite("a kink", k) for k in kinks]
        self.name = getattr(call, "__name__", type(call).__name__)
        self._parameters = {}
        self._kinks = tuple(sorted(found))
        self._unit = unit
        self._call, self._derivative = call, derivative
        self._key = (call, derivative, self._kinks, unit)
        evaluate = values_and_slopes(call, derivative, self._kinks, unit)
        self._handle = _core.custom_activation(evaluate, list(self._kinks), unit)

    @property
    def parameters(self) -> dict[str, float]:
        """Names and values of the parameters."""
        return dict(self._parameters)

    @property
    def kinks(self) -> tuple[float, ...]:
        """Where phi or one of its first two derivatives jumps."""
        return self._kinks

    @property
    def formula(self) -> str:
        """The formula of a named activation; the name of a callable."""
        return self.name if self._call is not None else _rows()[self.name].formula

    @property
    def parity(self) -> int:
        """1 for even, -1 for odd, 0 for neither (and for every callable)."""
        return 0 if self._call is not None else _rows()[self.name].parity

    @property
    def degree(self) -> int:
        """Degree of a positively homogeneous named activation, else 0."""
        return 0 if self._call is not None else _rows()[self.name].degree

    @property
    def handle(self) -> Any:
        """The core's activation."""
        return self._handle

    def __call__(self, x: ArrayLike) -> Any:
        """phi of each element, in the dtype of a floating x and in float64 otherwise."""
        values = self._rows_at(x, 0)
        if self.name == "crelu" and self._call is None:
            other = self._rows_at(-np.asarray(x), 0)
            if np.ndim(values) == 0:
                raise ValueError("crelu doubles the last axis, so it needs at least one")
            return np.concatenate([values, other], axis=-1)
        return values

    def derivative(self, x: ArrayLike) -> Any:
        """phi' of each element (0 at the kink of relu and abs); crelu: that of relu."""
        return self._rows_at(x, 1)

    def second_derivative(self, x: ArrayLike) -> Any:
        """phi'' of each element, away from kinks."""
        return self._rows_at(x, 2)

    def _rows_at(self, x: ArrayLike, order: int) -> Any:
        array = np.asarray(x)
        kind = array.dtype if np.issubdtype(array.dtype, np.floating) else np.dtype(np.float64)
        flat = np.ascontiguousarray(array, dtype=np.float64).reshape(-1)
        values = _core.activation_values(self._handle, flat)[order]
        return values.reshape(array.shape).astype(kind, copy=False)[()]

    def error(self, q: float) -> float:
        """Relative change of E phi^2 and E phi'^2 at variance `q` when every panel is halved.

        For built-in activations with closed forms it measures the panels all the same.

        Examples
        --------
        >>> import fanin
        >>> fanin.Activation("tanh").error(1.0) < 1e-14
        True
        """
        return float(_core.activation_error(self._handle, float(q)))

    def __repr__(self) -> str:
        if self._call is not None:
            return f"Activation({self.name}, kinks={list(self._kinks)})"
        own = "".join(f", {key}={value!r}" for key, value in self._parameters.items())
        return f"Activation({self.name!r}{own})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._call is None:
            return _named, (self.name, self._parameters)
        return _custom, (self._call, self._derivative, self._kinks, self._unit)


ActivationLike = str | Callable[..., Any] | Activation


def _named(name: str, parameters: dict[str, Any]) -> Activation:
    return Activation(name, **parameters)


def _custom(call: Any, derivative: Any, kinks: tuple[float, ...], unit: float) -> Activation:
    return Activation(call, derivative=derivative, kinks=kinks, unit=unit)


@functools.cache
def _of_name(name: str) -> Activation:
    return Activation(name)


def as_activation(activation: ActivationLike) -> Activation:
    """The argument `activation` of every function of propagation."""
    if isinstance(activation, Activation):
        return activation
    return _of_name(activation) if isinstance(activation, str) else Activation(activation)


def check_slope(activation: Activation) -> None:
    """Refuse an activation that jumps, where a gradient is needed."""
    if np.isinf(moments_at(activation, 1.0, SLOPE_SECOND)[0]):
        raise ValueError(
            f"{activation!r} jumps, so E phi'^2 is infinite: no gradient passes it and there is "
            "nothing to say of one"
        )


def moments_at(activation: Activation, q: ArrayLike, *which: int, threads: int = 0) -> list[Floats]:
    """The moments `which` at each q, each of the shape of q."""
    array = np.asarray(q, dtype=np.float64)
    flat = np.ascontiguousarray(array).reshape(-1)
    rows = _core.activation_moments(activation.handle, flat, which, threads)
    return [row.reshape(array.shape) for row in rows]


def check_variance(name: str, value: ArrayLike) -> Floats:
    """A variance as float64; a negative one is an error where it stands alone, NaN in an array."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0 and array < 0:
        raise ValueError(f"{name} is a variance (second moment) and must be >= 0, got {value!r}")
    return array


@steady
def gain(activation: ActivationLike, q: ArrayLike = 1.0, kind: str = "forward") -> Any:
    """Factor that an activation asks of the weights before it.

    ``"forward"``: 1 / sqrt(E phi^2), the second-moment gain of He et al. 2015: with it and
    q = 1 variances stay. ``"backward"``: 1 / sqrt(E phi'^2), with which gradients stay.
    ``"std"``: 1 / std(phi), the gamma of Brock et al. 2021. u ~ N(0, q) throughout.

    Parameters
    ----------
    activation : str, Activation or callable
        See :class:`fanin.Activation`.
    q : float or array, > 0, default 1.0
        Variance (second moment) of the pre-activation.
    kind : {"forward", "backward", "std"}

    Returns
    -------
    float or ndarray of float64, of the shape of q

    Raises
    ------
    ValueError
        Unknown activation or kind; a negative q that stands alone (in an array it gives NaN).

    Examples
    --------
    >>> import fanin
    >>> fanin.gain("relu"), round(fanin.gain("tanh"), 8)
    (1.4142135623730951, 1.59253742)
    >>> round(fanin.gain("silu", kind="std"), 8)
    1.78718722
    """
    column = {"forward": SECOND, "backward": SLOPE_SECOND, "std": VARIANCE}.get(kind)
    if column is None:
        raise ValueError(f'kind must be "forward", "backward" or "std", got {kind!r}')
    variance = check_variance("q", q)
    [moment] = moments_at(as_activation(activation), variance, column)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.sqrt(1.0 / moment)
    return float(result) if result.ndim == 0 else result


# torch.nn.init.calculate_gain.
_UNIT_GAINS = (
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d sigmoid"
).split()


@steady
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The table of ``torch.nn.init.calculate_gain``, for drop-in use.

    These are conventions, not the theory: 5/3 for tanh makes deep nets chaotic and 3/4 for selu
    is empirical. :func:`fanin.gain` has the computed gains.

    Parameters
    ----------
    nonlinearity : str
        linear, conv1d ... conv_transpose3d, sigmoid: 1; tanh: 5/3; relu: sqrt(2); leaky_relu:
        sqrt(2 / (1 + param^2)); selu: 3/4.
    param : float, optional
        Negative slope of leaky_relu, 0.01 if None.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Unsupported nonlinearity, or a `param` of leaky_relu that is no number.

    Examples
    --------
    >>> import fanin
    >>> fanin.calculate_gain("leaky_relu", 0.2)
    1.3867504905630728
    """
    if nonlinearity in _UNIT_GAINS:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = param
        else:
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
