"""Deterministic schemes and depth gains: exact values."""

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
from scipy.linalg import hadamard

import fanin
from fanin import Layout


def test_zeros_and_ones_are_what_they_say():
    assert np.array_equal(fanin.zeros((2, 3)), np.zeros((2, 3), np.float32))
    assert np.array_equal(fanin.ones(4, gain=2.5), np.full(4, 2.5, np.float32))
    assert fanin.ones((), dtype=np.float64) == 1.0


def test_constant_takes_a_number_or_an_array_that_broadcasts():
    assert np.array_equal(fanin.constant((2, 2), -1.5), np.full((2, 2), -1.5, np.float32))
    column = np.array([[1.0], [2.0]])
    assert np.array_equal(fanin.constant((2, 3), column, gain=2.0), [[2, 2, 2], [4, 4, 4]])
    assert np.array_equal(fanin.constant((2, 3), [1, 2, 3]), [[1, 2, 3], [1, 2, 3]])
    assert np.array_equal(
        fanin.constant(2, ml_dtypes.bfloat16(1.5), dtype="bfloat16").astype(float), [1.5, 1.5]
    )
    value = fanin.constant(3, 1 + 2j, dtype=np.complex64)
    assert np.array_equal(value, np.full(3, 1 + 2j, np.complex64))


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (math.nan, ValueError, "value must be finite"),
        ([1.0, math.inf], ValueError, "value must be finite"),
        ("one", TypeError, "value must be a number or an array of numbers"),
        (None, TypeError, "value must be a real number"),
        (
            [[1.0, 2.0]],
            ValueError,
            r"value of shape \(1, 2\) does not broadcast to the shape \(3,\)",
        ),
        ([1.0, 2.0], ValueError, "does not broadcast"),
        (1j, TypeError, "complex values need dtype complex64 or complex128, got float32"),
        ([1j], TypeError, "complex values need dtype"),
    ],
)
def test_constant_refuses_other_values_and_writes_nothing(value, error, words):
    out = np.full(3, 7.0, np.float32)
    with pytest.raises(error, match=words):
        fanin.constant(3, value, out=out)
    assert (out == 7.0).all()


@pytest.mark.parametrize("name", ["identity", "eye"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (0, 3), (1, 1)])
def test_identity_is_rectangular_with_gain(name, shape):
    matrix = getattr(fanin, name)(shape, gain=3.0, dtype=np.float64)
    assert np.array_equal(matrix, 3.0 * np.eye(*shape))


def test_identity_holds_one_identity_per_batch_and_per_group():
    batched = fanin.identity((4, 2, 3), layout=Layout("io", batch_axes=0))
    assert all(np.array_equal(matrix, np.eye(2, 3)) for matrix in batched)
    grouped = fanin.identity((2, 6), layout=Layout("io", groups=3))
    assert np.array_equal(grouped, np.tile(np.eye(2), 3))


@pytest.mark.parametrize("shape", [5, (), (2, 3, 4), (2, 3, 4, 5)])
def test_identity_is_for_dense_weights_only(shape):
    with pytest.raises(ValueError, match=r"no fan|kernel axes"):
        fanin.identity(shape)


@pytest.mark.parametrize("kernel", [(3,), (4,), (1,), (3, 5), (2, 2), (3, 4, 5)])
@pytest.mark.parametrize(
    ("inputs", "outputs", "groups"), [(3, 3, 1), (4, 6, 2), (6, 4, 2), (5, 2, 1)]
)
def test_dirac_has_ones_where_a_channel_meets_itself(kernel, inputs, outputs, groups):
    # The definition, channel by channel, in torch's order (out, in / groups, *kernel).
    expected = np.zeros((outputs, inputs // groups, *kernel))
    centre = tuple(size // 2 for size in kernel)
    for group, channel in itertools.product(range(groups), range(min(inputs, outputs) // groups)):
        expected[(group * (outputs // groups) + channel, channel, *centre)] = 2.0
    oi = fanin.dirac(expected.shape, groups, layout="oi", gain=2.0)
    assert np.array_equal(oi, expected)
    by_layout = fanin.dirac(expected.shape, layout=Layout("oi", groups=groups), gain=2.0)
    assert np.array_equal(by_layout, expected)
    io = fanin.dirac((*kernel, inputs // groups, outputs), groups, gain=2.0)
    assert np.array_equal(io, np.moveaxis(expected, (1, 0), (-2, -1)))


def test_a_convolution_with_dirac_changes_nothing():
    signal = np.random.default_rng(0).normal(size=(4, 9))
    kernel = fanin.dirac((5, 4, 4), dtype=np.float64)
    result = [
        sum(np.convolve(signal[i], kernel[::-1, i, o], "same") for i in range(4)) for o in range(4)
    ]
    assert np.array_equal(result, signal)


def test_a_transposed_dirac_passes_the_channels_of_each_group():
    layout = Layout("oi", groups=2, transposed=True)  # (in, out / groups, k)
    kernel = fanin.dirac((4, 2, 3), layout=layout)
    assert np.array_equal(kernel[:, :, 1], np.tile(np.eye(2), (2, 1)))
    assert np.count_nonzero(kernel) == 4


@pytest.mark.parametrize(
    ("shape", "keywords", "error"),
    [
        ((3, 3), {}, ValueError),
        ((2, 2, 2, 2, 3, 3), {}, ValueError),
        ((3, 2, 4), {"groups": 3}, ValueError),
        ((3, 2, 4), {"groups": 0}, ValueError),
        ((3, 2, 4), {"groups": 2, "layout": Layout("io", groups=2)}, TypeError),
        ((3, 4, 4), {"layout": Layout("io", in_axes=(0, 1))}, ValueError),
    ],
)
def test_dirac_refuses_what_is_no_convolution(shape, keywords, error):
    with pytest.raises(error):
        fanin.dirac(shape, **keywords)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_types_are_rounded_once_from_float32(dtype):
    # 1 + 2**-8 + 2**-30 is above the middle of two bfloat16 neighbours and its float32 rounding
    # is exactly the middle; the same holds for 1 + 2**-11 + 2**-40 and float16.
    tie = 1 + 2.0**-8 + 2.0**-30 if dtype is ml_dtypes.bfloat16 else 1 + 2.0**-11 + 2.0**-40
    for value in (tie, 0.1, 1 / 3):
        expected = np.float32(value).astype(dtype)
        assert (fanin.constant((2, 2), value, dtype=dtype) == expected).all()
        assert (fanin.constant(3, [value], dtype=dtype) == expected).all()
        assert (fanin.eye((2, 2), gain=value, dtype=dtype).diagonal() == expected).all()


@pytest.mark.parametrize("inputs", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("outputs", [1, 2, 3, 6, 8, 9])
def test_zero_hadamard_is_the_algorithm_of_the_paper(inputs, outputs):
    order = math.ceil(math.log2(outputs))
    if outputs <= inputs:
        expected = np.eye(inputs, outputs)
    else:
        expected = 2 ** (-(order - 1) / 2) * hadamard(2**order)[:inputs, :outputs]
    matrix = fanin.zero_hadamard((inputs, outputs), dtype=np.float64)
    np.testing.assert_allclose(matrix, expected, rtol=4e-16)
    kernel = fanin.zero_hadamard((outputs, inputs, 4, 3), layout="oi", dtype=np.float64)
    assert np.array_equal(kernel[:, :, 2, 1], matrix.T)
    assert np.count_nonzero(kernel) == np.count_nonzero(matrix)


def test_zero_hadamard_has_the_signs_of_a_hadamard_matrix_at_any_address():
    inputs, outputs = 2**31 - 1, 2**32
    rng = np.random.default_rng(0)
    for i, j in zip(
        rng.integers(inputs, size=50).tolist(), rng.integers(outputs, size=50).tolist(), strict=True
    ):
        sign = (-1) ** (i & j).bit_count()
        value = fanin.zero_hadamard((inputs, outputs), dtype=np.float64, index=(i, j))
        assert value == pytest.approx(sign * 2.0**-15.5, rel=4e-16)


def test_zero_hadamard_has_no_grouped_form():
    with pytest.raises(ValueError, match="no grouped form"):
        fanin.zero_hadamard((4, 8), layout=Layout("io", groups=2))


@pytest.mark.parametrize(
    ("size", "profile"),
    [
        (1, [1.0]),
        (2, [1.0, 0.0]),
        (3, [0.25, 0.75, 0.75]),
        (4, [0.25, 0.75, 0.75, 0.25]),
    ],
)
def test_bilinear_is_the_formula_of_mxnet(size, profile):
    kernel = fanin.bilinear((size, size, 1, 2), dtype=np.float64)
    for channel in range(2):
        assert np.array_equal(kernel[:, :, 0, channel], np.outer(profile, profile))


def test_bilinear_needs_a_kernel():
    with pytest.raises(ValueError, match="bilinear needs kernel axes"):
        fanin.bilinear((3, 3))


def test_the_forget_bias_stands_in_the_forget_gate():
    assert np.array_equal(fanin.lstm_forget_bias(8), [0, 0, 1, 1, 0, 0, 0, 0])
    shifted = fanin.lstm_forget_bias((2, 8), 3.0, "figo")
    assert np.array_equal(shifted, [[3, 3, 0, 0, 0, 0, 0, 0]] * 2)
    with pytest.raises(ValueError, match="must hold 4 gates of equal size"):
        fanin.lstm_forget_bias(9)
    with pytest.raises(ValueError, match="name each gate once"):
        fanin.lstm_forget_bias(8, gates="iigo")


def test_skip_init_is_silent_or_one_over_the_root():
    assert fanin.skip_init(()) == 0.0
    assert fanin.skip_init((), 4) == 0.5


def test_mup_keeps_the_base_law_where_at_most_one_side_grows():
    std = fanin.schemes()["mup"].expected_std
    base = (64, 64)
    assert std((256, 256), base_shape=base, std=1.0) == 0.5  # hidden: sqrt(64 / 256)
    assert std((64, 256), base_shape=base, std=1.0) == 1.0  # input
    assert std((256, 64), base_shape=base, std=1.0) == 1.0  # output, multiplier in the model
    assert std((256, 64), base_shape=base, std=1.0, output="weight") == 0.25
    assert std((256, 64), base_shape=base, std=1.0, output="zeros") == 0.0
    assert std(base, base_shape=base, std=1.0) == 1.0
    with pytest.raises(ValueError, match="must have the axes of shape"):
        fanin.mup((4, 4), (4,), seed=0)


@pytest.mark.parametrize(
    ("shape", "base", "hidden"),
    [((96, 400), (24, 50), True), ((96, 50), (24, 50), False), ((24, 400), (24, 50), False)],
)
def test_mup_adjusts_glorot_and_he_as_the_package_of_its_authors(shape, base, hidden):
    # Its rule for Glorot: the std of the shape times sqrt((n + m) / (base n + base m)), over
    # sqrt(r) for hidden layers. For He: the std of the shape, times the root of its fan's growth
    # for input and output layers, and for hidden ones with fan_out times sqrt(m's growth / r).
    (n, m), (base_n, base_m) = shape, base
    std = fanin.schemes()["mup_variance_scaling"].expected_std
    r, outputs_growth = n / base_n, m / base_m
    glorot = math.sqrt(2 / (n + m)) * math.sqrt((n + m) / (base_n + base_m))
    glorot /= math.sqrt(r) if hidden else 1.0
    he_in = math.sqrt(2 / n) * (1.0 if hidden else math.sqrt(r))
    he_out = math.sqrt(2 / m) * math.sqrt(outputs_growth / r if hidden else outputs_growth)
    for law in ("uniform", "normal", "truncated_normal"):
        for scale, mode, expected in [
            (1.0, "fan_avg", glorot),
            (2.0, "fan_in", he_in),
            (2.0, "fan_out", he_out),
        ]:
            found = std(shape, base_shape=base, scale=scale, mode=mode, distribution=law)
            assert found == pytest.approx(expected, rel=1e-14)
    at_base = fanin.mup_variance_scaling(base, base, 2.0, "fan_out", "uniform", seed=0)
    assert np.array_equal(at_base, fanin.variance_scaling(base, 2.0, "fan_out", "uniform", seed=0))


def test_presets_with_an_optional_size_take_it_from_the_shape():
    stds = fanin.schemes()
    assert stds["small_init"].expected_std((768, 9)) == pytest.approx(0.0228218, abs=5e-8)
    assert stds["small_init"].expected_std((9, 9), dim=768) == pytest.approx(0.0228218, abs=5e-8)
    assert stds["wang_init"].expected_std((9, 9), n_layers=12, dim=768) == pytest.approx(
        0.00601407, abs=5e-9
    )
    assert stds["gpt2_residual"].expected_std((9, 9), n_layers=12) == pytest.approx(
        0.00408248, abs=5e-9
    )
    assert stds["siren_hidden"].expected_std((256, 9)) * math.sqrt(3) == pytest.approx(
        0.00510310, abs=5e-9
    )
    assert stds["torch_linear_default"].expected_std(64, fan_in=100) == pytest.approx(
        0.1 / math.sqrt(3), rel=1e-15
    )
    assert stds["mitchell"].expected_std((100, 9)) == pytest.approx(0.09865783926, rel=1e-10)
    assert stds["cutoff_normal"].expected_std(9, std=1.0) == pytest.approx(0.9865783926, rel=1e-10)


def test_depth_gains_are_the_published_numbers():
    assert fanin.fixup_gain(16) == pytest.approx(0.25, rel=1e-15)
    for branches, depth in [(3, 2), (7, 3), (50, 4), (1000, 9)]:
        expected = branches ** (-1 / (2 * depth - 2))
        assert fanin.fixup_gain(branches, depth) == pytest.approx(expected, rel=1e-14)
    assert fanin.t_fixup_gain(6) == pytest.approx(0.428092, abs=5e-7)
    assert fanin.t_fixup_gain(6, "decoder") == pytest.approx(0.368894, abs=5e-7)
    for layers in [{"encoder_layers": 12}, {"decoder_layers": 12}]:
        alpha, beta = (value for value in fanin.deepnorm_gains(**layers) if value is not None)
        assert alpha == pytest.approx(2.213364, abs=5e-7)
        assert beta == pytest.approx(0.319472, abs=5e-7)
    both = fanin.deepnorm_gains(encoder_layers=6, decoder_layers=18)
    joint = (6**4 * 18) ** (1 / 16)
    assert both == pytest.approx((0.81 * joint, 0.87 / joint, 54**0.25, 216**-0.25), rel=1e-14)


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        ("fixup_gain", (0,), ValueError),
        ("fixup_gain", (4, 1), ValueError),
        ("fixup_gain", (4.0,), TypeError),
        ("t_fixup_gain", (6, "middle"), ValueError),
        ("deepnorm_gains", (), ValueError),
        ("deepnorm_gains", (-1, 2), ValueError),
    ],
)
def test_depth_gains_refuse_what_is_no_network(function, arguments, error):
    with pytest.raises(error):
        getattr(fanin, function)(*arguments)
