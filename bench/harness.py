"""What the benches share: options, the machine's own limits, one process per thread count, JSON.

Timing, checking, the table of cases and the peers' calls live in `fanin._bench`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fanin import _core
from fanin._bench import peers as _peers
from fanin._bench import timing as _bench
from fanin._bench.cases import Setting
from fanin._bench.contenders import Array, Contender
from fanin._bench.machine import machine
from fanin._bench.timing import Report, Row

# One bench function: fills a report for one thread count.
Bench = Callable[[Report, argparse.Namespace, int], None]

RESULTS = Path(__file__).parent / "results"
REST = 0.04  # seconds between contenders of several threads; OpenBLAS' threads spin for 25 ms


def options(description: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of every bench."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--json", type=Path, help="where to write the rows and the machine's facts")
    parser.add_argument(
        "--save",
        action="store_true",
        help="put the parts that were run into bench/results/CLASS OF THE MACHINE/NAME.json",
    )
    parser.add_argument("--megabytes", type=int, default=256, help="size of a reused array, 2^20 B")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contender")
    parser.add_argument("--patience", type=float, default=8.0, help="seconds for a slow contender")
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=list(_peers.PEERS),
        default=list(_peers.PEERS),
        help="peers to call if they are installed",
    )
    parser.add_argument("--only", nargs="*", default=[], help="names of the parts to run")
    return parser.parse_args(arguments)


def setting(choice: argparse.Namespace, threads: int) -> Setting:
    """What the options say of a case."""
    return Setting(threads, choice.megabytes, choice.peers)


def timed(
    report: Report, choice: argparse.Namespace, contenders: Sequence[Contender], **more: Any
) -> _bench.Timing:
    """Interleave, and note the peers whose values were wrong."""
    rest = 0.0 if choice.threads == [1] else REST
    timing = _bench.interleave(
        contenders, rounds=choice.rounds, patience=choice.patience, rest=rest, **more
    )
    report.notes += timing.flaws.values()
    return timing


# --- the machine's own limits -------------------------------------------------------------------


def stores(out: Array, threads: int) -> list[Contender]:
    """Writing a constant into `out`, already mapped: plain and non-temporal."""

    def limit(name: str, store: Callable[[Array, int], None]) -> Contender:
        def run() -> Array:
            store(out, threads)
            return out

        return Contender(name, f"{out.nbytes >> 20} MB reused", f"{threads} thr", run, out.size)

    return [
        limit("non-temporal stores", _core.debug.stream_store),
        limit("plain stores", _core.debug.plain_store),
    ]


def first_touch(nbytes: int, values: int, threads: int) -> Contender:
    """Mapping fresh memory on huge pages by writing it once."""
    return Contender(
        "first touch",
        f"{nbytes >> 20} MB fresh",
        f"{threads} thr",
        lambda: _core.debug.first_touch(nbytes, threads),
        values,
    )


def bandwidth(
    timing: _bench.Timing,
    ours: Contender,
    limit: str,
    nbytes: int,
    required: float | None = None,
) -> list[Row]:
    """The row in GB/s against a limit."""
    theirs = timing.best(limit)
    if theirs is None:
        return []
    own, other = (nbytes / timing.seconds[name] / 1e9 for name in (ours.name, theirs))
    title = f"{ours.what}, {ours.how}"
    return [Row(title, own, other, "GB/s", theirs, own / other, "of it", required)]


# --- running ------------------------------------------------------------------------------------


def main(name: str, description: str, parts: dict[str, Bench]) -> int:
    """Run the parts for every thread count asked for, print the table, write the JSON.

    Several thread counts are several processes, because XLA sizes its thread pool once in a
    process. Comparisons never cross two processes. The exit status is 0 whatever the verdicts:
    a figure that falls short is a result, not a failure; wrong moments are a failure.
    """
    choice = options(description)
    unknown = set(choice.only) - set(parts)
    if unknown:
        raise SystemExit(f"no such part: {sorted(unknown)}; parts: {list(parts)}")
    if len(choice.threads) > 1:
        return _one_process_each(choice.threads, choice.json, choice.save)
    [threads] = choice.threads
    report, rows = Report(), []
    made = datetime.now(UTC).isoformat(timespec="seconds")
    for part, bench in parts.items():
        if not choice.only or part in choice.only:
            print(f"{name}: {part}, threads={threads}", file=sys.stderr, flush=True)
            before = len(report.rows)
            bench(report, choice, threads)
            rows += [{"part": part, **row.as_dict()} for row in report.rows[before:]]
    print(f"\n{name}, threads={threads}\n{report.text()}", flush=True)
    result = {
        "bench": name,
        "made": made,
        "options": {**vars(choice), "json": None},
        "machine": machine(),
        "threads": {str(threads): {"rows": rows, "notes": report.notes}},
    }
    _keep(result, choice.json, choice.save)
    return 0


def _one_process_each(threads: Sequence[int], target: Path | None, saved: bool) -> int:
    """This script once per thread count, the results merged into one file."""
    arguments = _without(sys.argv[1:], {"--threads", "--json", "--save"})
    merged: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in threads:
            part = Path(folder, f"{count}.json")
            own = ["--threads", str(count), "--json", str(part)]
            subprocess.run([sys.executable, sys.argv[0], *arguments, *own], check=True)
            result = json.loads(part.read_text())
            merged = merged or result
            merged["threads"].update(result["threads"])
    _keep(merged, target, saved)
    return 0


def _without(arguments: Sequence[str], dropped: set[str]) -> list[str]:
    """The arguments less some options and those options' values."""
    kept: list[str] = []
    dropping = False
    for word in arguments:
        if word.startswith("--"):
            dropping = word.split("=", 1)[0] in dropped
        if not dropping:
            kept.append(word)
    return kept


def _keep(result: dict[str, Any], target: Path | None, saved: bool) -> None:
    if target:
        _write(target, result)
    if saved:
        save(result)


def save(result: dict[str, Any], results: Path = RESULTS) -> Path:
    """Put a run into the file of its bench and of this class of machine.

    There the parts that were run replace what the same parts gave before with as many threads; the
    other parts stay. Each row is of one run, so no ratio crosses two.

    Parameters
    ----------
    result : dict
        What `--json` writes. Without "part" in a row the bench counts as one part.
    results : Path
        The folder of the classes' folders.

    Returns
    -------
    Path
        The file.
    """
    name = re.sub("[^a-z0-9]+", "-", result["machine"]["class"].lower())
    target = results / name / f"{result['bench']}.json"
    merged = json.loads(target.read_text()) if target.exists() else {"threads": {}}
    threads: dict[str, Any] = merged["threads"]
    for count, new in result["threads"].items():
        old = threads.get(count, {"rows": [], "notes": []})
        parts = {row.get("part") for row in new["rows"]}
        kept = [row for row in old["rows"] if row.get("part") not in parts]
        rows = [{**row, "made": result["made"]} for row in new["rows"]]
        notes = dict.fromkeys([*old.get("notes", []), *new.get("notes", [])])
        threads[count] = {"rows": kept + rows, "notes": list(notes)}
    _write(target, {**result, "threads": dict(sorted(threads.items(), key=lambda i: int(i[0])))})
    return target


def _write(target: Path, result: dict[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")
