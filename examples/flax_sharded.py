"""A flax network under jit, and one weight spread over eight devices: the same bits as eagerly.

Run ``python examples/flax_sharded.py``; it needs jax and flax, and asks JAX for eight CPU devices.
"""

from __future__ import annotations

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import fanin
from fanin import jax as initializers


class Network(nn.Module):
    """Two layers."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Dense(256, kernel_init=initializers.he_normal())(x))
        return nn.Dense(10, kernel_init=initializers.orthogonal())(x)


def main() -> None:
    """Initialise, eagerly and under jit; then a weight in parts."""
    key, x = jax.random.key(0), jnp.zeros((1, 64))
    eager, jitted = Network().init(key, x), jax.jit(Network().init)(key, x)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), eager, jitted)
    print("jit and eager, the same bits:", jax.tree.all(same))

    mesh = jax.make_mesh((4, 2), ("data", "model"))
    parts = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data", "model"))
    seed = fanin.Stream(0)["mlp.w1"]
    weight = initializers.make_array("he_normal", (1024, 512), parts, seed=seed)
    whole = fanin.he_normal((1024, 512), seed=seed)
    shards = len(weight.addressable_shards)
    print(f"{shards} shards of one weight, the same bits:", np.array_equal(weight, whole))


if __name__ == "__main__":
    main()
