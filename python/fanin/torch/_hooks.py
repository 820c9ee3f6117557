"""Other bodies for the functions of torch.nn.init, while a block is open in this thread.

Code gets hold of these functions in many ways: by attribute, by names imported long ago, by tables
of their originals. What reaches every holder is the function object itself, so its ``__code__`` is
swapped for one that asks this thread what to do; the last block that closes swaps it back.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from torch.nn import init as torch_init

__all__ = ["SWAPPED", "original", "recorder", "swapped"]

#: The functions that draw, or that do nothing on meta tensors.
SWAPPED = (
    "uniform_",
    "normal_",
    "trunc_normal_",
    "eye_",
    "dirac_",
    "xavier_uniform_",
    "xavier_normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "orthogonal_",
    "sparse_",
)


class _Thread(threading.local):
    """What is open in this thread: a recorder, and the generator of the innermost block."""

    recorder: Any = None
    blocks: tuple[Any, ...] = ()


#: fanin's own function of each name; `_functions`, which stands on this file, enters them.
OURS: dict[str, Callable[..., Any]] = {}

_thread = _Thread()
_lock = threading.Lock()
_open_blocks = 0
_functions: dict[str, FunctionType] = {name: getattr(torch_init, name) for name in SWAPPED}
_codes: dict[str, CodeType] = {name: f.__code__ for name, f in _functions.items()}


def _copy(function: FunctionType) -> Callable[..., Any]:
    made = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


_originals = {name: _copy(function) for name, function in _functions.items()}


def _asking(name: str, function: FunctionType) -> CodeType:
    """Code of the same arguments that asks :func:`_call`; its globals are torch.nn.init's."""
    names = list(inspect.signature(function).parameters)
    source = (
        f"def {name}({', '.join(names)}):\n"
        f"    from fanin.torch._hooks import call\n"
        f"    return call({name!r}, {', '.join(names)})\n"
    )
    made: dict[str, Any] = {}
    exec(compile(source, f"<fanin.torch: {name}>", "exec"), made)
    code: CodeType = made[name].__code__
    return code


_asking_codes = {name: _asking(name, function) for name, function in _functions.items()}


def original(name: str) -> Callable[..., Any]:
    """torch's own function, whatever its body is now."""
    function: Callable[..., Any] = _originals.get(name) or getattr(torch_init, name)
    return function


def recorder() -> Any:
    """The recorder at work in this thread, or None."""
    return _thread.recorder


def call(name: str, *arguments: Any) -> Any:
    """What a swapped function does: fanin's fill inside a block of this thread, else torch's."""
    if _thread.recorder is None and not _thread.blocks:
        return _originals[name](*arguments)
    function = OURS[name]
    if (
        _thread.blocks
        and _thread.recorder is None
        and "generator" in _asking_codes[name].co_varnames
    ):
        if arguments[-1] is None:
            arguments = (*arguments[:-1], _thread.blocks[-1])
    return function(*arguments)


@contextmanager
def swapped(*, recorder: Any = None, block: Any = ...) -> Iterator[None]:
    """Swap the bodies; in this thread they tell `recorder`, or draw from the generator `block`."""
    global _open_blocks
    before = _thread.recorder, _thread.blocks
    with _lock:
        _open_blocks += 1
        if _open_blocks == 1:
            for name, function in _functions.items():
                function.__code__ = _asking_codes[name]
    try:
        if recorder is not None:
            _thread.recorder = recorder
        if block is not ...:
            _thread.blocks = (*_thread.blocks, block)
        yield
    finally:
        _thread.recorder, _thread.blocks = before
        with _lock:
            _open_blocks -= 1
            if _open_blocks == 0:
                for name, function in _functions.items():
                    function.__code__ = _codes[name]
