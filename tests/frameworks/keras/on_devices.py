"""Run by test_backends.py with Keras on JAX and several CPU devices."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest

import fanin
import fanin.keras
from fanin.keras import _tensors

SHAPE = (16, 24)


def layouts():
    count = jax.device_count()
    mesh = keras.distribution.DeviceMesh((count // 2, 2), ("batch", "model"))
    return [keras.distribution.TensorLayout(axes, mesh) for axes in
            ((None, "model"), ("batch", "model"), ("model", None), (None, None))]  # fmt: skip


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: str(layout.axes))
@pytest.mark.parametrize("kind", [fanin.keras.HeNormal, fanin.keras.Orthogonal])
def test_a_call_with_a_layout_gives_the_bits_of_the_whole_in_parts(kind, layout, monkeypatch):
    whole = np.asarray(kind(seed=3)(SHAPE))
    asked = []

    def fill(draw, shape, dtype, stream, index=None):
        asked.append(index)
        return kept(draw, shape, dtype, stream, index)

    kept = _tensors.fill
    monkeypatch.setattr(_tensors, "fill", fill)
    made = kind(seed=3)(SHAPE, layout=layout)
    assert made.sharding.is_equivalent_to(layout.backend_layout, 2)
    assert np.array_equal(made, whole)
    assert set(map(str, asked)) == {str(shard.index) for shard in made.addressable_shards}


def test_variables_of_a_distributed_model_lie_as_keras_wants_them():
    mesh = keras.distribution.DeviceMesh((jax.device_count() // 2, 2), ("batch", "model"))
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*kernel"] = keras.distribution.TensorLayout((None, "model"), mesh)
    distribution = keras.distribution.ModelParallel(layout_map=layouts)
    with distribution.scope():
        layer = keras.layers.Dense(24, kernel_initializer=fanin.keras.HeNormal(seed=3))
        layer.build((None, 16))
        want = distribution.get_variable_layout(layer.kernel).backend_layout
        assert layer.kernel.value.sharding.is_equivalent_to(want, 2)
        assert np.array_equal(layer.kernel.value, fanin.he_normal(SHAPE, seed=3))
        fanin.keras.init_(layer, seed=7)
        assert layer.kernel.value.sharding.is_equivalent_to(want, 2)
    stream = fanin.Stream(7)["vars/0"]
    assert np.array_equal(layer.kernel.value, fanin.he_normal(SHAPE, seed=stream))
