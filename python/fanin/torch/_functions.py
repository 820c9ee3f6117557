"""The public functions of torch.nn.init, filled by fanin.

Signatures, errors, warnings and return values are torch's. What fanin does not write (integers,
sparse layouts, parameters that torch refuses) is handed to torch's own function, which does it or
raises its own error.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import init as torch_init

import fanin

from . import _hooks
from ._arguments import (
    at_once,
    draw,
    is_own,
    normal_in,
    orthogonal_arguments,
    sampled,
    sparse_arguments,
    truncated,
    uniform_in,
)
from ._documenting import documented
from ._fills import (
    decides_itself,
    element_of,
    fill_orthogonal,
    fill_sparse,
    is_fillable,
)
from ._seeds import torchs_generator

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

#: Values of a matrix whose empty places are chosen at once.
_FEW = 1 << 16
#: What schemes without words are given.
_NO_WORDS = fanin.Stream(0)
#: dtypes that the core makes matrices in.
_MADE_IN_PLACE = (torch.float32, torch.float64)


@documented
def uniform_(
    tensor: Tensor,
    a: float = 0.0,
    b: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with the uniform law U[a, b).

    Parameters
    ----------
    {tensor}
    a, b : float
        Bounds; no value equals b.
    {generator}

    {returns}

    Raises
    ------
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.uniform_(torch.empty(3, 5), -1.0, 1.0, generator=Stream(0)["w"])
    >>> bool((w.abs() <= 1).all())
    True
    """
    done = uniform_in(tensor, a, b, generator)
    return _torchs("uniform_", generator, tensor, a, b) if done is None else done


@documented
def normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with the normal law N(mean, std^2); arguments as in `uniform_`.

    Parameters
    ----------
    {tensor}
    mean, std : float
        Of the values; std >= 0.
    {generator}

    {returns}

    Raises
    ------
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> init.normal_(torch.empty(2, 2), std=0.02, generator=Stream(0)["w"]).shape
    torch.Size([2, 2])
    """
    done = normal_in(tensor, mean, std, generator)
    return _torchs("normal_", generator, tensor, mean, std) if done is None else done


@documented
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with N(mean, std^2) cut to [a, b], whatever the bounds.

    `a` and `b` are absolute, as torch's are: the std of the values is not corrected. One word a
    value, never a rejection: bounds far from the mean cost no more and give the right law, but
    torch's warning of them is given, as code may wait for it.

    Parameters
    ----------
    {tensor}
    mean, std : float
        Of the law before it is cut; std > 0.
    a, b : float
        Bounds, absolute; a < b.
    {generator}

    {returns}

    Raises
    ------
    ValueError
        Bounds between which the dtype has no number.
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.trunc_normal_(torch.empty(3, 5), std=0.02, a=-0.04, b=0.04, generator=Stream(0))
    >>> bool((w.abs() <= 0.04).all())
    True
    """
    numbers = None
    if element_of(tensor) is not None or is_fillable(tensor):
        numbers = truncated(tensor.dtype, mean, std, a, b)
    if numbers is None:
        return _torchs("trunc_normal_", generator, tensor, mean, std, a, b)
    _, _, low, high = numbers
    if (low > 2.0 or high < -2.0) and not tensor.is_meta:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    if at_once(tensor, "truncated_normal", numbers, generator):
        return tensor
    if not is_fillable(tensor):
        return _torchs("trunc_normal_", generator, tensor, mean, std, a, b)
    return sampled(tensor, "truncated_normal", numbers, generator)


@documented
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    Parameters
    ----------
    {tensor}
    val : float
        The value.

    {returns}

    Raises
    ------
    TypeError, RuntimeError
        As torch's.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.constant_(torch.empty(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    return _original("constant_")(tensor, val)


@documented
def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones.

    Parameters
    ----------
    {tensor}

    {returns}

    Raises
    ------
    RuntimeError
        As torch's.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.ones_(torch.empty(2))
    tensor([1., 1.])
    """
    return _original("ones_")(tensor)


@documented
def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros.

    Parameters
    ----------
    {tensor}

    {returns}

    Raises
    ------
    RuntimeError
        As torch's.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.zeros_(torch.empty(2))
    tensor([0., 0.])
    """
    return _original("zeros_")(tensor)


@documented
def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on its diagonal and zeros elsewhere.

    Parameters
    ----------
    {tensor}

    {returns}

    Raises
    ------
    ValueError
        Other than 2 axes.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.eye_(torch.empty(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if is_own(tensor) or tensor.ndimension() != 2 or not is_fillable(tensor):
        return _original("eye_")(tensor)
    return draw(tensor, "identity", {"layout": "oi"}, _NO_WORDS)


@documented
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution kernel with the identity: one at the centre of matching channels.

    Parameters
    ----------
    {tensor}
    groups : int
        Groups of the convolution; each keeps its own channels.

    {returns}

    Raises
    ------
    ValueError
        Other than 3, 4 or 5 axes, or an axis 0 that `groups` does not divide.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.dirac_(torch.empty(1, 1, 3))
    tensor([[[0., 1., 0.]]])
    """
    if is_own(tensor) or tensor.ndimension() not in (3, 4, 5) or not is_fillable(tensor):
        return _original("dirac_")(tensor, groups)
    if tensor.size(0) % groups:
        return _original("dirac_")(tensor, groups)
    if not tensor.numel():
        return tensor
    return draw(tensor, "dirac", {"layout": "oi", "groups": groups}, _NO_WORDS)


@documented
def xavier_uniform_(
    tensor: Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with U[-r, r), r = gain sqrt(6 / (fan_in + fan_out))      (Glorot & Bengio 2010)

    Parameters
    ----------
    {tensor}
    {gain}
    {generator}

    {returns}

    Raises
    ------
    {fans}
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.xavier_uniform_(torch.empty(3, 5), generator=Stream(0)["w"])
    >>> bool((w.abs() <= (6 / 8) ** 0.5).all())
    True
    """
    fan_in, fan_out = torch_init._calculate_fan_in_and_fan_out(tensor)
    bound = math.sqrt(3.0) * (gain * math.sqrt(2.0 / float(fan_in + fan_out)))
    done = uniform_in(tensor, -bound, bound, generator)
    return _torchs("xavier_uniform_", generator, tensor, gain) if done is None else done


@documented
def xavier_normal_(
    tensor: Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)), not truncated.

    Parameters
    ----------
    {tensor}
    {gain}
    {generator}

    {returns}

    Raises
    ------
    {fans}
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> init.xavier_normal_(torch.empty(3, 5), generator=Stream(0)["w"]).shape
    torch.Size([3, 5])
    """
    fan_in, fan_out = torch_init._calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    done = normal_in(tensor, 0.0, std, generator)
    return _torchs("xavier_normal_", generator, tensor, gain) if done is None else done


@documented
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with U[-r, r), r = calculate_gain(nonlinearity, a) sqrt(3 / fan)      (He et al. 2015)

    Parameters
    ----------
    {tensor}
    {kaiming}
    {generator}

    {returns}

    Raises
    ------
    {kaiming_fans}
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.kaiming_uniform_(torch.empty(3, 6), nonlinearity="relu", generator=Stream(0)["w"])
    >>> bool((w.abs() <= 1).all())
    True
    """
    if decides_itself(tensor):
        return _torchs("kaiming_uniform_", generator, tensor, a, mode, nonlinearity)
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    done = uniform_in(tensor, -bound, bound, generator)
    if done is None:
        return _torchs("kaiming_uniform_", generator, tensor, a, mode, nonlinearity)
    return done


@documented
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with N(0, s^2), s = calculate_gain(nonlinearity, a) / sqrt(fan), not truncated.

    Parameters
    ----------
    {tensor}
    {kaiming}
    {generator}

    {returns}

    Raises
    ------
    {kaiming_fans}
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> init.kaiming_normal_(torch.empty(3, 6), mode="fan_out", generator=Stream(0)["w"]).shape
    torch.Size([3, 6])
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    done = normal_in(tensor, 0.0, std, generator)
    if done is None:
        return _torchs("kaiming_normal_", generator, tensor, a, mode, nonlinearity)
    return done


def _kaiming_std(tensor: Tensor, a: Any, mode: Any, nonlinearity: Any) -> float:
    fan = torch_init._calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


@documented
def orthogonal_(
    tensor: Tensor,
    gain: float = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with a Haar-orthogonal matrix, rows ``size(0)``, the other axes flattened.

    Parameters
    ----------
    {tensor}
    {gain}
    {generator}

    {returns}

    Raises
    ------
    ValueError
        Fewer than 2 axes.
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> q = init.orthogonal_(torch.empty(3, 5), generator=Stream(0)["w"])
    >>> bool(torch.allclose(q @ q.T, torch.eye(3), atol=1e-6))
    True
    """
    arguments = orthogonal_arguments(tensor, gain)
    if arguments is None:
        return _torchs("orthogonal_", generator, tensor, gain)
    if not tensor.numel():
        return tensor
    if tensor.dtype in _MADE_IN_PLACE and element_of(tensor) is not None:
        if _hooks.recorder() is None:
            return fill_orthogonal(tensor, arguments["gain"], generator)
    return draw(tensor, "orthogonal", arguments, generator)


@documented
def sparse_(
    tensor: Tensor,
    sparsity: float,
    std: float = 0.01,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with N(0, std^2), ceil(sparsity * rows) entries of every column zero (Martens 2010).

    Parameters
    ----------
    {tensor}
    sparsity : float
        Share of every column that is zero, in [0, 1].
    std : float
        Standard deviation of the other values.
    {generator}

    {returns}

    Raises
    ------
    ValueError
        Other than 2 axes.
    {refused}

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.sparse_(torch.empty(10, 4), sparsity=0.25, generator=Stream(0)["w"])
    >>> (w == 0).sum(0)
    tensor([3, 3, 3, 3])
    """
    arguments = sparse_arguments(tensor, sparsity, std)
    if arguments is None:
        return _torchs("sparse_", generator, tensor, sparsity, std)
    few = 0 < tensor.numel() <= _FEW and element_of(tensor) is not None
    if few and _hooks.recorder() is None:
        return fill_sparse(tensor, arguments["sparsity"], arguments["std"], generator)
    return draw(tensor, "sparse", arguments, generator)


def calculate_gain(nonlinearity: str, param: int | float | None = None) -> float:
    """torch's gain for torch's names; the exact gain 1 / sqrt(E phi(z)^2) for all others.

    Parameters
    ----------
    nonlinearity : str
        A name of torch's ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
        ...), or of `fanin.activations`.
    param : float, optional
        Slope of the leaky ReLU; None: 0.01.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        An unknown name, or a slope that is no number.

    >>> from fanin import torch as init
    >>> init.calculate_gain("tanh"), round(init.calculate_gain("gelu"), 6)
    (1.6666666666666667, 1.53353)
    """
    try:
        gain: float = torch_init.calculate_gain(nonlinearity, param)
        return gain
    except ValueError as unsupported:
        if not isinstance(nonlinearity, str) or nonlinearity not in fanin.activations():
            raise
        if nonlinearity == "leaky_relu":  # its slope was refused
            raise
        try:
            return float(fanin.gain(nonlinearity))
        except (TypeError, ValueError):
            raise unsupported from None


def _torchs(name: str, generator: Any, *arguments: Any) -> Tensor:
    """torch's own function, for it to say what is wrong, or to do what fanin does not."""
    return _original(name)(*arguments, generator=torchs_generator(generator, arguments[0]))


def _original(name: str) -> Callable[..., Tensor]:
    """torch's own function, also while `patched` has put another body under it."""
    return _hooks.original(name)


_hooks.OURS.update((name, globals()[name]) for name in _hooks.SWAPPED)
