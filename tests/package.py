"""The modules of the package that need no framework."""

from __future__ import annotations

import importlib
import pkgutil

#: Packages that `import fanin` never loads; the adapters of some are called as they are.
FRAMEWORKS = (
    "torch",
    "jax",
    "keras",
    "tensorflow",
    "dask",
    "scipy",
    "mpmath",
    "typer",
    "rich",
    "safetensors",
    "matplotlib",
)
#: Tested where their frameworks are installed: tests/frameworks.
ADAPTERS = {f"fanin.{name}" for name in FRAMEWORKS}


def modules(package: str = "fanin") -> list[str]:
    """The names of all modules of a package, without the adapters."""
    names = []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if module.name not in ADAPTERS:
            names += [module.name, *(modules(module.name) if module.ispkg else [])]
    return names
