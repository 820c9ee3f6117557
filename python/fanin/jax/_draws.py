"""From a draw of fanin to a JAX array: eagerly, inside a trace, or shard by shard."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import fanin

from ._keys import stream_of

#: draw(shape, seed=, dtype=, out=, index=) -> array, as every scheme of fanin is called.
Draw: TypeAlias = Callable[..., Any]
Shape: TypeAlias = tuple[int, ...]

_ALIGNMENT = 64  # bytes: JAX takes memory so aligned as it is, without a copy


def as_shape(shape: Any) -> Shape:
    """A shape as a tuple of ints, none negative."""
    sizes = (shape,) if hasattr(shape, "__index__") else shape
    full = tuple(operator.index(size) for size in sizes)
    if min(full, default=0) < 0:
        raise ValueError(f"negative dimensions are not allowed, got shape {full}")
    return full


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype that JAX gives such an array; warns as JAX does where it cannot have it."""
    made: np.dtype[Any] = jnp.empty(0, float if dtype is None else dtype).dtype
    return made


def check(draw: Draw, shape: Shape, dtype: Any) -> np.dtype[Any]:
    """Raise here what the draw would raise later, and give its dtype; nothing is made."""
    made: np.dtype[Any] = draw(shape, seed=0, dtype=dtype, index=fanin.flat[0:0]).dtype
    return made


def fill(
    draw: Draw, shape: Shape, dtype: np.dtype[Any], stream: fanin.Stream, index: Any = None
) -> NDArray[Any]:
    """The draw's values, or those of the slices `index`, in memory that JAX takes over."""
    part = shape if index is None else tuple(
        len(range(size)[run]) for size, run in zip(shape, index, strict=True)
    )  # fmt: skip
    made = _aligned(part, dtype)
    draw(shape, seed=stream, dtype=dtype, out=made, index=index)
    return made


def _aligned(shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    nbytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + nbytes].view(dtype).reshape(shape)


def array_of(draw: Draw, words: Any, shape: Shape, dtype: np.dtype[Any]) -> jax.Array:
    """The values of a key's words: at once, or by a callback if the words are traced."""
    if not isinstance(words, jax.core.Tracer):
        return jax.device_put(fill(draw, shape, dtype, stream_of(words)))

    def host(words: Any) -> NDArray[Any]:
        lanes = np.asarray(words).reshape(-1, words.shape[-1])
        made = _aligned((len(lanes), *shape), dtype)
        for lane, own in zip(made, lanes, strict=True):
            draw(shape, seed=stream_of(own), dtype=dtype, out=lane[...])
        return made.reshape(words.shape[:-1] + shape)

    result = jax.ShapeDtypeStruct(shape, dtype)
    array: jax.Array = jax.pure_callback(host, result, words, vmap_method="expand_dims")
    return array


def sharded(
    draw: Draw, shape: Shape, dtype: np.dtype[Any], stream: fanin.Stream, sharding: Any
) -> jax.Array:
    """The values laid out as `sharding` says; each device's part is made by itself."""
    return jax.make_array_from_callback(
        shape, sharding, lambda index: fill(draw, shape, dtype, stream, index), dtype=dtype
    )


def as_sharding(sharding: Any) -> Any:
    """A PartitionSpec on the mesh that `jax.set_mesh` has set; other shardings as they are."""
    if not isinstance(sharding, jax.sharding.PartitionSpec):
        return sharding
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        raise ValueError(
            f"out_sharding={sharding} needs a mesh: call inside jax.set_mesh(mesh), or give "
            "jax.sharding.NamedSharding(mesh, spec)"
        )
    return jax.sharding.NamedSharding(mesh, sharding)


def lay_out(array: jax.Array, sharding: Any) -> jax.Array:
    """A traced array spread as `sharding` says, in the way that the mesh's axes want."""
    named = isinstance(sharding, jax.sharding.NamedSharding)
    mesh = sharding.mesh if named else jax.sharding.get_abstract_mesh()
    if jax.sharding.AxisType.Explicit in mesh.axis_types:
        return jax.sharding.reshard(array, sharding)
    return jax.lax.with_sharding_constraint(array, sharding)
