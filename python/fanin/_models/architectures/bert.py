"""BERT (Devlin et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from fanin._models.tensors import PlanTensor

from .rows import Sizes, embedding, layer, norm, normal_layer

__all__ = ["CLASSES", "config", "from_config", "published"]

#: The classes of transformers that are known here.
CLASSES = (
    "BertForMaskedLM", "BertModel", "BertForPreTraining", "BertForSequenceClassification",
    "BertForTokenClassification", "BertForQuestionAnswering",
)  # fmt: skip

#: Those with a pooler.
_POOLED = ("BertModel", "BertForPreTraining", "BertForSequenceClassification")

Dense = Callable[[str, int, int], Iterator[PlanTensor]]


def published(
    *, layers: int, width: int, inner: int, vocabulary: int = 30522, positions: int = 512
) -> Iterator[PlanTensor]:
    """BERT: N(0, 0.02**2) cut at 2 sigma and not corrected, so the true std is 0.0176; biases 0.

    This is `create_initializer` of google-research/bert, modeling.py; transformers draws the
    untruncated N(0, 0.02**2) instead, zeros for the padding row. The decoder is tied to the word
    embedding and not stored.
    """
    cut = {"std": 0.02, "cutoff": 2.0}

    def dense(name: str, outputs: int, inputs: int) -> Iterator[PlanTensor]:
        return layer(name, (outputs, inputs), outputs, "cutoff_normal", **cut)

    tables = {"word": vocabulary, "position": positions, "token_type": 2}
    for table, rows in tables.items():
        name = f"bert.embeddings.{table}_embeddings.weight"
        yield PlanTensor(name, (rows, width), "cutoff_normal", cut)
    yield from _encoder("bert.", layers, width, inner, dense)
    yield from _masked_head(width, vocabulary, dense)


def config(
    *, layers: int, width: int, inner: int, vocabulary: int = 30522, positions: int = 512
) -> dict[str, Any]:
    """What config.json says of these sizes; heads of 64 as in all published sizes."""
    heads = width // 64 if width % 64 == 0 else 1
    return {
        "architectures": ["BertForMaskedLM"], "model_type": "bert", "num_hidden_layers": layers,
        "hidden_size": width, "intermediate_size": inner, "num_attention_heads": heads,
        "vocab_size": vocabulary, "max_position_embeddings": positions,
    }  # fmt: skip


def from_config(given: Mapping[str, Any], architecture: str) -> Iterator[PlanTensor]:
    """The tensors of a BertConfig, with transformers' laws."""
    sizes = Sizes(
        given, vocab_size=30522, hidden_size=768, num_hidden_layers=12, intermediate_size=3072,
        max_position_embeddings=512, type_vocab_size=2, initializer_range=0.02, pad_token_id=0,
        tie_word_embeddings=True,
    )  # fmt: skip
    width, std = sizes.count("hidden_size"), sizes.number("initializer_range")
    vocabulary = sizes.count("vocab_size")
    prefix = "" if architecture == "BertModel" else "bert."
    dense = partial(normal_layer, std=std)
    table = f"{prefix}embeddings"
    padding = sizes.get("pad_token_id")
    yield embedding(f"{table}.word_embeddings", vocabulary, width, std, padding)
    positions = sizes.count("max_position_embeddings")
    yield embedding(f"{table}.position_embeddings", positions, width, std)
    types = sizes.count("type_vocab_size")
    yield embedding(f"{table}.token_type_embeddings", types, width, std)
    layers, inner = sizes.layers("num_hidden_layers"), sizes.count("intermediate_size")
    yield from _encoder(prefix, layers, width, inner, dense)
    if architecture in _POOLED:
        yield from dense(f"{prefix}pooler.dense", width, width)
    if architecture in ("BertForMaskedLM", "BertForPreTraining"):
        yield from _masked_head(width, vocabulary, dense)
        if not sizes.flag("tie_word_embeddings"):
            yield from dense("cls.predictions.decoder", vocabulary, width)
    if architecture == "BertForPreTraining":
        yield from dense("cls.seq_relationship", 2, width)
    if architecture in ("BertForSequenceClassification", "BertForTokenClassification"):
        yield from dense("classifier", sizes.labels, width)
    if architecture == "BertForQuestionAnswering":
        yield from dense("qa_outputs", sizes.labels, width)


def _encoder(
    prefix: str, layers: int, width: int, inner: int, dense: Dense
) -> Iterator[PlanTensor]:
    yield from norm(f"{prefix}embeddings.LayerNorm", width)
    for number in range(layers):
        block = f"{prefix}encoder.layer.{number}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            yield from dense(f"{block}.attention.{name}", width, width)
        yield from norm(f"{block}.attention.output.LayerNorm", width)
        yield from dense(f"{block}.intermediate.dense", inner, width)
        yield from dense(f"{block}.output.dense", width, inner)
        yield from norm(f"{block}.output.LayerNorm", width)


def _masked_head(width: int, vocabulary: int, dense: Dense) -> Iterator[PlanTensor]:
    yield PlanTensor("cls.predictions.bias", (vocabulary,), "zeros")
    yield from dense("cls.predictions.transform.dense", width, width)
    yield from norm("cls.predictions.transform.LayerNorm", width)
