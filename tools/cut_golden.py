"""Writes or checks the golden file of the present stream, tests/golden/<fanin.STREAM>.txt.

    python tools/cut_golden.py                 cut: write the file, or add rows to it
    python tools/cut_golden.py --check         all hashes on the present instruction set
    python tools/cut_golden.py --check --short 4096 values a case, on every instruction set
    python tools/cut_golden.py --check --short --best    the same, on the best one only

A released file is never cut again: rows may be added to it, and a change of bits is a new stream.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import golden_cases as golden  # noqa: E402

import fanin  # noqa: E402
from fanin import _core  # noqa: E402

HEAD = f"""# Golden hashes of the stream {fanin.STREAM}; written by tools/cut_golden.py.
# function dtype seed offset, sha256 of the first 4096 values (16 digits), sha256 of all of them.
# The offset counts values, or tiles for words and for methods of a Generator.
"""


def cut() -> int:
    """Writes the file unless a row of it would change; the number of such rows."""
    old = golden.recorded() if golden.path().exists() else {}
    rows = {c.name: (golden.short_hash(c), golden.full_hash(c)) for c in golden.cases()}
    changed = [name for name, hashes in old.items() if rows.get(name) != hashes]
    for name in changed:
        print(f"{name} would change: that is a new stream")
    if not changed:
        lines = [" ".join([name, *hashes]) for name, hashes in rows.items()]
        text = HEAD + "\n".join([*golden.keys(), *lines]) + "\n"
        golden.FOLDER.mkdir(exist_ok=True)
        golden.path().write_text(text, "utf-8")
        print(f"{golden.path().name}: {len(rows)} cases")
    return len(changed)


def check(short: bool, every_isa: bool) -> int:
    """Compares with the file; the number of cases that differ."""
    rows = golden.recorded()
    wrong = 0
    for isa in fanin.runtime.isas() if every_isa else [fanin.runtime.isa()]:
        _core.debug.set_isa(isa)
        count = 0
        for case in golden.cases():
            hashed = golden.short_hash(case) if short else golden.full_hash(case)
            if rows.get(case.name, ("", ""))[0 if short else 1] != hashed:
                print(f"{isa}: {case.name} differs")
                wrong += 1
            count += 1
        print(f"{isa}: {count} cases of {golden.SHORT if short else golden.FULL} values")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--short", action="store_true", help="4096 values, every instruction set")
    parser.add_argument("--best", action="store_true", help="the best instruction set only")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit(min(check(arguments.short, arguments.short and not arguments.best), 1))
    sys.exit(min(cut(), 1))
