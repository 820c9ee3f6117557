"""Plants known defects one by one in a copy of the repository and demands that a test turns red.

    python tools/plant_defects.py                    all of them (each C++ one compiles: minutes)
    python tools/plant_defects.py half seed          those whose name contains a word
    python tools/plant_defects.py --in cpp/ files/   those of files whose path contains a word
    python tools/plant_defects.py --python           those that need no compiler

The table is `defects.py`. Needs the build tools and test packages of CONTRIBUTING.md in the running
Python, for the adapters their frameworks. Exit status 1 if a defect was not noticed, or if a test
is red without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from defects import DEFECTS, Defect

from fanin import _core

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("cpp", "cmake", "python", "tests", "docs", "tools", "bench", "examples")


class Copy:
    """A copy of the repository with a build of its own."""

    def __init__(self, folder: Path, compiled: bool) -> None:
        self.compiled = compiled
        self.source, self.made, self.build = folder / "source", folder / "made", folder / "build"
        self.source.mkdir()
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy(path, self.source)
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        for name in FOLDERS:
            shutil.copytree(ROOT / name, self.source / name, ignore=ignored)
        shutil.copytree(ROOT / ".ci", self.source / ".ci")

    def install(self, changed: str = "") -> None:
        """Builds what has changed; without a compiler the core is that of the running Python."""
        if changed.endswith(".py"):
            shutil.copy(self.source / changed, self.made / Path(changed).relative_to("python"))
            return
        if not self.compiled:
            shutil.copytree(self.source / "python", self.made)
            shutil.copy(_core.__file__, self.made / "fanin")
            return
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation",
                   "--no-deps", "--upgrade", "--target", str(self.made),
                   "-C", f"build-dir={self.build}", "-C", "cmake.define.FANIN_QUICK=ON",
                   str(self.source)]  # fmt: skip
        subprocess.run(command, check=True)

    def green(self, tests: str) -> tuple[bool, str]:
        """Whether the tests pass; and the last line they print."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
                   "--timeout=120", *tests.split()]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(self.made)}
        run = subprocess.run(
            command, cwd=self.source, capture_output=True, text=True, env=environment
        )
        if run.returncode not in (0, 1):
            return False, f"pytest ended with {run.returncode}"
        failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED")]
        return run.returncode == 0, (failed or run.stdout.splitlines()[-1:])[0][:90]


def plant(copy: Copy, defect: Defect) -> bool:
    """Whether the defect was noticed; the copy is then as before."""
    path = copy.source / defect.file
    before = path.read_text("utf-8")
    if before.count(defect.old) != 1:
        print(f"STALE    {defect.name}: its text is not once in {defect.file}")
        return False
    start = time.monotonic()
    path.write_text(before.replace(defect.old, defect.new), "utf-8")
    try:
        copy.install(defect.file)
        green, line = copy.green(defect.tests)
    finally:
        path.write_text(before, "utf-8")
        if defect.file.endswith(".py"):
            copy.install(defect.file)
    word, seconds = "MISSED" if green else "noticed", time.monotonic() - start
    print(f"{word:8} {defect.name}: {line} ({seconds:.0f} s)", flush=True)
    return not green


def main() -> int:
    """Plants what the command line asks for; the number of defects that nobody noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="plant defects whose names contain one of these")
    parser.add_argument("--in", nargs="+", dest="files", metavar="PATH", help="and files likewise")
    parser.add_argument("--python", action="store_true", help="only what needs no compiler")
    asked = parser.parse_args()
    chosen = [d for d in DEFECTS if not asked.words or any(w in d.name for w in asked.words)]
    chosen = [d for d in chosen if not asked.files or any(f in d.file for f in asked.files)]
    chosen = [d for d in chosen if not asked.python or d.file.endswith(".py")]
    chosen.sort(key=lambda d: not d.file.endswith(".py"))  # one build serves all of these
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder), any(not d.file.endswith(".py") for d in chosen))
        copy.install()
        for tests in sorted({d.tests for d in chosen}):
            green, line = copy.green(tests)
            if not green:
                print(f"red without a defect: {tests}: {line}")
                return 1
        missed = [d for d in chosen if not plant(copy, d)]
    print(f"{len(chosen)} defects, {len(missed)} not noticed")
    return len(missed)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
