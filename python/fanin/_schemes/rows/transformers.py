"""Rows of language models: cut normals, small and depth-scaled ones. n = fan_in, m = fan_out."""

from __future__ import annotations

import math

from fanin._schemes.accepts import (
    COUNT,
    NON_NEGATIVE,
    POSITIVE,
    Parameter,
    at_least,
    optional,
)
from fanin._schemes.laws import NORMAL, cut_normal
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme

from .parameters import DENSE, LAYERS, STD

_LAYER_ID = Parameter("layer_id", at_least(0), "Number of the block, counted from 0.")

# ---------------------------------------------------------------------------------------------
# Transformers: cut normals, small and depth-scaled ones

cutoff_normal = add(
    Scheme(
        name="cutoff_normal",
        summary="Normal cut at a multiple of its sigma, as language-model recipes use it.",
        formula="N(0, std**2) cut at +-cutoff * std, cutoff = 3",
        source="OLMo and torchtitan recipes",
        example=DENSE,
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
            LAYERS,
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
        parameters=(_LAYER_ID, STD),
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
# Without randomness: ZerO, upsampling


_GPT2_STD = Parameter("std", NON_NEGATIVE, "Standard deviation of the embeddings' law.", 0.02)
gpt2 = add(
    Scheme(
        name="gpt2",
        summary="Weights and embeddings of GPT-2.",
        formula="N(0, std**2), std = 0.02",
        source="Radford et al. 2019",
        example=DENSE,
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
