"""The factories of jax.nn.initializers, drawn by fanin."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np

import fanin

from ._complex import disk_truncated, disk_uniform
from ._draws import Draw, Shape, array_of, as_dtype, as_shape, as_sharding, check, lay_out, sharded
from ._keys import stream_of, words_of

Axes: TypeAlias = int | Sequence[int]
Factory = TypeVar("Factory", bound=Callable[..., Any])


class Initializer:
    """What a factory returns: ``init(key, shape, dtype=None, out_sharding=None)``.

    Parameters of a call
    --------------------
    key : JAX key
        Typed (``jax.random.key``) or raw (``jax.random.PRNGKey``); the same values for both.
    shape : sequence of ints
    dtype : float32, float64, float16 or bfloat16, optional
        Else that of the factory, else JAX's default. Computed in float32 or float64 and rounded
        once.
    out_sharding : NamedSharding or PartitionSpec, optional
        Outside a trace every device makes its own part only.

    Raises
    ------
    TypeError, ValueError
        Before anything is drawn, inside a trace while tracing.

    Examples
    --------
    >>> import jax, fanin.jax
    >>> init = fanin.jax.he_normal()
    >>> init(jax.random.key(0), (64, 32), "bfloat16").dtype
    dtype(bfloat16)
    """

    def __init__(self, draw: Draw, dtype: Any = None) -> None:
        self.draw, self.dtype = draw, dtype

    def __call__(
        self, key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None
    ) -> jax.Array:
        words = words_of(key)
        full = as_shape(shape)
        chosen = as_dtype(self.dtype if dtype is None else dtype)
        check(self.draw, full, chosen)
        if out_sharding is None:
            return array_of(self.draw, words, full, chosen)
        if isinstance(words, jax.core.Tracer):
            return lay_out(array_of(self.draw, words, full, chosen), out_sharding)
        return sharded(self.draw, full, chosen, stream_of(words), as_sharding(out_sharding))

    def __repr__(self) -> str:
        if not isinstance(self.draw, functools.partial):
            return f"<fanin.jax initializer {self.draw!r}>"
        name = self.draw.func.__name__.strip("_")
        given = ", ".join(f"{k}={v!r}" for k, v in self.draw.keywords.items())
        return f"<fanin.jax initializer {name}({given})>"


# -------------------------------------------------------------------------------------------------
# The laws


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """Uniform on [0, scale), as :func:`jax.nn.initializers.uniform`.

    Parameters
    ----------
    scale : float, > 0
    dtype : optional
        Default dtype of the initializer.

    Examples
    --------
    >>> import jax, fanin.jax
    >>> made = fanin.jax.uniform(0.1)(jax.random.key(5), (64, 32))
    >>> bool((made == fanin.uniform((64, 32), 0.0, 0.1, seed=5)).all())
    True
    """
    return Initializer(functools.partial(fanin.uniform, low=0.0, high=float(scale)), dtype)


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """N(0, stddev^2), as :func:`jax.nn.initializers.normal`; complex dtypes too.

    Parameters
    ----------
    stddev : float, >= 0
    dtype : optional
        Default dtype of the initializer.

    Examples
    --------
    >>> import jax, fanin.jax
    >>> made = fanin.jax.normal(0.02)(jax.random.key(5), (64, 32))
    >>> bool((made == fanin.normal((64, 32), 0.0, 0.02, seed=5)).all())
    True
    """
    return Initializer(functools.partial(fanin.normal, scale=float(stddev)), dtype)


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """N(0, stddev^2) cut to [lower, upper], as :func:`jax.nn.initializers.truncated_normal`.

    Right beyond 5 sigma too.

    Parameters
    ----------
    stddev : float, >= 0
        That before the cut.
    dtype : optional
        Default dtype of the initializer.
    lower, upper : float
        In units of `stddev`.

    Examples
    --------
    >>> import jax, fanin.jax
    >>> made = fanin.jax.truncated_normal(0.02)(jax.random.key(5), (64, 32))
    >>> bool((made == fanin.truncated_normal((64, 32), 0.0, 0.02, seed=5)).all())
    True
    """
    bounds: dict[str, Any] = {"low": float(lower), "high": float(upper)}
    return Initializer(
        functools.partial(fanin.truncated_normal, scale=float(stddev), **bounds), dtype
    )


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """Variance ``scale / n``, n a fan, as :func:`jax.nn.initializers.variance_scaling`.

    Parameters
    ----------
    scale : float, >= 0
        Variance factor.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
        n: the inputs, the outputs, their arithmetic or their geometric mean; also "fan_geo".
    distribution : {"truncated_normal", "normal", "uniform"}
        The first is cut at two sigma and widened to the stated variance; "normal" is not cut. Of
        complex dtypes the first is a normal cut to a disk, "uniform" the disk.
    in_axis, out_axis, batch_axis : int or sequence of ints
        Fans as JAX counts them: the other axes are the receptive field.
    dtype : optional
        Default dtype of the initializer.

    Raises
    ------
    ValueError
        When it is called: for an unknown mode or distribution, a scale below 0, and a shape of
        fewer than two axes unless `in_axis` and `out_axis` name them.

    Examples
    --------
    >>> import jax, fanin.jax
    >>> experts = fanin.jax.variance_scaling(1.0, "fan_in", "uniform", batch_axis=0)
    >>> experts(jax.random.key(0), (8, 64, 32)).shape
    (8, 64, 32)
    """
    scaling: dict[str, Any] = {"scale": float(scale), "mode": mode, "distribution": distribution}
    axes: dict[str, Any] = {"in_axis": in_axis, "out_axis": out_axis, "batch_axis": batch_axis}
    return Initializer(functools.partial(_variance_scaling, **scaling, **axes), dtype)


def _variance_scaling(
    shape: Shape,
    *,
    scale: float,
    mode: str,
    distribution: str,
    in_axis: Axes,
    out_axis: Axes,
    batch_axis: Axes,
    dtype: Any,
    **where: Any,
) -> Any:
    fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
    denominators = {
        "fan_in": fan_in,
        "fan_out": fan_out,
        "fan_avg": (fan_in + fan_out) / 2,
        "fan_geo_avg": math.sqrt(fan_in * fan_out),
    }
    denominators["fan_geo"] = denominators["fan_geo_avg"]
    if mode not in denominators:
        raise ValueError(
            f"invalid mode for variance scaling initializer: {mode}; use one of "
            f"{', '.join(denominators)}"
        )
    if scale < 0:
        raise ValueError(f"scale is a variance factor and must be >= 0, got {scale}")
    variance = scale / max(1.0, denominators[mode])
    disk = np.dtype(dtype).kind == "c"
    if distribution == "normal":
        return fanin.normal(shape, scale=math.sqrt(variance), dtype=dtype, **where)
    if distribution == "truncated_normal":
        std = math.sqrt(variance)
        if disk:
            return disk_truncated(shape, std, dtype=dtype, **where)
        std /= fanin.truncated_normal_std(-2.0, 2.0)
        return fanin.truncated_normal(shape, scale=std, dtype=dtype, **where)
    if distribution == "uniform":
        if disk:
            return disk_uniform(shape, math.sqrt(variance), dtype=dtype, **where)
        limit = math.sqrt(3.0 * variance)
        return fanin.uniform(shape, -limit, limit, dtype=dtype, **where)
    raise ValueError(
        f"invalid distribution for variance scaling initializer: {distribution}; use one of "
        "truncated_normal, normal, uniform"
    )


def _fans(shape: Shape, in_axis: Axes, out_axis: Axes, batch_axis: Axes) -> tuple[float, float]:
    """Fans as JAX counts them, also where two of the arguments name one axis (flax's Embed)."""
    if isinstance(in_axis, int) and in_axis == -2 and len(shape) <= 1:
        raise ValueError(
            f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor "
            "with default in_axis. Must be at least 2D or specify in_axis explicitly."
        )
    if 0 in shape:
        return 1.0, 1.0  # an empty array, whatever the fans
    inputs, outputs, batch = (_size(shape, axes) for axes in (in_axis, out_axis, batch_axis))
    receptive_field = math.prod(shape) / inputs / outputs / batch
    return inputs * receptive_field, outputs * receptive_field


def _size(shape: Shape, axes: Axes) -> int:
    return math.prod([shape[axis] for axis in ((axes,) if isinstance(axes, int) else axes)])


#: What the factories of one law say beside the law.
_NAMED = """

Parameters
----------
in_axis, out_axis, batch_axis, dtype
    As in :func:`variance_scaling`.

Examples
--------
>>> import jax, fanin.jax
>>> made = fanin.jax.{name}()(jax.random.key(5), (64, 32))
>>> bool((made == fanin.{name}((64, 32), seed=5)).all())
True
"""


def _of_one_law(factory: Factory) -> Factory:
    """The factory, its documentation complete."""
    factory.__doc__ = (factory.__doc__ or "") + _NAMED.format(name=factory.__name__)
    return factory


@_of_one_law
def glorot_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """U(-r, r), r = sqrt(6 / (fan_in + fan_out))      (Glorot & Bengio 2010)."""
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


@_of_one_law
def glorot_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """A normal cut at two sigma, std sqrt(2 / (fan_in + fan_out))      (Glorot & Bengio 2010)."""
    return variance_scaling(
        1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype
    )


@_of_one_law
def lecun_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """U(-r, r), r = sqrt(3 / fan_in)      (LeCun et al. 1998)."""
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


@_of_one_law
def lecun_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """A normal cut at two sigma, std sqrt(1 / fan_in)      (LeCun et al. 1998)."""
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


@_of_one_law
def he_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """U(-r, r), r = sqrt(6 / fan_in), for ReLU      (He et al. 2015)."""
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


@_of_one_law
def he_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """A normal cut at two sigma, std sqrt(2 / fan_in), for ReLU      (He et al. 2015)."""
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Haar-distributed orthogonal matrices times `scale`; unitary ones for complex dtypes.

    Parameters
    ----------
    scale : float
    column_axis : int
        The rows are all axes but this, as in :func:`jax.nn.initializers.orthogonal`.
    dtype : optional
        Default dtype of the initializer.

    Examples
    --------
    >>> import jax, fanin.jax
    >>> made = fanin.jax.orthogonal(2.0)(jax.random.key(5), (64, 32))
    >>> bool((made == fanin.orthogonal((64, 32), gain=2.0, seed=5)).all())
    True
    """
    return Initializer(
        functools.partial(_orthogonal, scale=float(scale), column_axis=column_axis), dtype
    )


def _orthogonal(shape: Shape, *, scale: float, column_axis: int, dtype: Any, **where: Any) -> Any:
    if len(shape) < 2:
        raise ValueError(f"orthogonal initializer requires at least a 2D shape, got {shape}")
    column = range(len(shape))[column_axis]
    rows = [axis for axis in range(len(shape)) if axis != column]
    layout = fanin.Layout(None, in_axes=rows, out_axes=column)
    draw = fanin.unitary if np.dtype(dtype).kind == "c" else fanin.orthogonal
    return draw(shape, gain=scale, layout=layout, dtype=dtype, **where)


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Convolution kernels (*kernel, in, out), orthogonal at the centre and 0 elsewhere.

    As :func:`jax.nn.initializers.delta_orthogonal`; in <= out.

    Parameters
    ----------
    scale : float
    column_axis : int
        Either axis gives the same law.
    dtype : optional
        Default dtype of the initializer.

    Examples
    --------
    >>> import jax, fanin.jax
    >>> made = fanin.jax.delta_orthogonal()(jax.random.key(5), (3, 3, 8, 16))
    >>> bool((made == fanin.delta_orthogonal((3, 3, 8, 16), seed=5)).all())
    True
    """
    return Initializer(
        functools.partial(_delta_orthogonal, scale=float(scale), column_axis=column_axis), dtype
    )


def _delta_orthogonal(shape: Shape, *, scale: float, column_axis: int, **where: Any) -> Any:
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"Delta orthogonal initializer requires a 3D, 4D or 5D shape, got {shape}")
    if shape[-1] < shape[-2]:
        raise ValueError(f"`fan_in` must be less or equal than `fan_out`, got shape {shape}")
    # The rows of a Haar matrix with more columns than rows are its transpose's columns: either
    # column axis gives the same law.
    range(2)[column_axis]
    return fanin.delta_orthogonal(shape, gain=scale, **where)
