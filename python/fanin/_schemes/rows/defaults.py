"""What the layers of torch, Keras, flax, transformers and ViT start with, one row each."""

from __future__ import annotations

import math

from fanin._schemes.accepts import COUNT, NON_NEGATIVE, Parameter, optional
from fanin._schemes.laws import NORMAL, TRUNCATED_NORMAL, UNIFORM
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight

from .parameters import DENSE

_STD = Parameter("std", NON_NEGATIVE, "Standard deviation.", 0.02)

torch_embedding_default = add(
    Scheme(
        name="torch_embedding_default",
        summary="Default of torch's Embedding.",
        formula="N(0, 1)",
        source="torch.nn.Embedding.reset_parameters",
        example=DENSE,
        law=NORMAL,
        spread=lambda weight: 1.0,
    )
)

torch_rnn_default = add(
    Scheme(
        name="torch_rnn_default",
        summary="Default of torch's RNN, LSTM and GRU layers, weights and biases.",
        formula="U(-a, a), a = 1 / sqrt(h), h = hidden_size",
        source="torch.nn.RNNBase.reset_parameters",
        example={"shape": (256, 128), "hidden_size": 64},
        law=UNIFORM,
        spread=lambda weight, hidden_size: 1.0 / math.sqrt(hidden_size),
        parameters=(Parameter("hidden_size", COUNT, "Units of the layer."),),
    )
)

torch_attention_default = add(
    Scheme(
        name="torch_attention_default",
        summary="Default of the joint input projection of torch's MultiheadAttention.",
        formula="U(-a, a), a = sqrt(6 / (n + m))",
        source="torch.nn.MultiheadAttention",
        example={"shape": (192, 64), "layout": "oi"},
        law=UNIFORM,
        spread=lambda weight: math.sqrt(3.0 / weight.fan("fan_avg")),
        notes="torch reads the joint weight (3 d, d) as one, so m = 3 d: the three projections are "
        "smaller by sqrt(2) than if each had its own shape. Biases are zeros.",
    )
)

keras_dense_default = add(
    Scheme(
        name="keras_dense_default",
        summary="Default kernel of Keras's Dense and convolution layers.",
        formula="U(-a, a), a = sqrt(6 / (n + m))",
        source="keras.layers.Dense",
        example=DENSE,
        law=UNIFORM,
        spread=lambda weight: math.sqrt(3.0 / weight.fan("fan_avg")),
        notes='The same as glorot_uniform. Biases are zeros. With layout="io" a depthwise kernel '
        "(*kernel, channels, multiplier) gets the fans that Keras gives it.",
    )
)

keras_embedding_default = add(
    Scheme(
        name="keras_embedding_default",
        summary="Default of Keras's Embedding, and of its RandomUniform.",
        formula="U(-0.05, 0.05)",
        source="keras.layers.Embedding",
        example=DENSE,
        law=UNIFORM,
        spread=lambda weight: 0.05,
    )
)

flax_dense_default = add(
    Scheme(
        name="flax_dense_default",
        summary="Default kernel of flax's Dense and convolution layers.",
        formula="truncated normal, std = sqrt(1 / n)",
        source="flax.linen.Dense",
        example=DENSE,
        law=TRUNCATED_NORMAL,
        spread=lambda weight: math.sqrt(1.0 / weight.fan_in),
        notes="The same as lecun_normal. Biases are zeros.",
    )
)

flax_embedding_default = add(
    Scheme(
        name="flax_embedding_default",
        summary="Default of flax's Embed; also the embeddings of T-Fixup.",
        formula="N(0, 1 / d), d = features",
        source="flax.linen.Embed; Huang et al. 2020",
        example=DENSE,
        law=NORMAL,
        spread=lambda weight, features: math.sqrt(1.0 / (features or max(1, weight.shape[-1]))),
        parameters=(
            Parameter(
                "features",
                optional(COUNT),
                "Length of one embedding; None takes the last axis of the table (V, d).",
                None,
            ),
        ),
        notes="flax writes variance_scaling(1, fan_in, normal, out_axis=0) for (V, d), where "
        "both of its axes name axis 0, which leaves d as the fan.",
    )
)

transformers_default = add(
    Scheme(
        name="transformers_default",
        summary="Default of most models in transformers (initializer_range).",
        formula="N(0, std**2), std = 0.02",
        source="Devlin et al. 2019; transformers",
        example=DENSE,
        law=NORMAL,
        spread=lambda weight, std: std,
        parameters=(_STD,),
    )
)

vit_default = add(
    Scheme(
        name="vit_default",
        summary="Weights and embeddings of a vision transformer; the head starts with zeros.",
        formula="truncated normal, std = 0.02",
        source="Dosovitskiy et al. 2020; timm",
        example=DENSE,
        law=TRUNCATED_NORMAL,
        spread=lambda weight, std: std,
        parameters=(_STD,),
        notes="Cut at two of its sigmas and widened to the std. The paper's own JAX code has "
        "glorot_uniform for weights and vit_mlp_bias for the biases of the MLP.",
    )
)

vit_mlp_bias = add(
    Scheme(
        name="vit_mlp_bias",
        summary="Biases of the MLP of a vision transformer.",
        formula="N(0, std**2), std = 1e-6",
        source="Dosovitskiy et al. 2020",
        example={"shape": 4096},
        law=NORMAL,
        spread=lambda weight, std: std,
        parameters=(Parameter("std", NON_NEGATIVE, "Standard deviation.", 1e-6),),
    )
)


def _own_fan_in(weight: Weight) -> int:
    """The weight's own fan; a bias, which has none, is told where to take it from."""
    try:
        return weight.fan_in
    except ValueError as error:
        raise ValueError(
            f"{error}; for a bias give the fan of its weight, as "
            "fan_in=fanin.fans(weight.shape, layout).fan_in"
        ) from None


torch_linear_default = add(
    Scheme(
        name="torch_linear_default",
        summary="Default of torch's Linear and convolution layers, weights and biases.",
        formula="U(-a, a), a = 1 / sqrt(n)",
        source="torch.nn.Linear.reset_parameters",
        example=DENSE,
        law=UNIFORM,
        spread=lambda weight, fan_in: 1.0 / math.sqrt(fan_in or _own_fan_in(weight)),
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
