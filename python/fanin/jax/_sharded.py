"""Arrays that lie on several devices, each part made where it lies."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

import fanin

from ._draws import as_dtype, as_shape, check, sharded
from ._initializers import Initializer
from ._keys import as_stream


def make_array(
    scheme: Any, shape: Any, sharding: Any, *, seed: Any, dtype: Any = None, **arguments: Any
) -> jax.Array:
    """An array drawn by fanin and laid out over devices; each device's part is made by itself.

    The values are those of ``fanin.get(scheme, **arguments)(shape, seed=seed)``, whatever the
    sharding; time and memory of a process are those of its own parts.

    Parameters
    ----------
    scheme : str, callable or initializer of fanin.jax
        A name of :func:`fanin.schemes`, or of a law (``"normal"``, ``"uniform"``,
        ``"truncated_normal"``, ``"random"``), or a function called as they are.
    shape : int or sequence of ints
        The full shape.
    sharding : jax.sharding.Sharding
    seed : int, Stream or Generator
        Give every array a stream of its own: ``seed=fanin.Stream(0)["layer1.weight"]``.
    dtype : optional
        The scheme's own if None, float32 for most.
    **arguments
        The scheme's own arguments.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, before anything is made.

    >>> import jax
    >>> import fanin, fanin.jax
    >>> mesh = jax.make_mesh((1,), ("data",))
    >>> rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    >>> made = fanin.jax.make_array("he_normal", (64, 32), rows, seed=0)
    >>> bool((made == fanin.he_normal((64, 32), seed=0)).all())
    True
    """
    if isinstance(scheme, Initializer):
        if arguments:
            raise TypeError(f"{scheme!r} has its arguments already, got {sorted(arguments)} too")
        draw, dtype = scheme.draw, scheme.dtype if dtype is None else dtype
    elif isinstance(scheme, str):
        draw = _named(scheme, arguments)
    elif callable(scheme):
        draw = functools.partial(scheme, **arguments)
    else:
        raise TypeError(f"scheme must be a name, a scheme or an initializer, got {scheme!r}")
    if not isinstance(sharding, jax.sharding.Sharding):
        raise TypeError(
            f"sharding must be a jax.sharding.Sharding, got {sharding!r}; for a PartitionSpec "
            "jax.sharding.NamedSharding(mesh, spec)"
        )
    stream = None if isinstance(seed, fanin.Generator) else as_stream(seed)
    full = as_shape(shape)
    chosen = as_dtype(check(draw, full, dtype))
    return sharded(draw, full, chosen, stream or as_stream(seed), sharding)


_LAWS: dict[str, Callable[..., Any]] = {
    "normal": fanin.normal,
    "uniform": fanin.uniform,
    "truncated_normal": fanin.truncated_normal,
    "random": fanin.random,
}


def _named(name: str, arguments: dict[str, Any]) -> Any:
    if name in _LAWS:
        return functools.partial(_LAWS[name], **arguments)
    return fanin.get(name, **arguments)
