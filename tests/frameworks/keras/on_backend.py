"""Run by test_backends.py, once on each backend of Keras."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import fanin
import fanin.keras

# Keras 3.15 asks torch tensors for arrays in the manner of NumPy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

THEIRS = keras.initializers
SHAPE = (64, 48)

#: Every class of Keras and arguments that are not its defaults.
CLASSES = {
    "RandomNormal": {"mean": 0.1, "stddev": 0.2},
    "TruncatedNormal": {"mean": 0.1, "stddev": 0.2},
    "RandomUniform": {"minval": -0.2, "maxval": 0.3},
    "VarianceScaling": {"scale": 3.0, "mode": "fan_avg", "distribution": "uniform"},
    "GlorotUniform": {},
    "GlorotNormal": {},
    "HeUniform": {},
    "HeNormal": {"input_axes": [0], "output_axes": [1]},
    "LecunUniform": {},
    "LecunNormal": {},
    "Orthogonal": {"gain": 1.5},
}
DETERMINISTIC = {"Zeros": {}, "Ones": {}, "Constant": {"value": 0.5}, "Identity": {"gain": 2.0}}
#: The initializers of which everything is said by the scheme of the same law in fanin.
SCHEMES = {
    "RandomNormal": lambda **w: fanin.normal(SHAPE, 0.1, 0.2, **w),
    "TruncatedNormal": lambda **w: fanin.truncated_normal(SHAPE, 0.1, 0.2, **w),
    "RandomUniform": lambda **w: fanin.uniform(SHAPE, -0.2, 0.3, **w),
    "VarianceScaling": lambda **w: fanin.variance_scaling(SHAPE, 3.0, "fan_avg", "uniform", **w),
    "GlorotUniform": lambda **w: fanin.glorot_uniform(SHAPE, **w),
    "GlorotNormal": lambda **w: fanin.glorot_normal(SHAPE, **w),
    "HeUniform": lambda **w: fanin.he_uniform(SHAPE, **w),
    "HeNormal": lambda **w: fanin.he_normal(SHAPE, **w),
    "LecunUniform": lambda **w: fanin.lecun_uniform(SHAPE, **w),
    "LecunNormal": lambda **w: fanin.lecun_normal(SHAPE, **w),
    "Orthogonal": lambda **w: fanin.orthogonal(SHAPE, gain=1.5, **w),
}
OWN = sorted(set(fanin.schemes()) - {a for a in dir(THEIRS)})


def array(value):
    return keras.ops.convert_to_numpy(value)


def same(a, b):
    return np.array_equal(array(a), array(b))


def own(name):
    """A scheme of fanin as a Keras initializer, and its example's shape and arguments."""
    example = dict(fanin.schemes()[name].example)
    example.pop("index", None)
    shape = example.pop("shape")
    return getattr(fanin.keras, name)(**example, seed=5), example, shape


# --- names ----------------------------------------------------------------------------------------


def test_every_name_of_keras_is_here():
    assert {name for name in dir(THEIRS) if not name.startswith("_")} <= set(dir(fanin.keras))


@pytest.mark.parametrize("name", [*CLASSES, *DETERMINISTIC, "STFT"])
def test_a_class_is_a_kind_of_the_one_it_replaces_and_has_its_alias(name):
    ours, theirs = getattr(fanin.keras, name), getattr(THEIRS, name)
    assert issubclass(ours, theirs)
    aliases = [a for a in dir(THEIRS) if getattr(THEIRS, a) is theirs]
    for alias in aliases:
        assert getattr(fanin.keras, alias) is ours
        assert type(keras.initializers.get(f"fanin>{alias}")) is ours


@pytest.mark.parametrize("name", ["normal", "uniform", "zero", "one", "OrthogonalInitializer",
                                  "IdentityInitializer", "STFTInitializer"])  # fmt: skip
def test_the_old_names_of_keras_are_found_too(name):
    theirs, ours = keras.initializers.get(name), keras.initializers.get(f"fanin>{name}")
    assert isinstance(ours, type(theirs)) and type(ours).__module__ == "fanin.keras"


@pytest.mark.parametrize("name", ["HeNormal", "he_normal", "normal", "DeltaOrthogonal",
                                  "delta_orthogonal", "zeros"])  # fmt: skip
def test_names_and_plain_configurations_mean_our_classes(name):
    arguments = {} if name == "zeros" else {"seed": 3}
    config = {"class_name": name, "config": arguments}
    for made in fanin.keras.get(name), fanin.keras.get(config), fanin.keras.deserialize(config):
        assert type(made).__module__ == "fanin.keras"


def test_what_says_its_module_and_what_is_no_name_of_ours_is_keras_s_business():
    theirs = THEIRS.HeNormal(seed=3)
    assert type(fanin.keras.get(keras.initializers.serialize(theirs))) is THEIRS.HeNormal
    assert fanin.keras.get(theirs) is theirs and fanin.keras.get(None) is None
    ours = fanin.keras.HeNormal(seed=3)
    assert type(fanin.keras.deserialize(fanin.keras.serialize(ours))) is type(ours)
    with pytest.raises(ValueError, match="InitReport"):
        fanin.keras.get("InitReport")


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="HeNomal"):
        _ = fanin.keras.HeNomal
    with pytest.raises(TypeError, match=r"Gpt2Residual\(n_layers, std=0.02, \*, gain=1.0"):
        fanin.keras.Gpt2Residual()


# --- values and seeds -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_values_are_those_of_fanin_rounded_once(name, dtype):
    made = getattr(fanin.keras, name)(**CLASSES[name], seed=5)(SHAPE, dtype=dtype)
    assert keras.backend.standardize_dtype(made.dtype) == dtype
    want = SCHEMES[name](seed=5, dtype=dtype)
    assert np.array_equal(array(made).astype("float32"), want.astype("float32"))


@pytest.mark.parametrize("name", CLASSES)
def test_the_law_is_that_of_the_class_it_replaces(name):
    made = array(getattr(fanin.keras, name)(**CLASSES[name], seed=5)(SHAPE))
    other = array(getattr(THEIRS, name)(**CLASSES[name], seed=5)(SHAPE))
    # Two second moments of n values, each of relative error below sqrt(2 / n); six of both.
    assert np.mean(made**2) == pytest.approx(np.mean(other**2), rel=6 * math.sqrt(4 / made.size))


@pytest.mark.parametrize("name", CLASSES)
def test_an_int_and_none_repeat_and_a_seed_generator_and_a_stream_do_not(name):
    kind = getattr(fanin.keras, name)
    for seed in (5, None):
        init = kind(seed=seed)
        assert same(init(SHAPE), init(SHAPE))
    generator = keras.random.SeedGenerator(5)
    for seed in (generator, fanin.Stream(5), fanin.default_rng(5)):
        init = kind(seed=seed)
        assert not same(init(SHAPE), init(SHAPE))
    assert not same(kind()(SHAPE), kind()(SHAPE))


def test_call_n_of_a_stream_and_of_a_seed_generator_is_child_n():
    for seed in (keras.random.SeedGenerator(5), fanin.Stream(5)):
        init = fanin.keras.HeNormal(seed=seed)
        for n in range(3):
            assert same(init(SHAPE), fanin.he_normal(SHAPE, seed=fanin.Stream(5)[n]))


def test_one_instance_with_a_stream_gives_every_variable_values_of_its_own():
    init = fanin.keras.HeNormal(seed=fanin.Stream(0))
    model = keras.Sequential([keras.Input((8,))])
    for _ in range(3):
        model.add(layers.Dense(8, kernel_initializer=init))
    first, second, third = (layer.kernel for layer in model.layers)
    assert not same(first, second) and not same(second, third)


@pytest.mark.parametrize("kind", [fanin.keras.GlorotUniform, fanin.keras.RandomNormal])
def test_the_projections_of_attention_differ_under_one_stream(kind):
    layer = layers.MultiHeadAttention(2, 8, kernel_initializer=kind(seed=fanin.Stream(0)))
    layer.build((None, 4, 16), (None, 4, 16))
    query, key, value = (array(layer.variables[i]) for i in (0, 2, 4))
    assert query.shape == key.shape == value.shape
    assert not (query == key).any() and not (key == value).any()


def test_unseeded_models_are_reproducible_by_keras_own_switch():
    def build():
        keras.utils.set_random_seed(7)
        return fanin.keras.HeNormal()(SHAPE)

    assert same(build(), build())


@pytest.mark.parametrize("seed", ["zero", 1.5, True, [1, 2]])
def test_other_seeds_are_refused_in_keras_words(seed):
    with pytest.raises(ValueError, match=r"SeedGenerator\(\)` or an integer.*fanin.Stream"):
        fanin.keras.HeNormal(seed=seed)
    with pytest.raises(ValueError, match="seed in 0"):
        fanin.keras.HeNormal(seed=-1)


def test_bad_arguments_are_refused_in_keras_words():
    with pytest.raises(ValueError, match="Argument `scale` must be positive float"):
        fanin.keras.VarianceScaling(scale=-1.0)
    with pytest.raises(ValueError, match="Invalid `mode` argument:"):
        fanin.keras.VarianceScaling(mode="fan")
    with pytest.raises(ValueError, match="Invalid `distribution` argument:"):
        fanin.keras.VarianceScaling(distribution="gauss")
    with pytest.raises(ValueError, match="at least two-dimensional"):
        fanin.keras.Orthogonal()((4,))
    with pytest.raises(TypeError, match="int32.*accepted: float32"):
        fanin.keras.HeNormal()(SHAPE, dtype="int32")
    with pytest.raises(TypeError, match=r"it is called HeNormal\(seed=None"):
        fanin.keras.HeNormal(sead=1)


def test_a_refused_call_does_not_move_a_stream():
    init = fanin.keras.HeNormal(seed=fanin.Stream(5))
    with pytest.raises(TypeError):
        init(SHAPE, dtype="int32")
    assert same(init(SHAPE), fanin.he_normal(SHAPE, seed=fanin.Stream(5)[0]))


# --- fans -----------------------------------------------------------------------------------------

FANS = {
    "scalar": ((), {}),
    "bias": ((64,), {}),
    "dense": ((64, 48), {}),
    "convolution": ((3, 3, 16, 32), {}),
    "depthwise": ((3, 3, 128, 1), {}),
    "grouped": ((3, 3, 4, 64), {}),
    "heads without axes": ((64, 4, 16), {}),
    "heads": ((64, 4, 16), {"input_axes": [0], "output_axes": [1, 2]}),
}


@pytest.mark.parametrize("case", FANS)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_fans_are_those_that_keras_counts(case, mode):
    shape, axes = FANS[case]
    # A draw of one stream scaled by the fan: the ratio to a fan of 1 is exact up to rounding.
    keywords = {"mode": mode, "distribution": "uniform", "seed": 5}
    made = array(fanin.keras.VarianceScaling(1.0, **keywords, **axes)(shape)).astype("float64")
    unit = fanin.uniform(shape, -math.sqrt(3), math.sqrt(3), seed=5).astype("float64")
    fan = (unit**2).sum() / (made**2).sum()
    theirs = THEIRS.VarianceScaling(1.0, **keywords, **axes)
    fan_in, fan_out = keras.src.initializers.random_initializers.compute_fans(shape, **axes)
    want = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[theirs.mode]
    assert fan == pytest.approx(want, rel=1e-6)


# --- saving ---------------------------------------------------------------------------------------


def round_trip(init):
    serialized = json.loads(json.dumps(keras.initializers.serialize(init)))
    return keras.initializers.deserialize(serialized)


@pytest.mark.parametrize("seed", [None, 1337, "generator", "stream"])
@pytest.mark.parametrize("name", CLASSES)
def test_a_class_of_keras_survives_config_and_json(name, seed):
    given = {"generator": keras.random.SeedGenerator(3), "stream": fanin.Stream(3)["a"]}
    init = getattr(fanin.keras, name)(**CLASSES[name], seed=given.get(seed, seed))
    config = init.get_config()
    assert set(config) == set(getattr(THEIRS, name)().get_config())
    for revived in (type(init).from_config(config), round_trip(init), init.clone()):
        assert type(revived) is type(init) and revived.get_config() == config
        assert set(dir(revived)) == set(dir(init))
    assert round_trip(init).get_config() == config
    if seed is not None:
        assert same(round_trip(init)(SHAPE), init(SHAPE))


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_deterministic_class_survives_json_with_its_values(name):
    init = getattr(fanin.keras, name)(**DETERMINISTIC[name])
    assert same(round_trip(init)((4, 4)), init((4, 4)))
    assert round_trip(init).get_config() == init.get_config()


@pytest.mark.parametrize("name", OWN)
def test_a_scheme_of_fanin_has_its_values_and_survives_json(name):
    init, example, shape = own(name)
    example.pop("layout", None)
    revived = round_trip(init)
    assert type(revived) is type(init) and revived.get_config() == init.get_config()
    if name == "unitary":
        with pytest.raises(TypeError, match="complex64"):
            init(shape)
        return
    shape = (shape,) if isinstance(shape, int) else shape
    layout = fanin.schemes()[name].example.get("layout", "io")
    want = fanin.get(name, **example)(shape, seed=5, layout=layout)
    assert np.array_equal(array(init(shape)), want) and same(revived(shape), want)


def test_a_layout_of_fanin_survives_json():
    layout = fanin.Layout("io", batch_axes=0, out_axes=(2, 3))
    init = fanin.keras.Gpt2Residual(12, layout=layout, gain=2.0, seed=1)
    assert same(round_trip(init)((4, 8, 2, 3)), init((4, 8, 2, 3)))


def model_of(*initializers):
    model = keras.Sequential([keras.Input((10,))])
    for init in initializers:
        model.add(layers.Dense(12, kernel_initializer=init))
    return model


def test_a_model_is_saved_loaded_and_cloned(tmp_path):
    made = [getattr(fanin.keras, name)(**CLASSES[name], seed=3) for name in CLASSES]
    model = model_of(*made, fanin.keras.LooksLinear(seed=fanin.Stream(1)), "fanin>he_normal")
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for layer, other in zip(model.layers, loaded.layers, strict=True):
        assert type(layer.kernel_initializer) is type(other.kernel_initializer)
        assert layer.kernel_initializer.get_config() == other.kernel_initializer.get_config()
        assert same(layer.kernel, other.kernel)
    cloned = keras.models.clone_model(model)
    assert same(cloned.layers[0].kernel, model.layers[0].kernel)


# --- whole models ---------------------------------------------------------------------------------


class Block(keras.Model):
    """A model of its own class: attributes, a list and a dict of layers."""

    def __init__(self):
        super().__init__()
        self.embed = layers.Embedding(11, 8)
        self.attention = layers.MultiHeadAttention(2, 4, kernel_initializer="lecun_normal")
        self.stack = [layers.Dense(8, kernel_initializer=fanin.keras.SmallInit(seed=1)),
                      layers.Dense(8, bias_initializer="normal")]  # fmt: skip
        self.more = {"norm": layers.LayerNormalization(), "out": layers.Dense(3)}
        self.dropout = layers.Dropout(0.1, seed=1)
        self.tail = layers.LSTM(5)

    def call(self, x):
        x = self.embed(x)
        x = self.attention(x, x)
        for layer in self.stack:
            x = layer(x)
        return self.tail(self.more["out"](self.more["norm"](self.dropout(x))))


def block():
    model = Block()
    model(np.zeros((2, 5), "int32"))
    return model


def test_the_same_model_built_twice_has_the_same_bits_and_other_seeds_others():
    first, second = block(), block()
    report = fanin.keras.init_(first, seed=3)
    assert fanin.keras.init_(second, seed=3).filled == report.filled
    assert all(same(a, b) for a, b in zip(first.weights, second.weights, strict=True))
    fanin.keras.init_(second, seed=4)
    assert not same(first.embed.embeddings, second.embed.embeddings)


def test_places_are_those_under_which_keras_saves(tmp_path):
    model = block()
    report = fanin.keras.init_(model)
    model.save_weights(tmp_path / "block.weights.h5")
    saved = []
    with h5py.File(tmp_path / "block.weights.h5") as file:
        file.visititems(lambda name, item: saved.append(name) if hasattr(item, "shape") else None)
    layers_only = {name for name in saved if "seed_generator" not in name}
    assert layers_only == {
        name for name in (*report.filled, *report.skipped) if "seed_generator" not in name
    }


def test_a_variable_has_its_law_at_its_place():
    model = block()
    fanin.keras.init_(model, seed=3)
    s = fanin.Stream(3)
    at = {
        "embed/vars/0": (model.embed.embeddings, fanin.uniform((11, 8), -0.05, 0.05,
                                                               seed=s["embed/vars/0"])),
        "layers/dense/vars/0": (model.stack[0].kernel,
                               fanin.small_init((8, 8), seed=s["layers/dense/vars/0"])),
        "layers/dense_1/vars/1": (model.stack[1].bias,
                                 fanin.normal(8, 0.0, 0.05, seed=s["layers/dense_1/vars/1"])),
        "layers/dense_2/vars/0": (model.more["out"].kernel,
                              fanin.glorot_uniform((8, 3), seed=s["layers/dense_2/vars/0"])),
    }  # fmt: skip
    for place, (variable, want) in at.items():
        assert np.array_equal(array(variable), want), place
    # Attention is an einsum: 8 inputs to 2 heads of 4, whose fan Keras takes from the equation.
    query = array(model.attention.variables[0])
    unit = fanin.lecun_normal((8, 8), seed=s["attention/query_dense/vars/0"]).reshape(8, 2, 4)
    assert np.array_equal(query, unit)
    assert (array(model.more["norm"].gamma) == 1).all()
    bias = array(model.tail.cell.bias)
    assert (bias == np.repeat([0, 1, 0, 0], 5)).all()  # the forget gate is open


def test_depthwise_separable_and_wrapped_kernels_have_their_initializers():
    kernels = {
        "depthwise": (layers.DepthwiseConv2D(3, depthwise_initializer="he_normal"), (1, 8, 8, 4)),
        "separable": (layers.SeparableConv2D(5, 3, depthwise_initializer="he_normal",
                                             pointwise_initializer="he_normal"), (1, 8, 8, 4)),
        "wrapped": (layers.SpectralNormalization(
            layers.Dense(5, kernel_initializer="he_normal")), (1, 4)),
    }  # fmt: skip
    for name, (layer, shape) in kernels.items():
        layer.build(shape)
        report = fanin.keras.init_(layer, seed=2)
        assert report.filled and not report.called, name
        first = layer.weights[0]
        want = fanin.he_normal(tuple(first.shape), seed=fanin.Stream(2)[report.filled[0]])
        assert np.array_equal(array(first), want), name


def test_what_has_no_initializer_keeps_its_value_and_is_listed():
    norm = layers.RMSNormalization()
    model = keras.Sequential([keras.Input((4,)), norm, layers.Dense(2)])
    norm.scale.assign(np.full(4, 7.0))
    report = fanin.keras.init_(model)
    assert report.skipped == ("layers/rms_normalization/vars/0",)
    assert (array(norm.scale) == 7).all()
    assert "layers/rms_normalization/vars/0  skipped" in str(report)


def test_a_function_of_the_users_own_is_called_and_listed():
    def threes(shape, dtype=None):
        return keras.ops.full(shape, 3.0, dtype)

    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_initializer=threes)])
    report = fanin.keras.init_(model)
    assert report.called == ("layers/dense/vars/0",)
    assert (array(model.layers[0].kernel) == 3).all()


def test_refused_models_are_left_as_they_were():
    rng = fanin.default_rng(1)
    with pytest.raises(ValueError, match="not built.*build"):
        fanin.keras.init_(keras.Sequential([layers.Dense(2)]), seed=rng)
    with pytest.raises(TypeError, match="keras.Model"):
        fanin.keras.init_("model", seed=rng)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.Dense(2)])
    model.layers[1].bias_initializer = keras.initializers.Orthogonal()
    before = [array(v).copy() for v in model.weights]
    with pytest.raises(ValueError, match="two-dimensional"):
        fanin.keras.init_(model, seed=rng)
    assert all(same(a, b) for a, b in zip(before, model.weights, strict=True))
    assert rng == fanin.default_rng(1)


def test_three_dense_layers_with_five_initializers_run_by_changing_the_import():
    def build(initializers):
        model = keras.Sequential([
            keras.Input((10,)),
            layers.Dense(64, activation="relu", kernel_initializer=initializers.he_normal()),
            layers.Dense(32, activation="relu",
                         kernel_initializer=initializers.RandomUniform(minval=-0.05, maxval=0.05)),
            layers.Dense(1, kernel_initializer=initializers.Orthogonal()),
        ])  # fmt: skip
        model.compile(optimizer="adam", loss="mse")
        return model

    for initializers in (keras.initializers, fanin.keras):
        model = build(initializers)
        assert model.count_params() == 2817
        loss = model.fit(np.ones((4, 10)), np.ones((4, 1)), verbose=0).history["loss"][0]
        assert math.isfinite(loss)
        for name in ("GlorotUniform", "lecun_uniform"):
            assert getattr(initializers, name)()((10, 64)).shape == (10, 64)


def test_an_immutable_tensor_as_out_is_refused():
    made = keras.ops.zeros((4, 3))
    if keras.backend.backend() == "torch":  # whose tensors are meant to be written
        fanin.normal((4, 3), seed=0, out=made)
        assert array(made).any()
        return
    with pytest.raises(TypeError, match="immutable"):
        fanin.normal((4, 3), seed=0, out=made)
    assert not array(made).any()


def memory(name: str) -> int:
    """A row of /proc/self/status, in bytes."""
    rows = Path("/proc/self/status").read_text()
    [kilobytes] = re.findall(rf"{name}:\s+(\d+) kB", rows)
    return int(kilobytes) * 1024


def test_init_needs_no_memory_beside_the_variable():
    units = 8192  # 256 MiB
    dense = layers.Dense(units, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((units,)), dense])
    dense.kernel_initializer = fanin.keras.HeNormal()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = memory("VmRSS")
    fanin.keras.init_(model, seed=1)
    # torch's variables are filled where they lie; the others cannot be, and get a new array.
    new = 0 if keras.backend.backend() == "torch" else 4 * units**2
    assert memory("VmHWM") - before <= new + (16 << 20)


def test_integers_of_a_quantised_layer_are_left_alone():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(3)])
    layer = model.layers[1]
    layer.quantize("int8")
    (kernel,) = [v for v in layer.variables if keras.backend.standardize_dtype(v.dtype) == "int8"]
    before = keras.ops.convert_to_numpy(kernel).copy()
    done = fanin.keras.init_(model, seed=0)
    assert done.skipped == ("layers/dense_1/vars/1", "layers/dense_1/vars/2")
    assert done.filled[:2] == ("layers/dense/vars/0", "layers/dense/vars/1")
    assert np.array_equal(keras.ops.convert_to_numpy(kernel), before)
