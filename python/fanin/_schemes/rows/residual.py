"""Rows of deep residual networks: Fixup, SkipInit, T-Fixup, DeepNorm."""

from __future__ import annotations

import math

from fanin._schemes.accepts import COUNT, Parameter, at_least, optional
from fanin._schemes.depth_gains import T_FIXUP_PARTS, fixup_gain, one_stack_beta, t_fixup_gain
from fanin._schemes.laws import NORMAL, UNIFORM
from fanin._schemes.patterns import write_constant
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme

from .parameters import LAYERS

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
        write=lambda weight, n_branches: write_constant(
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
            LAYERS,
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
        parameters=(LAYERS,),
        notes="The skip connection has the factor alpha of fanin.deepnorm_gains, which also gives "
        "the gains of an encoder with a decoder. Query and key projections take no factor.",
    )
)
