"""JAX keys as streams."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fanin

_RIGHT_CALL = "call it as init(jax.random.key(0), (64, 32))"


def words_of(key: Any) -> Any:
    """The uint32 words of one key, typed or raw; an array of keys is refused as JAX refuses it."""
    dtype = getattr(key, "dtype", None)
    if dtype is None:
        raise TypeError(f"expected a JAX key, got {key!r}; {_RIGHT_CALL}")
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        single, words = key.ndim == 0, jax.random.key_data(key)
    elif dtype == np.uint32 and key.ndim and key.shape[-1] in (2, 4):
        single, words = key.ndim == 1, key
    else:
        raise TypeError(
            f"expected a JAX key, typed or uint32 of shape (2,) or (4,), got an array of {dtype} "
            f"and shape {tuple(key.shape)}; {_RIGHT_CALL}"
        )
    if not single:
        raise ValueError(
            f"an initializer accepts a single key, but was given a key array of shape "
            f"{tuple(key.shape)}. Use jax.vmap for batching"
        )
    return words


def stream_of(words: Any) -> fanin.Stream:
    """The stream of a key: its words as one number, the highest first, are the seed.

    >>> stream_of(jax.random.key_data(jax.random.key(5))) == fanin.Stream(5)
    True
    """
    seed = 0
    for word in np.asarray(words).tolist():
        seed = seed << 32 | word
    return fanin.Stream(seed)


def as_stream(seed: Any) -> fanin.Stream:
    """The stream of a `seed=`; a Generator gives its next child, so ask it last."""
    if isinstance(seed, fanin.Generator):
        return seed.spawn(1)[0].stream
    return seed if isinstance(seed, fanin.Stream) else fanin.Stream(seed)
