"""The rooms of the package: imports go downwards, in no circle, and take no private name."""

from __future__ import annotations

import ast
import graphlib
import re
import shutil

import pytest
from rooms import FACE, GROUND, PURPOSE, TABLE, imports, modules, room_of

#: The one door upwards: the plan of a model that transformers describes is read through the
#: adapter of torch, by `importlib`, when somebody asks for it (decision 0007).
DOORS = {("fanin._models.configs", "fanin.torch")}


def package_of(root):
    return root / "python" / "fanin"


def astray(package):
    """The imports that the table does not allow, as sentences."""
    found = []
    for one in imports(package):
        here, there = room_of(one.importer), room_of(one.imported)
        file = one.imported.partition(".")[2]
        allowed = TABLE[here]
        if here == there or there in allowed or file in allowed:
            continue
        found.append(f"{one.importer}:{one.line} imports {one.imported}")
    return found


def circle(package):
    """The modules of a circle of imports, or None."""
    graph = {}
    for one in imports(package):
        if one.imported != one.importer:
            graph.setdefault(one.importer, set()).add(one.imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def foreign_names(package):
    """Private names of one file that another takes: by import, or as an attribute of the module."""
    every = imports(package)
    found = [
        f"{one.importer}:{one.line} takes {one.name} of {one.imported}"
        for one in every
        if one.name is not None and one.name.startswith("_")
    ]
    whole = {(one.importer, one.line) for one in every if one.name is None}
    for module, path in modules(package).items():
        tree = ast.parse(path.read_text("utf-8"))
        bound = {
            alias.asname or alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom)) and (module, node.lineno) in whole
            for alias in node.names
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in bound
                and node.attr.startswith("_")
                and not node.attr.startswith("__")
                and node.attr != "_core"
            ):
                found.append(f"{module}:{node.lineno} takes {node.value.id}.{node.attr}")
    return found


def test_every_file_stands_in_a_room(root):
    rooms = {room_of(module) for module in modules(package_of(root))}
    assert rooms <= set(TABLE)
    assert set(PURPOSE) == set(TABLE)


def test_the_tree_of_contributing_names_every_room_and_file_at_the_top(root):
    tree = (root / "CONTRIBUTING.md").read_text("utf-8").partition("\npython/fanin/\n")[2]
    words = set(re.findall(r"\w+", tree.partition("```")[0]))
    top = {module.split(".")[1] for module in modules(package_of(root)) if "." in module}
    assert top <= words


def test_the_table_itself_goes_one_way():
    graph = {room: {name.split(".")[0] for name in below} for room, below in TABLE.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order[0] == GROUND
    assert order.index(FACE) < order.index("cli")


def test_rooms_import_downwards_only(root):
    assert not astray(package_of(root))


def test_no_file_imports_in_a_circle(root):
    assert circle(package_of(root)) is None


def test_no_file_takes_a_private_name_of_another(root):
    assert not foreign_names(package_of(root))


def test_the_doors_upwards_are_the_ones_named_here(root):
    # importlib hides an import from the table: who calls it, and for what.
    found = set()
    for module, path in modules(package_of(root)).items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).endswith("import_module")
                and isinstance(node.args[0], ast.Constant)
                and str(node.args[0].value).startswith("fanin")
            ):
                found.add((module, node.args[0].value))
    assert found <= DOORS


PLANTS = {
    "an upward import": ("_arrays/kinds.py", "from fanin._random import streams\n", astray),
    "an upward import in a function": (
        "_random/streams.py",
        "def late():\n    from fanin._schemes.fans import Layout\n    return Layout\n",
        astray,
    ),
    "an upward import for type checkers": (
        "files/_pieces.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fanin import Stream\n",
        astray,
    ),
    "a relative upward import": ("_arrays/parts.py", "from .. import diagnose\n", astray),
    "a circle": ("_random/streams.py", "from .seeds import as_stream\n", circle),
    "a circle in a function": (
        "_activations/activation.py",
        "def late():\n    from . import gains\n    return gains\n",
        circle,
    ),
    "a private name": ("linalg.py", "from fanin._arrays.shapes import _MAX_SIZE\n", foreign_names),
    "a private attribute": (
        "linalg.py",
        "from fanin._arrays import shapes\nprint(shapes._MAX_SIZE)\n",
        foreign_names,
    ),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_found(root, tmp_path, plant):
    file, lines, finder = PLANTS[plant]
    copy = tmp_path / "fanin"
    shutil.copytree(package_of(root), copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    path = copy / file
    path.write_text(path.read_text("utf-8") + lines, "utf-8")
    assert finder(copy)
