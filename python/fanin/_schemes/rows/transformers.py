"""Schemes of particular architectures, one row each: depth, width, waves, recurrence, upsampling.

n = fan_in, m = fan_out. A uniform row's spread is its half width, a normal row's its std.
"""

from __future__ import annotations

import math

from fanin._schemes import patterns
from fanin._schemes.accepts import (
    COUNT,
    GATES,
    NON_NEGATIVE,
    POSITIVE,
    Accepts,
    Parameter,
    at_least,
    one_of,
    optional,
)
from fanin._schemes.depth_gains import T_FIXUP_PARTS, fixup_gain, one_stack_beta, t_fixup_gain
from fanin._schemes.fans import as_shape
from fanin._schemes.laws import LAWS, NORMAL, UNIFORM, Weight, cut_normal
from fanin._schemes.scheme import Scheme, add

from .variance import SCALING

_DENSE = {"shape": (256, 128)}
_STD = Parameter("std", NON_NEGATIVE, "Standard deviation before any correction for depth.", 0.02)
_LAYERS = Parameter("n_layers", COUNT, "Blocks of the model.")
_LAYER_ID = Parameter("layer_id", at_least(0), "Number of the block, counted from 0.")

# ---------------------------------------------------------------------------------------------
# Transformers: cut normals, small and depth-scaled ones

cutoff_normal = add(
    Scheme(
        name="cutoff_normal",
        summary="Normal cut at a multiple of its sigma, as language-model recipes use it.",
        formula="N(0, std**2) cut at +-cutoff * std, cutoff = 3",
        source="OLMo and torchtitan recipes",
        example=_DENSE,
        law=lambda cutoff, **_: cut_normal(cutoff, corrected=False),
        spread=lambda weight, std, cutoff: std,
        parameters=(
            Parameter("std", NON_NEGATIVE, "Standard deviation before the cut.", 0.02),
            Parameter("cutoff", POSITIVE, "Where the normal is cut, in units of `std`.", 3.0),
        ),
        notes="The cut is not corrected for: at cutoff 3 the std of the values is "
        "0.98657839 times `std`.",
    )
)

small_init = add(
    Scheme(
        name="small_init",
        summary="Small normal for the input projections of a transformer.",
        formula="N(0, 2 / (5 d)), d = dim",
        source="Nguyen & Salazar 2019",
        example={"shape": (256, 128), "dim": 256},
        law=NORMAL,
        spread=lambda weight, dim: math.sqrt(2.0 / (5 * (dim or weight.fan_in))),
        parameters=(
            Parameter("dim", optional(COUNT), "Width of the model; None takes fan_in.", None),
        ),
    )
)

wang_init = add(
    Scheme(
        name="wang_init",
        summary="Normal for the output projections of a deep transformer (GPT-J, GPT-NeoX).",
        formula="N(0, (2 / (L sqrt(d)))**2), L = n_layers, d = dim",
        source="Wang & Komatsuzaki 2021",
        example={"shape": (256, 128), "n_layers": 12, "dim": 128},
        law=NORMAL,
        spread=lambda weight, n_layers, dim: 2.0 / (n_layers * math.sqrt(dim)),
        parameters=(
            _LAYERS,
            Parameter("dim", COUNT, "Width of the model (not the fan of a wider inner layer)."),
        ),
    )
)

depth_scaled = add(
    Scheme(
        name="depth_scaled",
        summary="Projections that write to the residual stream, smaller in deeper blocks.",
        formula="N(0, (std / sqrt(2 (l + 1)))**2), std = 0.02, l = layer_id",
        source="OLMo and torchtitan recipes",
        example={"shape": (256, 128), "layer_id": 3},
        law=NORMAL,
        spread=lambda weight, layer_id, std: std / math.sqrt(2 * (layer_id + 1)),
        parameters=(_LAYER_ID, _STD),
    )
)

mitchell = add(
    Scheme(
        name="mitchell",
        summary="Mitchell initialisation of OLMo: by fan and depth, cut at three sigma.",
        formula="N(0, 1 / (2 n (l + 1))) cut at +-3 sigma, l = layer_id; without l N(0, 1 / n)",
        source="Groeneveld et al. 2024 (OLMo)",
        example={"shape": (256, 128), "layer_id": 3},
        law=cut_normal(3.0, corrected=False),
        spread=lambda weight, layer_id: math.sqrt(
            1.0 / (weight.fan_in if layer_id is None else 2 * weight.fan_in * (layer_id + 1))
        ),
        parameters=(
            Parameter(
                "layer_id",
                optional(at_least(0)),
                "Number of the block, from 0, for projections that write to the residual stream; "
                "None for those that read from it.",
                None,
            ),
        ),
    )
)

# ---------------------------------------------------------------------------------------------
# Residual networks without normalisation, and deep post-norm transformers

fixup = add(
    Scheme(
        name="fixup",
        summary="Layers inside a residual branch under Fixup.",
        formula="N(0, 2 / n) times L**(-1 / (2 d - 2)), L = n_branches, d = branch_depth",
        source="Zhang et al. 2019, section 3",
        example={"shape": (256, 128), "n_branches": 16},
        law=NORMAL,
        spread=lambda weight, n_branches, branch_depth: (
            fixup_gain(n_branches, branch_depth) * math.sqrt(2.0 / weight.fan_in)
        ),
        parameters=(
            Parameter("n_branches", COUNT, "Residual branches of the network."),
            Parameter("branch_depth", at_least(2), "Weight layers in a branch.", 2),
        ),
        notes="The last layer of each branch and the classifier are zeros; scalar biases (0) and "
        "multipliers (1) go with it. The factor alone is fanin.fixup_gain.",
    )
)

skip_init = add(
    Scheme(
        name="skip_init",
        summary="Multiplier of a residual branch under SkipInit and ReZero.",
        formula="w = 0, or 1 / sqrt(L), L = n_branches",
        source="De & Smith 2020; Bachlechner et al. 2020",
        example={"shape": 1, "n_branches": 16},
        write=lambda weight, n_branches: patterns.write_constant(
            weight, 0.0 if n_branches is None else 1.0 / math.sqrt(n_branches)
        ),
        std=lambda weight, n_branches: 0.0,
        parameters=(
            Parameter("n_branches", optional(COUNT), "Branches; None for a silent start.", None),
        ),
        needs_seed=False,
        printed="array([0.25], dtype=float32)",
    )
)

t_fixup = add(
    Scheme(
        name="t_fixup",
        summary="Value, output and feed-forward projections under T-Fixup.",
        formula="glorot_uniform times 0.67 N**(-1/4), in a decoder (9 N)**(-1/4), N = n_layers",
        source="Huang et al. 2020",
        example={"shape": (256, 128), "n_layers": 6},
        law=UNIFORM,
        spread=lambda weight, n_layers, part: (
            t_fixup_gain(n_layers, part) * math.sqrt(3.0 / weight.fan("fan_avg"))
        ),
        parameters=(
            _LAYERS,
            Parameter("part", T_FIXUP_PARTS, "The stack of the projection.", "encoder"),
        ),
        notes="Embeddings take N(0, 1 / d) (flax_embedding_default), the rest glorot_uniform. The "
        "factor alone is fanin.t_fixup_gain.",
    )
)

deepnorm = add(
    Scheme(
        name="deepnorm",
        summary="Value, output and feed-forward projections under DeepNorm, one stack.",
        formula="N(0, 2 / (n + m)) times (8 N)**(-1/4), N = n_layers",
        source="Wang et al. 2022, figure 2",
        example={"shape": (256, 128), "n_layers": 12},
        law=NORMAL,
        spread=lambda weight, n_layers: (
            one_stack_beta(n_layers) * math.sqrt(1.0 / weight.fan("fan_avg"))
        ),
        parameters=(_LAYERS,),
        notes="The skip connection has the factor alpha of fanin.deepnorm_gains, which also gives "
        "the gains of an encoder with a decoder. Query and key projections take no factor.",
    )
)

# ---------------------------------------------------------------------------------------------
# Maximal update parametrisation

_ROLES = one_of("multiplier", "weight", "zeros")
_BASE_SHAPE = Parameter(
    "base_shape",
    Accepts("int or sequence of int", lambda name, value: as_shape(value)),
    "Shape of the same weight in the base model. Axes that differ are those that grow.",
)
_OUTPUT = Parameter(
    "output",
    _ROLES,
    "What an output layer does, whose inputs alone grow: keep its std and divide its "
    'result by r in the model ("multiplier"), carry that factor in the weights, '
    'std / r ("weight"), or start at 0 ("zeros").',
    "multiplier",
)


def _base_weight(weight: Weight, base_shape: tuple[int, ...]) -> Weight:
    if len(base_shape) != len(weight.shape):
        raise ValueError(f"base_shape {base_shape} must have the axes of shape {weight.shape}")
    return Weight(base_shape, weight.layout)


def _mup_std(weight: Weight, base: Weight, std: float, output: str) -> float:
    """`std` of the base model, by which axes grow: both hidden, inputs only output layer."""
    inputs_grow = weight.fan_in != base.fan_in
    outputs_grow = weight.fan_out != base.fan_out
    width_multiplier = weight.fan_in / base.fan_in
    if inputs_grow and outputs_grow:
        return std / math.sqrt(width_multiplier)
    if not inputs_grow or output == "multiplier":
        return std
    return std / width_multiplier if output == "weight" else 0.0


mup = add(
    Scheme(
        name="mup",
        summary="Maximal update parametrisation: a law tuned at a base width, carried to another.",
        formula="N(0, std**2 / r) if inputs and outputs grow, else N(0, std**2); r = n / base n",
        source="Yang & Hu 2021; Yang et al. 2022, table 8",
        example={"shape": (256, 128), "base_shape": (64, 32)},
        law=NORMAL,
        spread=lambda weight, base_shape, std, output: _mup_std(
            weight, _base_weight(weight, base_shape), std, output
        ),
        parameters=(
            _BASE_SHAPE,
            Parameter("std", NON_NEGATIVE, "Standard deviation in the base model.", 0.02),
            _OUTPUT,
        ),
        notes="With Adam, the learning rate of hidden layers goes down by r as well, and attention "
        "logits are divided by the head's width, not by its root.",
    )
)


def _mup_scaling_spread(
    weight: Weight,
    base_shape: tuple[int, ...],
    scale: float,
    mode: str,
    distribution: str,
    output: str,
) -> float:
    base = _base_weight(weight, base_shape)
    factor = 3.0 * scale if distribution == "uniform" else scale
    return _mup_std(weight, base, math.sqrt(factor / base.fan(mode)), output)


mup_variance_scaling = add(
    Scheme(
        name="mup_variance_scaling",
        summary="Maximal update parametrisation of Glorot's, He's and LeCun's rules.",
        formula="Var(w) = scale / base fan, over r if inputs and outputs grow; r = n / base n",
        source="Yang & Hu 2021; Yang et al. 2022, table 8; mup.init",
        example={"shape": (256, 128), "base_shape": (64, 32)},
        law=lambda distribution, **_: LAWS[distribution],
        spread=_mup_scaling_spread,
        parameters=(_BASE_SHAPE, *SCALING, _OUTPUT),
        notes="At the base shape this is variance_scaling. Hidden layers with mode fan_in keep its "
        "rule; input and output layers keep the numbers of the base shape. glorot_uniform is "
        'mode="fan_avg", distribution="uniform"; He\'s rules have scale=2.',
    )
)

spectral_mup = add(
    Scheme(
        name="spectral_mup",
        summary="Maximal update parametrisation by the spectral condition.",
        formula="N(0, (min(1, sqrt(m / n)) / sqrt(n))**2)",
        source="Yang, Simon & Bernstein 2023",
        example=_DENSE,
        law=NORMAL,
        spread=lambda weight: math.sqrt(min(1.0, weight.fan_out / weight.fan_in) / weight.fan_in),
    )
)

unit_normal = add(
    Scheme(
        name="unit_normal",
        summary="Unit normal of unit scaling and u-muP, where the scale sits in the operations.",
        formula="N(0, 1)",
        source="Blake et al. 2023, 2024",
        example=_DENSE,
        law=NORMAL,
        spread=lambda weight: 1.0,
    )
)

# ---------------------------------------------------------------------------------------------
# Sine networks

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
        example=_DENSE,
        law=UNIFORM,
        spread=lambda weight, omega0: math.sqrt(6.0 / weight.fan_in) / omega0,
        parameters=(
            Parameter("omega0", POSITIVE, "Frequency of the sine: sin(omega0 (W x + b)).", 30.0),
        ),
    )
)

# ---------------------------------------------------------------------------------------------
# Recurrent networks

irnn = add(
    Scheme(
        name="irnn",
        summary="Recurrent weights of a network of ReLU units that starts as a memory.",
        formula="identity times gain",
        source="Le et al. 2015",
        example={"shape": (2, 2)},
        write=patterns.identity,
        needs_seed=False,
        notes="The paper also has gain = 0.01. Biases are zeros, input weights irnn_input.",
        printed="array([[1., 0.],\n       [0., 1.]], dtype=float32)",
    )
)

irnn_input = add(
    Scheme(
        name="irnn_input",
        summary="Input weights of a recurrent network of ReLU units.",
        formula="N(0, std**2), std = 0.001",
        source="Le et al. 2015",
        example=_DENSE,
        law=NORMAL,
        spread=lambda weight, std: std,
        parameters=(Parameter("std", NON_NEGATIVE, "Standard deviation.", 0.001),),
    )
)

lstm_forget_bias = add(
    Scheme(
        name="lstm_forget_bias",
        summary="Bias of an LSTM that remembers at first: ones for the forget gate.",
        formula="b = value in the forget gate's slice, else 0",
        source="Gers et al. 2000; Jozefowicz et al. 2015",
        example={"shape": 8},
        write=patterns.lstm_forget_bias,
        parameters=(
            Parameter("value", NON_NEGATIVE, "Bias of the forget gate.", 1.0),
            GATES,
        ),
        needs_seed=False,
        notes="torch adds two biases, b_ih and b_hh: give one of them this and the other zeros.",
        printed="array([0., 0., 1., 1., 0., 0., 0., 0.], dtype=float32)",
    )
)

# ---------------------------------------------------------------------------------------------
# Without randomness: ZerO, upsampling

zero_hadamard = add(
    Scheme(
        name="zero_hadamard",
        summary="ZerO: identities, and a Hadamard matrix where the width grows.",
        formula="partial identity; if m > n 2**(-(k - 1) / 2) times the (m, n) corner of the "
        "Hadamard matrix of size 2**k, k = ceil(log2(m))",
        source="Zhao et al. 2021, algorithm 1",
        example={"shape": (2, 3)},
        write=patterns.zero_hadamard,
        needs_seed=False,
        notes="A convolution has this matrix at its centre k // 2 and zeros elsewhere.",
        printed="array([[ 0.70710677,  0.70710677,  0.70710677],\n"
        "       [ 0.70710677, -0.70710677,  0.70710677]], dtype=float32)",
    )
)

bilinear = add(
    Scheme(
        name="bilinear",
        summary="Kernel of a transposed convolution that upsamples by linear interpolation.",
        formula="product over kernel axes of 1 - |i / f - c|, f = ceil(k / 2), "
        "c = (2 f - 1 - f % 2) / (2 f)",
        source="Long et al. 2015; the formula of MXNet and Caffe",
        example={"shape": (4, 1, 1), "index": (slice(None), 0, 0)},
        write=patterns.bilinear,
        needs_seed=False,
        notes="Every pair of channels gets the kernel, so give it to a depthwise (grouped) weight. "
        "For odd k the formula is lopsided: k = 3 gives 0.25, 0.75, 0.75, where the code of the "
        "paper gives 0.5, 1, 0.5. Choose k = 2 r - r % 2 for a factor r.",
        printed="array([0.25, 0.75, 0.75, 0.25], dtype=float32)",
    )
)
