"""Rows of constants and identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanin._arrays.boxes import Coordinates
from fanin._schemes.accepts import FINITE_ARRAY, Parameter
from fanin._schemes.patterns import write_constant, write_delta, write_pattern
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_identity(weight: Weight) -> Any:
    """One where input and output have the same number."""
    return write_delta(weight, least_kernel_axes=0, most_kernel_axes=0)


def write_value(weight: Weight, value: NDArray[Any]) -> Any:
    """A scalar, or an array broadcast to the full shape."""
    if value.ndim == 0:
        return write_constant(weight, value.item(), value.dtype.kind)
    shape = weight.shape
    first = len(shape) - value.ndim
    if first < 0 or any(
        size not in (1, full) for size, full in zip(value.shape, shape[first:], strict=True)
    ):
        raise ValueError(f"value of shape {value.shape} does not broadcast to the shape {shape}")

    if weight.out is not None:
        value = value.copy()  # it may overlap `out`, which is written block by block

    def values(*at: Coordinates) -> Any:
        return value[
            tuple(at[first + axis] if size != 1 else 0 for axis, size in enumerate(value.shape))
        ]

    return write_pattern(weight, values, value.dtype.kind)


zeros = add(
    Scheme(
        name="zeros",
        summary="All zeros.",
        formula="w = 0",
        source="practice",
        example={"shape": (2, 3)},
        write=lambda weight: write_constant(weight, 0.0),
        std=lambda weight: 0.0,
        needs_seed=False,
        notes="For biases and for layers that must start silent. Hidden layers of zeros (or of any "
        "one constant) never break the symmetry of their units: all of them stay equal.",
        printed="array([[0., 0., 0.],\n       [0., 0., 0.]], dtype=float32)",
    )
)
ones = add(
    Scheme(
        name="ones",
        summary="All ones.",
        formula="w = gain",
        source="practice",
        example={"shape": 3},
        write=lambda weight: write_constant(weight, 1.0),
        std=lambda weight: 0.0,
        needs_seed=False,
        printed="array([1., 1., 1.], dtype=float32)",
    )
)
constant = add(
    Scheme(
        name="constant",
        summary="One value everywhere, or an array broadcast to the shape.",
        formula="w = gain * value",
        source="practice",
        example={"shape": (2, 3), "value": [1, 2, 3]},
        write=write_value,
        parameters=(
            Parameter("value", FINITE_ARRAY, "Scalar, or array that broadcasts to `shape`."),
        ),
        needs_seed=False,
        printed="array([[1., 2., 3.],\n       [1., 2., 3.]], dtype=float32)",
    )
)
_IDENTITY_NOTES = (
    "For dense weights of any two sizes; batch axes, named by a Layout, hold one identity each, "
    "and a grouped Layout one identity a group. For convolutions see dirac."
)
identity = add(
    Scheme(
        name="identity",
        summary="Identity matrix, rectangular if the shape is.",
        formula="w[i, j] = gain if i == j else 0",
        source="Le et al. 2015",
        example={"shape": (2, 3), "gain": 2.0},
        write=write_identity,
        needs_seed=False,
        notes=_IDENTITY_NOTES,
        printed="array([[2., 0., 0.],\n       [0., 2., 0.]], dtype=float32)",
    )
)
eye = add(
    Scheme(
        name="eye",
        summary="Identity matrix, rectangular if the shape is; the same as identity.",
        formula="w[i, j] = gain if i == j else 0",
        source="Le et al. 2015",
        example={"shape": (3, 2)},
        write=write_identity,
        needs_seed=False,
        notes=_IDENTITY_NOTES,
        printed="array([[1., 0.],\n       [0., 1.],\n       [0., 0.]], dtype=float32)",
    )
)
