"""Fans of nothing and of everything, gains without bound: a clear error, or what the docs say."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fanin

ROWS = fanin.schemes()
INDEPENDENT = [name for name, row in ROWS.items() if row.law and row.example["shape"] == (256, 128)]
#: Schemes that keep norms demand as many outputs as inputs, even of an empty kernel; and the value
#: of `constant` must fit the shape.
DEMANDING = {"delta_orthogonal", "conv_orthogonal", "constant"}


def example(name, **keywords):
    row = ROWS[name]
    given = {**row.example, "seed": fanin.Stream(0)[name], **keywords}
    return getattr(fanin, name)(**given)


@pytest.mark.parametrize("name", [name for name in ROWS if name not in DEMANDING])
def test_an_axis_of_no_elements_gives_an_empty_weight(name):
    shape = np.atleast_1d(ROWS[name].example["shape"]).tolist()
    for axis in range(len(shape)):
        empty = (*shape[:axis], 0, *shape[axis + 1 :])
        made = example(name, shape=empty, index=None)
        assert made.shape == empty and made.size == 0


def test_a_fan_of_zero_counts_as_one():
    # The weight has no elements, so its fans can be seen but never divide.
    assert fanin.fans((0, 7)) == (1, 7, 1)
    assert fanin.he_normal((0, 7), seed=0).shape == (0, 7)
    assert fanin.he_normal((3, 0, 4, 5), seed=0).shape == (3, 0, 4, 5)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_fan_of_2_to_the_31_gives_finite_values(name):
    corner = (2**31 - 1, slice(2**31 - 1000, None))
    made = example(name, shape=(2**31, 2**31), index=corner)
    assert made.shape == (1000,) and np.isfinite(made).all()
    assert np.abs(made).max() > 0


def test_the_largest_fan_gives_the_law_of_its_formula():
    made = fanin.he_normal((2**60, 7), seed=0, dtype="float64", index=slice(5000))
    # 35,000 values: 1 / sqrt(2 N) is 0.4 %; five of that.
    assert np.std(made) == pytest.approx(math.sqrt(2 / 2**60), rel=0.02)
    with pytest.raises(ValueError, match="2\\*\\*63 - 1"):
        fanin.he_normal((2**31, 2**31, 2, 2), seed=0, index=(0, 0, 0, 0))


@pytest.mark.parametrize("gain", [math.nan, math.inf, -math.inf, -1.0, -5e-324])
@pytest.mark.parametrize("name", ROWS)
def test_a_gain_that_is_no_factor_is_refused(name, gain):
    with pytest.raises(ValueError, match="gain"):
        example(name, gain=gain)


@pytest.mark.parametrize("name", ["variance_scaling", "mup_variance_scaling"])
@pytest.mark.parametrize("scale", [math.nan, math.inf, -1.0])
def test_a_variance_that_is_none_is_refused(name, scale):
    with pytest.raises(ValueError, match="scale"):
        example(name, scale=scale)


def test_gains_that_overflow_end_as_the_contract_says():
    # Beyond the type: infinity for a normal, as NumPy's conversion does; the bounds of a truncated
    # one hold in the type; a uniform range that is none is an OverflowError. NaN never.
    with pytest.raises(OverflowError, match="range exceeds valid bounds"):
        fanin.he_uniform((2, 2), gain=1e308, seed=0)
    for name in ("he_normal", "gpt2", "orthogonal"):
        for dtype, gain in (("float32", 1e308), ("float16", 1e30), ("float64", 1.7e308)):
            with np.errstate(over="ignore"):  # NumPy's conversion warns where it is used
                made = example(name, shape=(8, 8), gain=gain, dtype=dtype).astype(np.float64)
            assert not np.isnan(made).any(), (name, dtype)


def test_a_gain_below_every_number_of_the_type_gives_zeros():
    for name in ("he_normal", "he_uniform", "gpt2", "orthogonal"):
        assert not example(name, gain=5e-324, dtype="float32").any()


@pytest.mark.parametrize(
    ("shape", "layout", "words"),
    [
        ((3, 3, 5, 7), fanin.Layout(groups=2), "groups=2 does not divide"),
        ((3, 3, 5, 7), "hwio", "unknown layout"),
        ((), "io", "has no fan"),
        (5, "io", "has no fan"),
        ((3, 3), fanin.Layout(in_axes=2), "axis|axes"),
        ((3, 3), fanin.Layout(in_axes=0, out_axes=0), "axis|axes"),
    ],
    ids=str,
)
def test_a_convolution_shape_without_a_reading_is_refused(shape, layout, words):
    with pytest.raises((ValueError, IndexError), match=words):
        fanin.he_normal(shape, layout=layout, seed=0)
