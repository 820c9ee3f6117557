"""The end of the interpreter while other threads are inside the core."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: One endless loop for every binding that lets go of the interpreter's lock, or takes it inside.
LOOPS = {
    "fill": "fanin.normal(1 << 18, seed=0, threads=2)",
    "fill alone": "fanin.normal(1 << 16, seed=0, threads=1)",
    "fill_each": "fanin.normal((1 << 8, 1 << 8), np.arange(256.0), seed=0)",
    "fill_integers": "fanin.default_rng(0).integers(9, size=1 << 17)",
    "fill_integers_each": "fanin.default_rng(0).integers([1, 2], 9, (1 << 15, 2))",
    "fill_signs": "fanin.default_rng(0).rademacher(1 << 18)",
    "truncated_normal": "fanin.truncated_normal(1 << 12, low=np.arange(1 << 12) % 8.0,"
    " high=np.inf, seed=0)",
    "haar": "fanin.orthogonal((400, 400), seed=0, threads=2)",
    "haar of a batch": "fanin.orthogonal((99, 8, 8), seed=0, batch_axes=(0,))",
    "haar with progress": "core.haar(key, [0], 400, 400, 0, 400, 0, 1.0,"
    " np.empty((1, 400, 400)), 2, lambda done, total: None)",
    "qr": "fanin.linalg.qr(np.ones((99, 30, 20)))",
    "gemm": "core.gemm(square, square, np.empty_like(square), False, False, 2)",
    "simulate": "p.simulate('tanh', 3, 64, weight_var=1., networks=4, seed=0)",
    "moments": "p.moments(np.geomspace(1e-3, 1e3, 9999), 'gelu')",
    "values": "fanin.Activation('silu')(np.ones(99999))",
    "pairs": "p.covariance(np.linspace(1, 2, 99), 1.5, 0.3, 'silu')",
    "propagated": "p.propagate('tanh', 99, weight_var=np.linspace(1, 2, 999))",
    "fixed points": "p.fixed_points('relu', weight_var=1.5, bias_var=0.1)",
    "a callable": "p.moments(np.geomspace(1, 9, 9), fanin.Activation(np.tanh))",
    "words": "core.words(key, 0, 0, 9999)",
    "stores": "core.debug.plain_store(np.empty(1 << 20, 'f4'), 2)",
}

PROGRAM = """
import threading, time
import numpy as np
import fanin
from fanin import _core as core, propagation as p
key, square = fanin.Stream(0)._key, np.ones((300, 300))
begun = threading.Semaphore(0)

def loop(code):
    once = compile(code, code, "eval")
    eval(once, globals())
    begun.release()
    while True:
        eval(once, globals())

codes = {codes}
for code in codes:
    threading.Thread(target=loop, args=(code,), daemon=True).start()
for code in codes:
    begun.acquire()
print("ends", flush=True)
"""


@pytest.mark.parametrize("attempt", range(2))  # which thread is where when it ends is chance
def test_daemon_threads_in_the_core_let_the_interpreter_end(attempt):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{codes}", repr(list(LOOPS.values())))],
        capture_output=True, text=True, timeout=60, env=os.environ,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ends\n", "")


def test_what_the_interpreter_frees_while_it_ends_may_use_the_core():
    code = """
import os
import numpy as np
import fanin
from fanin import propagation as p

class Last:
    custom = fanin.Activation("silu")
    calls = (fanin.normal, p.moments, os.write)
    def __del__(self, calls=calls, custom=custom):
        normal, moments, write = calls
        write(1, b"%d %d" % (normal(1 << 17, seed=0).size, moments(2.0, custom).second > 0))

last = Last()
custom = fanin.Activation(np.tanh, kinks=[])  # what refers to Python from within the core
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "131072 1", "")
