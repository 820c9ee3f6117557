"""Rows whose variance is a factor over a fan: Glorot, He, LeCun.

n = fan_in, m = fan_out. A uniform row's spread is its half width, a normal row's its std.
"""

from __future__ import annotations

import math

from fanin._schemes.laws import LAWS, TRUNCATED_NORMAL, UNIFORM
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme

from .parameters import DENSE, SCALING

_GLOROT = "Glorot & Bengio 2010, eq. 16"
_HE = "He et al. 2015, eq. 10"
_LECUN = "LeCun et al. 1998, section 4.6; Klambauer et al. 2017"

_TRUNCATED = (
    "The normal is cut at two of its sigmas and widened, so that the std of the values is the one "
    "stated (as in Keras and JAX); no value is larger than 2 / 0.8796 = 2.27 times the std."
)


variance_scaling = add(
    Scheme(
        name="variance_scaling",
        summary="Variance inversely proportional to a fan.",
        formula="Var(w) = gain**2 * scale / fan",
        source="He et al. 2015; Glorot & Bengio 2010",
        example={"shape": (256, 128), "scale": 2.0, "mode": "fan_out"},
        law=lambda distribution, **_: LAWS[distribution],
        spread=lambda weight, scale, mode, distribution: math.sqrt(
            (3.0 * scale if distribution == "uniform" else scale) / weight.fan(mode)
        ),
        parameters=SCALING,
        notes=_TRUNCATED,
    )
)

glorot_normal = add(
    Scheme(
        name="glorot_normal",
        summary="Glorot (Xavier) initialisation, normal: keeps variance forward and backward.",
        formula="truncated normal, std = sqrt(2 / (n + m))",
        source=_GLOROT,
        example=DENSE,
        law=TRUNCATED_NORMAL,
        spread=lambda weight: math.sqrt(1.0 / weight.fan("fan_avg")),
        notes=_TRUNCATED,
    )
)

glorot_uniform = add(
    Scheme(
        name="glorot_uniform",
        summary="Glorot (Xavier) initialisation, uniform: keeps variance forward and backward.",
        formula="U(-a, a), a = sqrt(6 / (n + m))",
        source=_GLOROT,
        example=DENSE,
        law=UNIFORM,
        spread=lambda weight: math.sqrt(3.0 / weight.fan("fan_avg")),
    )
)

he_normal = add(
    Scheme(
        name="he_normal",
        summary="He (Kaiming) initialisation for ReLU, normal: keeps variance forward.",
        formula="truncated normal, std = sqrt(2 / n)",
        source=_HE,
        example=DENSE,
        law=TRUNCATED_NORMAL,
        spread=lambda weight: math.sqrt(2.0 / weight.fan_in),
        notes=_TRUNCATED
        + "\n\nHe doubles the variance 1 / n, because ReLU switches half of the units off; texts "
        'that say "Xavier divided by 2" have it the wrong way round.',
    )
)

he_uniform = add(
    Scheme(
        name="he_uniform",
        summary="He (Kaiming) initialisation for ReLU, uniform: keeps variance forward.",
        formula="U(-a, a), a = sqrt(6 / n)",
        source=_HE,
        example=DENSE,
        law=UNIFORM,
        spread=lambda weight: math.sqrt(6.0 / weight.fan_in),
        notes="A widespread formula, a = sqrt(6) / (2 sqrt(n + m)), is wrong: for "
        "n = m its bound is 0.354 times the right one and its variance one eighth of what ReLU "
        "needs, so every layer divides the signal's second moment by 8. For n = 1000 the right "
        "bound is 0.0774597, that formula's 0.0273861.",
    )
)

lecun_normal = add(
    Scheme(
        name="lecun_normal",
        summary="LeCun initialisation, normal: unit variance through a linear layer; for SELU.",
        formula="truncated normal, std = sqrt(1 / n)",
        source=_LECUN,
        example=DENSE,
        law=TRUNCATED_NORMAL,
        spread=lambda weight: math.sqrt(1.0 / weight.fan_in),
        notes=_TRUNCATED,
    )
)

lecun_uniform = add(
    Scheme(
        name="lecun_uniform",
        summary="LeCun initialisation, uniform: unit variance through a linear layer; for SELU.",
        formula="U(-a, a), a = sqrt(3 / n)",
        source=_LECUN,
        example=DENSE,
        law=UNIFORM,
        spread=lambda weight: math.sqrt(3.0 / weight.fan_in),
        notes="A widespread formula, a = sqrt(1 / n), is wrong: its variance is "
        "1 / (3 n), which is torch's default for linear layers (torch_linear_default), not "
        "LeCun's. For n = 10 the right bound is 0.547723, that formula's 0.316228.",
    )
)
