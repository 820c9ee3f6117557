"""Orthogonal weights with structure: what each keeps exactly, as layers compute it."""

import itertools
import math
import runpy

import ml_dtypes
import numpy as np
import pytest
from scipy import stats

import fanin
from fanin import Layout, Stream
from fanin._schemes.rows import orthogonal_convolution, orthogonal_structured

CONVOLUTIONS = ["delta_orthogonal", "conv_orthogonal"]
FAMILY = [
    *CONVOLUTIONS,
    "looks_linear",
    "recurrent_orthogonal",
    "scaled_orthogonal",
    "ppo_orthogonal",
]
# Sums of at most some hundred float64 products of entries of orthonormal vectors, a few in a row:
# each rounds by 1.1e-16 of a sum of at most 1. Four digits are left for their number.
EXACT = 1e-12


def convolve(signal, kernel, padding):
    """Layer of stride 1 by its definition: (..., *space, in) with (*kernel, in, out)."""
    dimensions = kernel.ndim - 2
    axes = tuple(range(signal.ndim - 1 - dimensions, signal.ndim - 1))
    result = 0.0
    for tap in itertools.product(*map(range, kernel.shape[:dimensions])):
        shifted = signal
        for axis, size, position in zip(axes, kernel.shape, tap, strict=False):
            offset = position - (size - 1) // 2
            shifted = np.roll(shifted, -offset, axis)
            if padding == "zero" and offset:
                gone = slice(-offset, None) if offset > 0 else slice(None, -offset)
                shifted[(slice(None),) * axis + (gone,)] = 0.0
        result = result + shifted @ kernel[tap]
    return result


def as_matrix(kernel, length, padding):
    """The layer on `length` positions an axis, one row for every unit vector that goes in."""
    shape = (length,) * (kernel.ndim - 2) + kernel.shape[-2:-1]
    size = math.prod(shape)
    return convolve(np.eye(size).reshape(size, *shape), kernel, padding).reshape(size, -1)


def keeps_norms(matrix):
    return np.abs(matrix @ matrix.T - np.eye(len(matrix))).max() < EXACT


# ---------------------------------------------------------------------------------------------
# Convolutions


@pytest.mark.parametrize("padding", ["circular", "zero"])
@pytest.mark.parametrize(
    ("kernel", "channels", "length"),
    [
        ((3,), (4, 4), 7),
        ((4,), (3, 5), 6),
        ((3, 3), (3, 4), 5),
        ((2, 4), (3, 3), 4),
        ((3, 2, 3), (2, 3), 3),
    ],
)
def test_delta_orthogonal_keeps_every_norm_under_both_paddings(kernel, channels, length, padding):
    weight = fanin.delta_orthogonal((*kernel, *channels), seed=1, dtype=np.float64)
    assert keeps_norms(as_matrix(weight, length, padding))


@pytest.mark.parametrize(
    ("kernel", "channels", "length"),
    [
        ((1,), (3, 3), 4),
        ((3,), (4, 4), 7),
        ((6,), (3, 5), 7),
        ((1, 1), (2, 3), 2),
        ((2, 2), (3, 3), 4),
        ((3, 3), (3, 4), 5),
        ((4, 4), (2, 2), 4),
        ((5, 5), (1, 3), 5),
        ((2, 2, 2), (2, 2), 3),
        ((3, 3, 3), (2, 3), 3),
    ],
)
def test_conv_orthogonal_keeps_every_norm_under_circular_padding(kernel, channels, length):
    weight = fanin.conv_orthogonal((*kernel, *channels), seed=2, dtype=np.float64)
    assert keeps_norms(as_matrix(weight, length, "circular"))


@pytest.mark.parametrize("kernel", [(5,), (3, 3), (2, 2, 2)])
def test_conv_orthogonal_uses_its_whole_kernel(kernel):
    # A tap is nothing if a projection keeps all or none of its 32 columns: 2^-31 for each pair.
    weight = fanin.conv_orthogonal((*kernel, 8, 32), seed=2)
    assert all(weight[tap].any() for tap in np.ndindex(*kernel))


def test_conv_orthogonal_keeps_every_norm_in_single_precision():
    # Four pairs, each two products of sums of 16 and about 8, a subtraction, and columns that are
    # orthonormal to some 2^-24 themselves: at most 30 roundings each, 120 in all.
    weight = fanin.conv_orthogonal((3, 3, 8, 16), seed=3).astype(np.float64)
    values = np.linalg.svd(as_matrix(weight, 4, "circular"), compute_uv=False)
    assert np.abs(values - 1).max() < 120 * 2.0**-24


def test_a_flattened_orthogonal_kernel_does_not_keep_norms():
    weight = fanin.orthogonal((3, 3, 3, 4), seed=4, dtype=np.float64)
    flat = weight.reshape(27, 4)
    assert np.abs(flat.T @ flat - np.eye(4)).max() < EXACT
    values = np.linalg.svd(as_matrix(weight, 5, "circular"), compute_uv=False)
    # Its columns, not its rows are orthonormal: 27 inputs cannot be kept by 4 outputs. The squares
    # add up to 4 instead of 3 per position, so some value is above sqrt(4 / 3).
    assert values.max() > math.sqrt(4 / 3)
    assert values.min() < 0.9


def test_conv_orthogonal_is_the_algorithm_of_the_paper():
    inputs, outputs, size = 4, 6, 4
    stream = Stream(5)["kernel"]
    kept = fanin.random((2 * (size - 1), outputs), seed=stream["kept"]) < 0.5
    projections = []
    for pair, mask in enumerate(kept):
        frame = fanin.orthogonal(
            (outputs, int(mask.sum())), seed=stream["projection"][pair], dtype=np.float64
        )
        projections.append(frame @ frame.T)
    identity = np.eye(outputs)
    kernel = np.eye(outputs)[None, None]
    for p, q in zip(projections[::2], projections[1::2], strict=True):
        block = np.array(
            [[p @ q, p @ (identity - q)], [(identity - p) @ q, (identity - p) @ (identity - q)]]
        )
        size_before = len(kernel)
        longer = np.zeros((size_before + 1, size_before + 1, outputs, outputs))
        for i, j, a, b in itertools.product(
            range(size_before), range(size_before), range(2), range(2)
        ):
            longer[i + a, j + b] += kernel[i, j] @ block[a, b]
        kernel = longer
    rows = fanin.orthogonal((inputs, outputs), seed=stream, dtype=np.float64)
    weight = fanin.conv_orthogonal((size, size, inputs, outputs), seed=stream, dtype=np.float64)
    assert np.abs(weight - rows @ kernel).max() < EXACT


def test_half_of_the_columns_are_kept_on_average():
    # The trace of sum_i i K_i K_i^T over a kernel of two taps is that of 1 - P: in H (1 - P) H^T
    # with a square H it counts the columns left out. 400 kernels of 8 channels: binomial counts
    # of mean 1600 and standard deviation sqrt(800); six sigma is 2e-9.
    left_out = 0.0
    for number in range(400):
        weight = fanin.conv_orthogonal((2, 8, 8), seed=Stream(6)[number], dtype=np.float64)
        left_out += (weight[1] ** 2).sum()
    assert abs(left_out - 1600) < 6 * math.sqrt(800)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_in_the_order_of_torch_keeps_norms_too(name):
    weight = getattr(fanin, name)((5, 3, 3, 3), seed=7, dtype=np.float64, layout="oi")
    assert keeps_norms(as_matrix(np.transpose(weight, (2, 3, 1, 0)), 4, "circular"))
    named = Layout(None, in_axes=2, out_axes=0)
    weight = getattr(fanin, name)((5, 3, 3, 3), seed=7, dtype=np.float64, layout=named)
    assert keeps_norms(as_matrix(np.transpose(weight, (1, 3, 2, 0)), 4, "circular"))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_centre_of_a_delta_orthogonal_kernel_is_an_orthogonal_matrix(size):
    weight = fanin.delta_orthogonal((size, size, 6, 9), seed=8, dtype=np.float64)
    centre = weight[(size - 1) // 2, (size - 1) // 2]
    assert np.abs(centre @ centre.T - np.eye(6)).max() < EXACT
    assert np.array_equal(centre, fanin.orthogonal((6, 9), seed=8, dtype=np.float64))
    assert np.count_nonzero(weight) == np.count_nonzero(centre) == 54
    for shape in [(9, 6), (7, 7)]:
        torch = fanin.delta_orthogonal((*shape, size), seed=8, dtype=np.float64, layout="oi")
        matrix = fanin.orthogonal(shape, seed=8, dtype=np.float64, layout="oi")
        assert np.array_equal(torch[..., (size - 1) // 2], matrix)


def test_a_batch_of_delta_orthogonal_kernels_holds_independent_ones():
    layout = Layout("io", batch_axes=0)
    weight = fanin.delta_orthogonal((5, 3, 4, 4), seed=9, dtype=np.float64, layout=layout)
    centres = weight[:, 1]
    assert np.abs(centres @ centres.transpose(0, 2, 1) - np.eye(4)).max() < EXACT
    assert all(np.abs(one - other).max() > 0.1 for one, other in itertools.combinations(centres, 2))


def test_parts_make_only_the_matrices_that_they_touch(monkeypatch):
    made = []

    def counting(shape, *, index=None, **keywords):
        made.append((shape, index))
        return fanin.orthogonal(shape, index=index, **keywords)

    monkeypatch.setattr(orthogonal_convolution, "orthogonal", counting)
    monkeypatch.setattr(orthogonal_structured, "orthogonal", counting)
    layout = Layout("io", batch_axes=0)
    full = fanin.delta_orthogonal((6, 3, 4, 4), seed=10, layout=layout)
    made.clear()
    off_centre = fanin.delta_orthogonal((6, 3, 4, 4), seed=10, layout=layout, index=np.s_[:, 2])
    assert not made
    assert not off_centre.any()
    part = fanin.delta_orthogonal((6, 3, 4, 4), seed=10, layout=layout, index=np.s_[1:5:3, :, 2])
    assert np.array_equal(part, full[1:5:3, :, 2])
    assert [list(range(6)[index[0]]) for _, index in made] == [[1, 4]]
    made.clear()
    run = fanin.flat[4 * 16 + 3 : 10 * 16 + 5]  # ends in kernels 1 and 3
    assert np.array_equal(
        fanin.delta_orthogonal((6, 3, 4, 4), seed=10, layout=layout, index=run),
        full.reshape(-1)[4 * 16 + 3 : 10 * 16 + 5],
    )
    assert [list(range(6)[index[0]]) for _, index in made] == [[1, 2, 3]]
    made.clear()
    fanin.recurrent_orthogonal((5, 20), seed=10, index=np.s_[:, 6:9])
    assert [list(range(4)[index[1]]) for _, index in made] == [[1]]
    made.clear()
    fanin.looks_linear((6, 8), "both", seed=10)
    assert [shape for shape, _ in made] == [(3, 4)]


@pytest.mark.parametrize("name", ["delta_orthogonal", "looks_linear"])
def test_a_part_of_a_kernel_of_2_to_the_56_positions_costs_that_part(name):
    shape = (2**28 - 1, 2**28 + 1, 4, 4)
    around = np.s_[2**27 - 2 : 2**27 + 1, 2**27 - 1 : 2**27 + 2]
    part = getattr(fanin, name)(shape, seed=10, index=around)
    assert np.array_equal(part, getattr(fanin, name)((3, 3, 4, 4), seed=10))


# ---------------------------------------------------------------------------------------------
# Looks-linear


def crelu(x):
    return np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=-1)


def test_a_crelu_network_of_20_layers_is_exactly_linear():
    width, stream = 128, Stream(11)
    weights = [
        fanin.looks_linear((2 * width, width), seed=stream[layer], dtype=np.float64)
        for layer in range(20)
    ]
    x = np.random.default_rng(0).normal(size=(8, width))
    deep, linear = x, x
    for weight in weights:
        matrix = weight[:width]
        assert np.array_equal(weight[width:], -matrix)
        deep = crelu(deep) @ weight
        linear = linear @ matrix
    assert np.abs(deep - linear).max() < EXACT * np.abs(linear).max()
    ratio = np.linalg.norm(deep, axis=-1) / np.linalg.norm(x, axis=-1)
    assert np.abs(ratio - 1).max() < EXACT


def test_without_the_minus_signs_the_network_is_not_linear():
    weight = fanin.looks_linear((256, 128), seed=12, dtype=np.float64)
    unsigned = np.concatenate([weight[:128], weight[:128]])
    x = np.random.default_rng(1).normal(size=(2, 128))
    errors = []
    for kernel in (weight, unsigned):
        parts = crelu(x[0]) @ kernel + crelu(x[1]) @ kernel
        errors.append(np.abs(parts - crelu(x.sum(axis=0)) @ kernel).max())
    assert errors[0] < EXACT
    assert errors[1] > 1.0


def test_a_relu_network_of_doubled_width_is_exactly_linear():
    width, stream = 64, Stream(13)
    draw = fanin.get("looks_linear", dtype=np.float64)
    first = draw((width, 2 * width), "out", seed=stream["first"])
    hidden = [draw((2 * width, 2 * width), "both", seed=stream[layer]) for layer in range(18)]
    last = draw((2 * width, width), "in", seed=stream["last"])
    x = np.random.default_rng(2).normal(size=(8, width))
    deep, linear = np.maximum(x @ first, 0), x @ first[:, :width]
    for weight in hidden:
        deep = np.maximum(deep @ weight, 0)
        linear = linear @ weight[:width, :width]
    deep, linear = deep @ last, linear @ last[:width]
    assert np.abs(deep - linear).max() < EXACT * np.abs(linear).max()
    ratio = np.linalg.norm(deep, axis=-1) / np.linalg.norm(x, axis=-1)
    assert np.abs(ratio - 1).max() < EXACT


def test_a_looks_linear_convolution_keeps_norms_and_is_linear():
    stream = Stream(14)
    x = np.random.default_rng(3).normal(size=(2, 6, 6, 5))
    deep = x
    for layer in range(10):
        weight = fanin.looks_linear((3, 3, 10, 5), seed=stream[layer], dtype=np.float64)
        deep = convolve(crelu(deep), weight, "zero")
    ratio = np.sqrt((deep**2).sum(axis=(1, 2, 3)) / (x**2).sum(axis=(1, 2, 3)))
    assert np.abs(ratio - 1).max() < EXACT
    base = fanin.delta_orthogonal((3, 3, 5, 5), seed=stream[0], dtype=np.float64)
    first = fanin.looks_linear((3, 3, 10, 5), seed=stream[0], dtype=np.float64)
    assert np.array_equal(first, np.concatenate([base, -base], axis=2))


@pytest.mark.parametrize("layout", ["io", "oi"])
@pytest.mark.parametrize("mirror", ["in", "out", "both"])
def test_signs_and_halves_of_looks_linear(mirror, layout):
    io = (8, 12)
    shape = io if layout == "io" else io[::-1]
    weight = fanin.looks_linear(shape, mirror, seed=15, layout=layout)
    doubled = {"in": (0,), "out": (1,), "both": (0, 1)}[mirror]
    base_io = tuple(size // (1 + (axis in doubled)) for axis, size in enumerate(io))
    base_shape = base_io if layout == "io" else base_io[::-1]
    base = fanin.orthogonal(base_shape, seed=15, layout=layout)
    base, weight = (base, weight) if layout == "io" else (base.T, weight.T)
    signs = {"in": [[1], [-1]], "out": [[1, -1]], "both": [[1, -1], [-1, 1]]}[mirror]
    assert np.array_equal(weight, np.kron(signs, base).astype(np.float32))


def test_zeros_of_a_mirrored_kernel_have_no_sign():
    weight = fanin.looks_linear((3, 8, 4), seed=16)
    assert not np.signbit(weight[weight == 0]).any()


# ---------------------------------------------------------------------------------------------
# Recurrent, scaled


@pytest.mark.parametrize("gates", [1, 3, 4])
def test_every_gate_has_an_orthogonal_matrix_of_its_own(gates):
    units = 12
    keras = fanin.recurrent_orthogonal((units, gates * units), gates, seed=17, dtype=np.float64)
    torch = fanin.recurrent_orthogonal(
        (gates * units, units), gates, seed=17, dtype=np.float64, layout="oi"
    )
    for blocks in (
        keras.reshape(units, gates, units).transpose(1, 0, 2),
        torch.reshape(gates, units, units),
    ):
        assert np.abs(blocks @ blocks.transpose(0, 2, 1) - np.eye(units)).max() < EXACT
        for one, other in itertools.combinations(blocks, 2):
            assert np.abs(one - other).max() > 0.1
    expected = fanin.orthogonal(
        (gates, units, units), seed=17, dtype=np.float64, layout="oi", batch_axes=0
    )
    assert np.array_equal(torch.reshape(gates, units, units), expected)


def test_recurrent_orthogonal_takes_layers_as_a_batch_and_parts_of_any_step():
    layout = Layout("io", batch_axes=0)
    full = fanin.recurrent_orthogonal((3, 5, 20), seed=18, dtype=np.float64, layout=layout)
    blocks = full.reshape(3, 5, 4, 5).transpose(0, 2, 1, 3)
    assert np.abs(blocks @ blocks.transpose(0, 1, 3, 2) - np.eye(5)).max() < EXACT
    for index in [np.s_[2, :, ::-3], np.s_[::-1, 1:4, 3:17:7], np.s_[0, 4, 19], np.s_[1:1]]:
        part = fanin.recurrent_orthogonal(
            (3, 5, 20), seed=18, dtype=np.float64, layout=layout, index=index
        )
        assert np.array_equal(part, full[index])


def test_scaled_and_ppo_orthogonal_have_their_gains():
    base = fanin.orthogonal((20, 30), seed=19, dtype=np.float64)
    for weight, factor in [
        (fanin.scaled_orthogonal((20, 30), 8, seed=19, dtype=np.float64), 0.5),
        (fanin.scaled_orthogonal((20, 30), 2, seed=19, dtype=np.float64, gain=3.0), 3.0),
        (fanin.ppo_orthogonal((20, 30), seed=19, dtype=np.float64), math.sqrt(2)),
        (fanin.ppo_orthogonal((20, 30), "value", seed=19, dtype=np.float64), 1.0),
        (fanin.ppo_orthogonal((20, 30), "policy", seed=19, dtype=np.float64), 0.01),
    ]:
        # One rounding each of the factor's product here and there.
        np.testing.assert_allclose(weight, factor * base, rtol=4e-16)


# ---------------------------------------------------------------------------------------------
# Deep orthogonal networks


def test_the_published_shapes_are_orthonormal():
    wide = fanin.orthogonal((10, 64), seed=20, dtype=np.float64)
    assert np.abs(wide @ wide.T - np.eye(10)).max() < EXACT
    column = fanin.orthogonal((32, 1), seed=20, dtype=np.float64)
    assert abs((column**2).sum() - 1) < EXACT


def product_of_orthogonal_matrices(width):
    product = np.eye(width, dtype=np.float32)
    for layer in range(100):
        product = product @ fanin.orthogonal((width, width), seed=Stream(21)[layer])
    return np.linalg.svd(product.astype(np.float64), compute_uv=False)


@pytest.mark.parametrize("width", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_100_orthogonal_matrices_multiply_to_one_that_keeps_all_singular_values(width):
    assert np.abs(product_of_orthogonal_matrices(width) - 1).max() < 1e-4


def test_100_gaussian_matrices_do_not():
    product = np.eye(200)
    for layer in range(100):
        product = product @ fanin.normal(
            (200, 200), 0.0, 200**-0.5, seed=Stream(22)[layer], dtype=np.float64
        )
    values = np.linalg.svd(product, compute_uv=False)
    assert values.max() / values.min() > 1e10


def tanh_jacobian_values(width, draw, depth=100):
    """Singular values of the input-output Jacobian at q = 1 of a network without biases."""
    h = np.random.default_rng(4).normal(size=width)
    jacobian = np.eye(width)
    for layer in range(depth):
        weight = draw((width, width), seed=Stream(23)[layer], dtype=np.float64)
        slope = 1.0 - np.tanh(h) ** 2
        jacobian = (jacobian * slope) @ weight
        h = np.tanh(h) @ weight
    return np.linalg.svd(jacobian, compute_uv=False)


def gaussian(shape, **keywords):
    return fanin.normal(shape, 0.0, shape[0] ** -0.5, **keywords)


@pytest.mark.parametrize("width", [200, pytest.param(500, marks=pytest.mark.long)])
def test_a_deep_tanh_network_is_well_conditioned_with_orthogonal_weights_only(width):
    # The product of chi over 100 layers from q = 1 on is 7.13425e-3, the mean squared singular
    # value of infinite width; the catalogue leaves 20 % for one network of width 500, of which
    # four of width 200 keep within 11 %.
    values = tanh_jacobian_values(width, fanin.orthogonal)
    assert (values**2).mean() == pytest.approx(7.13425e-3, rel=0.2)
    # The sample of the catalogue, of width 500, has [3.7e-5, 0.178] and median 0.053.
    assert 1e-5 < values.min()
    assert values.max() < 0.25
    assert 0.03 < np.median(values) < 0.08
    gauss = tanh_jacobian_values(width, gaussian)
    assert np.median(gauss) < 1e-12  # 1.5e-16 in the catalogue
    assert gauss.max() / gauss.min() > 1e10


def test_the_example_of_dynamical_isometry_prints_both_spectra(root, monkeypatch, capsys):
    script = root / "examples" / "dynamical_isometry.py"
    monkeypatch.setattr("sys.argv", [script.name, "--width", "40", "--depth", "30"])
    runpy.run_path(str(script), run_name="__main__")
    _, orthogonal, gauss = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (orthogonal[0], gauss[0]) == ("orthogonal", "Gaussian")
    largest, median, smallest = (
        float(a) / float(b) for a, b in zip(orthogonal[1:4], gauss[1:4], strict=True)
    )
    assert largest < 1 < median < smallest


# ---------------------------------------------------------------------------------------------
# Contracts


def call(name, **keywords):
    return getattr(fanin, name)(
        **{**fanin.schemes()[name].example, "seed": Stream(24)[name], **keywords}
    )


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_instruction_set_or_threads(name, dtype, isa):
    expected = call(name, dtype=dtype, threads=1)
    fanin._core.debug.set_isa("baseline")
    baseline = call(name, dtype=dtype, threads=3)
    assert expected.tobytes() == baseline.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 7])
def test_a_larger_kernel_has_the_same_bits_for_any_number_of_threads(isa, threads):
    shape = (3, 3, 70, 150)
    made = fanin.conv_orthogonal(shape, seed=25, threads=threads)
    fanin._core.debug.set_isa("baseline")
    assert made.tobytes() == fanin.conv_orthogonal(shape, seed=25, threads=1).tobytes()


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_types_are_the_rounded_single_precision(name, dtype):
    # A gain that is no power of two rounds a second time if it is applied to rounded values.
    expected = call(name, gain=1.7).astype(dtype)
    assert call(name, gain=1.7, dtype=dtype).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", FAMILY)
def test_the_root_mean_square_is_the_expected_std(name):
    # Orthonormal rows or columns fix the sum of all squares: only rounding is left.
    row = fanin.schemes()[name]
    values = call(name, dtype=np.float64, gain=3.0)
    expected = row.expected_std(**row.example, gain=3.0)
    assert math.sqrt((values**2).mean()) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("mirror", ["in", "out", "both"])
@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (3, 6, 12)])
def test_looks_linear_has_its_expected_std_for_every_mirror(mirror, shape):
    values = fanin.looks_linear(shape, mirror, seed=26, dtype=np.float64)
    expected = fanin.schemes()["looks_linear"].expected_std(shape, mirror=mirror)
    assert math.sqrt((values**2).mean()) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("name", FAMILY)
def test_a_generator_gives_one_child_whatever_the_part(name):
    generators = [fanin.default_rng(27) for _ in range(3)]
    shape = fanin.schemes()[name].example["shape"]
    nothing = (slice(0, 0),) * len(np.atleast_1d(shape))
    corner = (0,) * len(np.atleast_1d(shape))
    for generator, index in zip(generators, (None, nothing, corner), strict=True):
        call(name, seed=generator, index=index)
    child = fanin.default_rng(27).spawn(1)[0].stream
    assert np.array_equal(call(name, seed=fanin.default_rng(27)), call(name, seed=child))
    following = [fanin.normal(3, seed=generator) for generator in generators]
    assert np.array_equal(following[0], following[1])
    assert np.array_equal(following[0], following[2])


REFUSED = [
    ("delta_orthogonal", {"shape": (3, 3, 8, 4)}, ValueError, "at least as many outputs"),
    ("delta_orthogonal", {"shape": (4, 8, 3), "layout": "oi"}, ValueError, "as many outputs"),
    ("delta_orthogonal", {"shape": (8, 8)}, ValueError, "0 kernel axes"),
    ("delta_orthogonal", {"shape": (2, 2, 2, 2, 8, 8)}, ValueError, "4 kernel axes"),
    ("delta_orthogonal", {"layout": Layout(groups=2)}, ValueError, "no grouped form"),
    ("delta_orthogonal", {"dtype": np.complex64}, TypeError, "Unsupported dtype"),
    ("conv_orthogonal", {"shape": (3, 3, 8, 4)}, ValueError, "at least as many outputs"),
    ("conv_orthogonal", {"shape": (3, 5, 4, 8)}, ValueError, "equal size"),
    ("conv_orthogonal", {"shape": (8, 8)}, ValueError, "0 kernel axes"),
    ("conv_orthogonal", {"layout": Layout(batch_axes=0)}, ValueError, "no batch axes"),
    ("conv_orthogonal", {"layout": Layout(groups=2)}, ValueError, "no grouped form"),
    ("conv_orthogonal", {"threads": 0}, ValueError, "threads"),
    ("looks_linear", {"shape": (7, 8)}, ValueError, "must be even"),
    ("looks_linear", {"shape": (8, 7), "mirror": "out"}, ValueError, "must be even"),
    ("looks_linear", {"shape": (8, 7), "mirror": "both"}, ValueError, "must be even"),
    ("looks_linear", {"mirror": "across"}, ValueError, "mirror 'across' is not one of"),
    ("looks_linear", {"shape": (3, 8, 2)}, ValueError, "at least as many outputs"),
    ("looks_linear", {"layout": Layout(groups=2)}, ValueError, "no grouped form"),
    ("recurrent_orthogonal", {"shape": (5, 18)}, ValueError, "4 gates of equal size"),
    ("recurrent_orthogonal", {"gates": 0}, ValueError, "gates must be at least 1"),
    ("recurrent_orthogonal", {"shape": (3, 5, 20)}, ValueError, "1 kernel axes"),
    ("scaled_orthogonal", {"n_layers": 0}, ValueError, "n_layers must be at least 1"),
    ("ppo_orthogonal", {"part": "critic"}, ValueError, "part 'critic' is not one of"),
]


@pytest.mark.parametrize(("name", "keywords", "error", "words"), REFUSED)
def test_what_is_no_such_weight_is_refused_with_nothing_written(name, keywords, error, words):
    shape = keywords.get("shape", fanin.schemes()[name].example["shape"])
    out = np.full(shape, 7.0, np.float32)
    used, fresh = fanin.default_rng(28), fanin.default_rng(28)
    if "dtype" in keywords:
        out = out.astype(keywords["dtype"])
    with pytest.raises(error, match=words):
        call(name, **keywords, out=out, seed=used)
    assert (out == 7.0).all()
    assert np.array_equal(fanin.normal(3, seed=used), fanin.normal(3, seed=fresh))


@pytest.mark.parametrize("name", FAMILY)
def test_two_names_give_unrelated_weights(name):
    one, other = (call(name, seed=Stream(29)[word]).ravel() for word in ("one", "other"))
    held = (one != 0) & (other != 0)
    # Correlation of N = 64 or more nearly independent pairs: five standard errors.
    assert held.sum() >= 64
    assert abs(stats.pearsonr(one[held], other[held]).statistic) < 5 / math.sqrt(held.sum())
