"""Gains: the factor that an activation asks of the weights before it."""

from __future__ import annotations

import inspect
import math
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from fanin._checks import as_variance
from fanin._floating_point import steady
from fanin._hints import short

from .activation import ActivationLike, as_activation
from .moments import SECOND, SLOPE_SECOND, VARIANCE, moments_at


@steady
def gain(
    activation: ActivationLike, *wrong: NoReturn, q: ArrayLike = 1.0, kind: str = "forward"
) -> Any:
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
    if wrong:
        raise TypeError(
            f"gain() takes the activation alone by position, q= and kind= by name, got {wrong}; "
            'a parameter belongs to the activation: gain(Activation("leaky_relu", '
            "negative_slope=0.2))"
        )
    column = {"forward": SECOND, "backward": SLOPE_SECOND, "std": VARIANCE}.get(
        kind if isinstance(kind, str) else ""
    )
    if column is None:
        raise ValueError(f'kind must be "forward", "backward" or "std", got {short(kind)}')
    variance = as_variance("q", q)
    [moment] = moments_at(as_activation(activation), variance, column)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = np.sqrt(1.0 / moment)
    return float(result) if result.ndim == 0 else result


gain.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [p for p in inspect.signature(gain).parameters.values() if p.name != "wrong"]
)

# torch.nn.init.calculate_gain.
_UNIT_GAINS = (
    "linear identity sigmoid conv1d conv2d conv3d "
    "conv_transpose1d conv_transpose2d conv_transpose3d"
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
            raise ValueError(f"negative_slope {str(param)[:80]} not a valid number")
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(
        f"Unsupported nonlinearity {str(nonlinearity)[:80]}: torch's table has linear, "
        "identity, conv1d to "
        "conv_transpose3d, sigmoid, tanh, relu, leaky_relu and selu; fanin.gain computes that of "
        "any activation"
    )
