"""Plans beside torch and transformers: names, shapes, laws, dtypes, and files as they read them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

import fanin
from fanin import Plan
from fanin._models.configs import from_catalogue

SMALL = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
WORDS = {"vocab_size": 60}


def gpt2(**more):
    return transformers.GPT2Config(n_embd=24, n_layer=2, n_head=2, **WORDS, **more)


def bert(**more):
    return transformers.BertConfig(**SMALL, **WORDS, **more)


def vit(**more):
    return transformers.ViTConfig(**SMALL, image_size=32, **more)


def resnet(**more):
    return transformers.ResNetConfig(embedding_size=8, **more)


#: (class, configuration): everything that the catalogue knows without torch.
CASES = [
    *((name, gpt2()) for name in ("GPT2Model", "GPT2LMHeadModel", "GPT2ForSequenceClassification")),
    ("GPT2LMHeadModel", gpt2(n_inner=30, tie_word_embeddings=False)),
    *(
        (f"Bert{name}", bert())
        for name in (
            "Model", "ForMaskedLM", "ForPreTraining", "ForSequenceClassification",
            "ForTokenClassification", "ForQuestionAnswering",
        )
    ),
    ("BertForMaskedLM", bert(tie_word_embeddings=False)),
    ("ViTModel", vit(pooler_output_size=10)),
    ("ViTForImageClassification", vit(qkv_bias=False, num_labels=5)),
    *(
        (
            f"{kind}{name}",
            getattr(transformers, f"{kind}Config")(
                **SMALL, **WORDS, num_key_value_heads=1, pad_token_id=3
            ),
        )
        for kind in ("Llama", "Mistral", "Qwen2")
        for name in ("Model", "ForCausalLM", "ForSequenceClassification")
    ),
    (
        "LlamaForCausalLM",
        transformers.LlamaConfig(
            **SMALL, **WORDS, attention_bias=True, mlp_bias=True, tie_word_embeddings=True
        ),
    ),
    ("MistralForCausalLM", transformers.MistralConfig(**SMALL, **WORDS, head_dim=8)),
    (
        "ResNetModel",
        resnet(
            hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", downsample_in_first_stage=True
        ),
    ),
    ("ResNetForImageClassification", resnet(hidden_sizes=[16, 32], depths=[2, 1])),
]  # fmt: skip
IDS = [f"{name}-{number}" for number, (name, _) in enumerate(CASES)]


def entries(architecture, configuration):
    """What config.json says."""
    return json.loads(configuration.to_json_string()) | {"architectures": [architecture]}


def state_of(architecture, configuration):
    """The names and shapes of the state_dict, tied tensors once."""
    with torch.device("meta"):
        model = getattr(transformers, architecture)(configuration)
    model.tie_weights()
    seen, state = set(), {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tuple(tensor.shape)
    return state


@pytest.mark.parametrize(("architecture", "configuration"), CASES, ids=IDS)
def test_the_catalogue_agrees_with_transformers_name_by_name(architecture, configuration):
    name, tensors = from_catalogue(entries(architecture, configuration))
    assert name == architecture
    expected = state_of(architecture, configuration)
    assert {tensor.name: tensor.shape for tensor in tensors} == expected
    assert [tensor.name for tensor in tensors] == list(expected)


@pytest.mark.parametrize(("architecture", "configuration"), CASES, ids=IDS)
def test_the_catalogue_has_the_stds_that_transformers_draws(architecture, configuration):
    torch.manual_seed(0)
    theirs = getattr(transformers, architecture)(configuration).state_dict()
    for tensor in from_catalogue(entries(architecture, configuration))[1]:
        values = theirs[tensor.name].double()
        if values.numel() < 2:
            continue
        expected = tensor.expected_std()
        count = values.numel()
        zeros = (values == 0).double().mean().item() if tensor.parts else 0.0
        # The standard deviation of a sample is off by 1 / sqrt(2 n) of itself; 6 of them (a row of
        # zeros in the embedding lowers it).
        off = 6 * expected / math.sqrt(2 * count)
        std = expected * math.sqrt(1 - zeros)
        assert abs(values.pow(2).mean().sqrt().item() - std) <= off or expected == 0, tensor.name
        if tensor.parts:
            assert (theirs[tensor.name][configuration.pad_token_id] == 0).all()


@pytest.mark.parametrize(("architecture", "configuration"), CASES, ids=IDS)
def test_from_config_is_the_same_with_and_without_transformers(
    tmp_path, monkeypatch, architecture, configuration
):
    (tmp_path / "config.json").write_text(json.dumps(entries(architecture, configuration)))
    recorded = Plan.from_config(tmp_path / "config.json")
    monkeypatch.setattr("fanin._models.configs.has_transformers", lambda: False)
    known = Plan.from_config(tmp_path)
    assert recorded.model == known.model == architecture
    assert recorded.config == known.config
    rows = {tensor.name: tensor for tensor in recorded.tensors}
    assert [t.name for t in recorded.tensors] == [t.name for t in known.tensors]
    for tensor in known.tensors:
        other = rows[tensor.name]
        assert (tensor.shape, tensor.is_buffer) == (other.shape, other.is_buffer), tensor.name
        assert other.expected_std() == pytest.approx(tensor.expected_std(), rel=1e-6), tensor.name
        assert [part.box for part in tensor.parts] == [part.box for part in other.parts]
    recorded.write(tmp_path / "x.safetensors", seed=1)
    assert fanin.verify(tmp_path / "x.safetensors").ok


@pytest.mark.parametrize(
    ("architecture", "configuration"),
    [
        ("MixtralForCausalLM", transformers.MixtralConfig(
            **SMALL, **WORDS, num_key_value_heads=1, num_local_experts=3,
        )),
        ("T5ForConditionalGeneration", transformers.T5Config(
            d_model=24, d_kv=12, d_ff=40, num_layers=2, num_heads=2, **WORDS,
        )),
        ("SwinForImageClassification", transformers.SwinConfig(
            image_size=32, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4,
        )),
        ("Mamba2ForCausalLM", transformers.Mamba2Config(  # time_step_limit is (0, infinity)
            hidden_size=24, num_hidden_layers=1, num_heads=4, head_dim=12, n_groups=2, **WORDS,
        )),
        (None, bert()),
    ],
)  # fmt: skip
def test_any_architecture_is_planned_written_and_read(tmp_path, architecture, configuration):
    config = json.loads(configuration.to_json_string())
    if architecture is not None:
        config["architectures"] = [architecture]
    (tmp_path / "config.json").write_text(json.dumps(config))
    plan = Plan.from_config(tmp_path)
    plan.save(tmp_path / "plan.toml")
    assert Plan.from_file(tmp_path / "plan.toml") == plan
    plan.write(tmp_path / "model", seed=0, shard_size="20KB")
    assert fanin.verify(tmp_path / "model").ok
    kind = transformers.AutoModel if architecture is None else getattr(transformers, architecture)
    model, report = kind.from_pretrained(
        tmp_path / "model", output_loading_info=True, local_files_only=True
    )
    assert not any(report.values()), report
    assert sum(p.numel() for p in model.parameters()) == plan.parameters


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model_type": "no_such_model"}, "transformers refuses it: .*no_such_model"),
        ({"vocab_size": "many"}, "transformers refuses it: "),
        ({"architectures": ["NoSuchModel"]}, "transformers has no class NoSuchModel"),
        ({"num_attention_heads": 5}, "transformers cannot build BertForMaskedLM of it: ValueError"),
        ({"hidden_act": "no_such"}, "transformers cannot build BertForMaskedLM of it: KeyError"),
        ({"architectures": [7]}, "architectures must be a list of names"),
    ],
)
def test_a_config_that_transformers_refuses_is_a_value_error(tmp_path, changes, text):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(entries("BertForMaskedLM", bert()) | changes))
    with pytest.raises(ValueError, match=f"config.json: {text}") as caught:
        Plan.from_config(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("architecture", "configuration"), CASES, ids=IDS)
def test_from_pretrained_reads_a_folder_of_the_catalogue(tmp_path, architecture, configuration):
    name, tensors = from_catalogue(entries(architecture, configuration))
    plan = Plan(name, tensors, config=entries(architecture, configuration))
    plan.write(tmp_path / "model", seed=0, dtype="bfloat16", shard_size="20KB")
    model, report = getattr(transformers, architecture).from_pretrained(
        tmp_path / "model", output_loading_info=True, local_files_only=True
    )
    assert not any(report.values()), report
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    state = model.state_dict()
    stream = fanin.Stream(0)
    for tensor in tensors[:3]:
        if not tensor.parts and tensor.scheme in ("gpt2", "transformers_default"):
            expected = fanin.get(tensor.scheme)(
                tensor.shape, **tensor.arguments, seed=stream[tensor.name], dtype="bfloat16"
            )
            found = state[tensor.name].view(torch.int16).numpy()
            np.testing.assert_array_equal(found, expected.view(np.int16))


def test_every_dtype_stands_where_the_package_puts_it(tmp_path):
    # Those that torch can save; the rest have ranks beside them in the format's own list.
    theirs = {
        name: torch.zeros(8, dtype=dtype)
        for name, dtype in {
            "a": torch.bool, "b": torch.uint8, "c": torch.int8, "d": torch.float8_e5m2,
            "e": torch.float8_e4m3fn, "f": torch.float8_e4m3fnuz, "g": torch.float8_e5m2fnuz,
            "h": torch.int16, "i": torch.uint16, "j": torch.float16, "k": torch.bfloat16,
            "l": torch.int32, "m": torch.uint32, "n": torch.float32, "o": torch.complex64,
            "p": torch.float64, "q": torch.int64, "r": torch.uint64,
        }.items()
    }  # fmt: skip
    save_file(theirs, tmp_path / "theirs")
    _, entries = fanin.files.read_safetensors_header(tmp_path / "theirs")

    def zero(out, start):
        out[...] = 0

    ours = [
        fanin.files.Tensor(name, entry.dtype, entry.shape, zero) for name, entry in entries.items()
    ]
    fanin.files.write_safetensors(tmp_path / "ours", ours)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
