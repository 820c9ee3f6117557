"""Keras initializers with fanin's values: ``Dense(64, kernel_initializer=HeNormal(seed=0))``.

Every class of :mod:`keras.initializers` under its name, its aliases and with its arguments, and
one for every other scheme of fanin (``fanin.keras.Gpt2Residual(n_layers=12)``), for Keras 3 on
torch, JAX and TensorFlow. They are saved, cloned and loaded as Keras's own; importing this module
lets Keras find them by ``"fanin>HeNormal"`` and ``"fanin>he_normal"``.

>>> import fanin
>>> from fanin.keras import HeNormal
>>> made = HeNormal(seed=5)((64, 32))
>>> bool((__import__("numpy").asarray(made) == fanin.he_normal((64, 32), seed=5)).all())
True

:func:`init_` gives every variable of a model its values by its place in the model.
"""

from __future__ import annotations

from typing import Any

try:
    import keras as _keras
except ImportError as error:
    raise ImportError(f"fanin.keras needs Keras 3: pip install 'fanin[keras]' ({error})") from error

from ._initializers import (
    ALIASES,
    COMPATIBLE,
    STFT,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)
from ._models import InitReport, init_
from ._schemes import classes
from ._seeds import StreamSeed

Initializer = _keras.initializers.Initializer
serialize = _keras.initializers.serialize


def get(identifier: Any) -> Any:
    """The initializer that an identifier says.

    Parameters
    ----------
    identifier : str, dict, Initializer, class or None
        What :func:`keras.initializers.get` takes; but a name, and a configuration that names no
        module, mean the class of this module, if it has one.

    Returns
    -------
    Initializer or None

    Raises
    ------
    ValueError
        A name that neither has.

    >>> import fanin.keras
    >>> type(fanin.keras.get("he_normal")) is fanin.keras.HeNormal
    True
    """
    return _keras.initializers.get(_ours(identifier))


def deserialize(config: Any) -> Any:
    """The initializer of a configuration.

    Parameters
    ----------
    config : dict
        What :func:`serialize` gives; one that names no module is of this module.

    Returns
    -------
    Initializer

    Raises
    ------
    ValueError
        A class that neither this module nor Keras has.

    >>> import fanin.keras
    >>> made = fanin.keras.deserialize({"class_name": "HeNormal", "config": {"seed": 3}})
    >>> type(made) is fanin.keras.HeNormal
    True
    """
    return _keras.initializers.deserialize(_ours(config))


def _ours(identifier: Any) -> Any:
    if isinstance(identifier, str):
        return f"fanin>{identifier}" if _is_initializer(identifier) else identifier
    if isinstance(identifier, dict) and not {"module", "registered_name"} & {*identifier}:
        name = identifier.get("class_name")
        return {**identifier, "class_name": _ours(name)} if isinstance(name, str) else identifier
    return identifier


__all__ = [
    "STFT",
    "StreamSeed",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "InitReport",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "deserialize",
    "get",
    "init_",
    "serialize",
]

#: Aliases, and fanin's other schemes by the names of both: ``LooksLinear`` and ``looks_linear``.
_SCHEMES = classes(besides=ALIASES)
_NAMES = {**ALIASES, **COMPATIBLE, **_SCHEMES, **{k.__name__: k for k in _SCHEMES.values()}}


def _is_initializer(name: str) -> bool:
    kind = _NAMES.get(name) or globals().get(name)
    return isinstance(kind, type) and issubclass(kind, Initializer) and kind is not Initializer


def __getattr__(name: str) -> Any:
    try:
        return _NAMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*__all__, *_NAMES})
