"""fanin.jax in flax.linen and flax.nnx modules: where flax asks for an initializer, ours goes."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import fanin
import fanin.jax

KEY = jax.random.key(0)

#: Modules of flax, each built with a kernel initializer, and what they are given.
LINEN = {
    "dense": (lambda init: nn.Dense(32, kernel_init=init), (2, 64)),
    "convolution": (lambda init: nn.Conv(32, (3, 3), kernel_init=init), (2, 8, 8, 16)),
    "depthwise": (
        lambda init: nn.Conv(256, (3, 3), feature_group_count=256, kernel_init=init),
        (2, 8, 8, 256),
    ),
    "grouped": (
        lambda init: nn.Conv(64, (3, 3), feature_group_count=4, kernel_init=init),
        (2, 8, 8, 32),
    ),
    "fused heads": (lambda init: nn.DenseGeneral((3, 4, 16), kernel_init=init), (2, 64)),
    "transposed": (lambda init: nn.ConvTranspose(32, (3, 3), kernel_init=init), (2, 8, 8, 16)),
}


def kernel(module, shape):
    return module.init(KEY, jnp.zeros(shape))["params"]["kernel"]


@pytest.mark.parametrize("case", LINEN)
@pytest.mark.parametrize("name", ["lecun_normal", "glorot_uniform"])
def test_a_linen_kernel_has_the_shape_dtype_and_std_of_flax_s_own(case, name):
    build, shape = LINEN[case]
    ours = kernel(build(getattr(fanin.jax, name)()), shape)
    theirs = kernel(build(getattr(nn.initializers, name)()), shape)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    # Second moments of two samples of n values, each with relative error below sqrt(2 / n).
    n = ours.size
    assert float((ours**2).mean()) == pytest.approx(
        float((theirs**2).mean()), rel=6 * np.sqrt(4 / n)
    )


def test_a_linen_model_initialised_under_jit_has_the_bits_of_the_eager_one():
    model = nn.Sequential(
        [
            nn.Dense(64, kernel_init=fanin.jax.he_normal(), bias_init=fanin.jax.normal(1e-6)),
            nn.relu,
            nn.Dense(10, kernel_init=fanin.jax.orthogonal()),
        ]
    )
    x = jnp.zeros((2, 32))
    eager = model.init(KEY, x)
    jitted = jax.jit(model.init)(KEY, x)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), eager, jitted))
    kernels = [layer["kernel"] for layer in eager["params"].values()]
    assert not (kernels[0][:, :10] == kernels[1][:32]).any()


def test_layers_stacked_by_linen_s_vmap_start_with_different_values():
    stack = nn.vmap(
        nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None,
        axis_size=3,
    )  # fmt: skip
    made = kernel(stack(16, kernel_init=fanin.jax.he_normal()), (2, 8))
    assert made.shape == (3, 8, 16)
    assert not (made[0] == made[1]).any() and not (made[1] == made[2]).any()


def test_nnx_modules_take_the_initializers_and_param_dtype():
    rngs = nnx.Rngs(0)
    linear = nnx.Linear(64, 32, kernel_init=fanin.jax.he_normal(), rngs=rngs)
    assert linear.kernel.shape == (64, 32)
    key = nnx.Rngs(0).params()
    assert (linear.kernel[...] == fanin.jax.he_normal()(key, (64, 32))).all()
    attention = nnx.MultiHeadAttention(
        4, 32, kernel_init=fanin.jax.glorot_uniform(), param_dtype=jnp.bfloat16, rngs=rngs
    )
    query, value = attention.query.kernel[...], attention.value.kernel[...]
    assert query.dtype == jnp.bfloat16 and not (query == value).all()
    embed = nnx.Embed(
        1000, 64,
        embedding_init=fanin.jax.variance_scaling(1.0, "fan_in", "normal", out_axis=0),
        rngs=rngs,
    )  # fmt: skip
    # std 1 / sqrt(64); 64000 values: 6 / sqrt(2 * 64000) = 1.7 %.
    assert float(embed.embedding[...].std()) == pytest.approx(1 / 8, rel=0.017)


def test_an_nnx_model_created_under_jit_has_the_bits_of_the_eager_one():
    def create():
        return nnx.Linear(64, 32, kernel_init=fanin.jax.lecun_normal(), rngs=nnx.Rngs(7))

    assert (nnx.jit(create)().kernel[...] == create().kernel[...]).all()
