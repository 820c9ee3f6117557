"""Builds fanin for gcov, runs tests on it and prints the line coverage of the C++.

    python tools/measure_coverage.py                        the default suite without its statistics
    python tools/measure_coverage.py tests/kernels -k ars   other arguments of pytest
    python tools/measure_coverage.py --folder F             keep the build in F, and its counts

A line is covered if it ran in one of the objects that hold it: the kernels are compiled once for
every instruction set, templates once for every type. Needs GCC and its gcov, and the build tools
and test packages of CONTRIBUTING.md in the running Python. Exit status 1 below 95 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Half of the suite's time and no line of their own.
LEFT_OUT = ["tests/kernels/test_statistics.py", "tests/contract/test_golden.py"]
#: Its child is nobody, who may not write counts and says so.
NOBODY = "tests/api/files/test_files.py::test_a_folder_that_cannot_be_written_is_refused_before_anything_is_generated"  # noqa: E501
WANTED = 95.0

Counts = dict[Path, dict[int, int]]


def build(folder: Path) -> None:
    """Installs the instrumented package into folder/made; compiles what has changed."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps",
               "--upgrade", "--target", str(folder / "made"), "-C", f"build-dir={folder / 'build'}",
               "-C", "cmake.define.FANIN_COVERAGE=ON", str(ROOT)]  # fmt: skip
    subprocess.run(command, check=True)


def run(folder: Path, arguments: list[str]) -> None:
    """Runs pytest on the instrumented package."""
    default = [*(f"--ignore={path}" for path in LEFT_OUT), f"--deselect={NOBODY}"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               *(arguments or default)]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(folder / "made")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def counts(folder: Path) -> Counts:
    """File -> line -> how often it ran, over all objects, of the files in cpp/."""
    total: Counts = defaultdict(lambda: defaultdict(int))
    for notes in sorted(folder.rglob("*.gcno")):
        command = ["gcov", "--json-format", "--stdout", notes.name]
        made = subprocess.run(command, cwd=notes.parent, capture_output=True, check=True)
        for text in made.stdout.splitlines():
            report = json.loads(text)
            for file in report["files"]:
                path = (Path(report["current_working_directory"]) / file["file"]).resolve()
                if path.is_relative_to(ROOT / "cpp"):
                    for line in file["lines"]:
                        total[path][line["line_number"]] += line["count"]
    return total


def runs(lines: list[int]) -> str:
    """Line numbers as 3, 7-9."""
    groups = groupby(enumerate(lines), lambda pair: pair[1] - pair[0])
    parts = [[line for _, line in group] for _, group in groups]
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def main() -> int:
    """Prints a line a file, and the whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of the build, instead of a temporary one")
    asked, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).resolve()
        build(folder)
        run(folder, arguments)
        total = counts(folder)
    lines = covered = 0
    for path, found in sorted(total.items()):
        missed = sorted(line for line, count in found.items() if count == 0)
        lines += len(found)
        covered += len(found) - len(missed)
        share = 100 * (1 - len(missed) / len(found))
        print(f"{share:6.1f} %  {path.relative_to(ROOT)}  {runs(missed)}")
    share = 100 * covered / lines
    print(f"{share:6.1f} %  {covered} of {lines} lines")
    return int(share < WANTED)


if __name__ == "__main__":
    sys.exit(main())
