"""Plan files: TOML or JSON, read with every limit and error that a stranger's file needs.

A file has ``[[tensors]]``, or ``model`` with ``[sizes]``; then ``[[rules]]`` replace laws by name
pattern, the first match wins. ``seed`` and ``dtype`` hold for what says none itself.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

from . import catalogue
from .checking import check_tensor
from .dtypes import as_dtype_name
from .plan_data import checked_seed, refuse_others, tensor_from_data, tensor_to_data
from .plan_lines import AtLine, Lines, located, where
from .tensors import PlanTensor
from .value_data import value_from_data
from .values import Literal

__all__ = ["Contents", "read_json", "read_plan_file", "write_json", "write_toml"]

#: The largest plan file, config.json or other text that is read.
TEXT_LIMIT = 256 << 20

_VERSION = 1
_TOP = ("format", "model", "sizes", "seed", "dtype", "config", "tensors", "rules", "literals")
_RULE = ("pattern", "scheme", "arguments", "dtype", "seed")
_INT_LIMIT = 1 << 63
_TOO_DEEP = "its tables are nested too deeply for a plan"


class Contents(NamedTuple):
    """What a plan file says."""

    model: str
    tensors: tuple[PlanTensor, ...]
    seed: int | None
    dtype: str | None
    config: dict[str, Any] | None


# Reading --------------------------------------------------------------------------------------


def read_plan_file(path: str | os.PathLike[str]) -> Contents:
    """Read and check a plan file; its name ends in .toml or .json.

    Raises
    ------
    ValueError
        Names the file, the line where it is known, and what is wrong.
    OSError
        The file cannot be read.
    """
    name = os.fspath(path)
    kind = os.path.splitext(name)[1]
    if kind not in (".toml", ".json"):
        raise ValueError(f"{name!r}: the name of a plan file ends in .toml or .json")
    text = read_text(name)
    try:
        lines = Lines(text, kind)
        data = parse_toml(text) if kind == ".toml" else _parse_lines(text, lines)
        _check_entries(data, lines)
        return _contents(data, lines)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name!r}{where(error)}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{name!r}: {_TOO_DEEP}") from error


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A JSON object of a file, with the limits of plan files."""
    name = os.fspath(path)
    try:
        text = read_text(name)
        lines = Lines(text, ".json")
        data = _parse_lines(text, lines)
        _check_entries(data, lines)
    except ValueError as error:
        raise ValueError(f"{name!r}{where(error)}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{name!r}: {_TOO_DEEP}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{name!r} is no JSON object")
    return data


def read_text(name: str) -> str:
    """The file's text; ValueError if it is too long or no UTF-8."""
    with open(name, "rb") as file:
        text = file.read(TEXT_LIMIT + 1)
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"{name!r} has more than {TEXT_LIMIT} bytes")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name!r} is no UTF-8: {error}") from None


def parse_json(text: str) -> Any:
    """JSON without NaN and infinities, and without a key twice."""
    return _decoder().decode(text)


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _parse_lines(text: str, lines: Lines) -> Any:
    """:func:`parse_json`, whose errors name the line of the entry."""
    try:
        return parse_json(text)
    except json.JSONDecodeError:  # names the line itself
        raise
    except ValueError as error:
        raise AtLine(str(error), lines.refused(_decoder())) from error


def parse_toml(text: str) -> Any:
    """TOML, by Python's own reader; Python 3.10 has none and needs tomli."""
    try:
        import tomllib
    except ModuleNotFoundError:
        try:
            import tomli as tomllib  # type: ignore[import-not-found, no-redef]
        except ModuleNotFoundError:
            raise ValueError(
                "TOML needs Python 3.11 or the package tomli; or save the plan as .json"
            ) from None
    return tomllib.loads(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(
        f"{text} is no number of a plan (in a config.json transformers writes "
        f'{{"__float__": "{text}"}})'
    )


def _check_entries(data: Any, lines: Lines) -> None:
    """:func:`_check_numbers`, entry by entry and row by row."""
    for key, value in data.items() if isinstance(data, dict) else ():
        with located(lines, key):
            _check_numbers(key)
        for number, row in enumerate(value) if isinstance(value, list) else ():
            with located(lines, key, number):
                _check_numbers(row)
        with located(lines, key):
            _check_numbers(value)
    _check_numbers(data)


def _check_numbers(data: Any) -> None:
    """Refuse ints beyond 64 bits, NaN, infinities, dates, and text that UTF-8 cannot hold."""
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.keys()
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str):
            value.encode()
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"{value} is no number of a plan")
        elif value is not None and not isinstance(value, (bool, int)):
            raise ValueError(f"a plan holds no {type(value).__name__}: {value}")
        elif isinstance(value, int) and not -_INT_LIMIT <= value < _INT_LIMIT:
            raise ValueError("an int is beyond 64 bits (a seed may be written as text)")


def _contents(data: Any, lines: Lines) -> Contents:
    unknown = next((key for key in data if key not in _TOP), "") if isinstance(data, dict) else ""
    with located(lines, unknown):
        refuse_others(data, _TOP, "a plan")
    with located(lines, "format"):
        if data.get("format", _VERSION) != _VERSION:
            raise ValueError(f"format {data['format']!r} is not known (known: {_VERSION})")
    with located(lines, "seed"):
        seed = checked_seed(data.get("seed"))
    with located(lines, "dtype"):
        dtype = None if data.get("dtype") is None else as_dtype_name(data["dtype"])
    with located(lines, "literals"):
        literals = _literals(data.get("literals", {}))
    with located(lines, "config"):
        config = _config(data.get("config"))
    with located(lines, "model"):
        model = data.get("model", "plan")
        if not isinstance(model, str):
            raise ValueError(f"model must be a text, got {model!r}")
    if data.get("tensors") is None:
        if "model" not in data:
            raise ValueError("a plan needs tensors, or a model")
        with located(lines, "model"):
            found = catalogue.find(model)
        with located(lines, "sizes"):
            sizes = data.get("sizes", {})
            if not isinstance(sizes, dict):
                raise ValueError(f"sizes must be a table, got {sizes!r}")
            tensors = found.tensors(**sizes)
        config = config or found.config(**sizes)
    else:
        with located(lines, "sizes"):
            if "sizes" in data:
                raise ValueError("sizes go with a model, not with tensors")
        tensors = _tensors(data["tensors"], literals, lines)
    tensors = _with_rules(tensors, data.get("rules", []), literals, lines)
    for number, tensor in enumerate(tensors):
        with located(lines, "tensors", number):
            check_tensor(tensor, dtype, None)
    return Contents(model, tensors, seed, dtype, config)


def _config(config: Any) -> dict[str, Any] | None:
    if isinstance(config, str):
        config = parse_json(config)
    if config is not None and not isinstance(config, dict):
        raise ValueError("config must be a JSON object, or text that holds one")
    return config


def _literals(rows: Any) -> dict[str, Literal]:
    if not isinstance(rows, dict):
        raise ValueError(f"literals must be a table, got {rows!r}")
    literals = {}
    for key, row in rows.items():
        refuse_others(row, ("dtype", "shape", "data"), f"literal {key!r}")
        try:
            literals[key] = Literal.from_data(row)
        except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
            raise ValueError(f"literal {key!r}: {error}") from None
    return literals


def _tensors(rows: Any, literals: Mapping[str, Literal], lines: Lines) -> tuple[PlanTensor, ...]:
    if not isinstance(rows, list):
        raise ValueError("tensors must be a list of tables, each begun by [[tensors]]")
    tensors: list[PlanTensor] = []
    names: set[str] = set()
    for number, row in enumerate(rows):
        with located(lines, "tensors", number):
            if isinstance(row, dict):
                row = {"scheme": "zeros" if "dtype" in row else "transformers_default", **row}
            tensor = tensor_from_data(row, literals)
            if tensor.name in names:
                raise ValueError(f"two tensors are named {tensor.name!r}")
        names.add(tensor.name)
        tensors.append(tensor)
    return tuple(tensors)


def _with_rules(
    tensors: tuple[PlanTensor, ...], rows: Any, literals: Mapping[str, Literal], lines: Lines
) -> tuple[PlanTensor, ...]:
    """The tensors with the laws, dtypes and seeds that the rules give; the first match wins."""
    if not isinstance(rows, list):
        raise ValueError("rules must be a list of tables, each begun by [[rules]]")
    left: dict[str, PlanTensor] = {tensor.name: tensor for tensor in tensors}
    made = dict(left)
    for number, row in enumerate(rows):
        with located(lines, "rules", number, f"rule {number + 1}: "):
            pattern, changes = _rule(row, literals)
            matched = [name for name in made if fnmatch.fnmatchcase(name, pattern)]
            if not matched:
                near = difflib.get_close_matches(pattern, made, n=3, cutoff=0.3)
                hint = f"; the closest are {', '.join(near)}" if near else ""
                raise ValueError(f"the pattern {pattern!r} matches no tensor{hint}")
            for name in matched:
                if name in left:
                    made[name] = replace(left.pop(name), **changes)
                    check_tensor(made[name], None, None)
    return tuple(made.values())


def _rule(row: Any, literals: Mapping[str, Literal]) -> tuple[str, dict[str, Any]]:
    refuse_others(row, _RULE, "a rule")
    pattern = row.get("pattern")
    if not isinstance(pattern, str):
        raise ValueError(f"pattern must be a text, got {pattern!r}")
    changes: dict[str, Any] = {}
    if "scheme" in row:
        if not isinstance(row["scheme"], str) or not isinstance(row.get("arguments", {}), dict):
            raise ValueError("scheme must be a text and arguments a table")
        value = value_from_data({key: row[key] for key in ("scheme", "arguments") if key in row},
                                literals)  # fmt: skip
        changes |= {"scheme": value.scheme, "arguments": value.arguments, "steps": (), "parts": ()}
    elif "arguments" in row:
        raise ValueError("arguments go with a scheme")
    if "dtype" in row:
        changes["dtype"] = as_dtype_name(row["dtype"])
    if "seed" in row:
        changes["seed"] = checked_seed(row["seed"])
    return pattern, changes


# Writing --------------------------------------------------------------------------------------


def _data(contents: Contents) -> dict[str, Any]:
    literals: dict[str, Literal] = {}
    rows = [tensor_to_data(tensor, literals) for tensor in contents.tensors]
    data: dict[str, Any] = {"format": _VERSION, "model": contents.model}
    if contents.seed is not None:
        data["seed"] = str(contents.seed)
    if contents.dtype is not None:
        data["dtype"] = contents.dtype
    if contents.config is not None:
        data["config"] = dict(contents.config)
    data["tensors"] = rows
    if literals:
        data["literals"] = {key: literal.to_data() for key, literal in sorted(literals.items())}
    return data


def write_json(contents: Contents) -> bytes:
    """The text of a .json plan: one tensor a line."""
    data = _data(contents)
    lines = [f"{_json(key)}: {_json(data[key])}" for key in data if key != "tensors"]
    rows = ",\n    ".join(_json(row) for row in data["tensors"])
    lines.append(f'"tensors": [\n    {rows}\n  ]' if rows else '"tensors": []')
    return ("{\n  " + ",\n  ".join(lines) + "\n}\n").encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_toml(contents: Contents) -> bytes:
    """The text of a .toml plan: a table for each tensor."""
    data = _data(contents)
    if "config" in data:  # TOML has no null
        data["config"] = _json(data["config"])
    lines = [
        f"{key} = {_toml(value)}"
        for key, value in data.items()
        if key not in ("tensors", "literals")
    ]
    if not data["tensors"]:
        lines.append("tensors = []")
    for row in data["tensors"]:
        lines += ["", "[[tensors]]", *(f"{key} = {_toml(value)}" for key, value in row.items())]
    for key, row in data.get("literals", {}).items():
        lines += ["", f"[literals.{_toml(key)}]"]
        lines += [f"{name} = {_toml(value)}" for name, value in row.items()]
    return ("\n".join(lines) + "\n").encode()


def _toml(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _json(value).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = (f"{_toml(key)} = {_toml(each)}" for key, each in value.items() if each is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    raise ValueError(f"a plan cannot be saved with {value!r}")
