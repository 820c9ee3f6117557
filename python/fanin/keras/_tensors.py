"""fanin's values as tensors of Keras's backend, without a copy where the backend allows it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np

import fanin

#: draw(shape, seed=, dtype=, out=, index=), as every scheme of fanin is called.
Draw: TypeAlias = Callable[..., Any]

_ALIGNMENT = 64  # bytes: JAX and TensorFlow take memory so aligned as it is


def tensor(
    draw: Draw, shape: tuple[int, ...], dtype: str, next_stream: Callable[[], Any], layout: Any
) -> Any:
    """The draw's values as a backend tensor, spread over devices if there is a `layout`.

    `next_stream` is asked after all else is checked."""
    draw(shape, seed=0, dtype=dtype, index=fanin.flat[0:0])  # refuses what is to be refused
    if layout is not None:
        return _spread(draw, shape, dtype, next_stream(), layout)
    backend = keras.backend.backend()
    if backend == "torch":
        none = keras.ops.empty((0,), dtype=dtype)
        if none.device.type == "meta":
            return keras.ops.empty(shape, dtype=dtype)
        if none.device.type == "cpu":
            return _torch_tensor(fill(draw, shape, dtype, next_stream()), none.dtype)
    values = fill(draw, shape, dtype, next_stream())
    if backend == "jax":
        import jax

        return jax.device_put(values)
    if backend == "tensorflow" and values.size:
        import tensorflow

        if tensorflow.executing_eagerly() and values.dtype.name != "bfloat16":
            return tensorflow.experimental.dlpack.from_dlpack(_capsule(values))
    return keras.ops.convert_to_tensor(values, dtype=dtype)


def fill(draw: Draw, shape: tuple[int, ...], dtype: str, stream: Any, index: Any = None) -> Any:
    """The draw's values in aligned memory, or those of the slices `index`."""
    part = shape if index is None else tuple(
        len(range(size)[run]) for size, run in zip(shape, index, strict=True)
    )  # fmt: skip
    kind = np.dtype(dtype)
    nbytes = math.prod(part) * kind.itemsize
    memory = np.empty(nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    made = memory[start : start + nbytes].view(kind).reshape(part)
    draw(shape, seed=stream, dtype=dtype, out=made, index=index)
    return made


def _torch_tensor(values: Any, kind: Any) -> Any:
    """In NumPy's memory, which asks for huge pages; torch's own takes twice the time to touch."""
    import torch

    whole = values.view(np.int16) if values.dtype.name == "bfloat16" else values
    return torch.from_numpy(whole).view(kind)


def _capsule(values: Any) -> Any:
    return values.__dlpack__()


def _spread(draw: Draw, shape: tuple[int, ...], dtype: str, stream: Any, layout: Any) -> Any:
    """On JAX every device makes its own part; elsewhere Keras distributes the whole."""
    if keras.backend.backend() != "jax":
        whole = keras.ops.convert_to_tensor(fill(draw, shape, dtype, stream), dtype=dtype)
        return keras.distribution.distribute_tensor(whole, layout)
    import jax

    if isinstance(layout, keras.distribution.TensorLayout):
        layout = layout.backend_layout
    if isinstance(layout.mesh, jax.sharding.AbstractMesh):
        layout = jax.sharding.NamedSharding(jax.sharding.get_mesh(), layout.spec)
    return jax.make_array_from_callback(
        shape, layout, lambda index: fill(draw, shape, dtype, stream, index)
    )
