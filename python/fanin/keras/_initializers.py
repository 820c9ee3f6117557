"""Keras's own initializers, drawn by fanin: the same names, arguments and configurations."""

from __future__ import annotations

import inspect
import math
from typing import Any

import keras
from keras.src.utils.naming import to_snake_case

import fanin

from ._drawn import CALLED, Drawn, register

Shape = tuple[int, ...]


#: What the classes of one law say beside the law.
_NAMED = """

Parameters
----------
input_axes, output_axes : sequence of int, optional
    The axes that make the fans, alone.
seed : int, SeedGenerator, Stream or Generator, optional

Examples
--------
>>> import numpy, fanin.keras
>>> made = numpy.asarray(fanin.keras.{name}(seed=5)((64, 32)))
>>> bool((made == fanin.{scheme}((64, 32), seed=5)).all())
True
"""


class _OfKeras(Drawn):
    """An initializer with the constructor of the class of Keras that follows it in the bases."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.arguments = inspect.signature(cls.__bases__[-1])
        cls.__signature__ = cls.arguments
        text = inspect.cleandoc(cls.__doc__ or "")
        if "Parameters" not in text:
            text += _NAMED.format(name=cls.__name__, scheme=to_snake_case(cls.__name__))
        law, _, example = text.partition("Examples\n")
        cls.__doc__ = f"{law}{CALLED}\n\nExamples\n{example}"


class RandomNormal(_OfKeras, keras.initializers.RandomNormal):
    """N(mean, stddev^2).

    Parameters
    ----------
    mean, stddev : float
    seed : int, SeedGenerator, Stream or Generator, optional

    Examples
    --------
    >>> import numpy, fanin.keras
    >>> made = numpy.asarray(fanin.keras.RandomNormal(0.0, 0.02, seed=5)((64, 32)))
    >>> bool((made == fanin.normal((64, 32), 0.0, 0.02, seed=5)).all())
    True
    """

    def draw(self, shape: Shape, **where: Any) -> Any:
        return fanin.normal(shape, float(self.mean), float(self.stddev), **where)


class TruncatedNormal(_OfKeras, keras.initializers.TruncatedNormal):
    """N(mean, stddev^2) cut at two sigma; `stddev` is that before the cut.

    Parameters
    ----------
    mean, stddev : float
    seed : int, SeedGenerator, Stream or Generator, optional

    Examples
    --------
    >>> import numpy, fanin.keras
    >>> made = numpy.asarray(fanin.keras.TruncatedNormal(0.0, 0.02, seed=5)((64, 32)))
    >>> bool((made == fanin.truncated_normal((64, 32), 0.0, 0.02, seed=5)).all())
    True
    """

    def draw(self, shape: Shape, **where: Any) -> Any:
        return fanin.truncated_normal(shape, float(self.mean), float(self.stddev), **where)


class RandomUniform(_OfKeras, keras.initializers.RandomUniform):
    """U[minval, maxval).

    Parameters
    ----------
    minval, maxval : float
    seed : int, SeedGenerator, Stream or Generator, optional

    Examples
    --------
    >>> import numpy, fanin.keras
    >>> made = numpy.asarray(fanin.keras.RandomUniform(-0.1, 0.1, seed=5)((64, 32)))
    >>> bool((made == fanin.uniform((64, 32), -0.1, 0.1, seed=5)).all())
    True
    """

    def draw(self, shape: Shape, **where: Any) -> Any:
        return fanin.uniform(shape, float(self.minval), float(self.maxval), **where)


class _Scaled(_OfKeras):
    """Variance scale / n, n a fan as Keras counts it."""

    def draw(self, shape: Shape, **where: Any) -> Any:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "truncated_normal":
            sigma = math.sqrt(variance) / fanin.truncated_normal_std(-2.0, 2.0)
            return fanin.truncated_normal(shape, 0.0, sigma, **where)
        if self.distribution == "untruncated_normal":
            return fanin.normal(shape, 0.0, math.sqrt(variance), **where)
        limit = math.sqrt(3.0 * variance)
        return fanin.uniform(shape, -limit, limit, **where)


class VarianceScaling(_Scaled, keras.initializers.VarianceScaling):
    """Variance scale / n, n a fan as Keras counts it.

    Parameters
    ----------
    scale : float, > 0
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        The first is cut at two sigma and widened to the stated variance.
    input_axes, output_axes : sequence of int, optional
        The axes that make the fans, alone.
    seed : int, SeedGenerator, Stream or Generator, optional

    Examples
    --------
    >>> import numpy, fanin.keras
    >>> init = fanin.keras.VarianceScaling(2.0, "fan_avg", "uniform", seed=5)
    >>> made = numpy.asarray(init((64, 32)))
    >>> bool((made == fanin.variance_scaling((64, 32), 2.0, "fan_avg", "uniform", seed=5)).all())
    True
    """


class GlorotUniform(_Scaled, keras.initializers.GlorotUniform):
    """U(-r, r), r = sqrt(6 / (fan_in + fan_out))      (Glorot & Bengio 2010)"""


class GlorotNormal(_Scaled, keras.initializers.GlorotNormal):
    """A normal cut at two sigma, std sqrt(2 / (fan_in + fan_out))      (Glorot & Bengio 2010)"""


class HeUniform(_Scaled, keras.initializers.HeUniform):
    """U(-r, r), r = sqrt(6 / fan_in)      (He et al. 2015)"""


class HeNormal(_Scaled, keras.initializers.HeNormal):
    """A normal cut at two sigma, std sqrt(2 / fan_in)      (He et al. 2015)"""


class LecunUniform(_Scaled, keras.initializers.LecunUniform):
    """U(-r, r), r = sqrt(3 / fan_in)      (LeCun et al. 1998)"""


class LecunNormal(_Scaled, keras.initializers.LecunNormal):
    """A normal cut at two sigma, std sqrt(1 / fan_in)      (LeCun et al. 1998)"""


class Orthogonal(_OfKeras, keras.initializers.Orthogonal):
    """A Haar-distributed orthogonal matrix, the last axis its columns, times `gain`.

    Parameters
    ----------
    gain : float
    seed : int, SeedGenerator, Stream or Generator, optional

    Examples
    --------
    >>> import numpy, fanin.keras
    >>> made = numpy.asarray(fanin.keras.Orthogonal(2.0, seed=5)((64, 32)))
    >>> bool((made == fanin.orthogonal((64, 32), gain=2.0, seed=5)).all())
    True
    """

    def draw(self, shape: Shape, **where: Any) -> Any:
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. Received: "
                f"shape={shape} of rank {len(shape)}."
            )
        return fanin.orthogonal(shape, gain=float(self.gain), **where)


class Zeros(keras.initializers.Zeros):
    """``keras.initializers.Zeros``."""


class Ones(keras.initializers.Ones):
    """``keras.initializers.Ones``."""


class Constant(keras.initializers.Constant):
    """``keras.initializers.Constant``."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A Constant; its value is 0 if the configuration, as that of a name, says none."""
        return super().from_config(config) if "value" in config else cls()


class Identity(keras.initializers.Identity):
    """``keras.initializers.Identity``; its gain survives being saved."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for JSON."""
        return {"gain": self.gain}


class STFT(keras.initializers.STFT):
    """``keras.initializers.STFT``."""


def fans(shape: Shape, input_axes: Any, output_axes: Any) -> tuple[int, int]:
    """Fans as Keras counts them: named axes alone, or all axes before the last two as a kernel."""
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    kernel = math.prod(shape[:-2])
    return shape[-2] * kernel, shape[-1] * kernel


#: Snake-case name -> class, as keras.initializers has both.
ALIASES: dict[str, type] = {
    "random_normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "random_uniform": RandomUniform,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "identity": Identity,
    "stft": STFT,
}
#: Names that Keras keeps for old configurations.
COMPATIBLE: dict[str, type] = {
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "zero": Zeros,
    "one": Ones,
    "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
    "STFTInitializer": STFT,
}
for _alias, _kind in ALIASES.items():
    register(_kind, _alias, *(name for name, kind in COMPATIBLE.items() if kind is _kind))
