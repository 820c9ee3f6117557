"""Rows of networks of sines."""

from __future__ import annotations

import math

from fanin._schemes.accepts import POSITIVE, Parameter
from fanin._schemes.laws import UNIFORM
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme

from .parameters import DENSE

siren_first = add(
    Scheme(
        name="siren_first",
        summary="First layer of a sine network (SIREN).",
        formula="U(-a, a), a = 1 / n",
        source="Sitzmann et al. 2020, section 3.2",
        example={"shape": (2, 256)},
        law=UNIFORM,
        spread=lambda weight: 1.0 / weight.fan_in,
    )
)
siren_hidden = add(
    Scheme(
        name="siren_hidden",
        summary="Hidden layer of a sine network (SIREN).",
        formula="U(-a, a), a = sqrt(6 / n) / omega0, omega0 = 30",
        source="Sitzmann et al. 2020, section 3.2",
        example=DENSE,
        law=UNIFORM,
        spread=lambda weight, omega0: math.sqrt(6.0 / weight.fan_in) / omega0,
        parameters=(
            Parameter("omega0", POSITIVE, "Frequency of the sine: sin(omega0 (W x + b)).", 30.0),
        ),
    )
)
