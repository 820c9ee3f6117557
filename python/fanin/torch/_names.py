"""The names of a model's tensors, as they are before anything wraps the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

__all__ = [
    "NamedTensor",
    "check_module",
    "named_tensors",
    "uncompiled",
    "unwrapped",
    "within",
]

#: Parts of names that wrappers add: FSDP1, torch.compile, checkpoint_wrapper.
_WRAPPERS = ("_fsdp_wrapped_module", "_flat_param", "_orig_mod", "_checkpoint_wrapped_module")


class NamedTensor(NamedTuple):
    """A tensor of a module: its first name, its further names, and where it stands."""

    name: str
    tied: tuple[str, ...]
    tensor: torch.Tensor
    module: nn.Module
    is_buffer: bool
    is_stored: bool


def check_module(given: object, function: str) -> None:
    """TypeError for what is no module."""
    if not isinstance(given, nn.Module):
        built = " that is built" if callable(given) else ""
        raise TypeError(f"{function} takes a module{built}, got {given!r}")


def unwrapped(name: str, leading: tuple[str, ...] = ()) -> str:
    """The name in the model that was wrapped; `leading` are the parts that :func:`within` gives."""
    parts = name.split(".")
    if tuple(parts[: len(leading)]) == leading:
        parts = parts[len(leading) :]
    return ".".join(part for part in parts if part not in _WRAPPERS)


def within(module: nn.Module) -> tuple[tuple[str, ...], nn.Module]:
    """The model in its wrappers, whatever their order, and the parts of names on the way there."""
    leading: tuple[str, ...] = ()
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            part = "module"
        else:
            part = next((name for name in _WRAPPERS if name in module._modules), "")
        if part not in module._modules:
            return leading, module
        inner: Any = module._modules[part]
        leading, module = (*leading, part), inner


def uncompiled(module: nn.Module) -> nn.Module:
    """What torch.compile was given; any other module itself."""
    if "_orig_mod" not in module._modules:
        return module
    inner: Any = module._modules["_orig_mod"]
    return uncompiled(inner)


def named_tensors(root: nn.Module) -> Iterator[NamedTensor]:
    """Every parameter and buffer once, in the order of state_dict, with all its names.

    Raises
    ------
    ValueError
        One of a lazy module that has no shape yet.
    """
    rows: dict[int, NamedTensor] = {}
    leading, _ = within(root)
    for prefix, module in root.named_modules(remove_duplicate=False):
        groups = ((module._parameters, False), (module._buffers, True))
        for group, is_buffer in groups:
            for local, tensor in group.items():
                if tensor is None:
                    continue
                full = f"{prefix}.{local}" if prefix else local
                name = unwrapped(full, leading)
                if nn.parameter.is_lazy(tensor):
                    raise ValueError(
                        f"{name} of {type(module).__name__} has no shape yet: run the module on a "
                        "batch first, which gives lazy modules theirs"
                    )
                stored = not is_buffer or local not in module._non_persistent_buffers_set
                row = rows.get(id(tensor))
                if row is None:
                    rows[id(tensor)] = NamedTensor(name, (), tensor, module, is_buffer, stored)
                elif name != row.name and name not in row.tied:
                    rows[id(tensor)] = row._replace(tied=(*row.tied, name))
    yield from rows.values()
