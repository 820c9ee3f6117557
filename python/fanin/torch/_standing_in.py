"""Meta tensors in the place of a module's own, while its code runs: all is put back at the end."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

__all__ = ["FLAG", "flags_cleared", "is_transformers", "stand_ins"]

#: transformers' mark of work done, on modules and on parameters.
FLAG = "_is_hf_initialized"
#: What a module holds in containers of its own.
_CONTAINERS = (
    "_parameters", "_buffers", "_modules", "_forward_pre_hooks", "_non_persistent_buffers_set",
)  # fmt: skip


def is_transformers(module: nn.Module) -> bool:
    """Whether a module is a model of transformers: it initialises all that is in it."""
    return hasattr(module, "initialize_weights") and hasattr(module, "config")


@contextmanager
def flags_cleared(root: nn.Module) -> Iterator[None]:
    """transformers' marks of work done, away while the work is recorded."""
    holders = [*root.modules(), *root.parameters(), *root.buffers()]
    marked = [(holder, vars(holder)[FLAG]) for holder in holders if FLAG in vars(holder)]
    for holder, _ in marked:
        delattr(holder, FLAG)
    try:
        yield
    finally:
        for holder in holders:
            if FLAG in vars(holder):
                delattr(holder, FLAG)
        for holder, value in marked:
            setattr(holder, FLAG, value)


class _Tie(NamedTuple):
    """A place whose stand-in another one is to take the place of."""

    group: dict[str, Any]
    name: str
    stand_in: torch.Tensor
    first: torch.Tensor


@contextmanager
def stand_ins(root: nn.Module) -> Iterator[tuple[dict[int, torch.Tensor], list[_Tie]]]:
    """Meta tensors in the place of every parameter and buffer, the originals by stand-in.

    transformers initialises first and ties then: inside of its models each place has a stand-in of
    its own, and the ties are given, to be made afterwards.
    """
    made: dict[int, torch.Tensor] = {}
    originals: dict[int, torch.Tensor] = {}
    ties: list[_Tie] = []
    untied = {id(m) for one in root.modules() if is_transformers(one) for m in one.modules()}
    with flags_cleared(root), _left_as_it_is(root):
        for module in root.modules():
            groups: list[dict[str, Any]] = [module._parameters, module._buffers]
            for group in groups:
                for name, tensor in list(group.items()):
                    if tensor is None or tensor.is_nested or tensor.is_quantized:
                        continue
                    first = stand_in = made.get(id(tensor))
                    if stand_in is None or id(module) in untied:
                        stand_in = torch.empty(
                            tuple(tensor.shape), dtype=tensor.dtype, device="meta"
                        )
                        if group is module._parameters:
                            stand_in = nn.Parameter(stand_in, tensor.requires_grad)
                        made.setdefault(id(tensor), stand_in)
                        originals[id(stand_in)] = tensor
                    if first is not None and stand_in is not first:
                        ties.append(_Tie(group, name, stand_in, first))
                    group[name] = stand_in
        yield originals, ties


@contextmanager
def _left_as_it_is(root: nn.Module) -> Iterator[None]:
    """At the end every module of a tree has the attributes and the contents that it had."""
    kept = []
    for module in root.modules():
        own = dict(vars(module))
        contents = {name: copy.copy(own[name]) for name in _CONTAINERS if name in own}
        kept.append((module, type(module), own, contents))
    try:
        yield
    finally:
        for module, kind, own, contents in kept:
            if type(module) is not kind:  # as parametrisations do
                module.__class__ = kind
            have = vars(module)
            for name in [name for name in have if name not in own]:
                del have[name]
            have.update(own)
            for name, content in contents.items():
                own[name].clear()
                own[name].update(content)
