"""Initialisers as JAX and flax write them: ``he_normal()(key, (64, 32), dtype)``.

Every factory of :mod:`jax.nn.initializers` under its name and with its arguments, and one for
every other scheme of fanin. The values are fanin's: the same for any sharding, number of devices
and threads, and under ``jit``, ``vmap`` and eagerly.

>>> import jax
>>> import fanin
>>> import fanin.jax as initializers
>>> init = initializers.he_normal()
>>> init(jax.random.key(0), (64, 32)).shape
(64, 32)
>>> bool((init(jax.random.key(5), (64, 32)) == fanin.he_normal((64, 32), seed=5)).all())
True

``jax.random.key(5)`` stands for ``seed=5``, and a key made by ``split`` or ``fold_in`` for the
number that its words spell. For weights that are spread over devices, :func:`make_array` makes on
each device only what lies there.
"""

from __future__ import annotations

from typing import Any

try:
    from jax.nn.initializers import constant, ones, zeros
except ImportError as error:
    raise ImportError(f"fanin.jax needs JAX: pip install 'fanin[jax]' ({error})") from error

from ._initializers import (
    Initializer,
    delta_orthogonal,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    orthogonal,
    truncated_normal,
    uniform,
    variance_scaling,
)
from ._schemes import factories
from ._sharded import make_array

xavier_normal, xavier_uniform = glorot_normal, glorot_uniform
kaiming_normal, kaiming_uniform = he_normal, he_uniform


def zeros_init() -> Any:
    """A factory of ``zeros``, for flax's spelling.

    >>> import jax, fanin.jax
    >>> float(fanin.jax.zeros_init()(jax.random.key(0), (3,)).sum())
    0.0
    """
    return zeros


def ones_init() -> Any:
    """A factory of ``ones``, for flax's spelling.

    >>> import jax, fanin.jax
    >>> float(fanin.jax.ones_init()(jax.random.key(0), (3,)).sum())
    3.0
    """
    return ones


__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "make_array",
    "normal",
    "ones",
    "ones_init",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
    "zeros_init",
]

#: fanin's other schemes, each a factory of the same form: ``fanin.jax.gpt2_residual(n_layers=12)``.
_SCHEMES = factories(besides=__all__)


def __getattr__(name: str) -> Any:
    try:
        return _SCHEMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*__all__, *_SCHEMES})
