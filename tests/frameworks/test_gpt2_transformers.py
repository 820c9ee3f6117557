"""Files of `fanin init` as transformers reads them; needs torch and transformers.

Not part of the default suite: run `pytest tests/frameworks/test_gpt2_transformers.py` where both
are installed. Nothing is downloaded: models are built from their configurations.
"""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from safetensors.torch import load_file

from fanin._models import catalogue as _models
from fanin._models.architectures import bert, gpt2, llama, resnet, vit
from fanin._models.catalogue import MODELS
from fanin._models.plan import Plan

SMALL_BERT = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}

#: Name -> the configuration in transformers of the whole model.
CONFIGURATIONS = {
    "gpt2": lambda: transformers.GPT2Config(),
    "gpt2-medium": lambda: transformers.GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "gpt2-large": lambda: transformers.GPT2Config(n_embd=1280, n_layer=36, n_head=20),
    "gpt2-xl": lambda: transformers.GPT2Config(n_embd=1600, n_layer=48, n_head=25),
    "llama-1b": lambda: transformers.LlamaConfig(
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=128256,
        tie_word_embeddings=True,
    ),
    "llama-7b": lambda: transformers.LlamaConfig(),
    "bert-base": lambda: transformers.BertConfig(),
    "vit-b16": lambda: transformers.ViTConfig(num_labels=1000),
    "resnet50": lambda: transformers.ResNetConfig(num_labels=1000),
}

#: The same architectures small enough to be saved: (class, configuration, our rows).
SMALL = {
    "gpt2": (
        transformers.GPT2LMHeadModel,
        lambda: transformers.GPT2Config(n_embd=24, n_layer=3, n_head=2),
        lambda: gpt2.published(layers=3, width=24),
    ),
    "llama tied": (
        transformers.LlamaForCausalLM,
        lambda: transformers.LlamaConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=100,
            tie_word_embeddings=True,
        ),
        lambda: llama.published(
            layers=2, width=24, inner=40, heads=4, key_heads=2, vocabulary=100, tied=True
        ),
    ),
    "llama untied": (
        transformers.LlamaForCausalLM,
        lambda: transformers.LlamaConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            vocab_size=100,
        ),
        lambda: llama.published(
            layers=2, width=24, inner=40, heads=4, key_heads=4, vocabulary=100, tied=False
        ),
    ),
    "bert": (
        transformers.BertForMaskedLM,
        lambda: transformers.BertConfig(**SMALL_BERT),
        lambda: bert.published(layers=2, width=24, inner=40),
    ),
    "vit": (
        transformers.ViTForImageClassification,
        lambda: transformers.ViTConfig(**SMALL_BERT, image_size=64, num_labels=10),
        lambda: vit.published(layers=2, width=24, inner=40, patch=16, image=64, classes=10),
    ),
    "resnet": (
        transformers.ResNetForImageClassification,
        lambda: transformers.ResNetConfig(num_labels=1000),
        lambda: resnet.published(blocks=(3, 4, 6, 3), classes=1000),
    ),
}


def shapes_of_file(path):
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("name", SMALL)
def test_names_shapes_and_dtypes_are_those_of_save_pretrained(tmp_path, name):
    architecture, configuration, rows = SMALL[name]
    architecture(configuration()).to(torch.bfloat16).save_pretrained(tmp_path / "theirs")
    ours = tmp_path / "ours.safetensors"
    Plan(name, tuple(rows())).write(ours, seed=0, dtype="bfloat16")
    assert shapes_of_file(ours) == shapes_of_file(tmp_path / "theirs" / "model.safetensors")


@pytest.mark.parametrize("name", SMALL)
def test_from_pretrained_finds_every_tensor_and_nothing_else(tmp_path, name):
    architecture, configuration, rows = SMALL[name]
    configuration().save_pretrained(tmp_path)
    Plan(name, tuple(rows())).write(tmp_path / "model.safetensors", seed=0)
    model, report = architecture.from_pretrained(
        tmp_path, output_loading_info=True, local_files_only=True
    )
    assert not any(report.values()), report
    assert not any(parameter.isnan().any() for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_number_of_parameters_is_that_of_the_class(name):
    architecture = getattr(transformers, MODELS[name].architecture)
    with torch.device("meta"):
        model = architecture(CONFIGURATIONS[name]())
    model.tie_weights()
    expected = {id(parameter): parameter.numel() for parameter in model.parameters()}
    assert _models.parameters(MODELS[name].tensors()) == sum(expected.values())


@pytest.mark.parametrize("name", [name for name in MODELS if name != "vit-b16"])
def test_names_and_shapes_are_those_of_the_state_dict_without_tied_ones(name):
    # transformers stores ViT under older names than those of its state_dict; the tests of
    # save_pretrained and from_pretrained above cover it.
    architecture = getattr(transformers, MODELS[name].architecture)
    with torch.device("meta"):
        model = architecture(CONFIGURATIONS[name]())
    state = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    tied = {
        "lm_head.weight": "wte.weight" if name.startswith("gpt2") else "embed_tokens.weight",
        "cls.predictions.decoder.weight": "word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    if name == "llama-7b":
        tied = {}
    for key in tied:
        state.pop(key, None)
    assert {tensor.name: tensor.shape for tensor in MODELS[name].tensors()} == state


@pytest.fixture(scope="module")
def gpt2_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt2") / "gpt2.safetensors"
    Plan.for_model("gpt2").write(path, seed=0)
    yield path
    path.unlink()


def test_gpt2_equals_save_pretrained_and_loads_strictly_after_tying(gpt2_file, tmp_path):
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config())
    model.save_pretrained(tmp_path)
    state = load_file(gpt2_file)
    saved = load_file(tmp_path / "model.safetensors")
    assert {k: (v.dtype, v.shape) for k, v in state.items()} == {
        k: (v.dtype, v.shape) for k, v in saved.items()
    }
    assert "lm_head.weight" not in state

    state["lm_head.weight"] = state["transformer.wte.weight"]
    model.load_state_dict(state, strict=True)
    model.tie_weights()
    assert model.lm_head.weight is model.transformer.wte.weight
    with torch.no_grad():
        loss = model(torch.arange(64)[None], labels=torch.arange(64)[None]).loss
    # A fresh model knows nothing: the loss is that of a uniform guess, log 50257 = 10.82, and the
    # logits' variance 768 * 0.02**2 = 0.3 adds about half of itself.
    assert abs(float(loss) - math.log(50257)) < 0.5


def test_gpt2_has_the_std_of_every_tensor_that_transformers_draws(gpt2_file):
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config()).state_dict()
    for name, tensor in load_file(gpt2_file).items():
        ours, other = tensor.double().std().item(), theirs[name].double().std().item()
        # Two estimates of one std, each with relative standard error 1 / sqrt(2 n); 6 of them.
        assert abs(ours - other) <= 6 * other * math.sqrt(1 / tensor.numel()), name
