"""What the commands print, as tables of rich."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich import box
from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fanin._models import plan_table
from fanin._models.catalogue import Model, parameters
from fanin._models.measuring import NOTHING, Measured
from fanin._models.plan import Plan
from fanin._models.tensors import PlanTensor

if TYPE_CHECKING:
    from fanin._bench.timing import Row

__all__ = ["UNWRAPPED", "bench", "facts", "models", "plan", "schemes", "tensors", "totals"]

#: Columns of a bar.
_BAR = 24
#: Columns of an output that is no terminal: enough that no line is wrapped.
UNWRAPPED = 400

_INDEX = re.compile(r"(?<=\.)\d+(?=\.)")


def new_table(*columns: tuple[str, str]) -> Table:
    """An open table; each column is a heading and "left" or "right"."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, justify in columns:
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


class _Name:
    """A tensor's name; where it does not fit, it is broken after dots."""

    def __init__(self, name: str) -> None:
        self._parts = re.findall(r"[^.]*\.|[^.]+", name)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        lines = [""]
        for part in self._parts:
            if len(lines[-1]) + len(part) > options.max_width and lines[-1].strip():
                lines.append("  ")
            lines[-1] += part
        yield Text("\n".join(lines))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widths = [len(part) for part in self._parts]
        return Measurement(max(widths) + 2, sum(widths)).with_maximum(options.max_width)


@dataclass
class _Group:
    """Tensors that stand in one line of the table."""

    pattern: str
    scheme: str
    expected: float
    measured: Measured = NOTHING
    names: list[str] = field(default_factory=list)
    shapes: set[tuple[int, ...]] = field(default_factory=set)

    def add(self, tensor: PlanTensor, measured: Measured) -> None:
        self.names.append(tensor.name)
        self.shapes.add(tensor.shape)
        self.measured = self.measured.joined(measured)

    def row(self) -> tuple[RenderableType, ...]:
        count = len(self.names)
        return (
            _Name(self.names[0] if count == 1 else self.pattern),
            f"x{count}" if count > 1 else "",
            f"[cyan]{self.scheme}[/]",
            _extents(self.shapes),
            _figure(self.expected),
            _figure(self.measured.std),
            _mean(self.measured.mean),
        )


def tensors(
    plan: Sequence[PlanTensor], measured: Mapping[str, Measured], *, grouped: bool
) -> Table:
    """One line for each tensor.

    Grouped, layers that differ by their number share a line if their shapes are equal, and so do
    all constants of one value whose names end alike; these come last.
    """
    groups: dict[object, _Group] = {}
    for tensor in plan:
        expected = tensor.expected_std()
        expected = math.nan if expected is None else expected
        name = tensor.name
        if grouped:
            name = _INDEX.sub("*", name) if expected else "*." + name.rpartition(".")[2]
        key = (name, tensor.scheme, tensor.shape if expected else None)
        group = groups.setdefault(key, _Group(name, tensor.scheme, expected))
        group.add(tensor, measured[tensor.name])

    table = new_table(
        ("tensor", "left"),
        ("", "right"),
        ("scheme", "left"),
        ("shape", "left"),
        ("expected\nstd", "right"),
        ("measured\nstd", "right"),
        ("mean", "right"),
    )
    for group in sorted(groups.values(), key=lambda group: grouped and not group.expected):
        table.add_row(*group.row(), style="" if group.expected else "dim")
    return table


def plan(found: Plan) -> Table:
    """One line for each tensor of a plan, as `print(plan)` groups them."""
    table = new_table(*zip(plan_table.HEADINGS, ("left", "right", *["left"] * 3), strict=True))
    for name, *cells in plan_table.rows(found.tensors, found.dtype):
        table.add_row(_Name(name), *map(escape, cells))
    return table


def _extents(shapes: set[tuple[int, ...]]) -> str:
    """A shape, or for several of one rank the range of each axis."""
    if len({len(shape) for shape in shapes}) > 1:
        return "various"
    axes = [
        f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)}..{max(sizes)}"
        for sizes in zip(*shapes, strict=True)
    ]
    return f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"


def _figure(value: float) -> str:
    """A standard deviation with four digits or more."""
    if value == 0.0 or math.isnan(value):
        return f"{value:g}"
    return f"{value:.6f}" if value >= 1e-3 else f"{value:.3e}"


def _mean(value: float) -> str:
    """A mean; what is not a whole number is noise about zero."""
    return f"{value:g}" if value == round(value) else f"{value:+.1e}"


def totals(*, numbers: int, count: int, size: int, seconds: float, resumed: bool) -> Text:
    """Two lines: what was written, and how fast; of a run that went on, how long it took."""
    text = Text()
    text.append(f"{numbers:,} parameters", style="bold")
    text.append(f" in {count} tensors, {size:,} bytes\n")
    text.append(f"{seconds:.2f} s", style="bold")
    if resumed:
        text.append(" to check what was there and to write the rest")
        return text
    text.append(" with write and fsync: ")
    text.append(f"{numbers / seconds / 1e6:,.0f} million parameters/s", style="bold")
    text.append(f", {size / seconds / 1e9:.2f} GB/s")
    return text


def models(rows: Iterable[Model]) -> Table:
    """The architectures."""
    table = new_table(
        ("model", "left"),
        ("parameters", "right"),
        ("class in transformers", "left"),
        ("scheme", "left"),
        ("source", "left"),
    )
    for model in rows:
        table.add_row(
            f"[bold]{model.name}[/]",
            f"{parameters(model.tensors()) / 1e6:,.1f} M",
            model.architecture,
            escape(model.scheme),
            escape(model.source),
        )
    return table


def facts(rows: Mapping[str, Any]) -> Table:
    """Names and values."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(escape(name), escape(str(value)))
    return table


def schemes(rows: Iterable[Any]) -> Table:
    """The schemes."""
    table = new_table(("scheme", "left"), ("formula", "left"), ("source", "left"))
    for row in rows:
        table.add_row(f"[bold]{row.name}[/]", escape(row.formula), escape(row.source))
    return table


def bench(rows: Iterable[Row]) -> Table:
    """A bar for fanin and one for each peer, case by case, and how many times as fast fanin is."""
    table = new_table(
        ("values", "left"),
        ("who", "left"),
        ("", "right"),
        ("", "left"),
        ("", "left"),
        ("fanin/peer", "right"),
    )
    for title, case in groupby(rows, key=lambda row: row.title):
        peers = list(case)
        largest = max(peers[0].ours, *(row.theirs for row in peers))

        def bar(rate: float, largest: float = largest) -> Bar:
            return Bar(largest, 0, rate, width=_BAR)

        first = peers[0]
        own = f"{first.ours:.3g}", first.unit, bar(first.ours)
        table.add_row(escape(title), "[bold]fanin[/]", *own, "")
        for row in sorted(peers, key=lambda row: -row.theirs):
            theirs = f"{row.theirs:.3g}", row.unit, bar(row.theirs)
            who = row.against.replace(f" {title.rpartition(',')[0]}", "")
            table.add_row("", escape(who), *theirs, f"[bold]{row.compared:.3g} {row.measure}[/]")
        table.add_section()
    return table
