"""Fans of every kind of weight, against numbers worked out by hand."""

import copy
import pickle

import numpy as np
import pytest

import fanin
from fanin import Layout, fans

# (what, shape, layout, fan_in, fan_out, receptive_field)
WORKED_EXAMPLES = [
    ("dense io", (10, 64), "io", 10, 64, 1),
    ("dense oi", (64, 10), "oi", 10, 64, 1),
    ("convolution io", (3, 3, 16, 32), "io", 144, 288, 9),
    ("convolution oi", (32, 16, 3, 3), "oi", 144, 288, 9),
    ("the torch reading of an io kernel", (3, 3, 16, 32), "oi", 1536, 1536, 512),
    ("1-D convolution io", (5, 2, 7), "io", 10, 35, 5),
    ("1-D convolution oi", (7, 2, 5), "oi", 10, 35, 5),
    ("3-D convolution io", (2, 3, 4, 5, 6), "io", 120, 144, 24),
    ("3-D convolution oi", (6, 5, 2, 3, 4), "oi", 120, 144, 24),
    # Grouped: in / groups inputs reach an output, out / groups outputs see an input.
    ("grouped oi", (32, 4, 3, 3), Layout("oi", groups=4), 36, 72, 9),
    ("grouped io", (3, 3, 4, 32), Layout("io", groups=4), 36, 72, 9),
    ("depthwise oi, Conv(4, 4, 3, groups=4)", (4, 1, 3, 3), Layout("oi", groups=4), 9, 9, 9),
    ("depthwise io, Conv(4, 4, 3, groups=4)", (3, 3, 1, 4), Layout("io", groups=4), 9, 9, 9),
    ("depthwise with multiplier 2", (8, 1, 3, 3), Layout("oi", groups=4), 9, 18, 9),
    (
        "Keras depthwise (k, k, channels, multiplier)",
        (3, 3, 4, 2),
        Layout("io", in_axes=(), batch_axes=-2),
        9,
        18,
        9,
    ),
    # Transposed: stored as the convolution run backwards, the fans are those of the layer itself.
    (
        "transposed torch (in, out, k, k)",
        (16, 32, 3, 3),
        Layout("oi", transposed=True),
        144,
        288,
        9,
    ),
    (
        "transposed Keras (k, k, out, in)",
        (3, 3, 32, 16),
        Layout("io", transposed=True),
        144,
        288,
        9,
    ),
    # 16 inputs and 32 outputs in 4 groups: an output sums 4 inputs, an input feeds 8 outputs.
    (
        "transposed and grouped torch (in, out / groups, k, k)",
        (16, 8, 3, 3),
        Layout("oi", transposed=True, groups=4),
        36,
        72,
        9,
    ),
    (
        "transposed and grouped io (k, k, out / groups, in)",
        (3, 3, 8, 16),
        Layout("io", transposed=True, groups=4),
        36,
        72,
        9,
    ),
    # Batches
    ("experts (E, in, out)", (8, 64, 32), Layout("io", batch_axes=0), 64, 32, 1),
    ("experts (E, out, in)", (8, 32, 64), Layout("oi", batch_axes=0), 64, 32, 1),
    ("experts last (in, out, E)", (64, 32, 8), Layout("io", batch_axes=-1), 64, 32, 1),
    ("two batch axes", (2, 8, 64, 32), Layout("io", batch_axes=(0, 1)), 64, 32, 1),
    ("experts not named are a kernel", (8, 64, 32), "io", 512, 256, 8),
    ("batched convolution", (8, 3, 3, 16, 32), Layout("io", batch_axes=0), 144, 288, 9),
    # Explicit axes
    ("einsum (d, heads, d_head)", (64, 4, 16), Layout(None, in_axes=0, out_axes=(1, 2)), 64, 64, 1),
    ("einsum, outputs named only", (64, 4, 16), Layout("io", out_axes=(1, 2)), 64, 64, 1),
    ("einsum (heads, d_head, d)", (4, 16, 64), Layout("io", in_axes=(0, 1)), 64, 64, 1),
    ("MLX (out, k, k, in)", (32, 3, 3, 16), Layout(None, in_axes=-1, out_axes=0), 144, 288, 9),
    ("MLX by the base order", (32, 3, 3, 16), Layout("oi", in_axes=-1), 144, 288, 9),
    ("fused QKV (3, d, d)", (3, 64, 64), Layout("io", batch_axes=0), 64, 64, 1),
    ("embedding (V, d)", (1000, 64), Layout(None, in_axes=(), out_axes=1, batch_axes=0), 1, 64, 1),
    ("a vector of outputs", (64,), Layout(None, in_axes=(), out_axes=0), 1, 64, 1),
    ("a vector of inputs", (64,), Layout("io", in_axes=0), 64, 1, 1),
    ("a scalar without axes", (), Layout(None, in_axes=(), out_axes=()), 1, 1, 1),
    # A fan of 0 counts as 1
    ("no inputs", (0, 64), "io", 1, 64, 1),
    ("no outputs", (64, 0), "io", 64, 1, 1),
    ("no kernel positions", (0, 4, 8), "io", 1, 1, 0),
    # Sizes that no 64-bit product holds
    ("2**60 elements", (2**30, 2**30), "io", 2**30, 2**30, 1),
    ("2**62 elements in three axes", (2**20, 2**21, 2**21), "io", 2**41, 2**41, 2**20),
    ("2**80 elements", (2**40, 2**40), "oi", 2**40, 2**40, 1),
]


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [pytest.param(row[1], row[2], row[3:], id=row[0]) for row in WORKED_EXAMPLES],
)
def test_fans_of_a_worked_example(shape, layout, expected):
    assert fans(shape, layout) == expected
    assert all(type(number) is int for number in fans(shape, layout))


def test_fans_have_names():
    result = fans((3, 3, 16, 32))
    assert (result.fan_in, result.fan_out, result.receptive_field) == (144, 288, 9)


def test_every_weight_has_as_many_terms_forward_as_backward():
    # Connections counted from either side agree: outputs * fan_in == inputs * fan_out, where
    # inputs and outputs are the channels of all groups.
    channels_in, channels_out, kernel = 24, 36, 5
    for groups in (1, 2, 3, 4, 6, 12):
        for layout, shape in [
            (Layout("oi", groups=groups), (channels_out, channels_in // groups, kernel)),
            (Layout("io", groups=groups), (kernel, channels_in // groups, channels_out)),
            (
                Layout("oi", groups=groups, transposed=True),
                (channels_in, channels_out // groups, kernel),
            ),
            (
                Layout("io", groups=groups, transposed=True),
                (kernel, channels_out // groups, channels_in),
            ),
        ]:
            result = fans(shape, layout)
            assert channels_out * result.fan_in == channels_in * result.fan_out
            assert result.fan_in == channels_in // groups * kernel


@pytest.mark.parametrize("shape", [(), 5, (5,), np.int64(5)])
@pytest.mark.parametrize("layout", ["io", "oi", Layout("io"), Layout("oi", transposed=True)])
def test_shapes_without_two_axes_have_no_fan(shape, layout):
    with pytest.raises(ValueError, match="has no fan: a weight needs at least 2 axes"):
        fans(shape, layout)


def test_batch_axes_do_not_count_as_input_or_output():
    with pytest.raises(ValueError, match=r"at least 2 axes besides batch axes \(0,\)"):
        fans((8, 64), Layout("io", batch_axes=0))


@pytest.mark.parametrize(
    ("shape", "layout", "words"),
    [
        ((4, 4), Layout("oi", groups=3), "groups=3 does not divide the 4 output channels"),
        ((4, 4), Layout("oi", groups=3, transposed=True), "does not divide the 4 input channels"),
        ((4, 4), Layout("io", in_axes=2), "in_axes: axis 2 is out of bounds"),
        ((4, 4), Layout("io", out_axes=-3), "out_axes: axis -3 is out of bounds"),
        ((4, 4, 4), Layout("io", in_axes=0, out_axes=0), "named twice, by in_axes and by out_axes"),
        ((4, 4, 4), Layout("io", in_axes=(1, -2)), "named twice"),
        ((4, 4, 4), Layout("io", out_axes=2, batch_axes=-1), "by out_axes and by batch_axes"),
        ((4, 4), Layout(None), "assumes no order"),
        ((4, 4), Layout(None, in_axes=0), "assumes no order"),
        ((4, -4), "io", "negative dimensions are not allowed"),
        ((4, 4), "hwio", "unknown layout 'hwio'"),
    ],
)
def test_a_shape_that_does_not_fit_its_layout_is_refused(shape, layout, words):
    with pytest.raises(ValueError, match=words):
        fans(shape, layout)


@pytest.mark.parametrize("shape", [2.5, (2, 2.0), "ab", None, (True, 2), True, (2, None)])
def test_sizes_that_are_no_integers_are_refused(shape):
    with pytest.raises(TypeError):
        fans(shape)


@pytest.mark.parametrize("layout", [None, 1, ("io",), b"io"])
def test_layouts_of_another_type_are_refused(layout):
    with pytest.raises(TypeError, match="layout must be"):
        fans((2, 3), layout)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"order": "xy"}, ValueError),
        ({"order": 3}, TypeError),
        ({"groups": 0}, ValueError),
        ({"groups": -1}, ValueError),
        ({"groups": 1.5}, TypeError),
        ({"groups": True}, TypeError),
        ({"transposed": 1}, TypeError),
        ({"in_axes": 0.0}, TypeError),
        ({"out_axes": "0"}, TypeError),
        ({"batch_axes": None}, TypeError),
    ],
)
def test_a_layout_refuses_arguments_that_mean_nothing(arguments, error):
    with pytest.raises(error):
        Layout(**arguments)


def test_layouts_with_the_same_meaning_are_equal_and_hash_alike():
    one = Layout("io", in_axes=[0, 1], batch_axes=2)
    other = Layout("io", in_axes=(np.int64(0), 1), batch_axes=(2,))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Layout("oi", in_axes=(0, 1), batch_axes=2)


def test_layouts_survive_repr_copy_and_pickle():
    layout = Layout("oi", in_axes=1, groups=2, transposed=True)
    assert eval(repr(layout), {"Layout": Layout}) == layout
    assert copy.deepcopy(layout) == layout
    assert pickle.loads(pickle.dumps(layout)) == layout


def test_layouts_cannot_be_changed():
    with pytest.raises(AttributeError):
        Layout("io").groups = 2


def test_a_shape_may_be_any_sequence_of_integers():
    expected = fans((3, 3, 16, 32))
    assert fans([3, 3, 16, 32]) == expected
    assert fans(np.array([3, 3, 16, 32])) == expected
    assert fans(iter((np.int32(3), 3, 16, np.uint8(32)))) == expected


def test_fans_is_public():
    assert fanin.fans is fans
    assert fanin.Fans is type(fans((2, 3)))
