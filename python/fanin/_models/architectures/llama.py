"""LLaMA and its kin in transformers: Mistral, Qwen2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fanin._models.tensors import PlanTensor

from .rows import Sizes, embedding, normal_layer

__all__ = ["CLASSES", "config", "from_config", "published"]

#: The classes of transformers that are known here, by model type.
CLASSES = {
    kind: (f"{name}ForCausalLM", f"{name}Model", f"{name}ForSequenceClassification")
    for kind, name in {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}.items()
}

#: Where the configurations' classes differ.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32, "attention_bias": False,
        "mlp_bias": False,
    },
    "mistral": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    },
    "qwen2": {
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
    },
}  # fmt: skip


def published(**sizes: Any) -> Iterator[PlanTensor]:
    """LLaMA: N(0, 0.02**2) for every matrix, ones for the norms (transformers' LlamaConfig).

    The papers give no scheme. Matrices are stored (out, in); a tied head is not stored.
    """
    return from_config(config(**sizes), "LlamaForCausalLM")


def config(
    *,
    layers: int,
    width: int,
    inner: int,
    heads: int,
    key_heads: int,
    vocabulary: int,
    tied: bool,
) -> dict[str, Any]:
    """What config.json says of these sizes."""
    for what, number, part, divides in (
        ("width", width, "heads", heads),
        ("heads", heads, "key_heads", key_heads),
    ):
        if divides < 1 or number % divides:
            raise ValueError(f"{what} {number} is no multiple of {part} {divides}; give both sizes")
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": layers,
        "hidden_size": width, "intermediate_size": inner, "num_attention_heads": heads,
        "num_key_value_heads": key_heads, "vocab_size": vocabulary, "tie_word_embeddings": tied,
    }  # fmt: skip


def from_config(given: Mapping[str, Any], architecture: str) -> Iterator[PlanTensor]:
    """The tensors of a LlamaConfig, MistralConfig or Qwen2Config, with transformers' laws."""
    kind = given["model_type"]
    sizes = Sizes(
        given, **{"initializer_range": 0.02, "tie_word_embeddings": False, **_DEFAULTS[kind]}
    )
    width, heads = sizes.count("hidden_size"), sizes.count("num_attention_heads")
    std, inner = sizes.number("initializer_range"), sizes.count("intermediate_size")
    head = width // heads if sizes.get("head_dim") is None else sizes.count("head_dim")
    key_heads = sizes.get("num_key_value_heads")
    keys = head * (heads if key_heads is None else sizes.count("num_key_value_heads"))
    queries = head * heads
    into, out = (kind == "qwen2",) * 2 if kind != "llama" else (sizes.flag("attention_bias"),) * 2
    out = out and kind != "qwen2"
    mlp = kind == "llama" and sizes.flag("mlp_bias")
    layers = {
        "self_attn.q_proj": (queries, width, into),
        "self_attn.k_proj": (keys, width, into),
        "self_attn.v_proj": (keys, width, into),
        "self_attn.o_proj": (width, queries, out),
        "mlp.gate_proj": (inner, width, mlp),
        "mlp.up_proj": (inner, width, mlp),
        "mlp.down_proj": (width, inner, mlp),
    }
    prefix = "" if architecture.endswith("Model") else "model."
    vocabulary, padding = sizes.count("vocab_size"), sizes.get("pad_token_id")
    yield embedding(f"{prefix}embed_tokens", vocabulary, width, std, padding)
    for number in range(sizes.layers("num_hidden_layers")):
        block = f"{prefix}layers.{number}"
        for name, (outputs, inputs, bias) in layers.items():
            yield from normal_layer(f"{block}.{name}", outputs, inputs, std, bias)
        yield PlanTensor(f"{block}.input_layernorm.weight", (width,), "ones")
        yield PlanTensor(f"{block}.post_attention_layernorm.weight", (width,), "ones")
    yield PlanTensor(f"{prefix}norm.weight", (width,), "ones")
    if architecture.endswith("ForCausalLM") and not sizes.flag("tie_word_embeddings"):
        yield from normal_layer("lm_head", vocabulary, width, std, bias=False)
    if architecture.endswith("ForSequenceClassification"):
        yield from normal_layer("score", sizes.labels, width, std, bias=False)
