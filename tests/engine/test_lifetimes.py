"""Activations made of functions: forks, threads, recursion, garbage."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import fanin
from fanin import propagation as p

FORKED = """
import os, sys, threading, time, warnings
import numpy as np
import fanin
from fanin import propagation as p
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads

variances = np.geomspace(1e-6, 1e6, 41)
expected = fanin.Activation("tanh", **{})
truth = p.moments(variances, expected).second.tobytes()
pairs = p.covariance(1.0, 1.0, 0.9, expected)
slow = threading.Event()

def phi(x):
    if slow.is_set():
        time.sleep(0.01)
    return np.tanh(x)

hung = 0
for attempt in range(4):
    for own in (fanin.Activation("tanh"), fanin.Activation(phi, kinks=[])):
        slow.set()
        done = threading.Event()
        def work():
            p.moments(variances, own)
            p.covariance(1.0, 1.0, 0.9, own)
            done.set()
        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.003 * attempt)
        child = os.fork()
        if child == 0:
            slow.clear()
            right = abs(p.moments(1.0, own).second - p.moments(1.0, expected).second) < 1e-9
            right = right and abs(p.covariance(1.0, 1.0, 0.9, own) - pairs) < 1e-9
            os._exit(0 if right else 1)
        slow.clear()
        end = time.monotonic() + 20
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
            time.sleep(0.01)
        if ended[0] == 0:
            os.kill(child, 9)
            os.waitpid(child, 0)
            hung += 1
        else:
            assert ended[1] == 0
        worker.join()
print(hung)
"""


def test_a_child_forked_while_tables_are_made_makes_its_own():
    ran = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=120, env=os.environ
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "0\n", "")


@pytest.mark.parametrize(
    "ask",
    [
        lambda own: p.moments(1.0, own),
        lambda own: p.covariance(1.0, 1.0, 0.3, own),
        lambda own: p.correlation_map(0.9, 1.0, own, weight_var=1.0),
        lambda own: own(1.0),
        lambda own: fanin.gain(own),
    ],
)
def test_a_function_that_asks_for_its_own_activation_is_an_error(ask):
    held = []

    def phi(x):
        if held:
            ask(held[0])
        return np.tanh(x)

    own = fanin.Activation(phi, kinks=[])
    held.append(own)
    with pytest.raises(RecursionError, match="may use values of its argument only"):
        ask(own)
    held.clear()
    assert abs(p.moments(1.0, own).second - p.moments(1.0, "tanh").second) < 1e-12


def test_a_function_may_use_another_activation():
    other = fanin.Activation(np.tanh, kinks=[])
    own = fanin.Activation(lambda x: other(x) * p.moments(1.0, other).second, kinks=[])
    ratio = p.moments(2.0, own).second / p.moments(2.0, other).second
    assert abs(ratio / p.moments(1.0, other).second ** 2 - 1) < 1e-12


def test_threads_that_make_the_same_tables_get_the_same_bits():
    variances = np.geomspace(1e-9, 1e9, 300)
    expected = p.moments(variances, fanin.Activation("silu")).second
    own, got = fanin.Activation("silu"), []
    start = threading.Barrier(4)

    def work():
        start.wait()
        got.append(p.moments(variances, own).second)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [found.tobytes() for found in got] == [expected.tobytes()] * 4


def test_an_object_whose_method_is_its_activation_is_collected():
    class Layer:
        def __init__(self):
            self.act = fanin.Activation(self.phi, kinks=[])

        def phi(self, x):
            return np.tanh(x)

    layer = Layer()
    p.moments(1.0, layer.act)
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


def test_a_handle_without_its_activation_is_refused():
    handle = fanin.Activation(np.tanh, kinks=[]).handle
    gc.collect()
    with pytest.raises(ValueError, match="is gone"):
        fanin._core.activation_values(handle, np.ones(3))


def test_an_activation_that_was_not_asked_takes_no_table():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    kept = [fanin.Activation("silu") for _ in range(100)]
    assert resident() - before < 100 * 65_536  # a table has more than 600 kB
    assert time and kept
