"""ViT (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from fanin._models.tensors import PlanTensor

from .rows import Sizes, layer, norm, normal_layer

__all__ = ["CLASSES", "config", "from_config", "published"]

#: The classes of transformers that are known here.
CLASSES = ("ViTForImageClassification", "ViTModel")


def published(
    *, layers: int, width: int, inner: int, patch: int, image: int, classes: int
) -> Iterator[PlanTensor]:
    """ViT: Glorot uniform matrices, biases of the MLP N(0, 1e-6**2), patches LeCun normal, head 0.

    This is google-research/vision_transformer, models_vit.py, with flax's defaults where it is
    silent; transformers draws N(0, 0.02**2) instead. Stored (out, in), under the names of the
    published checkpoints, which transformers reads and `save_pretrained` writes.
    """
    glorot = {"layout": "oi"}
    positions = (1, (image // patch) ** 2 + 1, width)
    kernel = (width, 3, patch, patch)
    embeddings = "vit.embeddings"
    yield PlanTensor(f"{embeddings}.cls_token", (1, 1, width), "zeros")
    yield PlanTensor(f"{embeddings}.position_embeddings", positions, "transformers_default")
    projection = f"{embeddings}.patch_embeddings.projection"
    yield from layer(projection, kernel, width, "lecun_normal", layout="oi")
    for number in range(layers):
        block = f"vit.encoder.layer.{number}"
        yield from norm(f"{block}.layernorm_before", width)
        for name in ("attention.query", "attention.key", "attention.value", "output.dense"):
            dense = f"{block}.attention.{name}"
            yield from layer(dense, (width, width), width, "glorot_uniform", layout="oi")
        yield from norm(f"{block}.layernorm_after", width)
        for name, shape in (("intermediate", (inner, width)), ("output", (width, inner))):
            dense = f"{block}.{name}.dense"
            yield PlanTensor(f"{dense}.weight", shape, "glorot_uniform", glorot)
            yield PlanTensor(f"{dense}.bias", shape[:1], "vit_mlp_bias")
    yield from norm("vit.layernorm", width)
    yield from layer("classifier", (classes, width), classes, "zeros")


def config(
    *, layers: int, width: int, inner: int, patch: int, image: int, classes: int
) -> dict[str, Any]:
    """What config.json says of these sizes; heads of 64 as in all published sizes."""
    heads = width // 64 if width % 64 == 0 else 1
    return {
        "architectures": ["ViTForImageClassification"], "model_type": "vit",
        "num_hidden_layers": layers, "hidden_size": width, "intermediate_size": inner,
        "num_attention_heads": heads, "patch_size": patch, "image_size": image,
        "id2label": {str(i): f"LABEL_{i}" for i in range(classes)},
        "label2id": {f"LABEL_{i}": i for i in range(classes)},
    }  # fmt: skip


def from_config(given: Mapping[str, Any], architecture: str) -> Iterator[PlanTensor]:
    """The tensors of a ViTConfig, with transformers' laws and the names of its state_dict."""
    sizes = Sizes(
        given, hidden_size=768, num_hidden_layers=12, intermediate_size=3072, image_size=224,
        patch_size=16, num_channels=3, qkv_bias=True, initializer_range=0.02,
    )  # fmt: skip
    width, std = sizes.count("hidden_size"), sizes.number("initializer_range")
    inner, patch = sizes.count("intermediate_size"), sizes.count("patch_size")
    prefix = "" if architecture == "ViTModel" else "vit."
    # torch's trunc_normal_ cuts at -2 and 2, not at two sigma.
    cut = {"scale": std, "low": -2.0 / std, "high": 2.0 / std} if std else {"scale": 0.0}
    positions = (1, (sizes.count("image_size") // patch) ** 2 + 1, width)
    embeddings = f"{prefix}embeddings"
    yield PlanTensor(f"{embeddings}.cls_token", (1, 1, width), "truncated_normal", cut)
    yield PlanTensor(f"{embeddings}.position_embeddings", positions, "truncated_normal", cut)
    kernel = (width, sizes.count("num_channels"), patch, patch)
    projection = f"{embeddings}.patch_embeddings.projection"
    yield from layer(projection, kernel, width, "transformers_default", std=std)
    dense = partial(normal_layer, std=std)
    bias = sizes.flag("qkv_bias")
    for number in range(sizes.layers("num_hidden_layers")):
        block = f"{prefix}layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj"):
            yield from dense(f"{block}.attention.{name}", width, width, bias=bias)
        yield from dense(f"{block}.attention.o_proj", width, width)
        yield from norm(f"{block}.layernorm_before", width)
        yield from norm(f"{block}.layernorm_after", width)
        yield from dense(f"{block}.mlp.fc1", inner, width)
        yield from dense(f"{block}.mlp.fc2", width, inner)
    yield from norm(f"{prefix}layernorm", width)
    if architecture == "ViTModel":
        yield from dense("pooler.dense", _pooled(sizes, width), width)
    else:
        yield from dense("classifier", sizes.labels, width)


def _pooled(sizes: Sizes, width: int) -> int:
    given = sizes.get("pooler_output_size")
    return width if given is None else sizes.count("pooler_output_size")
