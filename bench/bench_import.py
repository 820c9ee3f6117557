"""Import: whole interpreters that import NumPy, and NumPy and fanin, in turns.

python bench/bench_import.py --save
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from harness import main, timed

from fanin._bench.contenders import Contender, installed
from fanin._bench.timing import Report, Row

MILLISECONDS_MORE = 30.0


def interpreter(peer: str, modules: str) -> Contender:
    """`python -c "import ..."`, from its start to its end."""
    command = [sys.executable, "-c", f"import {modules}"]
    return Contender(
        peer, f"import {modules}", "new process", lambda: subprocess.run(command, check=True), 1
    )


def imports(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """What `import fanin` adds to `import numpy`; torch and JAX for comparison."""
    ours = interpreter("fanin", "numpy, fanin")
    peers = [interpreter("NumPy", "numpy"), interpreter("ml_dtypes", "numpy, ml_dtypes")]
    for peer, module in (("torch", "torch"), ("JAX", "jax")):
        if peer in choice.peers and installed(module):
            peers.append(interpreter(peer, f"numpy, {module}"))
    for one in [ours, *peers]:
        one.run()  # compiles the byte code and fills the page cache
    timing = timed(report, choice, [ours, *peers])
    milliseconds = {name: 1e3 * seconds for name, seconds in timing.seconds.items()}
    for peer in peers:
        own, theirs = milliseconds[ours.name], milliseconds[peer.name]
        report.rows.append(
            Row(
                ours.what,
                own,
                theirs,
                "ms",
                peer.name,
                own - theirs,
                measure="ms more",
                required=MILLISECONDS_MORE if peer.peer == "NumPy" else None,
                at_most=True,
            )
        )


if __name__ == "__main__":
    raise SystemExit(main("import", __doc__ or "", {"imports": imports}))
