"""Plants known defects one by one in a copy of the repository and demands that a test turns red.

    python tools/plant_defects.py                    all of them (each C++ one compiles: minutes)
    python tools/plant_defects.py half seed          those whose name contains a word
    python tools/plant_defects.py --python           those that need no compiler

Needs the build tools and test packages of CONTRIBUTING.md in the running Python. Exit status 1 if a
defect was not noticed, or if a test is red without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from fanin import _core

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("cpp", "cmake", "python", "tests", "docs", "tools")


class Defect(NamedTuple):
    """`old` stands once in `file` and becomes `new`; then `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


ARS, BITS = "tests/kernels/test_ars.py", "tests/contract/test_bits.py"
LAWS = "tests/kernels/test_distributions.py"
DEFECTS = [
    # The generator
    Defect("a round of ARS is missing", "cpp/kernels/ars.hpp",
           "for (int r = 1; r < Rounds; ++r)", "for (int r = 2; r < Rounds; ++r)", ARS),
    Defect("a Weyl constant is off by one bit", "cpp/kernels/ars.hpp",
           "u64(r) * kWeylLow", "u64(r) * (kWeylLow ^ 4)", ARS),
    Defect("block numbers are narrowed to 32 bits", "cpp/kernels/ars.hpp",
           "at[i][2 * b] = tile * kTileBlocks", "at[i][2 * b] = u32(tile) * kTileBlocks", BITS),
    # Seeds and names
    Defect("a seed is narrowed to 32 bits", "cpp/bindings/random.cpp",
           "return key_bytes(key_of_seed(value));", "return key_bytes(key_of_seed(u32(value)));",
           "tests/core/test_stream.py"),
    Defect("the length of a name is not folded", "cpp/core/stream.hpp",
           "wide(u64(tag), u64(count))", "wide(u64(tag), 0)", "tests/core/test_stream.py"),
    Defect("a number and its name are one child", "python/fanin/_random/streams.py",
           "_NAME, _NUMBER, _SPAWN = 1, 2, 3", "_NAME, _NUMBER, _SPAWN = 1, 1, 3",
           "tests/core/test_stream.py"),
    Defect("the first spawned child is the parent", "python/fanin/_random/generator.py",
           "Generator(self._stream._spawned(first + i))",
           "Generator(self._stream._spawned(first + i) if first + i else self._stream)",
           "tests/api/random/test_random.py"),
    # Floating point
    Defect("products are contracted", "CMakeLists.txt",
           "-ffp-contract=off", "-ffp-contract=fast", "tests/kernels tests/contract"),
    Defect("a half value is truncated", "cpp/kernels/lanes.hpp",
           "(bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16", "bits >> 16", LAWS),
    Defect("the radius has 32 bits", "cpp/kernels/distributions.hpp",
           "(U(255) << (L::digits - 8))", "(U(0) << (L::digits - 8))", LAWS),
    Defect("a std is made by libm", "python/fanin/_modes.py",
           "return math.sqrt(fan_in * fan_out)",
           "return math.exp(0.5 * math.log(fan_in * fan_out))",
           "tests/contract/test_architecture.py"),
    Defect("the rounding mode of others is kept", "cpp/engine/environment.hpp",
           "    std::fesetenv(FE_DFL_ENV);\n#if defined(__x86_64__)\n    _mm_setcsr(0x1f80);",
           "#if defined(__x86_64__)\n    (void)0;", "tests/engine/test_environment.py"),
    Defect("a std is computed as others round", "python/fanin/_schemes/registry.py",
           "    @steady\n    def scheme(", "    def scheme(", "tests/engine/test_environment.py"),
    # Laws at their ends
    Defect("uniform reaches high", "cpp/engine/laws.cpp",
           "std::max(next_below(nearest(high, element), element), nearest(low, element))",
           "nearest(high, element)", LAWS),
    Defect("a truncated value leaves its bounds", "cpp/engine/laws.cpp",
           "scale == 0 ? kInfinity : largest_at_most(loc + scale * high, element)", "kInfinity",
           "tests/kernels"),
    Defect("integers miss the last value", "cpp/engine/integers.cpp",
           "(u128(bits) * span) >> 64", "(u128(bits) * (span - 1)) >> 64",
           "tests/api/random/test_generator.py"),
    Defect("a sign takes another bit", "cpp/engine/integers.cpp",
           "words[i] >> 31", "(words[i] >> 30 & 1)", "tests/api/random/test_generator.py"),
    # Addresses, chunks, threads
    Defect("chunks do not begin at whole tiles", "cpp/engine/fill.cpp",
           "fill_run(plan, source, d.element, first + u64(from), u64(to - from)",
           "fill_run(plan, source, d.element, first + u64(from) / 32 * 32, u64(to - from)",
           BITS),
    Defect("a part begins one too late", "python/fanin/_arrays/parts.py",
           "first += axis_range.start * stride if len(axis_range) else 0",
           "first += (axis_range.start + 1) * stride if len(axis_range) else 0",
           "tests/engine/test_fill.py"),
    Defect("a refused call moves the cursor", "python/fanin/_random/generator.py",
           "        goal = _goal(size, dtype, out, arrays, np.float64, accepted, function)\n"
           "        if check",
           "        self._cursor.take(1)\n"
           "        goal = _goal(size, dtype, out, arrays, np.float64, accepted, function)\n"
           "        if check", "tests/api/random/test_generator.py"),
    Defect("two calls get one tile", "cpp/bindings/bit_generator.cpp",
           "(first + tiles) * kTileWords", "(first + tiles - (tiles > 1)) * kTileWords",
           "tests/api/random/test_generator.py tests/api/random/test_random.py"),
    # Processes
    Defect("a fork is not noticed", "cpp/engine/parallel.cpp",
           "void mark_forked() { forked.store(true); }", "void mark_forked() {}",
           "tests/engine/test_fill.py"),
    Defect("threads are not tried first", "cpp/engine/parallel.cpp",
           "threads = startable(threads);", "threads = threads + 0 * startable(1);",
           "tests/engine/test_processes.py"),
    Defect("signals are not asked for", "cpp/bindings/gil.hpp",
           "return PyErr_CheckSignals() != 0;", "return false;", "tests/engine/test_fill.py"),
    # Foreign memory
    Defect("the offset of a DLPack tensor is ignored", "cpp/bindings/dlpack.cpp",
           "static_cast<char*>(tensor.data) + tensor.byte_offset",
           "static_cast<char*>(tensor.data)",
           "tests/api/random/test_buffers.py"),
    Defect("a DLPack capsule is not marked as used", "cpp/bindings/dlpack.cpp",
           "PyCapsule_SetName(capsule.ptr(), used) != 0", "used == nullptr",
           "tests/api/random/test_buffers.py"),
    Defect("overlapping memory is accepted", "python/fanin/_arrays/targets.py",
           "    if overlaps_itself(array):", "    if False and overlaps_itself(array):",
           "tests/api/random/test_buffers.py tests/api/random/test_random.py"),
    Defect("numpy.random gets the high half first", "cpp/bindings/bit_generator.cpp",
           "const u64 low = reader(state).next();\n  return low | u64(reader(state).next()) << 32;",
           "const u64 high = reader(state).next();\n  return high << 32 | reader(state).next();",
           "tests/api/random/test_bit_generator.py"),
    # Matrices, weights, files
    Defect("a reflector has no sign", "cpp/engine/reflectors.cpp",
           "sign[0] = T(length == 1 ? phase_re : -phase_re);", "sign[0] = T(1);",
           "tests/engine/test_orthogonal.py"),
    Defect("the products of a block do not depend on each other", "cpp/kernels/strip.hpp",
           "for (int i = 0; i < l; ++i) inside(i, l);",
           "for (int i = 0; i < l - 1; ++i) inside(i, l);",
           "tests/engine/test_orthogonal.py"),
    Defect("a run of rows is longer", "cpp/core/panels.hpp",
           "kRunRows = 128", "kRunRows = 256", "tests/engine/test_orthogonal.py"),
    Defect("a band of rows is longer", "cpp/core/panels.hpp",
           "kBandRows = 4096", "kBandRows = 8192", "tests/engine/test_orthogonal.py"),
    Defect("the conjugate of a coupling is forgotten", "cpp/kernels/strip.hpp",
           "adjoint ? -factor[1] : factor[1]", "factor[1]", "tests/engine/test_orthogonal.py"),
    Defect("the last leaf of a tree is cut", "cpp/engine/qr.cpp",
           "const i64 own = i + 1 < count ? length : rows_ - i * length;",
           "const i64 own = length;",
           "tests/engine/test_orthogonal.py"),
    Defect("a turned matrix lacks its last rows", "cpp/kernels/strip.hpp",
           "r < whole_rows ? whole_columns : 0", "whole_columns",
           "tests/engine/test_orthogonal.py"),
    Defect("he_normal is not corrected for its cut", "python/fanin/_schemes/laws.py",
           "sigma = spread / std if corrected else spread", "sigma = spread",
           "tests/api/schemes/test_schemes.py"),
    Defect("a file has its header first", "python/fanin/files/_pieces.py",
           "        write = file.write\n", "        write = file.write\n        write(header, 0)\n",
           "tests/api/files/test_files.py"),
]  # fmt: skip


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

    def install(self) -> None:
        """Builds what has changed; without a compiler the core is that of the running Python."""
        if not self.compiled:
            shutil.rmtree(self.made, ignore_errors=True)
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
    path.write_text(before.replace(defect.old, defect.new), "utf-8")
    try:
        copy.install()
        green, line = copy.green(defect.tests)
    finally:
        path.write_text(before, "utf-8")
    print(f"{'MISSED' if green else 'noticed':8} {defect.name}: {line}", flush=True)
    return not green


def main() -> int:
    """Plants what the command line asks for; the number of defects that nobody noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="plant defects whose names contain one of these")
    parser.add_argument("--python", action="store_true", help="only what needs no compiler")
    asked = parser.parse_args()
    chosen = [d for d in DEFECTS if not asked.words or any(w in d.name for w in asked.words)]
    chosen = [d for d in chosen if not asked.python or d.file.endswith(".py")]
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder), not asked.python)
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
