"""Plans: where they come from, what they say, how they are saved, what is refused."""

from __future__ import annotations

import json
import math
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import fanin
from fanin import Plan, PlanTensor
from fanin._models.configs import from_catalogue
from fanin._models.values import Before, Literal, Part, Step, Value

LITERAL = Literal.of(np.arange(6, dtype=np.float32).reshape(2, 3))

#: Every kind of entry that a plan can hold.
FULL = Plan(
    "everything",
    (
        PlanTensor("a.weight", (6, 4), "variance_scaling", {"layout": "oi", "mode": "fan_avg"}),
        PlanTensor("b", (4,), "zeros", dtype="float64"),
        PlanTensor("c", (5, 5), "orthogonal", {"gain": 1.5}, seed=2**100),
        PlanTensor("d", (), "zeros", dtype="int64", is_buffer=True),
        PlanTensor("e", (3, 2), "truncated_normal", {"scale": 0.5, "high": math.inf}),
        PlanTensor(
            "f", (8, 3), "normal", {"scale": 0.02},
            parts=(Part(((1, 2, 1), (0, 3, 1)), Value("zeros")),), tied=("g",), set_by="here",
        ),
        PlanTensor(
            "h", (7,), "uniform", {"low": 1.0, "high": 16.0},
            steps=(Step("log"), Step("add", Before(0)), Step("mul", -0.5)),
        ),
        PlanTensor("i", (2, 3), "literal", {"value": LITERAL}),
        PlanTensor("j", (3,), "ones", dtype="bool", is_buffer=True),
        PlanTensor(
            "k", (4, 2, 8), "glorot_uniform", {"layout": fanin.Layout("io", batch_axes=(0,))},
        ),
        PlanTensor("x \"'\\ \t é \x7f", (2, 2), "constant", {"value": 2.5}),
    ),
    seed=7,
    dtype="bfloat16",
    config={"model_type": "none", "nothing": None, "list": [1, 2.5, "x"]},
)  # fmt: skip


# Law ------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "float8_e4m3fn", "uint8"])
def test_a_tensor_with_a_dtype_of_its_own_holds_its_scheme(tmp_path, dtype):
    # It was zeros whatever its scheme.
    plan = Plan("x", (PlanTensor("x", (3,), "ones", dtype=dtype),))
    plan.write(tmp_path / "x.safetensors", seed=0)
    entry = fanin.files.read_safetensors_header(tmp_path / "x.safetensors")[1]["x"]
    raw = (tmp_path / "x.safetensors").read_bytes()[entry.start : entry.stop]
    assert entry.dtype.name == dtype
    np.testing.assert_array_equal(np.frombuffer(raw, entry.dtype).astype(float), [1, 1, 1])


@pytest.mark.parametrize("scheme", ["he_normal", "normal", "orthogonal"])
def test_whole_numbers_are_not_drawn(tmp_path, scheme):
    plan = Plan("x", (PlanTensor("x", (3, 3), scheme, dtype="int64"),))
    with pytest.raises(TypeError, match="tensor 'x': int64 is not drawn by"):
        plan.write(tmp_path / "x.safetensors", seed=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_is_the_float32_value_rounded_by_ml_dtypes(tmp_path, dtype):
    plan = Plan("x", (PlanTensor("x", (500, 40), "normal", {"scale": 400.0}),))
    plan.write(tmp_path / "x.safetensors", seed=3, dtype=dtype)
    entry = fanin.files.read_safetensors_header(tmp_path / "x.safetensors")[1]["x"]
    raw = (tmp_path / "x.safetensors").read_bytes()[entry.start :]
    single = fanin.normal((500, 40), 0.0, 400.0, seed=fanin.Stream(3)["x"])
    expected = single.astype(getattr(ml_dtypes, dtype))
    assert raw == expected.tobytes()
    # Overflow is that of ml_dtypes: nan in e4m3fn, which has no infinity; 448 is its largest.
    assert np.isnan(expected.astype(float)).any() == (dtype == "float8_e4m3fn")


FLOAT8 = ["float8_e4m3fn", "float8_e5m2"]


def float8(tmp_path, dtype, shape, scheme, **arguments):
    """The values of a plan of one tensor, as float64, and those of the float32 call."""
    path = tmp_path / "x.safetensors"
    Plan("x", (PlanTensor("x", shape, scheme, arguments),)).write(path, seed=3, dtype=dtype)
    entry = fanin.files.read_safetensors_header(path)[1]["x"]
    raw = np.fromfile(path, np.uint8)[entry.start :].view(getattr(ml_dtypes, dtype))
    call = getattr(fanin, scheme)(shape, **arguments, seed=fanin.Stream(3)["x"])
    return raw.reshape(shape).astype(np.float64), call


def numbers_of(dtype):
    every = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, dtype)).astype(np.float64)
    return np.unique(every[np.isfinite(every)])


@pytest.mark.parametrize("dtype", FLOAT8)
@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-0.3, 0.3), (-1.0, 0.29), (5.0, 1e6)])
def test_a_float8_uniform_stays_below_its_upper_end(tmp_path, dtype, low, high):
    given, call = float8(tmp_path, dtype, (400, 300), "uniform", low=low, high=high)
    numbers = numbers_of(dtype)
    highest = numbers[numbers < high].max()
    rounded = call.astype(getattr(ml_dtypes, dtype)).astype(np.float64)
    assert given.max() == highest
    # All else is the nearest number, which for 120,000 values reaches the end and beyond.
    inside = rounded <= highest
    assert not inside.all() or high == 0.29
    np.testing.assert_array_equal(given[inside], rounded[inside])
    assert (given[~inside] == highest).all()


@pytest.mark.parametrize("dtype", FLOAT8)
@pytest.mark.parametrize("scheme, reach", [
    ("he_uniform", np.sqrt(6 / 400)), ("glorot_uniform", np.sqrt(6 / 700)),
])  # fmt: skip
def test_a_float8_uniform_scheme_stays_below_its_upper_end(tmp_path, dtype, scheme, reach):
    given, _ = float8(tmp_path, dtype, (400, 300), scheme)
    numbers = numbers_of(dtype)
    assert given.max() == numbers[numbers < reach].max()
    given, _ = float8(tmp_path, dtype, (400, 300), scheme, gain=3.0)
    assert given.max() == numbers[numbers < 3 * reach].max()


@pytest.mark.parametrize("dtype", FLOAT8)
@pytest.mark.parametrize("bound", [0.29, 1.0, 1.3])
def test_a_float8_truncated_normal_stays_within_its_bounds(tmp_path, dtype, bound):
    given, _ = float8(tmp_path, dtype, (400, 300), "truncated_normal", low=-bound, high=bound)
    numbers = numbers_of(dtype)
    inside = numbers[np.abs(numbers) <= bound]
    assert (given.min(), given.max()) == (inside.min(), inside.max())


@pytest.mark.parametrize("scheme, arguments, text", [
    ("uniform", {"low": 1.0, "high": 1.001}, "low 1.0 and high 1.001 round to one"),
    ("truncated_normal", {"loc": 1.1, "scale": 0.01}, "no float8_e5m2 lies within the bounds"),
])  # fmt: skip
def test_ends_between_which_float8_has_nothing_are_refused(tmp_path, scheme, arguments, text):
    plan = Plan("x", (PlanTensor("x", (3,), scheme, arguments),))
    with pytest.raises(ValueError, match=f"tensor 'x': {text}"):
        plan.write(tmp_path / "x.safetensors", seed=0, dtype="float8_e5m2")
    assert list(tmp_path.iterdir()) == []
    plan.write(tmp_path / "x.safetensors", seed=0, dtype="float32")


def test_write_keeps_own_dtypes_and_changes_floats_if_one_is_named(tmp_path):
    tensors = (
        PlanTensor("a", (2,), "ones"),
        PlanTensor("b", (2,), "ones", dtype="float64"),
        PlanTensor("c", (2,), "ones", dtype="int32"),
        PlanTensor("d", (2,), "ones", dtype="complex64"),
    )
    path = tmp_path / "x.safetensors"
    found = {}
    for dtype in (None, "float16"):
        Plan("x", tensors, dtype="bfloat16").write(path, seed=0, dtype=dtype)
        entries = fanin.files.read_safetensors_header(path)[1]
        found[dtype] = [entries[name].dtype.name for name in "abcd"]
    assert found[None] == ["bfloat16", "float64", "int32", "complex64"]
    assert found["float16"] == ["float16", "float16", "int32", "complex64"]


def test_a_tensor_has_its_own_seed(tmp_path):
    shape = (4, 4)
    tensors = (PlanTensor("a", shape, "normal"), PlanTensor("b", shape, "normal", seed=2**90))
    Plan("x", tensors).write(tmp_path / "x.safetensors", seed=1)
    values = load_file(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(values["a"], fanin.normal(shape, seed=fanin.Stream(1)["a"]))
    np.testing.assert_array_equal(values["b"], fanin.normal(shape, seed=fanin.Stream(2**90)["b"]))


@pytest.mark.parametrize("make", [fanin.Stream, fanin.default_rng])
def test_a_seed_may_be_a_stream_or_a_generator(tmp_path, make):
    plan = Plan("x", (PlanTensor("a", (4, 4), "normal"),))
    plan.write(tmp_path / "x.safetensors", seed=make(5))
    stream = make(5) if make is fanin.Stream else make(5).spawn(1)[0].stream
    expected = fanin.normal((4, 4), seed=stream["a"])
    np.testing.assert_array_equal(load_file(tmp_path / "x.safetensors")["a"], expected)
    assert fanin.verify(tmp_path / "x.safetensors").ok


def test_a_refused_call_does_not_move_the_generator(tmp_path):
    rng = fanin.default_rng(5)
    plan = Plan("x", (PlanTensor("a", (4,), "he_normal"),))
    with pytest.raises(ValueError, match="no fan"):
        plan.write(tmp_path / "x.safetensors", seed=rng)
    assert rng.spawn(1)[0].stream == fanin.default_rng(5).spawn(1)[0].stream


def test_without_a_seed_anywhere_it_is_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="needs seed="):
        Plan("x", ()).write(tmp_path / "x.safetensors")


def test_one_orthogonal_matrix_over_many_pieces_is_the_call(tmp_path, monkeypatch):
    monkeypatch.setattr("fanin.files._pieces.PIECE_BYTES", 4096)
    plan = Plan("x", (PlanTensor("q", (70, 70), "orthogonal"),))
    plan.write(tmp_path / "x.safetensors", seed=0, threads=3)
    values = load_file(tmp_path / "x.safetensors")["q"]
    np.testing.assert_array_equal(values, fanin.orthogonal((70, 70), seed=fanin.Stream(0)["q"]))


# Files of plans ------------------------------------------------


@pytest.mark.parametrize("kind", ["toml", "json"])
def test_a_plan_is_the_same_after_it_was_saved_and_read(tmp_path, kind):
    FULL.save(tmp_path / f"plan.{kind}")
    read = Plan.from_file(tmp_path / f"plan.{kind}")
    assert read == FULL
    assert [t.set_by for t in read.tensors] == [t.set_by for t in FULL.tensors]
    read.save(tmp_path / f"again.{kind}")
    again = (tmp_path / f"again.{kind}").read_bytes()
    assert again == (tmp_path / f"plan.{kind}").read_bytes()


def test_a_plan_pickles_and_prints():
    assert pickle.loads(pickle.dumps(FULL)) == FULL
    text = str(FULL)
    assert "truncated_normal(scale=0.5, high=inf)" in text
    assert text.endswith("everything: 164 parameters in 11 tensors, 363 bytes")
    assert hash(FULL) == hash(pickle.loads(pickle.dumps(FULL)))


def test_a_file_may_name_a_model_with_sizes_and_rules(tmp_path):
    (tmp_path / "plan.toml").write_text(
        """
seed = 3
dtype = "bfloat16"
model = "gpt2"

[sizes]
layers = 2
width = 64
vocabulary = 100

[[rules]]
pattern = "*.c_proj.weight"
scheme = "orthogonal"
arguments = { gain = 0.5 }
seed = "340282366920938463463374607431768211455"

[[rules]]
pattern = "*ln_?.*"
dtype = "float32"

[[rules]]
pattern = "*"
dtype = "float16"
"""
    )
    plan = Plan.from_file(tmp_path / "plan.toml")
    rows = {tensor.name: tensor for tensor in plan.tensors}
    projection = rows["transformer.h.1.mlp.c_proj.weight"]
    assert (projection.scheme, dict(projection.arguments)) == ("orthogonal", {"gain": 0.5})
    # The first rule that matches wins whole.
    assert (projection.seed, projection.dtype) == (2**128 - 1, None)
    assert rows["transformer.h.0.ln_1.bias"].dtype == "float32"
    assert rows["transformer.wte.weight"].dtype == "float16"
    assert (plan.seed, plan.dtype) == (3, "bfloat16")
    plan.write(tmp_path / "model", shard_size="100KB")
    assert fanin.verify(tmp_path / "model").ok
    assert json.loads((tmp_path / "model" / "config.json").read_text())["n_layer"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[tensors]]\nname = 'a'\n[[tensors]]\nname='b'\nshape=[2]\n", "line 1: tensor 'a': .*'shape' is missing"),  # noqa: E501
        ("[[tensors]]\nname='b'\nshape=[2]\n[[tensors]]\nname='b'\nshape=[2]\n", "line 4: two tensors are named 'b'"),  # noqa: E501
        ("\n[[tensors]]\nname='b'\nshape=[2]\nscheme='he_normal'\n", "line 2: tensor 'b': .*no fan"),  # noqa: E501
        ("[[tensors]]\nname='b'\nshape=[2, -1]\n", "list of ints >= 0"),
        ("[[tensors]]\nname='b'\nshape=[2.0]\n", "list of ints >= 0"),
        ("[[tensors]]\nname='b'\nshape=[2]\nsheme='ones'\n", "no entry 'sheme'"),
        ("[[tensors]]\nname='b'\nshape=[2]\ndtype='float33'\n", "no dtype 'float33'"),
        ("dtype=',float16'\n[[tensors]]\nname='b'\nshape=[2]\n", "no dtype ',float16'"),
        ("[[tensors]]\nname='b'\nshape=[2]\ndtype='((('\n", "line 1: tensor 'b': no dtype"),
        ("[[tensors]]\nname='b'\nshape=[2]\nscheme='no'\n", "there is no scheme 'no'"),
        ("[[tensors]]\nname='b'\nshape=[2,2]\nscheme='normal'\narguments={scale=-1.0}\n", "scale < 0"),  # noqa: E501
        ("[[tensors]]\nname='b'\nshape=[2,2]\nscheme='normal'\narguments={scale=nan}\n", "line 1: nan is no number"),  # noqa: E501
        ("[[tensors]]\nname='b'\nshape=[9223372036854775808]\n", "line 1: an int is beyond 64 bits"),  # noqa: E501
        ("model='gpt2'\nseed = inf\n", "line 2: inf is no number"),
        ("dtype='int8'\ntensors = [\n{name='a', shape=[1]}, {name='a'}]\n", "line 2: tensor 'a'"),
        ("[[tensors]]\nname='b'\nshape=[4611686018427387904, 4]\n", "2\\*\\*63"),
        ("[[tensors]]\nname='../b'\nshape=[2]\nname='c'\n", "line 4"),
        ("model = 'gpt3'\n", "no model 'gpt3', did you mean 'gpt2'"),
        ("model = 'gpt2'\n[sizes]\nlayer = 2\n", "did you mean 'layers'"),
        ("model = 'gpt2'\n[sizes]\nlayers = 0\n", "layers must be 1 to 100000, got 0"),
        ("model = 'gpt2'\n[sizes]\nlayers = 1000000000000\n", "layers must be 1 to 100000"),
        ("model = 'resnet50'\n[sizes]\nblocks = [3, 4, 6, 1000000000000]\n", "blocks must be"),
        ("model = 'gpt2'\n[sizes]\nwidth = 0\n", "width must be an int >= 1"),
        ("model = 'gpt2'\n[[rules]]\npattern='*.weigth'\nscheme='ones'\n", "line 2: rule 1: .*matches no tensor"),  # noqa: E501
        ("model = 'gpt2'\n[[rules]]\npattern='*'\nscheme='ons'\n", "line 2: rule 1: .*'ons'"),
        ("seed = -1\nmodel='gpt2'\n", "line 1: a seed is"),
        ("model='gpt2'\n\ndtype = 'f33'\n[sizes]\nlayers=1\n", "line 3: no dtype 'f33'"),
        ("model='gpt2'\n[sizes]\nlayer=1\n", "line 2: gpt2 has no size 'layer'"),
        ("model='gpt2'\nmodle='gpt2'\n", "line 2: a plan has no entry 'modle'"),
        ("model='gpt2'\nconfig='{'\n", "line 2: Expecting"),
        ("[[tensors]]\nname='a'\nshape=[1]\ndtype='int8'\n[sizes]\nlayers=1\n", "line 5: sizes go"),
        ("\nmodel = 'gpt5'\n", "line 2: no model 'gpt5'"),
        ("seed = true\nmodel='gpt2'\n", "a seed is"),
        ("when = 2020-01-01\n", "line 1: a plan holds no date"),
        ("format = 2\nmodel='gpt2'\n", "format 2 is not known"),
        ("", "needs tensors, or a model"),
        ("a = [", "plan.toml"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("[[tensors]]\nname='b'\nshape=[2]\nsteps=[{do='exec'}]\n", "no step 'exec'"),
        ("[[tensors]]\nname='b'\nshape=[2]\nsteps=[{do='mul'}]\n", "needs an operand"),
        ("[[tensors]]\nname='b'\nshape=[2]\nparts=[{box=[[0,1,1],[0,1,1]],scheme='zeros'}]\n", "tensor 'b'"),  # noqa: E501
    ],
)  # fmt: skip
def test_what_is_no_plan_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Plan.from_file(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gpt2", "n_layer": 10**12},
        *({"model_type": kind, "num_hidden_layers": 10**12} for kind in ("bert", "vit", "llama")),
        {"model_type": "resnet", "depths": [1, 1, 1, 10**12]},
    ],
)
def test_a_config_of_more_layers_than_a_header_names_is_refused(config):
    with pytest.raises(ValueError, match="must be 1 to 100000, got 1000000000000"):
        from_catalogue(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model": "gpt2",\n "model": "gpt2"}', "line 2: the key 'model' stands twice"),
        ('{"model": "gpt2",\n "sizes": {"layers": 2, "layers": 3}}', "line 2: the key 'layers'"),
        ('{"tensors": [\n{"name": "a", "shape": [1]},\n{"name": "b", "name": "c"}]}', "line 3: the key 'name'"),  # noqa: E501
        ('{"model": "gpt2",\n\n "seed": NaN}', "line 3: NaN is no number"),
        ('{"model": "gpt2",\n "rules": [\n{"seed": 1e999}]}', "line 3: inf is no number"),
        ('{"tensors": [{"name": "a", "shape": [1], "scheme": "constant", "arguments": {"value": Infinity}}]}', "line 1: Infinity is no number"),  # noqa: E501
        ('{"tensors": [\n{"name": "a", "shape": [1]},\n{"name": "b"}]}', "line 3: tensor 'b'"),
        ("[]", "must be a table"),
        ('{"model": "gpt2",\n "rules": [],\n "seed": [1]}', "line 3: a seed is"),
        ('{"tensors": [{"name": "seed", "shape": [1]}],\n "seed":\n "x"}', "line 2: a seed is"),
        ('{"model": "gpt2", "rules": [\n{"pattern": "*"},\n\n{"pattern": "n"}]}', "line 4: rule 2"),
        ("[" * 100_000, "nested too deeply"),
        ('{"tensors": {"a": 1}}', "tensors must be a list"),
        ('{"tensors": [[]]}', "a tensor must be a table"),
        ('{"tensors": [{"name": "\\ud800", "shape": [1]}]}', "surrogates"),
        ('{"tensors": [], "literals": {"x": {"dtype": "float32", "shape": [9999999999999], "data": "eJw="}}}', "literal 'x'"),  # noqa: E501
    ],
)  # fmt: skip
def test_what_is_no_plan_in_json_is_refused(tmp_path, text, message):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Plan.from_file(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    "format model sizes seed dtype config tensors rules literals name shape scheme arguments steps "
    "parts buffer stored tied set_by pattern do by before box value low high scale std".split()
)
plan_values = st.recursive(
    json_values | st.sampled_from(["gpt2", "a", "he_normal", "normal", "zeros", "float32", "mul"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, plan_values, max_size=5) | st.binary(max_size=60))
def test_any_file_is_a_plan_or_a_value_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "plan.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    try:
        plan = Plan.from_file(path)
    except ValueError:
        return
    assert plan.nbytes >= 0


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=4) | st.just("__metadata__"),
        st.fixed_dictionaries(
            {},
            optional={
                "dtype": st.sampled_from(["F32", "BF16", "I8", "F4", "X", ""]) | json_values,
                "shape": st.lists(st.integers(-1, 4) | json_values, max_size=3) | json_values,
                "data_offsets": st.lists(st.integers(-1, 40), max_size=3) | json_values,
            },
        )
        | json_values,
        max_size=3,
    )
    | st.binary(max_size=60),
    st.binary(max_size=40),
)
def test_any_header_is_read_or_a_value_error(tmp_path_factory, header, data):
    path = tmp_path_factory.mktemp("fuzz") / "x.safetensors"
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    try:
        _, entries = fanin.files.read_safetensors_header(path)
    except ValueError:
        return
    assert sum(entry.stop - entry.start for entry in entries.values()) == len(data)


# Checkpoints and configs ------------------------------------------------


def test_a_plan_like_a_checkpoint_has_its_names_shapes_and_dtypes(tmp_path):
    arrays = {
        "dense.weight": np.zeros((6, 4), ml_dtypes.bfloat16),
        "dense.bias": np.ones(6, np.float32),
        "norm.weight": np.zeros(6, np.float16),
        "norm.running_var": np.zeros(6, np.float32),
        "count": np.array(3, np.int64),
        "mask": np.ones((2, 2), np.bool_),
    }
    save_file(arrays, tmp_path / "x.safetensors")
    plan = Plan.like(tmp_path / "x.safetensors")
    rows = {t.name: (t.shape, t.dtype, t.scheme, t.is_buffer) for t in plan.tensors}
    assert rows == {
        "dense.weight": ((6, 4), "bfloat16", "transformers_default", False),
        "dense.bias": ((6,), "float32", "zeros", False),
        "norm.weight": ((6,), "float16", "ones", False),
        "norm.running_var": ((6,), "float32", "ones", True),
        "count": ((), "int64", "zeros", True),
        "mask": ((2, 2), "bool", "zeros", True),
    }
    other = Plan.like(tmp_path / "x.safetensors", {"dense.weight": ("he_normal", {"layout": "oi"})})
    assert next(t for t in other.tensors if t.name == "dense.weight").scheme == "he_normal"
    with pytest.raises(ValueError, match="matches none"):
        Plan.like(tmp_path / "x.safetensors", {"nothing": "zeros"})


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "U16", "I8", "C64"])
def test_a_plan_like_any_dtype_writes_that_dtype(tmp_path, dtype):
    length = {"F4": 4, "U16": 16, "C64": 64}.get(dtype, 8)
    text = f'{{"x":{{"dtype":"{dtype}","shape":[8],"data_offsets":[0,{length}]}}}}'.encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(length))
    plan = Plan.like(tmp_path / "x.safetensors")
    plan.write(tmp_path / "y.safetensors", seed=0)
    header = fanin.files.read_safetensors_header
    one, other = (header(tmp_path / f"{name}.safetensors")[1]["x"] for name in "xy")
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert fanin.verify(tmp_path / "y.safetensors").ok


def test_a_plan_like_our_own_files_has_their_laws_and_literals(tmp_path):
    FULL.write(tmp_path / "full", shard_size=200)
    plan = Plan.like(tmp_path / "full" / "model.safetensors.index.json")
    plan.write(tmp_path / "again", seed=7, shard_size=200)
    for path in (tmp_path / "full").glob("*.safetensors"):
        one = fanin.files.read_safetensors_header(path)[1]
        other = fanin.files.read_safetensors_header(tmp_path / "again" / path.name)[1]
        first = min(entry.start for entry in one.values())
        start = min(entry.start for entry in other.values())
        again = (tmp_path / "again" / path.name).read_bytes()[start:]
        assert path.read_bytes()[first:] == again
    assert {t.scheme for t in plan.tensors} == {t.scheme for t in FULL.tensors}


def test_what_is_no_path_of_a_config_is_told_where_to_be_written():
    for wrong in ({"model_type": "gpt2"}, 3, None):
        with pytest.raises(TypeError, match="takes the path of a config.json .*save_pretrained"):
            Plan.from_config(wrong)


@pytest.mark.parametrize("sizes, words", [
    ({"width": 1000}, "width 1000 is no multiple of heads 32"),
    ({"width": 128, "heads": 4}, "heads 4 is no multiple of key_heads 8"),
])  # fmt: skip
def test_sizes_of_llama_that_no_model_has_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        Plan.for_model("llama-1b", layers=1, vocabulary=50, **sizes)
    made = Plan.for_model("llama-1b", layers=1, vocabulary=50, width=128, heads=4, key_heads=2)
    assert made.config["num_key_value_heads"] == 2
