"""Published models: every tensor's name and shape as transformers writes it, and its scheme.

The names are those of `save_pretrained` of the class in `Model.architecture` (the one that the
model's published configuration names), so `from_pretrained` reads a file of them. The schemes are
those of the authors' own code where it is public, else of transformers.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import fanin

__all__ = ["MODELS", "Model", "ModelTensor", "find", "parameters"]

_NO_ARGUMENTS: Mapping[str, object] = MappingProxyType({})


class ModelTensor(NamedTuple):
    """One tensor of a model: ``fanin.<scheme>(shape, **arguments, seed=Stream(seed)[name])``."""

    name: str
    shape: tuple[int, ...]
    scheme: str
    arguments: Mapping[str, object] = _NO_ARGUMENTS
    dtype: str | None = None
    """None: the dtype that the user asks for."""
    is_buffer: bool = False
    """A buffer is stored but not trained, so it is no parameter."""

    def expected_std(self) -> float:
        """The standard deviation that the scheme promises; 0 for a constant."""
        arguments: Mapping[str, Any] = self.arguments
        return fanin.schemes()[self.scheme].expected_std(self.shape, **arguments) or 0.0


@dataclass(frozen=True)
class Model:
    """A published architecture.

    Attributes
    ----------
    name : str
        What the user types.
    architecture : str
        The class in transformers that reads the file.
    scheme : str
        The published scheme in a few words.
    source : str
        Where the scheme was published.
    rows : callable
        Gives the tensors.
    """

    name: str
    architecture: str
    scheme: str
    source: str
    rows: Callable[[], Iterator[ModelTensor]]

    def tensors(self) -> tuple[ModelTensor, ...]:
        """Every tensor of the file, in the order of the network."""
        return tuple(self.rows())


def parameters(tensors: Iterable[ModelTensor]) -> int:
    """How many numbers are trained; a tied matrix counts once."""
    return sum(math.prod(tensor.shape) for tensor in tensors if not tensor.is_buffer)


def _norm(name: str, width: int) -> Iterator[ModelTensor]:
    yield ModelTensor(f"{name}.weight", (width,), "ones")
    yield ModelTensor(f"{name}.bias", (width,), "zeros")


def _layer(
    name: str, shape: tuple[int, ...], outputs: int, scheme: str, **arguments: object
) -> Iterator[ModelTensor]:
    """A weight and its zero bias."""
    yield ModelTensor(f"{name}.weight", shape, scheme, arguments)
    yield ModelTensor(f"{name}.bias", (outputs,), "zeros")


def gpt2(
    *, layers: int, width: int, vocabulary: int = 50257, positions: int = 1024
) -> Iterator[ModelTensor]:
    """GPT-2: N(0, 0.02), projections into the residual path 0.02 / sqrt(2 layers).

    The dense layers are stored (in, out); the head is tied to the token embedding and not stored.
    OpenAI's own code, published for inference, says 0.01 for the positions; transformers, Megatron
    and nanoGPT say 0.02, and so does this.
    """
    residual = partial(_layer, scheme="gpt2_residual", n_layers=layers)
    yield ModelTensor("transformer.wte.weight", (vocabulary, width), "gpt2")
    yield ModelTensor("transformer.wpe.weight", (positions, width), "gpt2")
    for layer in range(layers):
        block = f"transformer.h.{layer}"
        yield from _norm(f"{block}.ln_1", width)
        yield from _layer(f"{block}.attn.c_attn", (width, 3 * width), 3 * width, "gpt2")
        yield from residual(f"{block}.attn.c_proj", (width, width), width)
        yield from _norm(f"{block}.ln_2", width)
        yield from _layer(f"{block}.mlp.c_fc", (width, 4 * width), 4 * width, "gpt2")
        yield from residual(f"{block}.mlp.c_proj", (4 * width, width), width)
    yield from _norm("transformer.ln_f", width)


def llama(
    *,
    layers: int,
    width: int,
    inner: int,
    heads: int,
    key_heads: int,
    vocabulary: int,
    tied: bool,
) -> Iterator[ModelTensor]:
    """LLaMA: N(0, 0.02) for every matrix, ones for the norms (transformers' LlamaConfig).

    The papers give no scheme. Matrices are stored (out, in); a tied head is not stored.
    """
    keys = width // heads * key_heads
    matrices = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    normal = "transformers_default"
    yield ModelTensor("model.embed_tokens.weight", (vocabulary, width), normal)
    for layer in range(layers):
        block = f"model.layers.{layer}"
        yield ModelTensor(f"{block}.input_layernorm.weight", (width,), "ones")
        for name, shape in matrices.items():
            yield ModelTensor(f"{block}.{name}.weight", shape, normal)
        yield ModelTensor(f"{block}.post_attention_layernorm.weight", (width,), "ones")
    yield ModelTensor("model.norm.weight", (width,), "ones")
    if not tied:
        yield ModelTensor("lm_head.weight", (vocabulary, width), normal)


def bert(
    *, layers: int, width: int, inner: int, vocabulary: int = 30522, positions: int = 512
) -> Iterator[ModelTensor]:
    """BERT: N(0, 0.02) cut at 2 sigma and not corrected, so the true std is 0.0176; biases 0.

    This is `create_initializer` of google-research/bert, modeling.py; transformers draws the
    untruncated N(0, 0.02) instead. The decoder is tied to the word embedding and not stored.
    """
    cut = partial(_layer, scheme="cutoff_normal", std=0.02, cutoff=2.0)
    tables = {"word": vocabulary, "position": positions, "token_type": 2}
    for table, rows in tables.items():
        name = f"bert.embeddings.{table}_embeddings.weight"
        yield ModelTensor(name, (rows, width), "cutoff_normal", {"std": 0.02, "cutoff": 2.0})
    yield from _norm("bert.embeddings.LayerNorm", width)
    for layer in range(layers):
        block = f"bert.encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            yield from cut(f"{block}.attention.{name}", (width, width), width)
        yield from _norm(f"{block}.attention.output.LayerNorm", width)
        yield from cut(f"{block}.intermediate.dense", (inner, width), inner)
        yield from cut(f"{block}.output.dense", (width, inner), width)
        yield from _norm(f"{block}.output.LayerNorm", width)
    yield from cut("cls.predictions.transform.dense", (width, width), width)
    yield from _norm("cls.predictions.transform.LayerNorm", width)
    yield ModelTensor("cls.predictions.bias", (vocabulary,), "zeros")


def vit(
    *, layers: int, width: int, inner: int, patch: int, image: int, classes: int
) -> Iterator[ModelTensor]:
    """ViT: Glorot uniform matrices, biases of the MLP N(0, 1e-6), patches LeCun normal, head 0.

    This is google-research/vision_transformer, models_vit.py, with flax's defaults where it is
    silent; transformers draws a truncated N(0, 0.02) instead. Stored (out, in).
    """
    glorot = {"layout": "oi"}
    positions = (1, (image // patch) ** 2 + 1, width)
    kernel = (width, 3, patch, patch)
    embeddings = "vit.embeddings"
    yield ModelTensor(f"{embeddings}.cls_token", (1, 1, width), "zeros")
    yield ModelTensor(f"{embeddings}.position_embeddings", positions, "transformers_default")
    projection = f"{embeddings}.patch_embeddings.projection"
    yield from _layer(projection, kernel, width, "lecun_normal", layout="oi")
    for layer in range(layers):
        block = f"vit.encoder.layer.{layer}"
        yield from _norm(f"{block}.layernorm_before", width)
        for name in ("attention.query", "attention.key", "attention.value", "output.dense"):
            dense = f"{block}.attention.{name}"
            yield from _layer(dense, (width, width), width, "glorot_uniform", layout="oi")
        yield from _norm(f"{block}.layernorm_after", width)
        for name, shape in (("intermediate", (inner, width)), ("output", (width, inner))):
            dense = f"{block}.{name}.dense"
            yield ModelTensor(f"{dense}.weight", shape, "glorot_uniform", glorot)
            yield ModelTensor(f"{dense}.bias", shape[:1], "vit_mlp_bias")
    yield from _norm("vit.layernorm", width)
    yield from _layer("classifier", (classes, width), classes, "zeros")


def resnet(*, blocks: tuple[int, ...], classes: int) -> Iterator[ModelTensor]:
    """ResNet with bottlenecks: convolutions N(0, 2 / fan_out), norms 1 and 0, torch's last layer.

    He et al. 2015, eq. 14 (the backward condition), as torchvision and transformers both do; the
    last layer is torch.nn.Linear's default, U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), bias included.
    """
    width, expansion = 64, 4
    yield from _convolution("resnet.embedder.embedder", 3, width, 7)
    inputs = width
    for stage, depth in enumerate(blocks):
        inner = width * 2**stage
        for index in range(depth):
            block = f"resnet.encoder.stages.{stage}.layers.{index}"
            if index == 0:
                yield from _convolution(f"{block}.shortcut", inputs, expansion * inner, 1)
            yield from _convolution(f"{block}.layer.0", inputs, inner, 1)
            yield from _convolution(f"{block}.layer.1", inner, inner, 3)
            yield from _convolution(f"{block}.layer.2", inner, expansion * inner, 1)
            inputs = expansion * inner
    last = {"fan_in": inputs}
    yield ModelTensor("classifier.1.weight", (classes, inputs), "torch_linear_default", last)
    yield ModelTensor("classifier.1.bias", (classes,), "torch_linear_default", last)


def _convolution(name: str, inputs: int, outputs: int, kernel: int) -> Iterator[ModelTensor]:
    """A convolution without bias and its batch norm with the running statistics."""
    he = {"scale": 2.0, "mode": "fan_out", "distribution": "normal", "layout": "oi"}
    shape = (outputs, inputs, kernel, kernel)
    yield ModelTensor(f"{name}.convolution.weight", shape, "variance_scaling", he)
    norm = f"{name}.normalization"
    yield from _norm(norm, outputs)
    yield ModelTensor(f"{norm}.running_mean", (outputs,), "zeros", is_buffer=True)
    yield ModelTensor(f"{norm}.running_var", (outputs,), "ones", is_buffer=True)
    yield ModelTensor(f"{norm}.num_batches_tracked", (), "zeros", dtype="int64", is_buffer=True)


def _rows() -> Iterator[Model]:
    sizes = {"gpt2": (12, 768), "gpt2-medium": (24, 1024), "gpt2-large": (36, 1280)}
    for name, (layers, width) in (sizes | {"gpt2-xl": (48, 1600)}).items():
        yield Model(
            name,
            "GPT2LMHeadModel",
            "N(0, 0.02), residual scaled",
            "Radford 2019",
            partial(gpt2, layers=layers, width=width),
        )
    yield Model(
        "llama-1b",
        "LlamaForCausalLM",
        "N(0, 0.02)",
        "transformers",
        partial(
            llama,
            layers=16,
            width=2048,
            inner=8192,
            heads=32,
            key_heads=8,
            vocabulary=128256,
            tied=True,
        ),
    )
    yield Model(
        "llama-7b",
        "LlamaForCausalLM",
        "N(0, 0.02)",
        "transformers",
        partial(
            llama,
            layers=32,
            width=4096,
            inner=11008,
            heads=32,
            key_heads=32,
            vocabulary=32000,
            tied=False,
        ),
    )
    yield Model(
        "bert-base",
        "BertForMaskedLM",
        "N(0, 0.02) cut at 2 sigma",
        "Devlin 2019",
        partial(bert, layers=12, width=768, inner=3072),
    )
    yield Model(
        "vit-b16",
        "ViTForImageClassification",
        "Glorot uniform, head 0",
        "Dosovitskiy 2021",
        partial(vit, layers=12, width=768, inner=3072, patch=16, image=224, classes=1000),
    )
    yield Model(
        "resnet50",
        "ResNetForImageClassification",
        "Var 2/fan_out, last uniform",
        "He 2015",
        partial(resnet, blocks=(3, 4, 6, 3), classes=1000),
    )


#: Every model by its name.
MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _rows()})


def find(name: str) -> Model:
    """The model of that name.

    Raises
    ------
    ValueError
        There is none; the text names all, and the nearest.
    """
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name, MODELS, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no model {name!r}{hint} (known: {', '.join(MODELS)})")
