"""Published models: shapes, schemes, and that each tensor is its own named stream."""

from __future__ import annotations

import json
import math

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import fanin
from fanin import Plan, PlanTensor
from fanin._models import catalogue as _models
from fanin._models.architectures import bert, gpt2, llama, resnet, vit
from fanin._models.catalogue import MODELS
from fanin._models.dtypes import WRITTEN
from fanin._models.measuring import Measured, measure

# Published numbers of parameters: model cards of the checkpoints on the hub (tied heads count
# once), torchvision's table for ResNet-50, Dosovitskiy et al. 2021 (86 M) for ViT-B/16.
PARAMETERS = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama-1b": 1_235_814_400,
    "llama-7b": 6_738_415_616,
    "bert-base": 109_514_298,
    "vit-b16": 86_567_656,
    "resnet50": 25_557_032,
}

# The true std of N(0, 1) cut at +-2: the constant that Keras and JAX divide by.
CUT_AT_TWO = 0.8796256610342398

# (model, tensor) -> the std of its published scheme, worked out by hand.
STDS = {
    ("gpt2", "transformer.wte.weight"): 0.02,
    ("gpt2", "transformer.wpe.weight"): 0.02,
    ("gpt2", "transformer.h.3.attn.c_attn.weight"): 0.02,
    ("gpt2", "transformer.h.3.attn.c_proj.weight"): 0.02 / math.sqrt(24),
    ("gpt2", "transformer.h.11.mlp.c_proj.weight"): 0.00408248,
    ("gpt2", "transformer.h.0.ln_1.weight"): 0.0,
    ("gpt2-xl", "transformer.h.47.mlp.c_proj.weight"): 0.02 / math.sqrt(96),
    ("llama-7b", "lm_head.weight"): 0.02,
    ("llama-1b", "model.layers.15.mlp.down_proj.weight"): 0.02,
    ("bert-base", "bert.embeddings.word_embeddings.weight"): 0.02 * CUT_AT_TWO,
    ("vit-b16", "vit.encoder.layer.0.attention.attention.query.weight"): math.sqrt(2 / 1536),
    ("vit-b16", "vit.encoder.layer.0.output.dense.weight"): math.sqrt(2 / (3072 + 768)),
    ("vit-b16", "vit.encoder.layer.0.output.dense.bias"): 1e-6,
    ("vit-b16", "vit.embeddings.patch_embeddings.projection.weight"): math.sqrt(1 / 768),
    ("vit-b16", "classifier.weight"): 0.0,
    ("resnet50", "resnet.embedder.embedder.convolution.weight"): math.sqrt(2 / (64 * 49)),
    ("resnet50", "resnet.encoder.stages.3.layers.2.layer.1.convolution.weight"): math.sqrt(
        2 / (512 * 9)
    ),
    ("resnet50", "classifier.1.weight"): 1 / math.sqrt(3 * 2048),
    ("resnet50", "classifier.1.bias"): 1 / math.sqrt(3 * 2048),
}

#: Every kind of tensor there is, small: also an integer counter and a scalar.
SMALL = (
    *gpt2.published(layers=2, width=24, vocabulary=999, positions=32),
    *llama.published(layers=1, width=32, inner=48, heads=4, key_heads=2, vocabulary=50, tied=True),
    *bert.published(layers=1, width=24, inner=40, vocabulary=60),
    *vit.published(layers=1, width=24, inner=40, patch=4, image=16, classes=5),
    *resnet.published(blocks=(1,), classes=7),
)


#: The dtypes that the safetensors package reads into NumPy.
HALVES = [name for name in WRITTEN if not name.startswith("float8")]


def by_name(name: str) -> dict[str, PlanTensor]:
    return {tensor.name: tensor for tensor in MODELS[name].tensors()}


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_as_many_as_published(name):
    assert _models.parameters(MODELS[name].tensors()) == PARAMETERS[name]


@pytest.mark.parametrize("name", MODELS)
def test_no_name_stands_twice(name):
    tensors = MODELS[name].tensors()
    assert len(by_name(name)) == len(tensors)


def test_gpt2_is_148_tensors_without_the_tied_head():
    tensors = by_name("gpt2")
    assert len(tensors) == 148
    assert "lm_head.weight" not in tensors
    # Conv1D stores (in, out).
    assert tensors["transformer.h.0.attn.c_attn.weight"].shape == (768, 2304)
    assert tensors["transformer.h.0.mlp.c_proj.weight"].shape == (3072, 768)
    assert tensors["transformer.wte.weight"].shape == (50257, 768)


@pytest.mark.parametrize(("model", "tensor"), STDS)
def test_the_expected_std_is_that_of_the_published_scheme(model, tensor):
    # The published constants above have at least six digits.
    assert by_name(model)[tensor].expected_std() == pytest.approx(STDS[model, tensor], rel=1e-6)


def test_a_model_that_is_not_known_names_its_neighbour():
    with pytest.raises(ValueError, match=r"no model 'gtp2', did you mean 'gpt2'\? \(known: gpt2, "):
        _models.find("gtp2")


@pytest.mark.parametrize("dtype", HALVES)
def test_every_tensor_is_the_call_that_the_plan_states(tmp_path, dtype):
    path = tmp_path / "small.safetensors"
    Plan("small", SMALL).write(path, seed=2**100 + 7, dtype=dtype)
    written = load_file(path)
    assert set(written) == {tensor.name for tensor in SMALL}
    stream = fanin.Stream(2**100 + 7)
    for tensor in SMALL:
        if tensor.dtype == "int64":
            expected = np.zeros(tensor.shape, np.int64)
        else:
            expected = getattr(fanin, tensor.scheme)(
                tensor.shape, **tensor.arguments, seed=stream[tensor.name], dtype=dtype
            )
        assert written[tensor.name].dtype == expected.dtype
        np.testing.assert_array_equal(written[tensor.name], expected, err_msg=tensor.name)


def test_the_file_does_not_depend_on_threads_pieces_or_order(tmp_path, monkeypatch):
    contents = set()
    for threads, piece in ((1, 1 << 22), (2, 4096), (3, 1 << 14), (7, 5 * 4096)):
        monkeypatch.setattr("fanin.files._pieces.PIECE_BYTES", piece)
        tensors = SMALL if threads % 2 else SMALL[::-1]
        path = tmp_path / "small.safetensors"
        Plan("small", tensors).write(path, seed=1, dtype="bfloat16", threads=threads)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_a_tensor_does_not_depend_on_the_rest_of_the_plan(tmp_path):
    one = SMALL[0]
    Plan("one", (one,)).write(tmp_path / "one.safetensors", seed=1)
    Plan("all", SMALL).write(tmp_path / "all.safetensors", seed=1)
    alone, among = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "all"))
    np.testing.assert_array_equal(alone[one.name], among[one.name])


def test_the_metadata_says_how_the_file_was_made(tmp_path):
    path = tmp_path / "small.safetensors"
    Plan("small", SMALL).write(path, seed=5)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    assert set(metadata) == {"format", "fanin"}
    assert metadata["format"] == "pt"
    state = json.loads(metadata["fanin"])
    assert state["seed"] == "5"
    assert state["stream"] == fanin.STREAM
    assert state["version"] == fanin.__version__
    assert state["plan"]["model"] == "small"
    rows = {row["name"]: row for row in state["plan"]["tensors"]}
    assert list(rows) == sorted(tensor.name for tensor in SMALL)
    assert rows["transformer.h.0.attn.c_proj.weight"] == {
        "name": "transformer.h.0.attn.c_proj.weight",
        "shape": [24, 24],
        "dtype": "float32",
        "scheme": "gpt2_residual",
        "arguments": {"n_layers": 2, "std": 0.02},
    }
    # Canonical: sorted keys and no spaces.
    assert metadata["fanin"] == json.dumps(
        state, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


@pytest.mark.parametrize("dtype", HALVES)
def test_what_is_measured_is_what_numpy_measures(tmp_path, dtype, monkeypatch):
    monkeypatch.setattr("fanin._models.measuring.MEASURED_AT_A_TIME", 1000)
    path = tmp_path / "small.safetensors"
    Plan("small", SMALL).write(path, seed=3, dtype=dtype)
    measured = measure(path, threads=2)
    for name, array in load_file(path).items():
        exact = array.astype(np.float64)
        assert measured[name].count == array.size
        # Both are sums of at most 24000 float64 terms.
        assert measured[name].mean == pytest.approx(exact.mean(), rel=1e-11, abs=1e-15)
        assert measured[name].std == pytest.approx(exact.std(), rel=1e-11, abs=1e-15)


def test_samples_joined_in_any_order_are_one_sample():
    values = np.random.default_rng(0).normal(3.0, 2.0, 1000)
    nothing = Measured(0, 0.0, 0.0)
    parts = [Measured(p.size, p.mean(), p.var() * p.size) for p in np.split(values, [1, 30, 700])]
    for order in (parts, parts[::-1], [nothing, *parts, nothing]):
        whole = nothing
        for part in order:
            whole = whole.joined(part)
        assert whole.count == 1000
        assert whole.mean == pytest.approx(values.mean(), rel=1e-12)
        assert whole.std == pytest.approx(values.std(), rel=1e-12)
    assert math.isnan(nothing.std)


def test_rewriting_a_bfloat16_bit_is_seen_in_the_measured_std(tmp_path):
    # The measured std is read from the file: a spoiled file shows.
    one = PlanTensor("x", (1000,), "ones")
    path = tmp_path / "x.safetensors"
    Plan("x", (one,)).write(path, seed=0, dtype="bfloat16")
    assert measure(path)["x"].std == 0.0
    content = bytearray(path.read_bytes())
    content[-2:] = ml_dtypes.bfloat16(3.0).tobytes()
    path.write_bytes(content)
    assert measure(path)["x"].mean == pytest.approx(1.002)
    assert measure(path)["x"].std == pytest.approx(math.sqrt(0.004 - 0.002**2))
