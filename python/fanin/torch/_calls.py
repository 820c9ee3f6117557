"""A call of aten as the dispatcher hands it over: its arguments, what it writes to, who made it."""

from __future__ import annotations

import sys
from typing import Any

import torch

__all__ = [
    "as_meta",
    "caller",
    "is_view",
    "named_arguments",
    "on_cpu",
    "site",
    "target_of",
    "to_meta",
]


def named_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by their names in the schema, with its defaults."""
    named: dict[str, Any] = {}
    for number, argument in enumerate(func._schema.arguments):
        if number < len(args):
            named[argument.name] = args[number]
        elif argument.name in kwargs:
            named[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            named[argument.name] = argument.default_value
    return named


def is_view(func: Any) -> bool:
    """Whether an operation returns a view of its argument."""
    returns = func._schema.returns
    return bool(returns) and any(
        r.alias_info is not None and not r.alias_info.is_write for r in returns
    )


def target_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The tensor that an operation writes to."""
    for number, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found = args[number] if number < len(args) else kwargs.get(argument.name)
            if isinstance(found, torch.Tensor):
                return found
    return None


def on_cpu(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same keywords, asking for the CPU where they ask for meta."""
    device = kwargs.get("device")
    if device is not None and torch.device(device).type == "meta":
        return {**kwargs, "device": torch.device("cpu")}
    return kwargs


def to_meta(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same keywords, asking for meta where they ask for a device."""
    return {**kwargs, "device": torch.device("meta")} if kwargs.get("device") else kwargs


def as_meta(value: Any) -> Any:
    """The same tensor without memory, for the shape of a result."""
    if isinstance(value, torch.Tensor) and not value.is_meta:
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    return value


def caller() -> str:
    """The function outside torch and fanin that is at work, as module.qualname."""
    frame = sys._getframe(1)
    first = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        top = module.partition(".")[0]
        name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
        if module.startswith("torch.nn.modules"):
            first = first or f"{module}.{name}"
        elif top not in ("torch", "fanin", "contextlib", "copy") and not (
            module == "transformers.initialization"
        ):
            return first or f"{module}.{name}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return first


def site() -> str:
    """The function that has made the call, one of torch.nn's too, as module.qualname."""
    frame = sys._getframe(1)
    hidden = ("fanin", "torch._", "torch.utils", "torch.overrides", "torch.functional")
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if module != "torch" and not module.startswith(hidden):
            break
        frame = frame.f_back
    name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
    return f"{frame.f_globals.get('__name__', '')}.{name}"
