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
    """What `softmax_moments` are the means of, for `draws` softmaxes."""
    logits = fanin.normal((draws, keys), scale=math.sqrt(variance), seed=seed, dtype="float64")
    a = np.exp(logits - logits.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    square, cube, pulled = (a**2).sum(1), (a**3).sum(1), (a * logits).sum(1) ** 2
    slope = square - 2 * cube + square**2
    return (
        square,
        slope,
        (pulled / variance - square) / variance,
        (1 - 4 * cube + 3 * square**2 - slope),
    )


@pytest.mark.parametrize("variance", [1e-6, 0.3, 2.0, 9.0, 100.0])
def test_two_keys_are_a_sigmoid_of_one_difference(variance):
    # a = sigmoid(d), d of variance 2 s^2: sum a^2 = a^2 + b^2, a b = 1/(2 + 2 cosh d).
    z = np.linspace(-9, 9, 60_001)
    mass = np.exp(-z * z / 2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    a = 1 / (1 + np.exp(-math.sqrt(2 * variance) * z))
    square, cube = a**2 + (1 - a) ** 2, a**3 + (1 - a) ** 3
    share, slope, pull, turn = softmax_moments(np.array(variance), 2)
    # Steps of e^(-pi^2/.3) = 5e-15 and cancellation of the terms of the slope, of order one.
    assert_allclose(share, (mass * square).sum(), rtol=1e-11)
    assert_allclose(slope, (mass * (square - 2 * cube + square**2)).sum(), rtol=1e-8, atol=1e-12)
    more = [1 - square - 6 * cube + 6 * square**2, 1 - square - 2 * cube + 2 * square**2]
    # Steps of .3 leave |Gamma(4 + 2 pi i/.3)|/3! = 9e-11 of (sum a^2)^2, twice, and that six times.
    room = 12 * 9.1e-11
    assert_allclose([pull, turn], [(mass * x).sum() for x in more], rtol=1e-8, atol=room)
    if variance > 1e-3:
        d = math.sqrt(2 * variance) * z
        # Logits are half their sum, which a share does not see, plus and minus half of d.
        pulled = (mass * ((2 * a - 1) * d / 2) ** 2).sum() + variance / 2
        assert_allclose(share + variance * pull, pulled / variance, rtol=1e-9, atol=variance * room)


def test_flat_sharp_and_single_softmaxes_have_their_limits():
    assert softmax_moments(np.array(0.0), 8)[0] == 1 / 8
    assert softmax_moments(np.array(5.0), 1)[0] == 1.0
    # Many keys: sum a^2 = e^(s^2)/n (1 + O(e^(s^2)/n)).
    share, slope, pull, turn = softmax_moments(np.array(0.5), 10**6)
    assert_allclose([share, slope], math.exp(0.5) / 1e6, rtol=1e-5)
    assert_allclose([pull, turn], 1.0, rtol=1e-5)
    assert_allclose(softmax_moments(np.array(0.0), 8)[2:], 7 / 8)
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
    free = p.Network([p.Attention(12, 1.5)], width=32)
    start, _ = p.Network([p.Attention(12, causal=True)], width=32).start(1.3, 0.3)
    passage = p.Attention(12, 1.5).through(start, start.pairs)
    alike = p.Attention(12, 1.5).through(free.start(1.3, 0.3)[0], ())
    assert_allclose(passage.after.q, alike.after.q, rtol=1e-12)
    assert_allclose(passage.after.same[0, 0], alike.after.q * alike.after.c, rtol=1e-12)
    # Of a gradient that tokens share by a quarter too: alike ones have the sum over eleven others.
    shared = start.inside(np.full((12, 11), 0.25))
    back = passage.back(Gradient(np.ones(12), same=shared))
    expected = alike.back(Gradient(np.array(1.0), own=np.array(11 * 0.25)))
    assert_allclose(back.q, expected.q, rtol=1e-12)
    assert_allclose(back.same[:-1, 0], expected.own / 11, rtol=1e-12)


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


@pytest.mark.parametrize("causal", [False, True])
def test_equal_tokens_share_their_gradient(causal):
    # The first of two layers hands all tokens the mean over them, which the second passes whole:
    # value_var^2 sum over keys of (sum over queries of 1/keys^2), by hand.
    tokens = 6
    layers = [p.Attention(tokens, 1.5, value_var=1.2, causal=causal)] * 2
    a = np.tril(np.ones((tokens, tokens))) if causal else np.ones((tokens, tokens))
    a /= a.sum(axis=1, keepdims=True)
    ahead = np.eye(tokens)
    expected = [1.0]
    for _ in layers:
        ahead = 1.2 * a.T @ ahead @ a
        expected.insert(0, np.trace(ahead) / tokens)
    assert_allclose(p.Network(layers).propagate(c0=1.0).grad, expected, rtol=1e-9)


#: |mean - theory| < 4 standard errors + 2/width of it: what a norm divides by and the norm of a
#: query are means over the units, of relative variance 2/width.
_SCORE, _EFFECT = 4.0, 2.0
_BLOCK = [p.LayerNorm(), p.Attention(16)]
_MASKED = [p.LayerNorm(), p.Attention(16, causal=True)]


@pytest.mark.parametrize(
    ("layers", "width", "c0"),
    [
        # As many tokens as units: terms of order tokens/width.
        ([p.Attention(48)], 48, 0.0),
        ([p.Attention(48)], 48, 0.3),
        ([p.Attention(48, causal=True)], 48, 0.0),
        # Gradients that tokens share behind a first attention.
        ([p.Attention(16)] * 2, 64, 0.4),
        ([p.Residual(_BLOCK)] * 2, 64, 0.0),
        ([p.Residual(_BLOCK), p.Residual(["gelu", p.Dense()])] * 2, 64, 0.4),
        ([p.Residual(_MASKED)] * 2, 64, 0.4),
        # Pools of tokens, and what weights behind them see.
        ([p.Attention(8), p.AveragePool((4,))], 64, 0.4),
        ([p.Residual([p.LayerNorm(), p.Attention(8)]), "gelu", p.AveragePool(None), p.Dense()],
         64, 0.4),
        ([p.Attention(8, causal=True), p.AveragePool(None)], 64, 0.4),
        ([p.Attention(8), p.Flatten(), p.Dense(16)], 64, 0.4),
        # A class token.
        ([p.Embedding(1.0, 0.2, 0.1, first_var=0.05), p.Residual([p.LayerNorm(), p.Attention(24)]),
          p.LayerNorm()], 96, 0.0),
    ],
)  # fmt: skip
def test_drawn_attentions_agree_forward_and_backward(layers, width, c0):
    found = p.Network(layers, width=width).simulate(networks=300, seed=3, c0=c0)
    for name, error in (("q", found.q_se), ("grad", found.grad_se)):
        expected = getattr(found.theory, name)
        room = _SCORE * error + _EFFECT / width * expected
        assert (abs(getattr(found, name) - expected) <= room).all(), (name, found)
    missed = abs(found.c - found.theory.c) > _SCORE * found.c_se + _EFFECT / width
    assert not missed.any(), found  # one token has no correlation


def test_a_class_token_is_no_input():
    layers = [p.Embedding(2.0, 0.5, 0.25, first_var=0.1), p.LayerNorm(), p.Attention(5)]
    found = p.Network(layers, width=64).propagate(q0=1.5, c0=0.0)
    assert_allclose(found.position_map(1), [0.85, *[3.75] * 4], rtol=1e-14)
    assert found.position_map(0, "grad")[0] == 0.0
    assert (found.position_map(0, "grad")[1:] > 0).all()
    # Behind a norm its token is one as the others are, but for what all have in common.
    norm = found.position_map(2)
    assert_allclose(norm, 1.0, rtol=1e-14)
    plain = p.Network([p.Embedding(2.0, 0.5, 0.25), *layers[1:]], width=64).propagate(1.5, c0=0.0)
    assert_allclose(found.position_map(2, "grad")[1:], plain.grad[2], rtol=0.2)
    with pytest.raises(ValueError, match="first_var"):
        p.Network([p.Embedding(first_var=1.0)]).propagate()
    with pytest.raises(ValueError, match="first_var"):
        p.Embedding(first_var=-1.0)
    with pytest.raises(ValueError, match="positions"):
        p.Network([*layers, p.Attention(7)]).propagate(c0=0.0)


@pytest.mark.parametrize("causal", [False, True])
def test_weights_that_tokens_share_have_the_sum_over_them(causal):
    layers = [p.Dense(), p.Attention(8, 0.0, causal=causal), p.Dense()]
    found = p.Network(layers, width=32).propagate(c0=0.0)
    a = np.tril(np.ones((8, 8))) if causal else np.ones((8, 8))
    a /= a.sum(axis=1, keepdims=True)
    # Tokens are independent: of the first weight sum_t (a^T a)_tt, of the last sum_t (a a^T)_tt.
    assert_allclose(found.weight_grad[[1, 3]], (a * a).sum(), rtol=1e-12)


def test_images_may_become_tokens_and_windows_have_the_axes_of_positions():
    layers = [p.Conv(8, 3), "relu", p.AveragePool(2), p.Dense(), p.Attention(4)]
    assert (p.Network(layers, width=8).propagate(c0=0.0).q > 0).all()
    with pytest.raises(ValueError, match="one int for each axis"):
        p.Network([p.Attention(8), p.AveragePool(8)]).propagate(c0=0.0)
