"""The texts that follow from the row of a scheme: docstring, example, listing."""

from __future__ import annotations

from collections.abc import Iterable

from fanin._arrays.shapes import as_sizes

from .accepts import REQUIRED, Parameter
from .scheme import Scheme

_WIDTH = 96

_RANDOM_SEED = """\
seed : int, Stream or Generator
    Which words to use; required, there is no hidden state. Two tensors with one seed share
    their words, so give each tensor a named child: ``seed=fanin.Stream(0)["layer1.weight"]``.
    A Generator gives its next child."""

_IGNORED_SEED = """\
seed : optional
    Accepted, so that every scheme can be called alike, and ignored."""

_COMMON = """\
dtype : dtype, optional
    float32 (default), float64, float16, bfloat16, and complex64 or complex128 where the law has
    a complex form. None takes the dtype of `out`.
layout : {"io", "oi"} or Layout, default "io"
    ``"io"`` reads the shape as ``(*kernel, in, out)``, ``"oi"`` as ``(out, in, *kernel)``.
gain : float >= 0 or str, default 1.0
    Multiplies every value; the name of an activation stands for ``fanin.gain(name)``.
out : array, optional
    Writable array of the result's shape, filled and returned.
index : basic index or fanin.flat[start:stop], optional
    The part of the full shape to make: exactly ``full[index]``, at the cost of that part.
threads : int >= 1, optional
    Threads to use; the values do not depend on it."""

_RETURNS = """\
ndarray or `out`
    The weight, or its part that `index` selects; a scalar if `index` is all integers."""

_RAISES = """\
ValueError
    If a parameter or `gain` is negative, infinite or NaN, or the shape does not fit.
TypeError
    If an argument has the wrong type{seed}. A refused call writes nothing."""


def docstring(row: Scheme) -> str:
    """The numpydoc docstring of the scheme's public function."""
    parameters = [
        "shape : int or sequence of int\n    Full shape of the weight, up to 2**63 - 1 elements.",
        *map(_parameter, row.parameters),
        _RANDOM_SEED if row.needs_seed else _IGNORED_SEED,
        _COMMON,
    ]
    seed_words = " or `seed` is missing" if row.needs_seed else ""
    sections = [
        row.summary,
        f"{row.formula}      ({row.source})",
        _section("Parameters", "\n".join(parameters)),
        _section("Returns", _RETURNS),
        _section("Raises", _RAISES.format(seed=seed_words)),
    ]
    if row.notes:
        paragraphs = row.notes.strip().split("\n\n")
        sections.append(_section("Notes", "\n\n".join(map(_wrapped, paragraphs))))
    sections.append(_section("Examples", example(row)))
    return "\n\n".join(sections) + "\n"


def example(row: Scheme) -> str:
    """A doctest of the typical call."""
    arguments = [f"{name}={value!r}" for name, value in row.example.items() if name != "shape"]
    shape = row.example["shape"]
    if not row.needs_seed:
        call = f"fanin.{row.name}({', '.join([repr(shape), *arguments])})"
        return f">>> import fanin\n>>> {call}\n{row.printed}"
    arguments.append('seed=stream["layer1.weight"]')
    call = f"fanin.{row.name}({', '.join([repr(shape), *arguments])})"
    return (
        f">>> import fanin\n>>> stream = fanin.Stream(0)\n>>> weight = {call}\n"
        f">>> weight.shape, weight.dtype.name\n({as_sizes(shape)!r}, {row.default_dtype!r})"
    )


def table_text(rows: Iterable[Scheme]) -> str:
    """Rows as lines of name, formula and source in columns."""
    cells = [("scheme", "formula", "source")]
    cells += [(row.name, row.formula, row.source) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(2)]
    return "\n".join(
        f"{name:<{widths[0]}}  {formula:<{widths[1]}}  {source}" for name, formula, source in cells
    )


def _parameter(parameter: Parameter) -> str:
    default = "" if parameter.default is REQUIRED else f", default {parameter.default!r}"
    return f"{parameter.name} : {parameter.accepts.words}{default}\n" + _wrapped(
        parameter.meaning, "    "
    )


def _wrapped(text: str, indent: str = "") -> str:
    """Text in lines of at most the width (textwrap would be half of the import's time)."""
    lines = []
    line = indent
    for word in text.split():
        if len(line) + len(word) > _WIDTH:
            lines.append(line.rstrip())
            line = indent
        line += word + " "
    return "\n".join([*lines, line.rstrip()])


def _section(title: str, body: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{body}"
