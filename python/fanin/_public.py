"""Where a public class says that it is: pickles and help() name the module that users import."""

from __future__ import annotations

from collections.abc import Callable
from typing import ForwardRef, TypeVar

Kind = TypeVar("Kind", bound=type)


def public(module: str) -> Callable[[Kind], Kind]:
    """Sets `__module__`, so that a file may move without breaking a pickle."""

    def mark(kind: Kind) -> Kind:
        hints = kind.__dict__.get("__annotations__", {})
        for name, hint in hints.items():  # are still read where they were written
            text = getattr(hint, "__forward_arg__", hint)
            if isinstance(text, str):
                hints[name] = ForwardRef(text, module=kind.__module__, is_class=True)
        kind.__module__ = module
        return kind

    return mark
