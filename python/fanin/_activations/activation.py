"""Activations: what the theory of propagation needs to know of them, and their gains."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fanin import _core
from fanin._checks import finite, non_negative
from fanin._hints import did_you_mean, short
from fanin._numbers import as_float, as_reals
from fanin._public import public

from .callables import (
    UNIT_OF_FLOAT64,
    asked_in_few_sizes,
    check_function,
    find_kinks,
    values_and_slopes,
)
from .table import ALIASES, rows

__all__ = ["Activation", "ActivationLike", "as_activation"]


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
        near 1e-11 (float32: 1e-6, next to a kink 1e-5).
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
    built-in activations; only the values come from Python. They are computed to the precision of
    the dtype that the callable returns (:attr:`precision`): a function of JAX returns float32
    unless told otherwise, and its moments are good to about 1e-6, not 1e-12.

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
        "_precision",
        "_unit",
        "_values",
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
            self._from_callable(activation, derivative, kinks, non_negative("unit", unit))
        else:
            raise TypeError(
                "an activation is a name, a fanin.Activation or a callable on arrays, got "
                f"{short(activation)} (the maps, as chi, take q before it; propagate, critical "
                "and jacobian take it first)"
            )

    def _from_name(self, given: str, parameters: dict[str, float]) -> None:
        name = ALIASES.get(given, given)
        row = rows().get(name)
        if row is None:
            raise ValueError(
                f"there is no activation {short(given)}; there are {', '.join(rows())} "
                f"(and {', '.join(ALIASES)}), or give any callable on arrays"
                + did_you_mean(given, [*rows(), *ALIASES])
            )
        unknown = set(parameters) - set(row.parameters)
        if unknown:
            own = ", ".join(row.parameters) or "none"
            raise ValueError(
                f"{name} has no parameter {sorted(unknown)}; its parameters: {own}"
                + did_you_mean(min(unknown), row.parameters)
            )
        values = {}
        for key, standard in row.parameters.items():
            value = finite(key, parameters.get(key, standard))
            if value <= 0 and key == "beta" or value == 0 and name == "celu":
                raise ValueError(f"{key} of {name} must be positive, got {short(value)}")
            values[key] = value
        self.name = name
        self._parameters = values
        self._kinks = row.kinks
        self._unit, self._precision = 1.0, UNIT_OF_FLOAT64
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
        if unit <= 0:
            raise ValueError(f"unit must be positive, got {short(unit)}")
        if not (derivative is None or callable(derivative)):
            raise TypeError(f"derivative must be a function of arrays, got {short(derivative)}")
        eps, by_numpy = check_function(call, rows())
        self._precision = eps
        phi, slope = call, derivative
        if not by_numpy:
            phi, slope = asked_in_few_sizes(call), derivative and asked_in_few_sizes(derivative)
        found = find_kinks(phi, eps) if kinks is None else _given_kinks(kinks)
        self.name = getattr(call, "__name__", type(call).__name__)
        self._parameters = {}
        self._kinks = tuple(sorted(found))
        self._unit = unit
        self._call, self._derivative = call, derivative
        self._key = (call, derivative, self._kinks, unit)
        self._values = values_and_slopes(phi, slope, self._kinks, unit, eps)
        self._handle = _core.custom_activation(self._values, list(self._kinks), unit, eps)

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
        return self.name if self._call is not None else rows()[self.name].formula

    @property
    def parity(self) -> int:
        """1 for even, -1 for odd, 0 for neither (and for every callable)."""
        return 0 if self._call is not None else rows()[self.name].parity

    @property
    def degree(self) -> int:
        """Degree of a positively homogeneous named activation, else 0."""
        return 0 if self._call is not None else rows()[self.name].degree

    @property
    def precision(self) -> float:
        """Unit of rounding of its values: 2.2e-16, or that of the dtype a callable returns."""
        return self._precision

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
        array = as_reals(x, "x")
        kind = array.dtype if np.issubdtype(array.dtype, np.floating) else np.dtype(np.float64)
        flat = np.ascontiguousarray(array, dtype=np.float64).reshape(-1)
        values = _core.activation_values(self._handle, flat)[order]
        return values.reshape(array.shape).astype(kind, copy=False)[()]

    def error(self, q: float) -> float:
        """Relative change of E phi^2 and E phi'^2 at variance `q` when every panel is halved.

        Or the share of the outermost panels, if that is more. NaN where values are no numbers,
        infinite where the integral diverges. For built-in activations with closed forms it
        measures the panels all the same.

        Examples
        --------
        >>> import fanin
        >>> fanin.Activation("tanh").error(1.0) < 1e-14
        True
        >>> import numpy as np
        >>> fanin.Activation(lambda x: np.exp(x * x)).error(1.0)
        inf
        """
        return float(_core.activation_error(self._handle, as_float(q, "q")))

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
            return Activation._named, (self.name, self._parameters)
        return Activation._custom, (self._call, self._derivative, self._kinks, self._unit)

    # What pickles name: a bound method names its public class, a function would name its file.
    @classmethod
    def _named(cls, name: str, parameters: dict[str, Any]) -> Activation:
        return cls(name, **parameters)

    @classmethod
    def _custom(cls, call: Any, derivative: Any, kinks: Any, unit: float) -> Activation:
        return cls(call, derivative=derivative, kinks=kinks, unit=unit)


def _given_kinks(kinks: Any) -> list[float]:
    if not isinstance(kinks, Iterable) or isinstance(kinks, str):
        raise TypeError(f"kinks must be a sequence of numbers, got {short(kinks)}")
    return [finite("a kink", kink) for kink in kinks]


ActivationLike = str | Callable[..., Any] | Activation


@functools.cache
def _of_name(name: str) -> Activation:
    return Activation(name)


def as_activation(activation: ActivationLike) -> Activation:
    """The argument `activation` of every function of propagation."""
    if isinstance(activation, Activation):
        return activation
    return _of_name(activation) if isinstance(activation, str) else Activation(activation)
