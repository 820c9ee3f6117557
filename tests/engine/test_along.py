"""Many correlations at one variance take a way of their own: the same bits, and fast."""

from __future__ import annotations

import time

import numpy as np
import pytest

import fanin
from fanin import _core

p = fanin.propagation
# All ways: formulas, series and tables, parity or none, kinks, few and many intervals near c = 1.
NAMES = ["tanh", "silu", "elu", "relu", "gelu", "hardtanh", "cos", "softplus", "step"]
ENDS = [-1.0, -1 + 2**-53, -0.5, -0.5 - 2**-53, 0.0, -0.0, 1e-300, 0.5, 0.5 + 2**-52, 1.0, np.nan]


def correlations(count):
    c = np.random.default_rng(0).uniform(-1, 1, count)
    return np.concatenate([ENDS, c, 1 - np.geomspace(1e-16, 0.4, 40), [1.5, 1 + 1e-13]])


@pytest.mark.parametrize("q", [1e-9, 0.3, 1.0, 37.0])
@pytest.mark.parametrize("name", NAMES)
def test_a_line_of_correlations_gives_the_bits_of_its_points(name, q):
    c = correlations(1500)
    line = p.covariance(q, q, c, name)
    # Variances given one by one take the other way.
    points = p.covariance(np.full(c.size, q), q, c, name)
    assert line.tobytes() == points.tobytes()
    some = slice(0, 30)
    assert p.covariance(q, q, c[some], name).tobytes() == line[some].tobytes()
    assert np.isnan(line[[10, -2]]).all() and np.isfinite(line[-1])


@pytest.mark.parametrize("q", [1e-9, 0.3, 1.0, 37.0])
@pytest.mark.parametrize("name", NAMES)
def test_a_line_of_differences_gives_the_bits_of_its_points(name, q):
    delta = np.concatenate([np.geomspace(1e-300, 2, 1500), [0.0, 2.0, -1.0, np.nan, 2 + 1e-13]])
    line = p.one_minus_correlation_map(delta, q, name, weight_var=1.5, bias_var=0.1)
    points = p.one_minus_correlation_map(
        delta, np.full(delta.size, q), name, weight_var=1.5, bias_var=0.1
    )
    assert line.tobytes() == points.tobytes()


@pytest.mark.parametrize("name", ["tanh", "gelu", "elu"])
def test_a_line_has_the_same_bits_on_every_isa_and_thread_count(isa, name):
    one, c = np.array([1.3]), correlations(6000)

    def run(threads):
        handle = _core.activation(name, [1.0])
        return _core.activation_pairs(handle, one, one, c, False, [True] * 3, threads).tobytes()

    here = run(1)
    assert run(2) == here
    _core.debug.set_isa("baseline")
    assert run(1) == here


def test_a_line_between_two_variances_is_served_too():
    c = np.linspace(-0.5, 0.5, 101)
    line = p.covariance(0.7, 2.0, c, "tanh")
    points = p.covariance(np.full(101, 0.7), 2.0, c, "tanh")
    assert line.tobytes() == points.tobytes()


def test_a_line_of_a_function_of_ones_own():
    own = fanin.Activation(np.tanh)
    c = np.linspace(-0.5, 0.5, 64)
    got, true = p.covariance(1.0, 1.0, c, own), p.covariance(1.0, 1.0, c, "tanh")
    assert np.abs(got - true).max() <= 1e-14


@pytest.mark.timing
@pytest.mark.parametrize("name", ["tanh", "silu", "elu", "gelu"])
def test_fifty_million_correlations_a_second(name):
    fanin.runtime.set_threads(1)
    c = np.random.default_rng(0).uniform(-1, 1, 1 << 14)
    best = np.inf
    for _ in range(300):
        start = time.perf_counter()
        p.covariance(1.0, 1.0, c, name)
        best = min(best, time.perf_counter() - start)
    assert c.size / best >= 5e7


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_no_correlations_give_no_values(shape):
    none = np.zeros(shape)
    assert p.covariance(1.0, 1.0, none, "tanh").shape == shape
    assert p.correlation_map(none, 1.0, "relu", weight_var=2.0).shape == shape
    assert p.one_minus_correlation_map(none, none, "gelu", weight_var=2.0).shape == shape
