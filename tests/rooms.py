"""The rooms of the Python package: who may import whom (decision 0007), and how to find out.

`tests/contract/test_rooms.py` holds the package to this table; `tools/draw_rooms.py` draws it.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

#: The files that everybody uses: the core, `runtime` and the top's files with an underscore.
GROUND = "ground"
#: `fanin` itself: the list of public names.
FACE = "fanin"

_LIBRARY = ("_arrays", "linalg", "_random", "_activations", "_schemes", "propagation", "diagnose",
            "files", "_models")  # fmt: skip
#: Each knows one framework, and nothing here imports it.
ADAPTERS = ("torch", "keras", "jax", "dask")
_ADAPTER = {GROUND, FACE, "_schemes.rules", "_random.seeds"}

#: Room -> what it may import besides itself; "room.file" is one file of a room.
TABLE: dict[str, set[str]] = {
    GROUND: set(),
    "_arrays": {GROUND},
    "linalg": {GROUND, "_arrays"},
    "_random": {GROUND, "_arrays"},
    "_activations": {GROUND},
    "_schemes": {GROUND, "_arrays", "_random", "_activations"},
    "propagation": {GROUND, "_arrays", "_random", "_activations", "_schemes"},
    "diagnose": {GROUND, "_activations", "propagation"},
    "files": {GROUND},
    "_models": {GROUND, "_arrays", "_random", "_schemes", "files"},
    FACE: {GROUND, *_LIBRARY},
    **{name: _ADAPTER for name in ADAPTERS},
    # it records plans, which know no torch, looks whether windows overlap, and chooses by itself
    # what is empty in a small sparse matrix
    "torch": {
        *_ADAPTER,
        "_models",
        "_arrays.kinds",
        "_arrays.destinations",
        "_schemes.choice",
    },  # fmt: skip
    "_bench": {FACE},
    "cli": {GROUND, FACE, "_bench", *_LIBRARY},
}

#: What each room is for, in the words of the picture.
PURPOSE: dict[str, str] = {
    GROUND: "core, threads, checks, types",
    "_arrays": "shapes, dtypes, parts, out=",
    "linalg": "QR",
    "_random": "streams and draws",
    "_activations": "phi, its moments, gains",
    "_schemes": "schemes and their rows",
    "propagation": "theory of depth",
    "diagnose": "small experiments",
    "files": "formats, crash-safe writing",
    "_models": "tensors, plans",
    FACE: "the public names",
    "torch": "adapter",
    "keras": "adapter",
    "jax": "adapter",
    "dask": "adapter",
    "_bench": "fanin bench",
    "cli": "the command",
}


class Import(NamedTuple):
    """One import, wherever it stands."""

    importer: str  # dotted module
    imported: str  # dotted module of fanin
    name: str | None  # the name taken from it, None for the module itself
    line: int


def modules(package: Path) -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """The room of a module, which is its first folder or file below `fanin`."""
    first = module.split(".")[1] if "." in module else FACE
    if first in TABLE:
        return first
    if first.startswith("_") or first == "runtime":
        return GROUND
    raise KeyError(f"{module} stands in no room of the table")


def imports(package: Path) -> list[Import]:
    """Every import of the package's own modules: in functions and for type checkers too."""
    known = {**modules(package), f"{package.name}._core": None}
    found = []
    for module, path in modules(package).items():
        inside = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == package.name:
                        found.append(Import(module, alias.name, None, node.lineno))
            elif isinstance(node, ast.ImportFrom):
                source = node.module or ""
                if node.level:
                    upper = inside.split(".")
                    upper = upper[: len(upper) - node.level + 1]
                    source = ".".join([*upper, *([source] if source else [])])
                if source.split(".")[0] != package.name:
                    continue
                for alias in node.names:
                    whole = f"{source}.{alias.name}"
                    if whole in known:
                        found.append(Import(module, whole, None, node.lineno))
                    else:
                        found.append(Import(module, source, alias.name, node.lineno))
    return found
