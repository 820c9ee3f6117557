"""Writes the measured tables of docs/benchmarks.md and README.md from bench/results/*.json.

python bench/tables.py

Of rows measured twice the newer counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
PEERS = ("NumPy", "torch", "JAX", "Keras", "oneMKL")
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
Key = tuple[str, str, str]  # threads, title, against


def measured(of: Callable[[str], bool]) -> tuple[dict[Key, dict[str, Any]], dict[str, Any]]:
    """The rows of the benches so named, and the machine: that of the file with the most rows, and
    the versions of what only others have."""
    reports = [json.loads(path.read_text()) for path in (ROOT / "bench/results").glob("*.json")]
    reports = [report for report in reports if of(report["bench"])]
    rows: dict[Key, dict[str, Any]] = {}
    for report in sorted(reports, key=lambda report: str(report["made"])):
        for threads, part in report["threads"].items():
            for row in part["rows"]:
                rows[threads, row["title"], row["against"]] = row
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}
    for report in sorted(reports, key=size):
        machine = report["machine"]
        versions |= machine["versions"]
    return rows, {**machine, "versions": versions}


def size(report: dict[str, Any]) -> int:
    """How many rows."""
    return sum(len(part["rows"]) for part in report["threads"].values())


def named(machine: dict[str, Any]) -> str:
    """The CPU, as far as the results say which."""
    family = machine.get("family")
    return f"{machine['cpu']} ({family})" if family else str(machine["cpu"])


def figure(value: float) -> str:
    return f"{value:.3g}"


def whole(rows: dict[Key, dict[str, Any]], machine: dict[str, Any]) -> str:
    """Every row, for docs/benchmarks.md."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{named(machine)}, {machine['cores']} cores, {machine['isa']}; {versions}.",
        "",
        "| threads | what | fanin | peer | unit | against | compared | asked | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (threads, title, against), row in rows.items():
        sign = "<=" if row["at_most"] else ">="
        asked = "" if row["required"] is None else f"{sign} {row['required']:g}"
        cells = [threads, title, figure(row["ours"]), figure(row["theirs"]), row["unit"], against]
        cells += [f"{figure(row['compared'])} {row['measure']}", asked, row["verdict"] or ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def short(rows: dict[Key, dict[str, Any]], machine: dict[str, Any]) -> str:
    """Ratios to the peers, for the README."""
    lines = [
        f"| 1 thread / 2 threads | 10⁹ values/s | {' | '.join(f'× {peer}' for peer in PEERS)} |",
        "|---" * (2 + len(PEERS)) + "|",
    ]
    for name, title in SHOWN.items():
        cells = []
        for peer in ("", *PEERS):
            start = f"{peer} {title}" if peer else ""
            cells.append(
                both(rows, title, "compared" if peer else "ours", "G/s", lambda key, start=start:
                     key.startswith(start))
            )  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"{named(machine)}, {machine['cores']} cores, {machine['isa']}."]
    return "\n".join(lines)


def matrices(rows: dict[Key, dict[str, Any]]) -> str:
    """The same for orthogonal matrices."""
    lines = [
        f"| 1 thread / 2 threads | 10⁹ flops/s | {' | '.join(f'× {how}' for how in FACTORISING)} |",
        "|---" * (2 + len(FACTORISING)) + "|",
    ]
    for name, size in MATRICES.items():
        title = f"float32 orthogonal, {size}"
        cells = [both(rows, title, "ours", "Gflop/s", lambda key: True)]
        cells += [
            both(rows, title, "compared", "Gflop/s", lambda key, ends=ends: key.endswith(ends))
            for ends in FACTORISING.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
    return "–" if pair == ["–", "–"] else " / ".join(pair)


def replace(path: Path, name: str, text: str) -> None:
    block = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    old = path.read_text()
    path.write_text(block.sub(lambda found: f"{found[1]}{text}\n{found[2]}", old))


if __name__ == "__main__":
    # Measured on machines of their own, each named above its table.
    apart = ("propagation", "files", "adapters")
    found, on = measured(lambda bench: bench not in apart)
    replace(ROOT / "docs/benchmarks.md", "measured", whole(found, on))
    replace(ROOT / "README.md", "measured", short(found, on))
    replace(ROOT / "README.md", "matrices", matrices(found))
    for name in apart:
        found, on = measured(lambda bench, name=name: bench == name)
        if found:
            replace(ROOT / "docs/benchmarks.md", name, whole(found, on))
