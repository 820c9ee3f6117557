"""What the arguments of torch's functions mean to fanin, and the ways from there to a fill.

None stands for what torch has to refuse, in its own words.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _hooks
from ._fills import element_of, fill_plain, fill_tensor, is_fillable
from ._seeds import check_generator, stream_of
from ._shards import is_distributed

_LARGEST = {
    torch.float16: torch.finfo(torch.float16).max,
    torch.bfloat16: torch.finfo(torch.bfloat16).max,
    torch.float32: torch.finfo(torch.float32).max,
}
#: Python's and NumPy's numbers; complex ones are left out below.
_NUMBERS = (int, float, np.number, np.bool_)
#: The arguments of the laws of independent values.
_LAWS = {
    "uniform": ("low", "high"),
    "normal": ("loc", "scale"),
    "truncated_normal": ("loc", "scale", "low", "high"),
}


def number_of(value: Any) -> float | None:
    """A number as torch's functions take one; None for what they have to refuse."""
    if type(value) is float:
        return value
    if isinstance(value, Tensor):
        if value.ndim or value.requires_grad or value.is_complex() or value.is_meta:
            return None
    elif not isinstance(value, _NUMBERS) or isinstance(value, np.complexfloating):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def draw(tensor: Tensor, scheme: str, arguments: dict[str, Any], generator: Any) -> Tensor:
    """Fill by a scheme, or tell the recorder at work which one it is."""
    recorder = _hooks.recorder()
    if recorder is not None:
        recorder.drawn(tensor, scheme, arguments)
        return tensor
    if tensor.is_meta:
        return tensor
    return fill_tensor(tensor, scheme, arguments, stream_of(generator))


def is_own(tensor: Any) -> bool:
    """Whether torch's own code writes what needs no words just as well: it is no shard."""
    return _hooks.recorder() is None and not is_distributed(tensor)


def at_once(tensor: Any, law: str, numbers: tuple[Any, ...], generator: Any) -> bool:
    """Fill by a law of independent values, where nothing about the call is unusual or wrong."""
    element = element_of(tensor)
    if element is None or _hooks.recorder() is not None:
        return False
    return fill_plain(tensor, element, law, numbers, generator)


def sampled(tensor: Tensor, law: str, numbers: tuple[float, ...], generator: Any) -> Tensor:
    """The same by the way of all other tensors."""
    if tensor.is_meta and law != "truncated_normal":
        check_generator(generator)
    return draw(tensor, law, dict(zip(_LAWS[law], numbers, strict=True)), generator)


def uniform_in(tensor: Tensor, low: Any, high: Any, generator: Any) -> Tensor | None:
    """Fill with U[low, high); None where torch has to say what it thinks of the arguments."""
    if at_once(tensor, "uniform", (low, high), generator):
        return tensor
    if not is_fillable(tensor):
        return None
    low, high = number_of(low), number_of(high)
    if low is None or high is None:
        return None
    largest = _LARGEST.get(tensor.dtype, sys.float_info.max)
    if not (low <= high and high - low <= largest and -largest <= low and high <= largest):
        return None
    if _ends_meet(low, high, tensor.dtype):
        return None
    return sampled(tensor, "uniform", (low, high), generator)


def _ends_meet(low: float, high: float, dtype: torch.dtype) -> bool:
    """Whether [low, high) holds no number of the dtype though low < high: fanin refuses that."""
    if low == high or high - low > max(2.0**-6 * max(abs(low), abs(high)), 2.0**-20):
        return False
    return bool(torch.tensor(low, dtype=dtype) == torch.tensor(high, dtype=dtype))


def normal_in(tensor: Tensor, mean: Any, std: Any, generator: Any) -> Tensor | None:
    """Fill with N(mean, std^2); None where torch has to say what it thinks of the arguments."""
    if at_once(tensor, "normal", (mean, std), generator):
        return tensor
    if not is_fillable(tensor, "normal"):
        return None
    mean, std = number_of(mean), number_of(std)
    if mean is None or std is None or not (0.0 <= std < math.inf and math.isfinite(mean)):
        return None
    return sampled(tensor, "normal", (mean, std), generator)


def truncated(
    dtype: torch.dtype, mean: Any, std: Any, a: Any, b: Any
) -> tuple[float, float, float, float] | None:
    """Mean, std and the bounds in units of std; None as above."""
    mean, std, a, b = map(number_of, (mean, std, a, b))
    if mean is None or std is None or a is None or b is None:
        return None
    if not (0.0 < std < math.inf and math.isfinite(mean) and a < b):
        return None
    largest = _LARGEST.get(dtype, sys.float_info.max)
    if a > largest or b < -largest:
        return None
    low, high = (a - mean) / std, (b - mean) / std
    return (mean, std, low, high) if low < high else None


def orthogonal_arguments(tensor: Tensor, gain: Any) -> dict[str, Any] | None:
    """The arguments of the scheme; None where torch has to say what it thinks of them.

    A negative gain turns the signs of a Haar matrix, which is one again: its size counts.
    """
    if tensor.ndimension() < 2 or not is_fillable(tensor):
        return None
    factor = number_of(gain)
    if factor is None or not math.isfinite(factor):
        return None
    return {"gain": abs(factor), "layout": "oi"}


def sparse_arguments(tensor: Tensor, sparsity: Any, std: Any) -> dict[str, Any] | None:
    """The arguments of the scheme; None as above. torch's rows are the scheme's inputs."""
    if tensor.ndimension() != 2 or not is_fillable(tensor):
        return None
    sparsity, std = number_of(sparsity), number_of(std)
    if sparsity is None or std is None:
        return None
    if not (0.0 <= sparsity <= 1.0 and 0.0 <= std < math.inf):
        return None
    return {"sparsity": sparsity, "std": std, "layout": "io"}
