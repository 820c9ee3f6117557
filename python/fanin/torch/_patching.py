"""`patched`: code that must stay as it is, with every initialisation inside it done by fanin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

import fanin

from . import _arguments as ours
from . import _hooks
from ._fills import is_fillable
from ._seeds import stream_of

__all__ = ["patched"]

#: Values that are drawn in float64 at a time.
_BLOCK = 1 << 20


@contextmanager
def patched(seed: Any = None) -> Iterator[None]:
    """Inside the block, whatever initialises a floating CPU tensor draws from fanin.

    The functions of torch.nn.init are reached however the code got hold of them, and so are
    ``Tensor.normal_``, ``uniform_`` and ``exponential_``, ``torch.randn``, ``rand``, ``normal``
    and the ``_like`` forms. Meta tensors draw nothing. Other threads are not touched; blocks nest.
    Code compiled by torch.jit.script is not reached, nor draws inside torch.func.vmap.

    Parameters
    ----------
    seed : int, Stream or Generator, optional
        Draw k of the block comes from its k-th child. None: torch.manual_seed decides.

    Returns
    -------
    context manager

    Raises
    ------
    TypeError, ValueError
        A seed that is none, when the block is entered.

    >>> import torch
    >>> from fanin import torch as init
    >>> with init.patched(seed=0):
    ...     one = torch.nn.Linear(4, 4)
    >>> with init.patched(seed=0):
    ...     two = torch.nn.Linear(4, 4)
    >>> bool((one.weight == two.weight).all())
    True
    """
    generator = None if seed is None else fanin.default_rng(seed)
    with _hooks.swapped(block=generator), _Mode(generator):
        yield


class _Mode(TorchFunctionMode):  # type: ignore[misc]
    """Sees calls of torch and of tensors' methods in this thread."""

    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        ours = _METHODS.get(func)
        if ours is not None and _hooks.recorder() is None and not _is_mapped():
            made = ours(self.generator, *args, **kwargs)
            if made is not None:
                return made
        return func(*args, **kwargs)


def _is_mapped() -> bool:
    """Whether torch.func.vmap is at work, which says itself what a draw is in each of its runs."""
    levels = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in levels)


def _in_place(tensor: torch.Tensor) -> bool:
    """Whether a tensor may be written here: on the CPU, and no leaf that autograd watches."""
    watched = tensor.requires_grad and tensor.is_leaf and torch.is_grad_enabled()
    return tensor.device.type == "cpu" and not watched and is_fillable(tensor, "normal")


def _normal_(
    default: Any, self: Any, mean: Any = 0.0, std: Any = 1.0, *, generator: Any = None
) -> Any:
    if not _in_place(self):
        return None
    return ours.normal_in(self, mean, std, generator if generator is not None else default)


def _uniform_(default: Any, self: Any, *args: Any, generator: Any = None, **bounds: Any) -> Any:
    if not _in_place(self):
        return None
    low = args[0] if args else bounds.get("from", 0.0)
    high = args[1] if len(args) > 1 else bounds.get("to", 1.0)
    return ours.uniform_in(self, low, high, generator if generator is not None else default)


def _exponential_(default: Any, self: Any, lambd: Any = 1.0, *, generator: Any = None) -> Any:
    # -log(1 - u), u in [0, 1) on fanin's grid: by the core's own exponential law.
    if not _in_place(self) or self.is_complex() or not float(lambd) > 0.0:
        return None
    rng = fanin.default_rng(stream_of(generator if generator is not None else default))
    scale = 1.0 / float(lambd)
    if self.requires_grad or not self.is_contiguous():
        return self.copy_(torch.from_numpy(rng.exponential(scale, tuple(self.shape))))
    for block in self.view(-1).split(_BLOCK):  # whole tiles: the next draw goes on behind them
        block.copy_(torch.from_numpy(rng.exponential(scale, len(block))))
    return self


def _filled(fill: Callable[..., Any], source: Any, out: Any, requires_grad: bool) -> Any:
    """`out` with values of `fill`, or None where that is torch's own affair."""
    if not _in_place(out) or fill(source, out) is None:
        return None
    return out.requires_grad_() if requires_grad else out


def _new(fill: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch that makes a tensor and fills it by the standard law."""

    def made(default: Any, *size: Any, generator: Any = None, out: Any = None, dtype: Any = None,
             layout: Any = None, device: Any = None, pin_memory: bool = False,
             requires_grad: bool = False, names: Any = None, **rest: Any) -> Any:  # fmt: skip
        if "size" in rest:
            size = (rest.pop("size"),)
        if rest or names is not None or layout not in (None, torch.strided):
            return None
        shape = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
        if out is None:
            out = torch.empty(*size, dtype=dtype, device=device, pin_memory=pin_memory)
        elif tuple(out.shape) != tuple(shape) or dtype not in (None, out.dtype):
            return None
        source = default if generator is None else generator
        return _filled(fill, source, out, requires_grad)

    return made


def _like(fill: Callable[..., Any]) -> Callable[..., Any]:
    """The same for the forms that take a tensor's shape and dtype."""

    def made(default: Any, input: Any, *, requires_grad: bool = False, **rest: Any) -> Any:
        generator = rest.pop("generator", None)
        if type(input) not in (torch.Tensor, torch.nn.Parameter):
            return None
        out = torch.empty_like(input, **rest)
        source = default if generator is None else generator
        return _filled(fill, source, out, requires_grad)

    return made


def _standard_normal(generator: Any, out: torch.Tensor) -> Any:
    return ours.normal_in(out, 0.0, 1.0, generator)


def _standard_uniform(generator: Any, out: torch.Tensor) -> Any:
    return ours.uniform_in(out, 0.0, 1.0, generator)


def _normal(default: Any, mean: Any, std: Any = 1.0, size: Any = None, **rest: Any) -> Any:
    if not isinstance(mean, torch.Tensor) and not isinstance(std, torch.Tensor):
        if size is None:
            return None
        law = lambda generator, out: ours.normal_in(out, mean, std, generator)  # noqa: E731
        return _new(law)(default, size, **rest)
    try:
        shape = np.broadcast_shapes(*(v.shape for v in (mean, std) if isinstance(v, torch.Tensor)))
    except ValueError:  # torch says it in its own words
        return None
    first = mean if isinstance(mean, torch.Tensor) else std
    generator = rest.pop("generator", None)
    if rest or not first.is_floating_point() or first.device.type != "cpu":
        return None
    if not (std if isinstance(std, torch.Tensor) else torch.tensor(std)).ge(0.0).all():
        return None
    out = torch.empty(shape, dtype=first.dtype, device=first.device)
    if _standard_normal(default if generator is None else generator, out) is None:
        return None
    return out.mul_(std).add_(mean)


_METHODS: dict[Any, Callable[..., Any]] = {
    torch.Tensor.normal_: _normal_,
    torch.Tensor.uniform_: _uniform_,
    torch.Tensor.exponential_: _exponential_,
    torch.randn: _new(_standard_normal),
    torch.rand: _new(_standard_uniform),
    torch.randn_like: _like(_standard_normal),
    torch.rand_like: _like(_standard_uniform),
    torch.normal: _normal,
}
