"""Softmaxes of Gaussian logits against sums of two, limits and drawn ones; masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin
from fanin.propagation._gradient import Gradient
from fanin.propagation._softmax import softmax_moments

p = fanin.propagation


def drawn(variance, keys, draws, seed=0):
    """Sum a^2, and sum a^2 - 2 sum a^3 + (sum a^2)^2, of `draws` softmaxes."""
    logits = fanin.normal((draws, keys), scale=math.sqrt(variance), seed=seed, dtype="float64")
    a = np.exp(logits - logits.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    square, cube = (a**2).sum(1), (a**3).sum(1)
    return square, square - 2 * cube + square**2


@pytest.mark.parametrize("variance", [1e-6, 0.3, 2.0, 9.0, 100.0])
def test_two_keys_are_a_sigmoid_of_one_difference(variance):
    # a = sigmoid(d), d of variance 2 s^2: sum a^2 = a^2 + b^2, a b = 1/(2 + 2 cosh d).
    z = np.linspace(-9, 9, 60_001)
    mass = np.exp(-z * z / 2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    a = 1 / (1 + np.exp(-math.sqrt(2 * variance) * z))
    square, cube = a**2 + (1 - a) ** 2, a**3 + (1 - a) ** 3
    share, slope = softmax_moments(np.array(variance), 2)
    # Steps of e^(-pi^2/.3) = 5e-15 and cancellation of the terms of the slope, of order one.
    assert_allclose(share, (mass * square).sum(), rtol=1e-11)
    assert_allclose(slope, (mass * (square - 2 * cube + square**2)).sum(), rtol=1e-8, atol=1e-12)


def test_flat_sharp_and_single_softmaxes_have_their_limits():
    assert softmax_moments(np.array(0.0), 8)[0] == 1 / 8
    assert softmax_moments(np.array(5.0), 1)[0] == 1.0
    # Many keys: sum a^2 = e^(s^2)/n (1 + O(e^(s^2)/n)).
    share, slope = softmax_moments(np.array(0.5), 10**6)
    assert_allclose([share, slope], math.exp(0.5) / 1e6, rtol=1e-5)
    # Beyond the sharpest the distance from one falls like 1/s: 1 - sum a^2 at s = 24 and 48 of two
    # keys, by the density of the difference at 0, is the same times s.
    one, two = softmax_moments(np.array([576.0, 2304.0]), 2)[0]
    assert_allclose(1 - two, (1 - one) / 2, rtol=1e-10)
    z = np.linspace(-1, 1, 100_001)
    bell = np.exp(-z * z / 2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    exact = (bell / (1 + np.cosh(48 * math.sqrt(2) * z))).sum()
    assert_allclose(1 - two, exact, rtol=2e-3)  # O(1/s^2)


@pytest.mark.parametrize(("variance", "keys"), [(6.0, 256), (1.0, 16), (16.0, 64)])
def test_softmaxes_agree_with_drawn_ones(variance, keys):
    found = softmax_moments(np.array(variance), keys)
    for value, sample in zip(found, drawn(variance, keys, 20_000), strict=True):
        assert abs(sample.mean() - value) < 4 * sample.std() / math.sqrt(20_000)
    assert softmax_moments(np.array(6.0), 256)[0] == pytest.approx(0.133, abs=1e-3)


def test_the_first_token_under_a_mask_passes_whole():
    given = {"query_var": 2.0, "value_var": 3.0}
    found = p.Network([p.Attention(16, causal=True, **given)]).propagate(q0=1.5, c0=0.4)
    q = found.position_map(1)
    assert_allclose(q[0], 3 * 1.5, rtol=1e-13)
    # The second sees two keys, their logits of variance 2 q^2 (1 - c) each.
    share = softmax_moments(np.array(2 * 1.5**2 * 0.6), 2)[0]
    assert_allclose(q[1], 3 * 1.5 * (0.4 + 0.6 * share), rtol=1e-12)
    assert (np.diff(q) < 0).all() and found.q_high[1] == q[0]
    # Equal tokens stay equal.
    same = p.Network([p.Attention(16, causal=True)]).propagate(c0=1.0)
    assert_allclose([same.q[1], same.c[1]], 1.0, rtol=1e-12)


def test_a_mask_that_hides_nothing_is_none():
    # Dense attention between causal ones sees maps; alike tokens give it the same numbers.
    free = p.Network([p.Attention(12, 1.5)]).propagate(c0=0.3)
    causal = p.Network([p.Attention(12, causal=True)])
    start, _ = causal.start(1.0, 0.3)
    passage = p.Attention(12, 1.5).through(start, start.pairs)
    assert_allclose(passage.after.q, free.q[1], rtol=1e-12)
    assert_allclose(passage.after.same[0, 0], free.q[1] * free.c[1], rtol=1e-12)
    assert_allclose(passage.back(Gradient(np.ones(12))).q, free.grad[0], rtol=1e-12)


def test_causal_layers_batch_and_refuse_other_lengths():
    block = [
        p.Residual([p.LayerNorm(), p.Attention(8, causal=True)]),
        p.Residual(["gelu", p.Dense()]),
    ]
    found = p.Network(block).propagate(q0=[0.5, 1.0], c0=[[0.2], [0.9]])
    alone = p.Network(block).propagate(q0=1.0, c0=0.9)
    assert found.q.shape == (2, 2, 3) and found.position_map(1).shape == (2, 2, 8)
    for name in ("q", "c", "grad", "q_low"):
        assert_allclose(getattr(found, name)[1, 1], getattr(alone, name), rtol=1e-12)
    with pytest.raises(ValueError, match="mask of 8 tokens"):
        p.Network([p.Attention(8, causal=True)], image=(9,)).propagate()
