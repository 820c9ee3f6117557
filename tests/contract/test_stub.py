"""The hand-written stub of the compiled module says what the module says of itself."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import fanin
from fanin import _core

STUB = Path(fanin.__file__).with_name("_core.pyi")


def described(function: ast.FunctionDef) -> tuple[list[str], int, bool]:
    """Names of the arguments ("" where positional only), number of defaults, and if it returns
    None."""
    arguments = function.args
    named = [argument.arg for argument in arguments.args]
    positional = ["" for _ in arguments.posonlyargs]
    nothing = isinstance(function.returns, ast.Constant) and function.returns.value is None
    return positional + named, len(arguments.defaults), nothing


def in_stub(body: list[ast.stmt]) -> dict[str, tuple[list[str], int, bool]]:
    return {item.name: described(item) for item in body if isinstance(item, ast.FunctionDef)}


def in_module(module: ModuleType) -> dict[str, tuple[list[str], int, bool]]:
    """What pybind11 writes on the first line of each docstring, which is Python."""
    found = {}
    for name, member in vars(module).items():
        if not callable(member) or isinstance(member, type):
            continue
        first_line = member.__doc__.splitlines()[0]
        (function,) = ast.parse(f"def {first_line}: ...").body
        assert isinstance(function, ast.FunctionDef)
        names, defaults, nothing = described(function)
        unnamed = [f"arg{position}" for position in range(len(names))]
        found[name] = ([""] * len(names) if names == unnamed else names, defaults, nothing)
    return found


def test_the_stub_has_the_functions_and_arguments_of_the_module():
    body = ast.parse(STUB.read_text(encoding="utf-8")).body
    classes = {item.name: item for item in body if isinstance(item, ast.ClassDef)}
    debug = classes.pop("_Debug")
    assert in_stub(body) == in_module(_core)
    assert in_stub(debug.body) == in_module(_core.debug)
    made = {name: member for name, member in vars(_core).items() if isinstance(member, type)}
    assert classes.keys() == made.keys()
    for name, member in made.items():
        own = {n for n in vars(member) if not n.startswith("_")} | {"__init__"}
        own |= vars(member).keys() & {"__enter__", "__exit__"}
        assert in_stub(classes[name].body).keys() | {"__init__"} == own


def test_the_stub_has_the_attributes_of_the_module():
    body = ast.parse(STUB.read_text(encoding="utf-8")).body
    declared = {item.target.id for item in body if isinstance(item, ast.AnnAssign)}
    public = {name for name in vars(_core) if not name.startswith("__")}
    assert declared == {name for name in public if not callable(getattr(_core, name))}
