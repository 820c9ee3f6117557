"""Draws the rooms of the Python package from the table that its test uses.

python tools/draw_rooms.py                 writes docs/pictures/rooms.png
python tools/draw_rooms.py --text          the same as lines of text, for CONTRIBUTING.md

A room stands one floor above the highest of the rooms it may import. A line says "may import"; one
that follows from others is left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from rooms import ADAPTERS, FACE, PURPOSE, TABLE  # noqa: E402

PICTURE = ROOT / "docs" / "pictures" / "rooms.png"
#: Rooms that stand aside, -1 left and 1 right, so that long lines pass no box.
ASIDE = {"linalg": -1, "_arrays": -1, "_bench": -1, "_models": 1, "files": 1}
#: How a long line bends that goes to the left, straight down, or to the right.
_BEND = {-1: 0.45, 0: -1.7, 1: -0.45}
#: The four adapters are drawn as one box.
TOGETHER = " ".join(ADAPTERS)


def plan() -> dict[str, set[str]]:
    """Room -> rooms it may import, the adapters as one."""
    below = {room: {name.split(".")[0] for name in names} for room, names in TABLE.items()}
    together = set().union(*(below.pop(name) for name in ADAPTERS))
    return {**below, TOGETHER: together}


def floors(below: dict[str, set[str]]) -> list[list[str]]:
    """Rooms by floor, the ground first."""
    height: dict[str, int] = {}

    def of(room: str) -> int:
        if room not in height:
            height[room] = 1 + max((of(name) for name in below[room]), default=-1)
        return height[room]

    rows: list[list[str]] = [[] for _ in range(1 + max(map(of, below)))]
    for room in below:
        rows[height[room]].append(room)
    return rows


def lines(below: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The pairs that do not follow from others."""
    reached: dict[str, set[str]] = {}

    def all_below(room: str) -> set[str]:
        if room not in reached:
            reached[room] = set().union(*(all_below(n) | {n} for n in below[room]))
        return reached[room]

    return [
        (room, name)
        for room, names in below.items()
        for name in sorted(names)
        if not any(name in all_below(other) for other in names - {name})
    ]


def named(room: str) -> str:
    """How a room is written: a module of its name, or the ground."""
    return room if room in (FACE, "ground", TOGETHER) else f"fanin.{room}"


def purpose(room: str) -> str:
    return "one framework each" if room == TOGETHER else PURPOSE[room]


def text() -> str:
    """A line a room, the highest floor first."""
    below = plan()
    found = []
    for floor, rooms in reversed(list(enumerate(floors(below)))):
        for room in rooms:
            found.append(f"{floor}  {named(room):24s} {purpose(room)}")
    return "\n".join(found)


def draw() -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    below = plan()
    rows = floors(below)
    figure = Figure(figsize=(8.5, 1.15 * len(rows)), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(-1.35, 1.35)
    axes.set_ylim(-0.5, len(rows) - 0.4)
    width, height = 0.66, 0.52
    at = {room: (ASIDE.get(room, 0), floor) for floor, rooms in enumerate(rows) for room in rooms}
    if len(set(at.values())) < len(at):
        raise ValueError("two rooms stand in one place: move one aside")
    for upper, lower in lines(below):
        (x1, y1), (x2, y2) = at[upper], at[lower]
        between = [room for room, (x, y) in at.items() if y2 < y < y1 and x in (x1, x2)]
        axes.annotate(
            "",
            (x2, y2 + height / 2),
            (x1, y1 - height / 2),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#7f8c9b",
                "linewidth": 1.1,
                # A long line bends outwards, past the boxes between its ends.
                "connectionstyle": f"arc3,rad={_BEND[np.sign(x2 - x1)] if between else 0}",
            },
            zorder=1,
        )
    for room, (x, y) in at.items():
        public = room in (FACE, TOGETHER) or not room.startswith("_") and room != "ground"
        axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle="round,pad=0.005,rounding_size=0.03",
                facecolor="#d9e8f6" if public else "#f2f2f2",
                edgecolor="#31608f" if public else "#8a8a8a",
                zorder=2,
            )
        )
        axes.text(x, y + 0.09, named(room), ha="center", va="center", fontsize=10, weight="bold")
        axes.text(x, y - 0.13, purpose(room), ha="center", va="center", fontsize=8)
    figure.savefig(PICTURE, metadata={"Software": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", action="store_true", help="lines of text in place of a picture")
    if parser.parse_args().text:
        print(text())
    else:
        draw()
