"""GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from fanin._models.tensors import PlanTensor

from .rows import Sizes, layer, norm, normal_layer

__all__ = ["CLASSES", "config", "from_config", "published"]

#: The classes of transformers that are known here.
CLASSES = ("GPT2LMHeadModel", "GPT2Model", "GPT2ForSequenceClassification")


def published(
    *, layers: int, width: int, vocabulary: int = 50257, positions: int = 1024
) -> Iterator[PlanTensor]:
    """GPT-2: N(0, 0.02**2), projections into the residual path 0.02 / sqrt(2 layers).

    The dense layers are stored (in, out); the head is tied to the token embedding and not stored.
    OpenAI's own code, published for inference, says 0.01 for the positions; transformers, Megatron
    and nanoGPT say 0.02, and so does this.
    """
    return _rows("transformer.", layers, width, 4 * width, vocabulary, positions, 0.02)


def config(
    *, layers: int, width: int, vocabulary: int = 50257, positions: int = 1024
) -> dict[str, Any]:
    """What config.json says of these sizes; heads of 64 as in all published sizes."""
    heads = width // 64 if width % 64 == 0 else 1
    return {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_layer": layers,
        "n_embd": width, "n_head": heads, "vocab_size": vocabulary, "n_positions": positions,
    }  # fmt: skip


def from_config(given: Mapping[str, Any], architecture: str) -> Iterator[PlanTensor]:
    """The tensors of a GPT2Config, with transformers' laws."""
    sizes = Sizes(
        given, n_layer=12, n_embd=768, vocab_size=50257, n_positions=1024,
        initializer_range=0.02, tie_word_embeddings=True,
    )  # fmt: skip
    width, std = sizes.count("n_embd"), sizes.number("initializer_range")
    inner = 4 * width if sizes.get("n_inner") is None else sizes.count("n_inner")
    yield from _rows(
        "" if architecture == "GPT2Model" else "transformer.",
        sizes.layers("n_layer"), width, inner, sizes.count("vocab_size"),
        sizes.count("n_positions"), std,
    )  # fmt: skip
    if architecture == "GPT2LMHeadModel" and not sizes.flag("tie_word_embeddings"):
        yield from normal_layer("lm_head", sizes.count("vocab_size"), width, std, bias=False)
    if architecture == "GPT2ForSequenceClassification":
        yield from normal_layer("score", sizes.labels, width, std, bias=False)


def _rows(
    prefix: str, layers: int, width: int, inner: int, vocabulary: int, positions: int, std: float
) -> Iterator[PlanTensor]:
    dense = partial(layer, scheme="gpt2", std=std)
    residual = partial(layer, scheme="gpt2_residual", n_layers=layers, std=std)
    yield PlanTensor(f"{prefix}wte.weight", (vocabulary, width), "gpt2", {"std": std})
    yield PlanTensor(f"{prefix}wpe.weight", (positions, width), "gpt2", {"std": std})
    for number in range(layers):
        block = f"{prefix}h.{number}"
        yield from norm(f"{block}.ln_1", width)
        yield from dense(f"{block}.attn.c_attn", (width, 3 * width), 3 * width)
        yield from residual(f"{block}.attn.c_proj", (width, width), width)
        yield from norm(f"{block}.ln_2", width)
        yield from dense(f"{block}.mlp.c_fc", (width, inner), inner)
        yield from residual(f"{block}.mlp.c_proj", (inner, width), width)
    yield from norm(f"{prefix}ln_f", width)
