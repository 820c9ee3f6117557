"""Typical wrong calls: what came, what is accepted, and what to write instead."""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import fanin
from fanin import propagation as p

W = np.zeros((4, 4), np.float32)


def foreign(package, name, **attributes):
    """An object whose type says that it comes from another package."""
    return type(name, (), {"__module__": package, **attributes})()


def tensor_function(x):
    raise TypeError("tanh(): argument 'input' (position 1) must be Tensor, not numpy.ndarray")


def module(name, **attributes):
    """A module of torch: callable on tensors only."""
    kind = type(name, (), {"__module__": "torch.nn", "__call__": lambda self, x: x.tensor()})
    made = kind()
    vars(made).update(attributes)
    return made


tensor_function.__name__ = "tanh"
KEY = foreign("jax._src.prng", "PRNGKeyArray", shape=())
TENSOR = foreign("torch", "Tensor", shape=(4, 4))
LINEAR = foreign("torch.nn.modules.linear", "Linear", parameters=lambda self: ())

WRONG = {
    "he_normal(out=w)": (
        lambda: fanin.he_normal(out=W, seed=0), TypeError, "the shape comes first"),
    "normal(out=w)": (lambda: fanin.normal(out=W, seed=0), TypeError, "the shape comes first"),
    "normal(3)": (lambda: fanin.normal(3), TypeError, r"normal\(\) needs seed=.*Stream"),
    "uniform(3)": (lambda: fanin.uniform(3), TypeError, r"uniform\(\) needs seed="),
    "random(3)": (lambda: fanin.random(3), TypeError, r"random\(\) needs seed="),
    "truncated_normal(3)": (
        lambda: fanin.truncated_normal(3), TypeError, r"truncated_normal\(\) needs seed="),
    "misspelt keyword": (
        lambda: fanin.he_normal((3, 3), sed=0), TypeError, "'sed'.*did you mean 'seed'"),
    "NumPy's keyword": (
        lambda: fanin.normal(size=(3,), seed=0), TypeError,
        r"unexpected keyword argument 'size'; it is called normal\(shape, loc=.*mean 'shape'"),
    "torch's keyword": (
        lambda: fanin.normal((3,), mean=0, seed=0), TypeError, "'mean'.*did you mean 'loc'"),
    "Keras's keyword": (
        lambda: fanin.truncated_normal(3, stddev=2, seed=0), TypeError, "did you mean 'scale'"),
    "JAX's keyword": (
        lambda: fanin.uniform((3,), minval=-1, seed=0), TypeError, "did you mean 'low'"),
    "another's seed": (
        lambda: fanin.random((3,), rng=0), TypeError, r"random\(shape, \*, seed,.*mean 'seed'"),
    "another's seed of a scheme": (
        lambda: fanin.he_normal((3, 3), key=0), TypeError, "'key'.*did you mean 'seed'"),
    "NumPy's keyword of a scheme": (
        lambda: fanin.he_normal(size=(3, 3), seed=0), TypeError, "did you mean 'shape'"),
    "NumPy's order": (
        lambda: fanin.normal(0, 1, (3,), seed=0), ValueError, r"shape comes first: normal\(\)"),
    "NumPy's order, broadcast": (
        lambda: fanin.normal(5, 1, (3,), seed=0), ValueError, "shape comes first"),
    "NumPy's order, floats": (
        lambda: fanin.normal(0.0, 1.0, (3,), seed=0), TypeError, "shape comes first"),
    "NumPy's order, uniform": (
        lambda: fanin.uniform(-1, 1, (3, 4), seed=0), ValueError, "shape comes first"),
    "NumPy's order, truncated": (
        lambda: fanin.truncated_normal(0, 1, -2, 2, (3,), seed=0), ValueError, "shape comes first"),
    "a tensor as shape": (
        lambda: fanin.he_normal(TENSOR, seed=0), TypeError,
        r"a torch.Tensor of shape \(4, 4\).*give its shape, and out="),
    "an array as shape": (
        lambda: fanin.normal(W, seed=0), TypeError, r"numpy.ndarray of shape \(4, 4\).*out="),
    "a list of floats": (
        lambda: fanin.normal(np.ones(3), seed=0), TypeError, r"numpy.ndarray of shape \(3,\)"),
    "a module as shape": (
        lambda: fanin.normal(LINEAR, seed=0), TypeError, "a module has many tensors"),
    "gain(torch.tanh)": (
        lambda: fanin.gain(tensor_function), TypeError, 'no function of NumPy arrays.*: "tanh"'),
    "gain(nn.GELU())": (lambda: fanin.gain(module("GELU")), TypeError, 'by name: "gelu"'),
    "gain(nn.GELU('tanh'))": (
        lambda: fanin.gain(module("GELU", approximate="tanh")), TypeError, '"gelu_tanh"'),
    "gain(nn.LeakyReLU(.2))": (
        lambda: fanin.gain(module("LeakyReLU", negative_slope=0.2)), TypeError,
        r'Activation\("leaky_relu", negative_slope=0.2\)'),
    "gain(math.tanh)": (lambda: fanin.gain(math.tanh), TypeError, 'has it by name: "tanh"'),
    "gain(max)": (
        lambda: fanin.gain(lambda x: max(x, 0)), TypeError, "np.maximum, not max"),
    "gain(ReLU)": (lambda: fanin.gain("ReLU"), ValueError, "did you mean 'relu'"),
    "gain(LeakyReLU)": (lambda: fanin.gain("LeakyReLU"), ValueError, "did you mean 'leaky_relu'"),
    "gain(leaky_relu, .2)": (
        lambda: fanin.gain("leaky_relu", 0.2), TypeError,
        r'Activation\("leaky_relu", negative_slope=0.2\)'),
    "parameter misspelt": (
        lambda: fanin.Activation("leaky_relu", negativ_slope=0.2), ValueError,
        "did you mean 'negative_slope'"),
    "gain of a scheme": (
        lambda: fanin.he_normal((3, 3), gain=np.tanh, seed=0), TypeError,
        r"gain must be a number or the name.*fanin.gain\(activation\)"),
    "gain misspelt": (
        lambda: fanin.glorot_normal((3, 3), gain="gelo", seed=0), ValueError,
        "did you mean 'gelu'"),
    "unknown dtype": (
        lambda: fanin.normal(3, seed=0, dtype="float8"), TypeError, "'float8' not understood"),
    "dtype of integers": (
        lambda: fanin.normal(3, seed=0, dtype=foreign("torch", "dtype",
                             __str__=lambda self: "torch.int32")), TypeError, "Unsupported dtype"),
    "a jax key": (lambda: fanin.normal(3, seed=KEY), TypeError, "a key's splits are names here"),
    "an array as seed": (
        lambda: fanin.normal(3, seed=np.array([1, 2])), TypeError, r"one number, as int\(array"),
    "a torch generator": (
        lambda: fanin.he_normal((3, 3), seed=foreign("torch", "Generator")), TypeError,
        "initial_seed"),
    "several seeds": (
        lambda: fanin.default_rng([1, 2]), TypeError, r"fanin.Stream\(seed\)\[name\]"),
    "a SeedSequence": (
        lambda: fanin.Stream(np.random.SeedSequence(0)), TypeError, "fanin.Stream"),
    "get(HeNormal)": (
        lambda: fanin.get("HeNormal"), ValueError, r"Keras's is fanin.he_normal\(shape"),
    "get(xavier_uniform)": (
        lambda: fanin.get("xavier_uniform"), ValueError,
        r'torch\'s is fanin.glorot_uniform\(shape, layout="oi"'),
    "get(kaiming_normal_)": (
        lambda: fanin.get("kaiming_normal_"), ValueError, "fan_in.*normal.*JAX's is"),
    "get(he_norma)": (lambda: fanin.get("he_norma"), ValueError, "did you mean 'he_normal'"),
    "fanin.kaiming_normal_": (
        lambda: fanin.kaiming_normal_, AttributeError, "in place: fanin.torch.kaiming_normal_"),
    "fanin.HeNormal": (lambda: fanin.HeNormal, AttributeError, "fanin.he_normal"),
    "fanin.he_norml": (lambda: fanin.he_norml, AttributeError, "did you mean 'he_normal'"),
    "fanin.manual_seed": (lambda: fanin.manual_seed, AttributeError, "no global state"),
    "mode misspelt": (
        lambda: fanin.variance_scaling((3, 3), mode="fanin", seed=0), ValueError,
        "did you mean 'fan_in'"),
    "a bias": (
        lambda: fanin.torch_linear_default(5, seed=0), ValueError, "for a bias give the fan of"),
    "loc too large": (lambda: fanin.normal(3, 10**400, seed=0), ValueError, "loc must be finite"),
    "scale too large": (
        lambda: fanin.normal(3, 0, 10**400, seed=0), ValueError, "scale must be finite"),
    "high too large": (
        lambda: fanin.uniform(3, 0, 10**400, seed=0), ValueError, "high must be finite"),
    "bounds too large": (
        lambda: fanin.truncated_normal_std(0, 10**400), ValueError, "high must be finite"),
    "value too large": (lambda: fanin.constant(3, 10**400), ValueError, "value must be finite"),
    "gain too large": (
        lambda: fanin.orthogonal((3, 3), gain=10**400, seed=0), ValueError, "gain must be finite"),
    "q too large": (lambda: p.moments(10**400, "tanh"), ValueError, "q must be finite"),
    "std of arrays": (
        lambda: fanin.truncated_normal_std([1, 2], [3, 4]), TypeError, "low must be one number"),
    "threads": (
        lambda: fanin.normal(3, seed=0, threads=2.0), TypeError, "threads must be an int"),
    "chi(activation, q)": (
        lambda: p.chi("tanh", 1.0, weight_var=1), TypeError, "q comes before the activation"),
    "moments(activation, q)": (lambda: p.moments(np.tanh, 1.0), TypeError, "take q before it"),
    "propagate(depth, activation)": (
        lambda: p.propagate(10, "tanh", weight_var=1), TypeError, "propagate, critical and"),
    "no q": (lambda: p.moments(None, "tanh"), TypeError, "q must be a real number.*None"),
    "width": (lambda: p.Network(["relu"], width=-3), ValueError, "width is an int of at least 1"),
    "image": (lambda: p.Network(["relu"], image=(8, 0)), ValueError, "a side of image is an int"),
    "image of one": (lambda: p.Network(["relu"], image=8), TypeError, "one int for each axis"),
    "kernel of a float": (lambda: p.Conv(8, 2.5), TypeError, "kernel is an int or one int"),
    "window of a float": (lambda: p.MaxPool(2, 1.5), TypeError, "stride is an int or one int for"),
    "window of a text": (lambda: p.AveragePool("2"), TypeError, "size is an int or one int for"),
    "calculate_gain": (
        lambda: fanin.calculate_gain("gelu"), ValueError, "nonlinearity gelu.*fanin.gain"),
    "plot(file)": (
        lambda: p.propagate("tanh", 5, weight_var=1).plot("x.png"), TypeError, "savefig"),
    "plot of lanes": (
        lambda: p.propagate("tanh", 5, weight_var=[1, 2]).plot(), ValueError, "name one lane"),
    "phase plot(file)": (
        lambda: p.phase_diagram("relu", [1, 2], [0, 1]).plot("x.png"), TypeError, "savefig"),
    "a complex gain": (
        lambda: fanin.he_normal((3, 3), gain=np.complex64(1j), seed=0), TypeError,
        "gain must be a number, got np.complex64"),
    "phi of a complex number": (
        lambda: fanin.Activation("tanh")(1j), TypeError, "x must be a real number"),
    "one kink": (
        lambda: fanin.Activation(np.abs, kinks=0.0), TypeError, "kinks must be a sequence"),
    "a derivative that is none": (
        lambda: fanin.Activation(np.tanh, derivative=1.0), TypeError, "derivative must be a func"),
    "layers beyond float64": (
        lambda: fanin.gpt2_residual((3, 3), n_layers=10**400, seed=0), ValueError,
        r"n_layers must be at most 2\*\*63 - 1"),
    "a shape beyond float64": (
        lambda: fanin.flax_embedding_default((10**400, 2), seed=0), ValueError, "dimension"),
    "one width": (
        lambda: p.propagate("tanh", 3, weight_var=1, widths=100), ValueError,
        r"widths are the 4 sizes n_0 .. n_3 of 3 layers, got 100"),
    "a variance as text": (
        lambda: fanin.recommend("tanh", bias_var="0.1"), TypeError, "bias_var must be a number"),
    "a correlation as text": (
        lambda: p.covariance(1.0, 1.0, "0.5", "tanh"), TypeError, "c must be a real number"),
    "a set as shape": (
        lambda: fanin.normal({3, 2}, seed=0), TypeError, "got '{2, 3}': its sizes have no order"),
    "a dict as shape": (
        lambda: fanin.default_rng(0).standard_normal({3: 1}), TypeError, "sizes have no order"),
    "a float as size": (
        lambda: fanin.default_rng(0).normal(size=2.5), TypeError, "an int or a tuple of ints, as"),
    "children by name": (
        lambda: fanin.default_rng(0).spawn("a"), TypeError, "n_children must be an integer"),
    "a list of variances to draw": (
        lambda: p.simulate("tanh", 2, 8, weight_var=[1, 2], seed=0), TypeError,
        r"weight_var must be a number, got \[1, 2\]"),
    "no bias variance to draw": (
        lambda: p.simulate("tanh", 2, 8, weight_var=1, bias_var=None, seed=0), TypeError,
        "bias_var must be a number, got None"),
    "a correlation to draw as text": (
        lambda: p.simulate("tanh", 2, 8, weight_var=1, c0="a", seed=0), TypeError,
        "c0 must be a number"),
    "the dtype of a tensor in the place of its scheme": (
        lambda: fanin.PlanTensor("w", (2, 3), "float32", "he_normal"), TypeError,
        "arguments of a PlanTensor are a mapping"),
    "endless architecture": (
        lambda: p.architecture("gpt2", layers=10**9), ValueError, "layers are at most 65536"),
    "endless rectifier": (lambda: p.leaky_tat(10**9), ValueError, "at most 65536 layers"),
    "endless simulation": (
        lambda: p.Network(["relu"], width=4).simulate(networks=2**62, seed=0), ValueError,
        "more than any memory holds"),
}  # fmt: skip


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_call_says_what_to_write(call):
    function, error, words = WRONG[call]
    with pytest.raises(error, match=words) as caught:
        function()
    text = str(caught.value)
    assert len(text) < 1100, "an error is read by people"
    leaks = ("add.<locals>", "incompatible function arguments", "too large to convert", "pybind")
    for leak in leaks:
        assert leak not in text


@pytest.mark.parametrize("name", ["bf16", "bfloat16", "torch.bfloat16", "mlx.core.bfloat16"])
def test_a_dtype_may_be_named_as_other_libraries_name_it(name):
    given = SimpleNamespace() if "." in name else name
    if "." in name:
        given = foreign(name.partition(".")[0], "dtype", __str__=lambda self: name)
    for draw in (
        lambda dtype: fanin.normal(3, seed=0, dtype=dtype),
        lambda dtype: fanin.he_normal((3, 3), seed=0, dtype=dtype),
        lambda dtype: fanin.default_rng(0).random(3, dtype=dtype),
        lambda dtype: fanin.zeros(3, dtype=dtype),
    ):
        assert draw(given).dtype == ml_dtypes.bfloat16
        assert draw(given).tobytes() == draw("bfloat16").tobytes()


def test_a_tuple_of_floats_or_a_list_stays_a_parameter():
    assert fanin.normal(2, 0.0, (1.0, 2.0), seed=0).shape == (2,)
    assert fanin.normal(2, 0, [1, 2], seed=0).shape == (2,)
    assert fanin.normal((2,), 0, (1, 2), seed=0).shape == (2,)
    assert fanin.normal(0, seed=0).shape == (0,)


@pytest.mark.parametrize("name", ["normal", "uniform", "random", "truncated_normal"])
def test_the_signature_still_requires_shape_and_seed(name):
    import inspect

    parameters = inspect.signature(getattr(fanin, name)).parameters
    assert parameters["shape"].default is parameters["seed"].default is inspect.Parameter.empty
    assert list(inspect.signature(fanin.gain).parameters) == ["activation", "q", "kind"]


def test_every_call_for_a_frameworks_name_runs():
    from fanin._hints import FOREIGN

    given = {
        "fanin": fanin, "shape": (96, 64), "kernel": (3, 3, 8, 16), "seed": 0, "mean": 0.1,
        "std": 0.2, "a": -1.0, "b": 2.0, "value": 0.5, "sparsity": 0.9,
    }  # fmt: skip
    for name, calls in FOREIGN.items():
        for framework, call in calls.items():
            made = eval(call, dict(given))
            assert np.isfinite(made).all(), (name, framework)
            variance = {
                ("normal", "torch"): 0.2**2,
                ("kaimingnormal", "torch"): 2 / 64,
                ("kaimingnormal", "JAX"): 2 / 96,
                ("kaiminguniform", "torch"): 2 / 64,
                ("henormal", "Keras"): 2 / 96,
                ("xaviernormal", "torch"): 2 / 160,
                ("sparse", "torch"): 0.2**2 * 9 / 96,  # 96 - ceil(0.9 * 96) of each column
            }.get((name, framework))
            if variance is not None:
                # At least 576 values: their variance is off by sqrt(2 / 576) = 6 %; five of that,
                # where another fan is off by a third.
                assert np.var(made) == pytest.approx(variance, rel=0.3), (name, framework)


def test_a_frameworks_name_is_never_drawn():
    from fanin._hints import FOREIGN, folded

    known = {folded(name) for name in fanin.schemes()}
    for name in FOREIGN:
        if name not in known:
            with pytest.raises(ValueError, match="carries its convention"):
                fanin.get(name)


def test_the_warning_of_a_misread_kernel_names_the_other_layout():
    for shape in ((32, 16, 3, 3), (64, 3, 7, 7)):
        with pytest.warns(UserWarning, match="give layout='oi'") as caught:
            fanin.delta_orthogonal(shape, seed=0)
        assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="layout='io'"):
        fanin.delta_orthogonal((3, 3, 16, 32), layout="oi", seed=0)
    named = fanin.Layout(in_axes=-2, out_axes=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fanin.delta_orthogonal((32, 16, 3, 3), seed=0, layout="oi")
        fanin.delta_orthogonal((5, 5, 3, 8), seed=0)
        fanin.delta_orthogonal((32, 16, 3, 3), seed=0, layout=named)
        fanin.delta_orthogonal((3, 3, 0, 0), seed=0)


def test_a_recommendation_draws_weights_of_its_variance():
    shape, stream = (400, 300), fanin.Stream(0)
    for activation, objective in (
        ("relu", "both"), ("tanh", "critical"), ("gelu", "backward"), ("selu", "forward"),
        ("linear", "both"),
    ):  # fmt: skip
        advice = fanin.recommend(activation, objective)
        made = advice.weight(shape, seed=stream[activation], dtype="float64")
        fan = shape[0] if advice.mode == "fan_in" else shape[1]
        # 120,000 values: the variance is off by sqrt(2 / N) = 0.4 %; five of that.
        assert fan * np.var(made) == pytest.approx(float(advice.weight_var), rel=0.02)
        again = advice.initializer()(shape, seed=stream[activation], dtype="float64")
        assert np.array_equal(made, again)
    turned = advice.weight(shape[::-1], seed=stream["linear"], layout="oi", dtype="float64")
    assert turned.shape == (300, 400)


def test_a_recommended_isometry_is_orthogonal_with_its_gain():
    advice = fanin.recommend("tanh", "isometry")
    made = advice.weight((50, 50), seed=0, dtype="float64")
    np.testing.assert_allclose(made @ made.T, float(advice.weight_var) * np.eye(50), atol=1e-13)


def test_a_recommendation_for_a_network_draws_layer_by_layer():
    network = p.Network([p.Dense(300), "relu", p.Dense(300), "tanh", p.Dense(300)])
    advice = fanin.recommend(network)
    for layer, variance in enumerate(advice.weight_var):
        made = advice.weight((300, 300), seed=layer, dtype="float64", layer=layer)
        assert 300 * np.var(made) == pytest.approx(variance, rel=0.025)  # sqrt(2 / 90000) = 0.5 %
    with pytest.raises(TypeError, match="say which by layer="):
        advice.weight((300, 300), seed=0)
    with pytest.raises(ValueError, match=r"layer is in 0 \.\. 2"):
        advice.initializer(layer=3)
    with pytest.raises(TypeError, match="belongs to the recommendation for a Network"):
        fanin.recommend("relu").initializer(layer=0)
