"""The batteries of dieharder on the words of 1024 interleaved streams of consecutive seeds."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading

import numpy as np
import pytest

import fanin
from fanin import _core

STREAMS = 1024
#: dieharder's test and ntuple; its own list calls 5-7 and 14 "Suspect" or "Do Not Use".
TESTS = ["0", "2", "8", "15", "102", "201", "209",
         *(f"200 -n {n}" for n in range(1, 5)), *(f"203 -n {n}" for n in range(5))]  # fmt: skip


def feed(pipe):
    """Word 0 of every stream, word 1 of every stream, and so on, until the reader has enough."""
    keys = [fanin.Stream(seed)._key for seed in range(STREAMS)]
    tile = 0
    try:
        while True:
            words = [_core.words(key, 0, tile, 32) for key in keys]
            pipe.write(np.stack(words, 1).tobytes())
            tile += 32
    except BrokenPipeError:
        pass
    finally:
        try:
            pipe.close()
        except BrokenPipeError:
            pass


@pytest.mark.long
@pytest.mark.parametrize("test", TESTS)
def test_dieharder_finds_nothing_in_consecutive_seeds(test):
    program = shutil.which("dieharder")
    assert program, "this test needs Debian's dieharder"
    command = [program, "-g", "200", "-d", *test.split()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        feeder = threading.Thread(target=feed, args=(run.stdin,))
        feeder.start()
        report = run.stdout.read().decode()
        feeder.join()
    verdicts = re.findall(r"\b(PASSED|WEAK|FAILED)\b", report)
    assert verdicts and "FAILED" not in verdicts, report
