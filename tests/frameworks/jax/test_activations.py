"""Functions of JAX as activations."""

from __future__ import annotations

import jax
import pytest

import fanin


@pytest.mark.parametrize(
    ("call", "name", "kinks"),
    [(jax.nn.gelu, "gelu_tanh", ()), (jax.nn.silu, "silu", ()), (jax.nn.relu, "relu", (0.0,))],
)
def test_a_function_of_jax_is_computed_to_float32(call, name, kinks):
    own = fanin.Activation(call)
    assert own.kinks == kinks
    assert own.precision == 2.0**-23
    assert fanin.gain(own) == pytest.approx(fanin.gain(name), rel=1e-6)
    assert fanin.gain(own, kind="backward") == pytest.approx(
        fanin.gain(name, kind="backward"), rel=1e-5
    )


def test_the_edge_of_chaos_of_a_function_of_jax():
    point = fanin.propagation.critical(jax.nn.gelu, bias_var=0.05)
    true = fanin.propagation.critical("gelu_tanh", bias_var=0.05)
    assert float(point.weight_var) == pytest.approx(float(true.weight_var), rel=1e-5)
