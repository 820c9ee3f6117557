"""fanin.torch against torch.nn.init: names, signatures, errors, laws, memory."""

import dataclasses
import inspect
import math
import re
import warnings

import numpy as np
import pytest
import torch
from torch.nn import init as theirs

import fanin
from fanin import torch as init

DRAWING = {
    "uniform_": {},
    "normal_": {},
    "trunc_normal_": {},
    "xavier_uniform_": {},
    "xavier_normal_": {},
    "kaiming_uniform_": {},
    "kaiming_normal_": {},
    "orthogonal_": {},
    "sparse_": {"sparsity": 0.3},
}
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("name", theirs.__all__)
def test_every_public_function_has_torchs_signature(name):
    ours, them = getattr(init, name), getattr(theirs, name)
    mine, other = inspect.signature(ours), inspect.signature(them)
    assert list(mine.parameters) == list(other.parameters)
    for p, q in zip(mine.parameters.values(), other.parameters.values(), strict=True):
        assert (p.kind, p.default) == (q.kind, q.default)
    assert ours.__name__ == them.__name__


@pytest.mark.parametrize("name", init.__all__)
def test_every_public_name_tells_what_it_takes_and_gives(name):
    one = getattr(init, name)
    said = inspect.getdoc(one)
    assert "{" not in said.partition(">>>")[0].replace('{"fan_in", "fan_out"}', "")
    if inspect.isclass(one):
        named, wanted = "Attributes", [field.name for field in dataclasses.fields(one)]
    else:
        named = "Parameters"
        wanted = list(inspect.signature(getattr(init, f"{name}_", one)).parameters)
        assert "\nReturns\n-------\n" in said and "\nRaises\n------\n" in said
    section = said.partition(f"\n{named}\n{'-' * len(named)}\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^([\w, ]+) : \S", section, re.MULTILINE)
    assert [given for row in rows for given in row.split(", ")] == wanted


@pytest.mark.parametrize("name", [n for n in theirs.__all__ if hasattr(theirs, n + "_")])
def test_old_names_warn_in_torchs_words_and_fill(name):
    arguments = {"sparse": (0.5,), "constant": (3.0,)}.get(name, ())
    shape = (4, 4, 3) if name == "dirac" else (4, 4)
    said = []
    for module in (theirs, init):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            w = torch.full(shape, math.nan)
            assert getattr(module, name)(w, *arguments) is w
            assert not w.isnan().any()
        said.append([(str(c.message), c.category, c.filename) for c in caught])
    assert said[0] == said[1] and said[0]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", DRAWING)
def test_any_float_dtype_is_filled_in_place_and_returned(name, dtype):
    w = torch.nn.Parameter(torch.full((24, 10), math.nan, dtype=dtype))
    address, version = w.data_ptr(), w._version
    stream = fanin.Stream(3)["w"]
    assert getattr(init, name)(w, **DRAWING[name], generator=stream) is w
    assert w.data_ptr() == address and w._version > version and w.requires_grad and w.is_leaf
    assert w.isfinite().all() and w.unique().numel() > 10


@pytest.mark.parametrize("name", DRAWING)
def test_strides_do_not_change_values(name):
    wide = torch.zeros(20, 48)
    views = [torch.empty(24, 10), torch.empty(10, 24).T, wide[::2, 1::2].T]
    made = [getattr(init, name)(v, **DRAWING[name], generator=fanin.Stream(1)) for v in views]
    assert (made[0] == made[1]).all() and (made[0] == made[2]).all()
    assert (wide[1::2] == 0).all() and (wide[:, ::2] == 0).all()


@pytest.mark.parametrize("name", DRAWING)
def test_torch_manual_seed_decides_without_a_generator(name):
    def made(seed):
        torch.manual_seed(seed)
        return getattr(init, name)(torch.empty(8, 8), **DRAWING[name])

    one, again, two = made(1), made(1), made(2)
    assert (one == again).all() and not (one == two).all()
    further = getattr(init, name)(torch.empty(8, 8), **DRAWING[name])
    assert not (further == two).all()


@pytest.mark.parametrize("name", DRAWING)
def test_generators_of_all_kinds_decide(name):
    function = getattr(init, name)
    for kind in (lambda: torch.Generator().manual_seed(5), lambda: fanin.default_rng(5),
                 lambda: fanin.Stream(5)["w"]):  # fmt: skip
        state = torch.get_rng_state()
        one = function(torch.empty(8, 8), **DRAWING[name], generator=kind())
        two = function(torch.empty(8, 8), **DRAWING[name], generator=kind())
        assert (one == two).all()
        assert (torch.get_rng_state() == state).all()
    rng = fanin.default_rng(5)
    first = function(torch.empty(8, 8), **DRAWING[name], generator=rng)
    assert not (first == function(torch.empty(8, 8), **DRAWING[name], generator=rng)).all()
    with pytest.raises(TypeError, match="generator must be"):
        function(torch.empty(8, 8), **DRAWING[name], generator=5)


@pytest.mark.parametrize("name", [n for n in theirs.__all__ if n.endswith("_")])
def test_meta_tensors_are_left_alone(name):
    shape = (4, 4, 3) if name == "dirac_" else (4, 4)
    w = torch.empty(shape, device="meta")
    state = torch.get_rng_state()
    arguments = {"sparse_": (0.5,), "constant_": (3.0,)}.get(name, ())
    assert getattr(init, name)(w, *arguments) is w
    assert w.device.type == "meta" and (torch.get_rng_state() == state).all()


def test_a_gradient_through_a_changed_tensor_is_refused():
    w = torch.ones(3, requires_grad=True)
    loss = (w * w).sum()
    init.normal_(w, generator=fanin.Stream(0))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# The laws, each by its mean and std: n = 60000 values, so the mean is within 5 standard errors,
# 5 std / sqrt(n) = 0.0204 std, and a std within 5 / sqrt(2 n) = 0.0144 of itself (a normal's is
# the widest of these).
SHAPE = (300, 200)
LAWS = {
    "uniform_": ({"a": -1.0, "b": 3.0}, 1.0, 4 / math.sqrt(12)),
    "normal_": ({"mean": 0.5, "std": 0.02}, 0.5, 0.02),
    "trunc_normal_": ({"std": 0.02, "a": -0.04, "b": 0.04}, 0.0, 0.02 * 0.87962566),
    "xavier_uniform_": ({"gain": 2.0}, 0.0, 2 * math.sqrt(2 / 500)),
    "xavier_normal_": ({}, 0.0, math.sqrt(2 / 500)),
    "kaiming_uniform_": ({"a": 0.3, "mode": "fan_out"}, 0.0, math.sqrt(2 / 1.09 / 300)),
    "kaiming_normal_": ({"nonlinearity": "tanh"}, 0.0, 5 / 3 / math.sqrt(200)),
    "orthogonal_": ({"gain": 3.0}, 0.0, 3 / math.sqrt(300)),
    "sparse_": ({"sparsity": 0.25, "std": 0.1}, 0.0, 0.1 * math.sqrt(0.75)),
}


@pytest.mark.parametrize("module", [init, theirs], ids=["fanin", "torch"])
@pytest.mark.parametrize("name", LAWS)
def test_both_modules_draw_the_same_law(name, module):
    torch.manual_seed(11)
    arguments, mean, std = LAWS[name]
    w = getattr(module, name)(torch.empty(SHAPE), **arguments).double()
    assert abs(w.mean() - mean) < 0.0204 * std
    assert abs(w.std() / std - 1) < 0.0144
    if name == "sparse_":
        assert ((w == 0).sum(0) == 75).all()
    if name == "orthogonal_":
        assert torch.allclose(w.T @ w, 9 * torch.eye(200).double(), atol=1e-4)


def test_bounds_far_from_the_mean_are_drawn_without_rejection():
    said = []
    for module in (theirs, init):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            module.trunc_normal_(torch.empty(3, device="meta"), a=7.0, b=7.5)
            module.trunc_normal_(torch.empty(3), mean=2.0, std=0.5, a=-1.0, b=1.0)
            w = module.trunc_normal_(torch.empty(1000), a=7.0, b=7.5)
        said.append([(str(c.message), c.category) for c in caught])
    assert said[0] == said[1] and len(said[0]) == 1
    assert ((w >= 7.0) & (w <= 7.5)).all() and w.unique().numel() > 900


@pytest.mark.parametrize("shape", [(6, 4, 3), (4, 6, 2), (6, 4, 3, 5), (8, 2, 3, 3, 2)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_and_eye_are_torchs_bit_for_bit(shape, groups):
    assert (
        init.dirac_(torch.empty(shape), groups) == theirs.dirac_(torch.empty(shape), groups)
    ).all()
    assert (init.eye_(torch.empty(shape[:2])) == theirs.eye_(torch.empty(shape[:2]))).all()


BAD = [
    ("xavier_uniform_", torch.empty(3), ()),
    ("xavier_normal_", torch.empty(()), ()),
    ("kaiming_normal_", torch.empty(3), ()),
    ("kaiming_uniform_", torch.empty(3, 3), (0, "fan_avg")),
    ("kaiming_uniform_", torch.empty(3, 3), (0, "fan_in", "gelo")),
    ("kaiming_uniform_", torch.empty(3, 3), ("x",)),
    ("eye_", torch.empty(3), ()),
    ("dirac_", torch.empty(3, 3), ()),
    ("dirac_", torch.empty(3, 3, 3), (2,)),
    ("orthogonal_", torch.empty(3), ()),
    ("sparse_", torch.empty(3), (0.5,)),
    ("normal_", torch.empty(3), (0.0, -1.0)),
    ("normal_", torch.empty(3), (0.0, math.nan)),
    ("normal_", torch.empty(3, dtype=torch.int64), ()),
    ("uniform_", torch.empty(3), (2.0, 1.0)),
    ("uniform_", torch.empty(3), (-math.inf, math.inf)),
    ("uniform_", torch.empty(3, dtype=torch.int32), ()),
    ("trunc_normal_", torch.empty(3), (0.0, 0.0)),
]


@pytest.mark.parametrize(
    ("name", "w", "arguments"), BAD, ids=lambda v: v if isinstance(v, str) else ""
)
def test_bad_calls_raise_torchs_error_and_write_nothing(name, w, arguments):
    said = []
    before = w.clone()
    for module in (theirs, init):
        with pytest.raises(Exception) as error:  # noqa: B017
            getattr(module, name)(w, *arguments)
        said.append((error.type, str(error.value)))
    assert said[0] == said[1]
    assert w.numpy().tobytes() == before.numpy().tobytes()


def test_no_elements_is_torchs_warning():
    for function in (init.kaiming_normal_, init.kaiming_uniform_):
        with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
            function(torch.empty(0, 3))
    assert init.orthogonal_(torch.empty(0, 3)).shape == (0, 3)
    assert init.normal_(torch.empty(0)).shape == (0,)


@pytest.mark.parametrize(
    "name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
)
def test_gains_are_torchs_for_torchs_names(name):
    assert init.calculate_gain(name) == theirs.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == theirs.calculate_gain("leaky_relu", 0.3)


def test_gains_are_exact_for_all_other_names():
    assert init.calculate_gain("gelu") == float(fanin.gain("gelu"))
    with pytest.raises(ValueError, match="Unsupported nonlinearity gelo"):
        init.calculate_gain("gelo")
    with pytest.raises(ValueError, match="negative_slope True not a valid number"):
        init.calculate_gain("leaky_relu", True)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_float8_is_the_float32_draw_rounded_once(dtype):
    w = init.normal_(torch.empty(1000, dtype=dtype), generator=fanin.Stream(0))
    wide = torch.from_numpy(fanin.normal(1000, seed=0))
    assert (w.float() == wide.to(dtype).float()).all()


def test_complex_normals_have_torchs_variance():
    w = init.normal_(torch.empty(60000, dtype=torch.complex64), std=2.0, generator=fanin.Stream(0))
    # E|z|^2 = 4 and |z|^2 / 4 is exponential: 5 standard errors are 5 / sqrt(60000) = 0.0204
    assert abs(w.abs().square().mean() / 4 - 1) < 0.0204


def test_integers_get_constants_as_in_torch():
    assert init.constant_(torch.empty(3, dtype=torch.int64), 7).tolist() == [7, 7, 7]


def test_values_are_those_of_the_face():
    stream = fanin.Stream(2)["w"]
    w = init.kaiming_uniform_(torch.empty(30, 20), a=math.sqrt(5), generator=stream)
    bound = math.sqrt(3) * (math.sqrt(2 / (1 + math.sqrt(5) ** 2)) / math.sqrt(20))
    want = fanin.uniform((30, 20), -bound, bound, seed=stream)
    assert np.array_equal(w.numpy(), want)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, 1.0 + 1e-16), (-1e-60, 1e-60)])
def test_a_uniform_law_of_one_number_is_that_number_as_in_torch(dtype, low, high):
    w = init.uniform_(torch.full((5,), math.nan, dtype=dtype), low, high)
    assert torch.allclose(w.double(), torch.tensor(low, dtype=torch.float64), atol=1e-50)


@pytest.mark.parametrize("count", [3, 4096, 4097, 9000])
@pytest.mark.parametrize("name", ["normal_", "uniform_", "trunc_normal_"])
def test_small_and_large_tensors_hold_the_values_of_the_face(name, count):
    law = {"normal_": fanin.normal, "uniform_": fanin.uniform,
           "trunc_normal_": fanin.truncated_normal}[name]  # fmt: skip
    generator = torch.Generator().manual_seed(7)
    # The seed of a call is the 64 bits that the generator gives next, as an unsigned number.
    words = torch.empty(6, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    generator.manual_seed(7)
    seeds = [word % 2**64 for word in words.tolist()]
    assert min(seeds) < 2**63 < max(seeds)  # below and above what the quick way takes
    for seed in seeds:
        w = getattr(init, name)(torch.empty(count), generator=generator)
        assert (w.numpy() == law(count, seed=seed)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("gain", [1, 2.5, -1.5])
def test_a_matrix_has_the_bits_of_the_scheme_in_torchs_order(dtype, gain):
    for shape in [(8, 8), (3, 5), (5, 3), (4, 3, 2, 2), (7, 2, 3), (1, 5), (5, 1), (1, 1)]:
        w = torch.empty(shape, dtype=dtype)
        init.orthogonal_(w, gain, generator=fanin.Stream(3))
        expected = fanin.orthogonal(
            shape,
            gain=abs(float(gain)),
            layout="oi",
            seed=3,
            dtype=str(dtype).removeprefix("torch."),
        )
        np.testing.assert_array_equal(w.numpy(), expected)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 1.0])
def test_a_sparse_matrix_has_the_bits_of_the_scheme_in_torchs_order(dtype, sparsity):
    for shape in [(8, 8), (3, 5), (1, 5), (5, 1), (300, 300)]:
        w = torch.empty(shape, dtype=dtype)
        init.sparse_(w, sparsity, 0.02, generator=fanin.Stream(3))
        expected = fanin.sparse(
            shape, sparsity, 0.02, layout="io", seed=3, dtype=str(dtype).removeprefix("torch.")
        )
        assert np.array_equal(w.float().numpy(), expected.astype(np.float32))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.float8_e5m2, torch.complex64], ids=str)
@pytest.mark.parametrize("name", ["normal_", "orthogonal_", "sparse_", "module"])
def test_storages_can_be_freed_and_resized_as_before(name, dtype):
    for tensor in (torch.zeros(4, 3, dtype=dtype), torch.zeros(3, 4, dtype=dtype).T):
        if name == "module":
            module = torch.nn.Linear(3, 4, bias=False)
            module.weight = torch.nn.Parameter(tensor)
            init.init_(module, {"weight": "normal"})
        elif name == "normal_" or not dtype.is_complex:
            getattr(init, name)(tensor, **DRAWING[name])
        assert tensor.untyped_storage().resizable()
        tensor.untyped_storage().resize_(0)


def test_what_code_takes_from_torch_s_private_names_is_here():
    weight = torch.empty(6, 4, 3)
    assert init._calculate_fan_in_and_fan_out(weight) == (12, 18)
    assert init._calculate_correct_fan(weight, "fan_out") == 18
