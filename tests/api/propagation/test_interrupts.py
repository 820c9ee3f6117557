"""Ctrl-C ends every long call of the theory within 200 ms."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Calls of many seconds, or repeated until they are.  # ruff: noqa: E501
CALLS = {
    "critical": "p.critical('tanh', bias_var=np.linspace(0.001, 0.5, 3_000_000))",
    "phases": "p.phase_diagram('tanh', np.linspace(0.5, 4, 3000), np.linspace(0, 0.5, 3000)).c",
    "fixed points": "p.fixed_points('tanh', weight_var=np.linspace(1.1, 3, 4_000_000))",
    "fixed points of a user's": "p.fixed_points(np.tanh, weight_var=np.linspace(1.1, 3, 4_000_000))",
    "layers": "p.propagate('tanh', 1000, weight_var=1.5, q0=np.linspace(0.1, 2, 300_000))",
    "many layers": "p.propagate('tanh', 10_000_000, weight_var=1.5)",
    "layers of one lane": "propagated(fanin.Activation('tanh'), *np.ones((3, 1)), np.ones(20_000_000), start=True)",
    "correlations": "p.propagate('tanh', 300, weight_var=1.5, q0=np.linspace(0.1, 2, 100_000), c0=.5)",
    "covariances": "p.covariance(np.linspace(0.1, 9, 300_000), np.linspace(5, 99, 300_000), 0.8, 'silu')",
    "covariances of a user's": "p.covariance(np.linspace(0.1, 9, 300_000), 1.0, 0.8, np.tanh)",
    "covariances with kinks": "p.covariance(np.linspace(0.1, 9, 300_000), 1.0, 0.8, fanin.Activation("
    "np.round, derivative=np.zeros_like, kinks=np.arange(-4, 4) + 0.5))",
    "tables": "p.one_minus_correlation_map(0.1, np.geomspace(1e-30, 1e30, 300_000), 'mish', weight_var=1)",
    "variances": "p.variance_map(np.linspace(0.1, 3, 20_000_000), 'silu', weight_var=1.0)",
    "moments": "p.moments(np.linspace(0.1, 3, 5_000_000), 'silu')",
    "jacobian": "p.jacobian('tanh', 5, q=np.linspace(0.1, 3, 100_000))",
    "density": "p.jacobian_density(np.linspace(0.1, 3, 1_000_000), 'tanh', 5)",
    "kernels": "p.kernels(np.random.default_rng(0).normal(size=(6000, 50)), 'tanh', 5, weight_var=2)",
    "kernels of images": "p.kernels(np.random.default_rng(0).normal(size=(80, 32, 32, 3)), 'relu', 5,"
    " weight_var=2, kernel=3, readout='mean')",
    "simulation": "p.simulate('tanh', 50, 1024, weight_var=1.5, networks=300, seed=0)",
}  # fmt: skip
CODE = """
import os, signal, threading, time
import fanin, numpy as np
from fanin import propagation as p
from fanin.propagation._maps import propagated
sent = []
def send():
    time.sleep({after})
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    threading.Thread(target=send, daemon=True).start()
    while True:
        {call}
except KeyboardInterrupt:
    print(time.monotonic() - sent[0])
"""


@pytest.mark.timing
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("after", [0.3, 1.1])
def test_an_interrupt_ends_a_long_call_at_once(call, after):
    code = CODE.format(after=after, call=call)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert float(run.stdout) < 0.2, run.stderr
