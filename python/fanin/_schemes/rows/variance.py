"""The well-known schemes, one row each.

n = fan_in, m = fan_out. A uniform row's spread is its half width, a normal row's its std.
"""

from __future__ import annotations

import math

from fanin._schemes import patterns
from fanin._schemes.accepts import COUNT, FINITE_ARRAY, NON_NEGATIVE, Parameter, one_of, optional
from fanin._schemes.laws import LAWS, NORMAL, TRUNCATED_NORMAL, UNIFORM
from fanin._schemes.scheme import Scheme, add

_GLOROT = "Glorot & Bengio 2010, eq. 16"
_HE = "He et al. 2015, eq. 10"
_LECUN = "LeCun et al. 1998, section 4.6; Klambauer et al. 2017"
_DENSE = {"shape": (256, 128)}

_TRUNCATED = (
    "The normal is cut at two of its sigmas and widened, so that the std of the values is the one "
    "stated (as in Keras and JAX); no value is larger than 2 / 0.8796 = 2.27 times the std."
)

# ---------------------------------------------------------------------------------------------
# Deterministic

zeros = add(
    Scheme(
        name="zeros",
        summary="All zeros.",
        formula="w = 0",
        source="practice",
        example={"shape": (2, 3)},
        write=lambda weight: patterns.write_constant(weight, 0.0),
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
        write=lambda weight: patterns.write_constant(weight, 1.0),
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
        write=patterns.constant,
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
        write=patterns.identity,
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
        write=patterns.identity,
        needs_seed=False,
        notes=_IDENTITY_NOTES,
        printed="array([[1., 0.],\n       [0., 1.],\n       [0., 0.]], dtype=float32)",
    )
)

dirac = add(
    Scheme(
        name="dirac",
        summary="Convolution kernel that passes its input channels on unchanged.",
        formula="w = gain at kernel position k // 2 where out == in within a group, else 0",
        source="Zagoruyko & Komodakis 2017",
        example={"shape": (1, 2, 2)},
        write=patterns.dirac,
        parameters=(
            Parameter(
                "groups",
                optional(COUNT),
                "Groups of the convolution, shorthand for those of a Layout.",
                None,
            ),
        ),
        needs_seed=False,
        notes="One to three kernel axes. Channels without a partner in their group are zero.",
        printed="array([[[1., 0.],\n        [0., 1.]]], dtype=float32)",
    )
)

# ---------------------------------------------------------------------------------------------
# Variance scaling

_MODES = one_of("fan_in", "fan_out", "fan_avg", "fan_geo", "fan_geo_avg")
_DISTRIBUTIONS = one_of("truncated_normal", "normal", "untruncated_normal", "uniform")
SCALING = (
    Parameter("scale", NON_NEGATIVE, "Variance factor: fan * Var(w).", 1.0),
    Parameter(
        "mode",
        _MODES,
        "The fan: inputs, outputs, their arithmetic or their geometric mean "
        '("fan_geo" = "fan_geo_avg").',
        "fan_in",
    ),
    Parameter(
        "distribution",
        _DISTRIBUTIONS,
        '"truncated_normal" is cut at two sigma and widened to the std; "normal" = '
        '"untruncated_normal"; "uniform" is U(+-sqrt(3 * scale / fan)).',
        "truncated_normal",
    ),
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
        example=_DENSE,
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
        example=_DENSE,
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
        example=_DENSE,
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
        example=_DENSE,
        law=UNIFORM,
        spread=lambda weight: math.sqrt(6.0 / weight.fan_in),
        notes="The formula of seed document 002, a = sqrt(6) / (2 sqrt(n + m)), is wrong: for "
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
        example=_DENSE,
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
        example=_DENSE,
        law=UNIFORM,
        spread=lambda weight: math.sqrt(3.0 / weight.fan_in),
        notes="The formula of seed document 003, a = sqrt(1 / n), is wrong: its variance is "
        "1 / (3 n), which is torch's default for linear layers (torch_linear_default), not "
        "LeCun's. For n = 10 the right bound is 0.547723, that formula's 0.316228.",
    )
)

torch_linear_default = add(
    Scheme(
        name="torch_linear_default",
        summary="Default of torch's Linear and convolution layers, weights and biases.",
        formula="U(-a, a), a = 1 / sqrt(n)",
        source="torch.nn.Linear.reset_parameters",
        example=_DENSE,
        law=UNIFORM,
        spread=lambda weight, fan_in: 1.0 / math.sqrt(fan_in or weight.fan_in),
        parameters=(
            Parameter(
                "fan_in",
                optional(COUNT),
                "The n of the formula; None takes the weight's own. A bias has no fan, give it "
                "that of its weight.",
                None,
            ),
        ),
        notes="This is kaiming_uniform with a = sqrt(5): variance 1 / (3 n), a third of LeCun's.",
    )
)

# ---------------------------------------------------------------------------------------------
# GPT-2

_GPT2_STD = Parameter("std", NON_NEGATIVE, "Standard deviation of the embeddings' law.", 0.02)

gpt2 = add(
    Scheme(
        name="gpt2",
        summary="Weights and embeddings of GPT-2.",
        formula="N(0, std**2), std = 0.02",
        source="Radford et al. 2019",
        example=_DENSE,
        law=NORMAL,
        spread=lambda weight, std: std,
        parameters=(_GPT2_STD,),
    )
)

gpt2_residual = add(
    Scheme(
        name="gpt2_residual",
        summary="Projections of GPT-2 that write to the residual stream.",
        formula="N(0, (std / sqrt(2 L))**2), std = 0.02, L = n_layers",
        source="Radford et al. 2019, section 2.3",
        example={"shape": (256, 128), "n_layers": 12},
        law=NORMAL,
        spread=lambda weight, n_layers, std: std / math.sqrt(2 * n_layers),
        parameters=(
            Parameter("n_layers", COUNT, "Blocks of the model; each adds to the stream twice."),
            _GPT2_STD,
        ),
        notes="For 12 layers the std is 0.00408248.",
    )
)
