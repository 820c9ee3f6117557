"""The public functions of torch.nn.init, filled by fanin.

Signatures, errors, warnings and return values are torch's. What fanin does not write (integers,
sparse layouts, parameters that torch refuses) is handed to torch's own function, which does it or
raises its own error.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import init as torch_init

import fanin

from . import _hooks
from ._fills import element_of, fill_orthogonal, fill_plain, fill_tensor, is_fillable
from ._seeds import stream_of

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

_LARGEST = {
    torch.float16: torch.finfo(torch.float16).max,
    torch.bfloat16: torch.finfo(torch.bfloat16).max,
    torch.float32: torch.finfo(torch.float32).max,
}
#: dtypes that the core makes matrices in.
_MADE_IN_PLACE = (torch.float32, torch.float64)


def draw(tensor: Tensor, scheme: str, arguments: dict[str, Any], generator: Any) -> Tensor:
    """Fill by a law that takes a seed, or tell the recorder at work which law it is."""
    recorder = _hooks.recorder()
    if recorder is not None:
        recorder.drawn(tensor, scheme, arguments)
        return tensor
    if tensor.is_meta:
        return tensor
    return fill_tensor(tensor, scheme, arguments, stream_of(generator))


def _is_own(tensor: Tensor) -> bool:
    """Whether torch's own code writes what needs no words just as well: it is no shard."""
    return element_of(tensor) is not None and _hooks.recorder() is None


def _fixed(tensor: Tensor, scheme: str, arguments: dict[str, Any]) -> Tensor:
    """Fill by a scheme that takes no words."""
    recorder = _hooks.recorder()
    if recorder is not None:
        recorder.drawn(tensor, scheme, arguments)
        return tensor
    if tensor.is_meta:
        return tensor
    return fill_tensor(tensor, scheme, arguments, fanin.Stream(0))


def uniform_in(tensor: Tensor, low: Any, high: Any, generator: Any) -> Tensor | None:
    """Fill with U[low, high); None where torch has to say what it thinks of the arguments."""
    element = element_of(tensor)
    if element is None and not is_fillable(tensor):
        return None
    low, high = float(low), float(high)
    largest = _LARGEST.get(tensor.dtype, sys.float_info.max)
    if not (low <= high and high - low <= largest and -largest <= low and high <= largest):
        return None
    if _ends_meet(low, high, tensor.dtype):
        return None
    if element is not None and _hooks.recorder() is None:
        return fill_plain(tensor, element, "uniform", (low, high), generator)
    return draw(tensor, "uniform", {"low": low, "high": high}, generator)


def _ends_meet(low: float, high: float, dtype: torch.dtype) -> bool:
    """Whether [low, high) holds no number of the dtype though low < high: fanin refuses that."""
    if low == high or high - low > max(2.0**-6 * max(abs(low), abs(high)), 2.0**-20):
        return False
    return bool(torch.tensor(low, dtype=dtype) == torch.tensor(high, dtype=dtype))


def normal_in(tensor: Tensor, mean: Any, std: Any, generator: Any) -> Tensor | None:
    """Fill with N(mean, std^2); None where torch has to say what it thinks of the arguments."""
    element = element_of(tensor)
    if element is None and not is_fillable(tensor, "normal") or isinstance(mean, complex):
        return None
    mean, std = float(mean), float(std)
    if not (0.0 <= std < math.inf and math.isfinite(mean)):
        return None
    if element is not None and _hooks.recorder() is None:
        return fill_plain(tensor, element, "normal", (mean, std), generator)
    return draw(tensor, "normal", {"loc": mean, "scale": std}, generator)


def uniform_(
    tensor: Tensor,
    a: float = 0.0,
    b: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with the uniform law U[a, b).

    Parameters
    ----------
    tensor : Tensor
        Any float dtype, any strides; a meta tensor is left alone.
    a, b : float
        Bounds; no value equals b.
    generator : torch.Generator, fanin.Stream or fanin.Generator, optional
        None: torch.manual_seed decides.

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.uniform_(torch.empty(3, 5), -1.0, 1.0, generator=Stream(0)["w"])
    >>> bool((w.abs() <= 1).all())
    True
    """
    done = uniform_in(tensor, a, b, generator)
    return _original("uniform_")(tensor, a, b, generator) if done is None else done


def normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with the normal law N(mean, std^2); arguments as in `uniform_`.

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> init.normal_(torch.empty(2, 2), std=0.02, generator=Stream(0)["w"]).shape
    torch.Size([2, 2])
    """
    done = normal_in(tensor, mean, std, generator)
    return _original("normal_")(tensor, mean, std, generator) if done is None else done


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

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.trunc_normal_(torch.empty(3, 5), std=0.02, a=-0.04, b=0.04, generator=Stream(0))
    >>> bool((w.abs() <= 0.04).all())
    True
    """
    arguments = truncated(tensor, mean, std, a, b)
    if arguments is None:
        return _original("trunc_normal_")(tensor, mean, std, a, b, generator)
    if (mean < a - 2 * std or mean > b + 2 * std) and not tensor.is_meta:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    element = element_of(tensor)
    if element is not None and _hooks.recorder() is None:
        numbers = tuple(arguments.values())
        return fill_plain(tensor, element, "truncated_normal", numbers, generator)
    return draw(tensor, "truncated_normal", arguments, generator)


def truncated(tensor: Tensor, mean: Any, std: Any, a: Any, b: Any) -> dict[str, float] | None:
    """The arguments of the truncated normal with bounds in units of std; None as above."""
    if not is_fillable(tensor):
        return None
    mean, std, a, b = float(mean), float(std), float(a), float(b)
    if not (0.0 < std < math.inf and math.isfinite(mean) and a < b):
        return None
    low, high = (a - mean) / std, (b - mean) / std
    if not low < high:
        return None
    return {"loc": mean, "scale": std, "low": low, "high": high}


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.constant_(torch.empty(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    return _original("constant_")(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.ones_(torch.empty(2))
    tensor([1., 1.])
    """
    return _original("ones_")(tensor)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.zeros_(torch.empty(2))
    tensor([0., 0.])
    """
    return _original("zeros_")(tensor)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on its diagonal and zeros elsewhere.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.eye_(torch.empty(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndimension() != 2 or not is_fillable(tensor) or _is_own(tensor):
        return _original("eye_")(tensor)
    return _fixed(tensor, "identity", {"layout": "oi"})


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a convolution kernel with the identity: one at the centre of matching channels.

    >>> import torch
    >>> from fanin import torch as init
    >>> init.dirac_(torch.empty(1, 1, 3))
    tensor([[[0., 1., 0.]]])
    """
    dimensions = tensor.ndimension()
    if dimensions not in (3, 4, 5) or tensor.size(0) % groups or not is_fillable(tensor):
        return _original("dirac_")(tensor, groups)
    if _is_own(tensor):
        return _original("dirac_")(tensor, groups)
    if not tensor.numel():
        return tensor
    return _fixed(tensor, "dirac", {"layout": "oi", "groups": groups})


def xavier_uniform_(
    tensor: Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with U[-r, r), r = gain sqrt(6 / (fan_in + fan_out))      (Glorot & Bengio 2010)

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.xavier_uniform_(torch.empty(3, 5), generator=Stream(0)["w"])
    >>> bool((w.abs() <= (6 / 8) ** 0.5).all())
    True
    """
    fan_in, fan_out = torch_init._calculate_fan_in_and_fan_out(tensor)
    bound = math.sqrt(3.0) * (gain * math.sqrt(2.0 / float(fan_in + fan_out)))
    done = uniform_in(tensor, -bound, bound, generator)
    return _original("xavier_uniform_")(tensor, gain, generator) if done is None else done


def xavier_normal_(
    tensor: Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)), not truncated.

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> init.xavier_normal_(torch.empty(3, 5), generator=Stream(0)["w"]).shape
    torch.Size([3, 5])
    """
    fan_in, fan_out = torch_init._calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    done = normal_in(tensor, 0.0, std, generator)
    return _original("xavier_normal_")(tensor, gain, generator) if done is None else done


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with U[-r, r), r = calculate_gain(nonlinearity, a) sqrt(3 / fan)      (He et al. 2015)

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.kaiming_uniform_(torch.empty(3, 6), nonlinearity="relu", generator=Stream(0)["w"])
    >>> bool((w.abs() <= 1).all())
    True
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    done = uniform_in(tensor, -bound, bound, generator)
    if done is None:
        return _original("kaiming_uniform_")(tensor, a, mode, nonlinearity, generator)
    return done


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with N(0, s^2), s = calculate_gain(nonlinearity, a) / sqrt(fan), not truncated.

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
        return _original("kaiming_normal_")(tensor, a, mode, nonlinearity, generator)
    return done


def _kaiming_std(tensor: Tensor, a: Any, mode: Any, nonlinearity: Any) -> float:
    fan = torch_init._calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def orthogonal_(
    tensor: Tensor,
    gain: float = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with a Haar-orthogonal matrix, rows ``size(0)``, the other axes flattened.

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> q = init.orthogonal_(torch.empty(3, 5), generator=Stream(0)["w"])
    >>> bool(torch.allclose(q @ q.T, torch.eye(3), atol=1e-6))
    True
    """
    arguments = orthogonal_arguments(tensor, gain)
    if arguments is None:
        return _original("orthogonal_")(tensor, gain, generator)
    if not tensor.numel():
        return tensor
    if tensor.dtype in _MADE_IN_PLACE and element_of(tensor) is not None:
        if _hooks.recorder() is None:
            return fill_orthogonal(tensor, arguments["gain"], generator)
    return draw(tensor, "orthogonal", arguments, generator)


def orthogonal_arguments(tensor: Tensor, gain: Any) -> dict[str, Any] | None:
    """The arguments of the scheme; None where torch has to say what it thinks of them.

    A negative gain turns the signs of a Haar matrix, which is one again: its size counts.
    """
    if tensor.ndimension() < 2 or not is_fillable(tensor):
        return None
    size = abs(float(gain))
    return {"gain": size, "layout": "oi"} if math.isfinite(size) else None


def sparse_(
    tensor: Tensor,
    sparsity: float,
    std: float = 0.01,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill with N(0, std^2), ceil(sparsity * rows) entries of every column zero (Martens 2010).

    >>> import torch
    >>> from fanin import Stream, torch as init
    >>> w = init.sparse_(torch.empty(10, 4), sparsity=0.25, generator=Stream(0)["w"])
    >>> (w == 0).sum(0)
    tensor([3, 3, 3, 3])
    """
    arguments = sparse_arguments(tensor, sparsity, std)
    if arguments is None:
        return _original("sparse_")(tensor, sparsity, std, generator)
    return draw(tensor, "sparse", arguments, generator)


def sparse_arguments(tensor: Tensor, sparsity: Any, std: Any) -> dict[str, Any] | None:
    """The arguments of the scheme; None as above. torch's rows are the scheme's inputs."""
    if tensor.ndimension() != 2 or not is_fillable(tensor):
        return None
    sparsity, std = float(sparsity), float(std)
    if not (0.0 <= sparsity <= 1.0 and 0.0 <= std < math.inf):
        return None
    return {"sparsity": sparsity, "std": std, "layout": "io"}


def calculate_gain(nonlinearity: str, param: int | float | None = None) -> float:
    """torch's gain for torch's names; the exact gain 1 / sqrt(E phi(z)^2) for all others.

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


def _original(name: str) -> Callable[..., Tensor]:
    """torch's own function, also while `patched` has put another body under it."""
    return _hooks.original(name)


def _deprecated(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The old name without the underscore, with torch's warning."""
    new_name = function.__name__
    old_name = new_name[:-1]

    def deprecated_init(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(
            f"`nn.init.{old_name}` is now deprecated in favor of `nn.init.{new_name}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    deprecated_init.__name__ = deprecated_init.__qualname__ = old_name
    deprecated_init.__doc__ = f"Deprecated: the old name of `{new_name}`."
    return deprecated_init


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)

_hooks.OURS.update((name, globals()[name]) for name in _hooks.SWAPPED)
