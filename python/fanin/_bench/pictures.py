"""The picture of a report: bars, case by case."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .timing import Report

_COLOURS = {"fanin": "#c0392b", "NumPy": "#4c72b0", "randompack": "#8172b3", "oneMKL": "#64b5cd",
            "torch": "#dd8452", "JAX": "#55a868", "Keras": "#937860"}  # fmt: skip


def plot(report: Report, caption: str = "") -> Any:
    """A figure of matplotlib with one group of bars a case; rates in 10^9 values a second.

    The number at a peer's bar says how many times as fast fanin is.
    """
    from matplotlib.figure import Figure

    cases = [(title, list(rows)) for title, rows in groupby(report.rows, key=lambda r: r.title)]
    lines = sum(len(rows) + 2 for _, rows in cases)
    figure = Figure(figsize=(8, 1.2 + 0.22 * lines), layout="constrained")
    axes = figure.subplots()
    place, ticks = 0.0, []
    for title, rows in cases:
        begin = place
        peers = sorted(rows, key=lambda row: -row.theirs)
        bars = [("fanin", rows[0].ours, "")]
        bars += [(row.against.split()[0], row.theirs, f"{row.compared:.3g} x") for row in peers]
        for who, rate, note in bars:
            axes.barh(place, rate, height=0.8, color=_COLOURS.get(who, "#777777"))
            text = f"{who}  {rate:.3g}" + (f"  ({note})" if note else "")
            axes.annotate(text, (rate, place), (4, 0), textcoords="offset points", va="center",
                          fontsize=8)  # fmt: skip
            place += 1
        ticks.append(((begin + place - 1) / 2, title))
        place += 1
    axes.set_yticks([at for at, _ in ticks], [title for _, title in ticks])
    axes.invert_yaxis()
    axes.margins(x=0.3, y=0.01)
    axes.set_xlim(left=0)
    axes.set_xlabel("$10^9$ values a second (fanin's speed over the peer's)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(caption, fontsize=8, loc="left")
    return figure
