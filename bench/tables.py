"""Writes the measured tables of docs/benchmarks.md and README.md from bench/results/*/*.json, and
draws the pictures beside them.

python bench/tables.py

Each class of machines is a folder of results and a column of the tables. Of rows that one class
measured twice the newer counts; every ratio is of one row, so of one run on one machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanin._bench.pictures import plot
from fanin._bench.timing import Report, Row

ROOT = Path(__file__).parents[1]
#: The rows of the README: what is filled, and its title without the threads.
SHOWN = {
    "float32 normal": "float32 normal",
    "bfloat16 normal": "bfloat16 normal",
    "float64 normal": "float64 normal",
    "float32 truncated normal, ±2": "float32 truncated [-2, 2]",
    "float32 uniform": "float32 uniform [0, 1)",
    "Llama-shaped list, 1.07e9 bfloat16, new memory": "Llama-shaped list, 1.07e9 bfloat16, fresh",
}
PEERS = ("NumPy", "torch", "JAX", "Keras", "oneMKL", "randompack")
#: The picture of a class: its cases, with two threads.
PICTURED = ("AMD Zen 5", "Intel Sapphire Rapids")
DRAWN = (
    "float32 normal", "float32 truncated [-2, 2]", "float32 uniform [0, 1)", "float64 normal",
)  # fmt: skip
MATRICES = {
    "one of 1024 × 1024": "n = 1024",
    "one of 4096 × 4096": "n = 4096",
    "one of 8192 × 1024": "8192 x 1024",
    "one of 1024 × 8192": "1024 x 8192",
    "a batch of 512, 32 × 32": "512 of 32 x 32",
    "a batch of 32, 256 × 256": "32 of 256 x 256",
}
#: Columns of the matrices: how the peer's contender ends.
FACTORISING = {
    "torch `orthogonal_`": ("(orthogonal_)", "(orthogonal_ in a loop)"),
    "MKL QR": ("(MKL geqrf + orgqr)", "(batched linalg.qr)"),
    "OpenBLAS QR": ("(OpenBLAS geqrf + orgqr)",),
    "JAX `orthogonal`": ("(orthogonal)",),
}
NOTHING = "–"
#: The benches of docs/benchmarks.md's section Numbers, and their titles.
SECTIONS = {
    "fill": "Large fills",
    "orthogonal": "Orthogonal matrices, matrix products and QR",
    "models": "Lists of tensors",
    "torch": "fanin.torch",
    "small": "Small calls",
    "schemes": "Schemes",
    "threads": "The number of threads by default",
    "import": "Import",
}
APART = ("propagation", "files", "adapters")  # blocks of their own
Key = tuple[str, str, str]  # threads, title, against


@dataclass
class Measured:
    """What one class of machines has measured.

    Attributes
    ----------
    machine : dict
        That of the file with the most rows, and the versions of what only others have.
    rows : dict
        By threads, title and whom it is against.
    """

    machine: dict[str, Any]
    rows: dict[Key, dict[str, Any]]

    @property
    def name(self) -> str:
        """The class."""
        return str(self.machine["class"])

    @property
    def caption(self) -> str:
        """The CPU as the system names it, and the software."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions)
        return f"{self.short_caption}; {versions}"

    @property
    def short_caption(self) -> str:
        machine = self.machine
        return f"{self.name} ({machine['cpu']}), {machine['cores']} cores, {machine['isa']}"

    @property
    def versions(self) -> list[tuple[str, str]]:
        return sorted(self.machine["versions"].items())


def measured(of: Callable[[str], bool]) -> list[Measured]:
    """The rows of the benches so named, class by class."""
    folders = sorted(path for path in (ROOT / "bench/results").iterdir() if path.is_dir())
    found = [of_class(folder, of) for folder in folders]
    return [one for one in found if one.rows]


def of_class(folder: Path, of: Callable[[str], bool]) -> Measured:
    """The same of one class."""
    reports = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    reports = [report for report in reports if of(report["bench"])]
    rows: dict[Key, dict[str, Any]] = {}
    for report in sorted(reports, key=lambda report: str(report["made"])):
        for threads, part in report["threads"].items():
            for row in part["rows"]:
                rows[threads, row["title"], of_any_method(row["against"])] = row
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}
    for report in sorted(reports, key=size):
        machine = report["machine"]
        versions |= machine["versions"]
    return Measured({**machine, "versions": versions}, rows)


def of_any_method(against: str) -> str:
    """Without the generator and the method, if it is oneMKL's best, which differs by machine."""
    return re.sub(r"\(\w+ \w+, ", "(", against) if against.startswith("oneMKL") else against


def size(report: dict[str, Any]) -> int:
    """How many rows."""
    return sum(len(part["rows"]) for part in report["threads"].values())


def figure(value: float) -> str:
    return f"{value:.3g}"


def whole(machines: list[Measured]) -> str:
    """Every row of some benches, for docs/benchmarks.md: a cell for each class of machines."""
    lines = [f"* {one.caption}." for one in machines]
    head = ["threads", "what", "against", "unit", *(one.name for one in machines)]
    lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for key in dict.fromkeys(key for one in machines for key in one.rows):
        found = [one.rows.get(key) for one in machines]
        unit = next(row["unit"] for row in found if row)
        cells = [*key, unit, *(compared(row) if row else "" for row in found)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def sections() -> str:
    """The benches that have no block of their own, one heading each."""
    parts = []
    for bench, title in SECTIONS.items():
        machines = measured(lambda name, bench=bench: name == bench)
        parts.append(f"### {title}\n\n`bench/bench_{bench}.py`\n\n{whole(machines)}")
    return "\n\n".join(parts)


def compared(row: dict[str, Any]) -> str:
    """How fanin and the peer compare, the two figures, and whether what is asked is reached."""
    figures = f"{figure(row['ours'])} / {figure(row['theirs'])}"
    text = f"{figure(row['compared'])} {row['measure']} ({figures})"
    if row["required"] is not None:
        text += f"; {'≤' if row['at_most'] else '≥'} {row['required']:g}: {row['verdict']}"
    return text


def short(machines: list[Measured]) -> str:
    """Ratios to the peers, for the README."""
    lines, seen = heading("10⁹ values/s", PEERS), []
    for name, title in SHOWN.items():
        for one in machines:
            cells = []
            for peer in ("", *PEERS):
                start = f"{peer} {title}" if peer else ""
                cells.append(
                    both(one.rows, title, "compared" if peer else "ours", "G/s",
                         lambda key, start=start: key.startswith(start))
                )  # fmt: skip
            if cells[0] != NOTHING:
                lines.append(f"| {name} | {one.name} | {' | '.join(cells)} |")
                seen.append(one)
    return "\n".join([*lines, "", *captions(one for one in machines if one in seen)])


def matrices(machines: list[Measured]) -> str:
    """The same for orthogonal matrices."""
    lines = heading("10⁹ flops/s", FACTORISING)
    for name, size in MATRICES.items():
        title = f"float32 orthogonal, {size}"
        for one in machines:
            cells = [both(one.rows, title, "ours", "Gflop/s", lambda key: True)]
            for ends in FACTORISING.values():
                cells.append(
                    both(one.rows, title, "compared", "Gflop/s",
                         lambda key, ends=ends: key.endswith(ends))
                )  # fmt: skip
            if cells[0] != NOTHING:
                lines.append(f"| {name} | {one.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(one: Measured) -> None:
    """Bars of one class, case by case, to docs/pictures."""
    report = Report()
    for title in DRAWN:
        for (threads, name, against), row in one.rows.items():
            mine = (threads, name) == ("2", f"{title}, 2 thr") and row["unit"] == "G/s"
            if mine and against.startswith(tuple(f"{peer} {title}" for peer in PEERS)):
                report.rows.append(Row(**{field: row[field] for field in Row.__annotations__}))
    figure = plot(report, f"Filling 256 MB with two threads: {one.short_caption}")
    name = one.name.lower().replace(" ", "-")
    figure.savefig(ROOT / f"docs/pictures/fill-{name}.png", dpi=110, metadata={"Software": None})


def heading(unit: str, peers: Iterable[str]) -> list[str]:
    cells = ["1 thread / 2 threads", "CPU", unit, *(f"× {peer}" for peer in peers)]
    return [f"| {' | '.join(cells)} |", "|---" * len(cells) + "|"]


def captions(machines: Iterable[Measured]) -> list[str]:
    return ["; ".join(one.short_caption for one in machines) + "."]


def both(
    rows: dict[Key, dict[str, Any]], title: str, what: str, unit: str, of: Callable[[str], bool]
) -> str:
    """A figure with one and with two threads."""
    pair = []
    for threads in ("1", "2"):
        found = [
            row[what]
            for (count, name, against), row in rows.items()
            if (count, name) == (threads, f"{title}, {threads} thr")
            and of(against)
            and row["unit"] == unit
        ]
        pair.append(f"{found[0]:.{1 if found[0] < 10 else 0}f}" if found else "–")
    return NOTHING if pair == ["–", "–"] else " / ".join(pair)


def replace(path: Path, name: str, text: str) -> None:
    block = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    old = path.read_text()
    if not block.search(old):
        raise ValueError(f"{path.name} has no block named {name}")
    path.write_text(block.sub(lambda found: f"{found[1]}{text}\n{found[2]}", old))


if __name__ == "__main__":
    shown = measured(lambda bench: bench in SECTIONS)
    replace(ROOT / "docs/benchmarks.md", "measured", sections())
    replace(ROOT / "README.md", "measured", short(shown))
    replace(ROOT / "README.md", "matrices", matrices(shown))
    for one in shown:
        if one.name in PICTURED:
            picture(one)
    for name in APART:
        found = measured(lambda bench, name=name: bench == name)
        replace(ROOT / "docs/benchmarks.md", name, whole(found))
