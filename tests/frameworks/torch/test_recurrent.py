"""Recurrent layers of the theory against torch.nn.RNN, LSTM and GRU, step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import fanin

p = fanin.propagation

STEPS, WIDTH, UNITS, NETWORKS, SCORE = 6, 250, 300, 60, 4.0
VARIANCES = {"weight_var": 1.3, "recurrent_var": 1.6, "bias_var": 0.2}


def drawn(kind, generator, forget_bias):
    """The torch module with weights and biases of these variances."""
    cell = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}[kind]
    module = cell(WIDTH, UNITS, batch_first=True).double()
    spread = {
        "weight_ih_l0": VARIANCES["weight_var"] / WIDTH,
        "weight_hh_l0": VARIANCES["recurrent_var"] / UNITS,
        "bias_ih_l0": VARIANCES["bias_var"] / 2,  # torch adds two
        "bias_hh_l0": VARIANCES["bias_var"] / 2,
    }
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(0.0, math.sqrt(spread[name]), generator=generator)
        if kind == "LSTM":  # in the order i, f, g, o
            module.bias_ih_l0[UNITS : 2 * UNITS] += forget_bias
    return module


def samples(kind, c0, forget_bias):
    generator, rows = torch.Generator().manual_seed(5), []

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for _ in range(NETWORKS):
        module = drawn(kind, generator, forget_bias)
        x = math.sqrt(c0) * normal(STEPS, WIDTH) + math.sqrt(1 - c0) * normal(2, STEPS, WIDTH)
        y, _ = module(x.requires_grad_())
        ahead = normal(2, STEPS, UNITS)
        ahead[1] = 0  # the loss of one sequence
        sources = [x, module.weight_ih_l0, module.weight_hh_l0]
        into, weight, recurrent = torch.autograd.grad((y * ahead).sum(), sources)
        rows.append([
            *(y.detach() ** 2).mean((0, 2)), *(y[0] * y[1]).detach().mean(1),
            *(into[0] ** 2).mean(1), (weight**2).mean(), (recurrent**2).mean(),
        ])  # fmt: skip
    return np.array(rows)


@pytest.mark.parametrize(("kind", "forget_bias"), [("RNN", 0.0), ("LSTM", 1.0), ("GRU", 0.0)])
def test_recurrent_layers_agree_with_those_of_torch_step_by_step(kind, forget_bias):
    c0 = 0.6
    more = {"forget_bias": forget_bias} if kind == "LSTM" else {}
    layer = getattr(p, kind)(UNITS, **VARIANCES, **more)
    theory = p.Network([layer], width=WIDTH, image=(STEPS,)).propagate(c0=c0)
    q, into = theory.position_map(1), theory.position_map(0, "grad")
    start, _ = p.Network([layer], width=WIDTH, image=(STEPS,)).start(1.0, c0)
    cross = q * layer.through(start, ()).after.c
    expected = np.r_[q, cross, into, theory.weight_grads]
    found = samples(kind, c0, forget_bias)
    mean, error = found.mean(0), found.std(0, ddof=1) / math.sqrt(NETWORKS)
    # Order 1/units for each step, and what the units of the theory are good to.
    room = SCORE * error + (STEPS / UNITS + (0.0 if kind == "RNN" else 0.01)) * abs(expected)
    assert mean.shape == expected.shape
    assert (abs(mean - expected) <= room).all(), (mean / expected, error / expected)
    assert np.median(error / abs(expected)) < 0.03
