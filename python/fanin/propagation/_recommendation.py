"""A recommendation: weights, and what they do."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fanin._hints import short
from fanin._public import public
from fanin._schemes.registry import get
from fanin._types import Floats

from ._profile import Profile

__all__ = ["Recommendation"]


@public("fanin")
@dataclass(frozen=True)
class Recommendation:
    """Weights, and what they do.

    Attributes
    ----------
    scheme : str
        Name of a scheme of fanin; "variance_scaling" takes `weight_var` as its scale.
    weight_var, bias_var : float
        fan times the variance of a weight; the variance of a bias. For a Network weight_var is an
        array, one for each layer with weights.
    gain : float
        sqrt(weight_var): the standard deviation of a weight is gain/sqrt(fan). An array likewise.
        It is the whole factor, not one on top of `scheme`: :meth:`weight` draws what is meant.
    mode : str
        The fan.
    profile : Profile
        What to expect, layer by layer.
    reasons, warnings : tuple of str
    """

    scheme: str
    weight_var: float | Floats
    bias_var: float
    gain: float | Floats
    mode: str
    profile: Profile
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    def initializer(self, layer: int | None = None) -> Callable[..., Any]:
        """The scheme with its arguments, whose weights have `weight_var`.

        Parameters
        ----------
        layer : int, optional
            For a Network: which of its layers with weights, from 0.

        Returns
        -------
        callable
            Called as every scheme: ``(shape, *, seed, dtype=None, layout="io", ...)``. A `gain` of
            the call multiplies on top.

        Raises
        ------
        TypeError, ValueError
            If a Network's layer is not named, or there is none of that number.

        Examples
        --------
        >>> import fanin
        >>> init = fanin.recommend("tanh", "critical", depth=20).initializer()
        >>> init((64, 32), seed=fanin.Stream(0)["layer1.weight"]).shape
        (64, 32)
        """
        variance = self._variance_of(layer)
        if self.scheme == "variance_scaling":
            return get(self.scheme, scale=variance, mode=self.mode)
        if self.scheme == "orthogonal":
            return get(self.scheme, gain=math.sqrt(variance))
        if self.scheme == "looks_linear":  # [W, -W], W orthogonal: twice the inputs of W
            return get(self.scheme, gain=math.sqrt(variance / 2))
        return get(self.scheme)

    def weight(
        self,
        shape: Any,
        *,
        seed: Any,
        layout: Any = "io",
        dtype: Any = None,
        out: Any = None,
        index: Any = None,
        threads: int | None = None,
        layer: int | None = None,
    ) -> Any:
        """One weight as recommended: ``initializer(layer)(shape, ...)``.

        Parameters
        ----------
        shape, seed, layout, dtype, out, index, threads
            As of every scheme, see :func:`fanin.he_normal`.
        layer : int, optional
            As of :meth:`initializer`.

        Returns
        -------
        ndarray or `out`

        Raises
        ------
        TypeError, ValueError
            As the scheme and :meth:`initializer`.

        Examples
        --------
        >>> import fanin
        >>> he = fanin.recommend("relu").weight((64, 32), seed=0)
        >>> bool((he == fanin.he_normal((64, 32), seed=0)).all())
        True
        """
        draw = self.initializer(layer)
        return draw(
            shape, seed=seed, layout=layout, dtype=dtype, out=out, index=index, threads=threads
        )

    def _variance_of(self, layer: int | None) -> float:
        variances = np.asarray(self.weight_var)
        if variances.ndim == 0:
            if layer is not None:
                raise TypeError("layer= belongs to the recommendation for a Network")
            return float(variances)
        if layer is None:
            raise TypeError(
                f"this recommendation is for a Network of {variances.size} layers with weights: "
                "say which by layer=, from 0"
            )
        number = operator.index(layer)
        if not 0 <= number < variances.size:
            raise ValueError(f"layer is in 0 .. {variances.size - 1}, got {short(layer)}")
        return float(variances[number])

    def __str__(self) -> str:
        weight = np.array2string(np.asarray(self.weight_var), precision=6)
        lines = [
            f"{self.scheme}, weight_var {weight}, bias_var {self.bias_var:.6g}, {self.mode}",
            *(f"  because  {reason}" for reason in self.reasons),
            *(f"  beware   {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)
