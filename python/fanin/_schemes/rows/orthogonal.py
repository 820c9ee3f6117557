"""Rows of Haar-orthogonal and unitary weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fanin._arrays.kinds import COMPLEX, REAL
from fanin._arrays.targets import target
from fanin._checks import as_integer
from fanin._hints import short
from fanin._schemes.accepts import Accepts, Parameter, optional
from fanin._schemes.haar import matrix_axes, size_of, with_batch, write_orthogonal
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight

from .parameters import BATCH_AXES


def _write_orthogonal(weight: Weight, batch_axes: tuple[int, ...], det: int | None) -> Any:
    weight = with_batch(weight, batch_axes)
    weight.layout.axes(weight.shape)
    goal = target(weight.shape, weight.dtype, weight.out, weight.index, accepted=REAL,
                  function="orthogonal")  # fmt: skip
    return write_orthogonal(weight, det, goal)


def _write_unitary(weight: Weight, batch_axes: tuple[int, ...]) -> Any:
    weight = with_batch(weight, batch_axes)
    weight.layout.axes(weight.shape)
    goal = target(weight.shape, weight.dtype, weight.out, weight.index, default=np.complex64,
                  accepted=COMPLEX, function="unitary")  # fmt: skip
    return write_orthogonal(weight, None, goal)


def _entry_std(weight: Weight, batch_axes: tuple[int, ...], **_: Any) -> float:
    weight = with_batch(weight, batch_axes)
    axes = matrix_axes(weight.shape, weight.layout)
    longer = max(size_of(weight.shape, axes.rows), size_of(weight.shape, axes.columns))
    return 1.0 / math.sqrt(max(1, longer))


def _read_determinant(name: str, value: Any) -> int:
    number = as_integer(value, name)
    if number not in (1, -1):
        raise ValueError(f"{name} must be 1, -1 or None, got {short(value)}")
    return number


_FLATTENED = (
    "A shape of more axes is a convolution kernel, read as the matrix (prod(kernel) * in, out) of "
    'the layout "io" or (out, in * prod(kernel)) of "oi"; only axes named by batch_axes are '
    "batches. Of a tall matrix Q^T Q = gain^2 I, of a wide one Q Q^T = gain^2 I. A wide matrix is "
    "the transpose of the tall one of the same seed. Matrix b of a batch does not depend on the "
    "size of the batch. A part of one matrix costs the reflectors and its share of the columns "
    "(rows, if wide); a part of a batch costs the matrices that it touches."
)
orthogonal = add(
    Scheme(
        name="orthogonal",
        summary="Haar-distributed orthogonal matrices: the uniform law on O(n), or part of it.",
        formula="Q of a Gaussian matrix's QR with diag(R) > 0",
        source="Saxe et al. 2014; Stewart 1980; Mezzadri 2007",
        example={"shape": (256, 128)},
        write=_write_orthogonal,
        std=_entry_std,
        parameters=(
            BATCH_AXES,
            Parameter(
                "det",
                optional(Accepts("{1, -1}", _read_determinant)),
                "Determinant of square matrices: 1 for Haar's law on SO(n), -1 for its coset; None "
                "for both.",
                None,
            ),
        ),
        keyword_only=True,
        notes=_FLATTENED,
    )
)
unitary = add(
    Scheme(
        name="unitary",
        summary="Haar-distributed unitary matrices: the uniform law on U(n), or part of it.",
        formula="Q of a complex Gaussian matrix's QR with diag(R) > 0",
        source="Stewart 1980; Mezzadri 2007",
        example={"shape": (64, 64)},
        write=_write_unitary,
        std=_entry_std,
        parameters=(BATCH_AXES,),
        keyword_only=True,
        default_dtype="complex64",
        notes="complex64 (the default) or complex128. " + _FLATTENED.replace("Q^T", "Q^H"),
    )
)
