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
Key = tuple[str, str, str]  # threads, title, against


def measured(of: Callable[[str], bool]) -> tuple[dict[Key, dict[str, Any]], dict[str, Any]]:
    """The rows of the benches so named, and the machine of the newest file."""
    reports = [json.loads(path.read_text()) for path in (ROOT / "bench/results").glob("*.json")]
    rows, machine = {}, {}
    for report in sorted(reports, key=lambda report: str(report["made"])):
        if not of(report["bench"]):
            continue
        machine = report["machine"]
        for threads, part in report["threads"].items():
            for row in part["rows"]:
                rows[threads, row["title"], row["against"]] = row
    return rows, machine


def figure(value: float) -> str:
    return f"{value:.3g}"


def whole(rows: dict[Key, dict[str, Any]], machine: dict[str, Any]) -> str:
    """Every row, for docs/benchmarks.md."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{machine['cpu']} (Zen 4), {machine['cores']} cores, {machine['isa']}; {versions}.",
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
            pair = []
            for threads in ("1", "2"):
                found = [
                    row
                    for key, row in rows.items()
                    if key[:2] == (threads, f"{title}, {threads} thr")
                    and key[2].startswith(f"{peer} {title}" if peer else "")
                    and row["unit"] == "G/s"
                ]
                value = found[0]["compared" if peer else "ours"] if found else None
                pair.append("–" if value is None else f"{value:.{1 if value < 10 else 0}f}")
            cells.append("–" if pair == ["–", "–"] else " / ".join(pair))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"{machine['cpu']} (Zen 4), {machine['cores']} cores, AVX-512 with VAES."]
    return "\n".join(lines)


def replace(path: Path, name: str, text: str) -> None:
    block = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    old = path.read_text()
    path.write_text(block.sub(lambda found: f"{found[1]}{text}\n{found[2]}", old))


if __name__ == "__main__":
    found, on = measured(lambda bench: bench != "propagation")
    replace(ROOT / "docs/benchmarks.md", "measured", whole(found, on))
    replace(ROOT / "README.md", "measured", short(found, on))
    found, on = measured(lambda bench: bench == "propagation")
    if found:
        replace(ROOT / "docs/benchmarks.md", "propagation", whole(found, on))
