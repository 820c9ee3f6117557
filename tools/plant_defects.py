"""Plants known defects one by one in a copy of the repository and demands that a test turns red.

    python tools/plant_defects.py                    all of them
    python tools/plant_defects.py half seed          those whose name contains a word
    python tools/plant_defects.py --in cpp/ files/   those of files whose path contains a word
    python tools/plant_defects.py --python           those that need no compiler

Without a defect everything is compiled once; with CMAKE_CXX_COMPILER_LAUNCHER=ccache and
CCACHE_BASEDIR the folder of temporary files, not even that in a second run. The table is
`defects.py`. Needs the build tools and test packages of CONTRIBUTING.md in the running Python,
for the adapters their frameworks. Exit status 1 if a defect was not noticed, or if a test is
red without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path

from defects import DEFECTS, Defect

from fanin import _core

ROOT = Path(__file__).resolve().parents[1]
#: What a test says of a defect that is none: the planted text itself is wrong.
BROKEN = ("NameError", "UnboundLocalError", "ImportError", "SyntaxError", "ended with 2",
          "does not compile")  # fmt: skip
FOLDERS = ("cpp", "cmake", "python", "tests", "docs", "tools", "bench", "examples")


class Copy:
    """A copy of the repository with a build of its own, which is kept as it was without a defect:
    a defect compiles what depends on its file, and what is mended is copied back."""

    def __init__(self, folder: Path, compiled: bool) -> None:
        self.source, self.made = folder / "source", folder / "made"
        self.build, self.kept = folder / "build", folder / "kept"
        self.source.mkdir()
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy2(path, self.source)
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        for name in (*FOLDERS, ".ci"):
            shutil.copytree(ROOT / name, self.source / name, ignore=ignored)
        if compiled:
            self._install()
        else:  # the core of the running Python
            shutil.copytree(self.source / "python", self.made)
            shutil.copy2(_core.__file__, self.made / "fanin")

    def _install(self) -> None:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation",
                   "--no-deps", "--target", str(self.made), "-C", f"build-dir={self.build}",
                   "-C", "cmake.define.FANIN_QUICK=ON", str(self.source)]  # fmt: skip
        subprocess.run(command, check=True)
        shutil.copytree(self.build, self.kept, symlinks=True)

    def _core(self) -> Path:
        """The core in the build folder."""
        return next(self.build.glob("_core*.so"))

    def _use(self, file: str) -> None:
        """What is installed follows a changed file."""
        if file.endswith(".py"):
            made = self.made / Path(file).relative_to("python")
            shutil.copy2(self.source / file, made)
            # Two defects of one second and size would share their bytecode.
            Path(cache_from_source(made)).unlink(missing_ok=True)
        else:
            shutil.copy2(self._core(), self.made / "fanin")

    @contextmanager
    def planted(self, file: str, text: str) -> Iterator[None]:
        """Whether it compiles or not, the copy is then as before."""
        path = self.source / file
        before, times = path.read_text("utf-8"), path.stat()
        path.write_text(text, "utf-8")
        try:
            if not file.endswith(".py"):
                subprocess.run(["cmake", "--build", self.build, "--target", "_core"], check=True,
                               stdout=subprocess.DEVNULL)  # fmt: skip
            self._use(file)
            yield
        finally:
            path.write_text(before, "utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            if not file.endswith(".py"):
                shutil.rmtree(self.build)
                shutil.copytree(self.kept, self.build, symlinks=True)
            self._use(file)

    def green(self, tests: str) -> tuple[bool, str]:
        """Whether the tests pass; and the last line they print."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
                   "--timeout=120", *tests.split()]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(self.made), "COLUMNS": "300"}
        run = subprocess.run(
            command, cwd=self.source, capture_output=True, text=True, env=environment
        )
        if run.returncode not in (0, 1):
            return False, f"pytest ended with {run.returncode}"
        failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED")]
        return run.returncode == 0, (failed or run.stdout.splitlines()[-1:])[0]


def red_without(copy: Copy, defects: list[Defect]) -> set[str]:
    """The tests of defects that are red without one. Together first, the adapters' apart, because
    that is quick; those of a group that is red, and those with options of their own, one by one."""
    every = {d.tests for d in defects}
    plain = {tests for tests in every if not tests.startswith("-")}
    adapters = {tests for tests in plain if "tests/frameworks" in tests}
    alone = every - plain
    for group in (plain - adapters, adapters):
        together = " ".join(sorted({test for tests in group for test in tests.split()}))
        if group and not copy.green(together)[0]:
            alone |= group
    return {tests for tests in alone if not copy.green(tests)[0]}


def plant(copy: Copy, defect: Defect) -> bool:
    """Whether a test noticed the defect; the copy is then as before."""
    before = (copy.source / defect.file).read_text("utf-8")
    if before.count(defect.old) != 1:
        print(f"STALE    {defect.name}: its text is not once in {defect.file}")
        return False
    start = time.monotonic()
    try:
        with copy.planted(defect.file, before.replace(defect.old, defect.new)):
            green, line = copy.green(defect.tests)
    except subprocess.CalledProcessError:
        green, line = False, "it does not compile"
    broken = any(error in line for error in BROKEN)
    word = "MISSED" if green else "BROKEN" if broken else "noticed"
    seconds = time.monotonic() - start
    print(f"{word:8} {defect.name}: {line[:90]} ({seconds:.0f} s)", flush=True)
    return word == "noticed"


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
        red = red_without(copy, chosen)
        for tests in sorted(red):
            print(f"RED      without a defect: {tests}", flush=True)
        missed = [d for d in chosen if d.tests in red or not plant(copy, d)]
    print(f"{len(chosen)} defects, {len(missed)} not noticed")
    return len(missed)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
