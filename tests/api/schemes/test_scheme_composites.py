"""Random schemes with structure: sparse, icnr and chrono."""

import math

import numpy as np
import pytest
from scipy import stats

import fanin
from fanin import Layout, Stream


@pytest.mark.parametrize(
    ("inputs", "keywords", "kept"),
    [
        (100, {"sparsity": 0.9}, 10),
        (100, {"sparsity": 0.0}, 100),
        (100, {"sparsity": 1.0}, 0),
        (7, {"sparsity": 0.5}, 3),  # ceil(3.5) = 4 are left out
        (100, {"non_zeros": 15}, 15),
        (10, {"non_zeros": 15}, 10),
        (1, {"non_zeros": 1}, 1),
    ],
)
def test_sparse_keeps_the_same_number_of_inputs_of_every_output(inputs, keywords, kept):
    io = fanin.sparse((inputs, 50), **keywords, seed=1)
    assert (np.count_nonzero(io, axis=0) == kept).all()
    oi = fanin.sparse((50, inputs), **keywords, seed=1, layout="oi")
    assert (np.count_nonzero(oi, axis=1) == kept).all()
    experts = fanin.sparse(
        (3, inputs, 50), **keywords, seed=1, layout=Layout("io", batch_axes=0), dtype=np.float64
    )
    assert (np.count_nonzero(experts, axis=1) == kept).all()


def test_every_input_is_chosen_as_often_and_every_pair_too():
    # 5 of 10 inputs for each of 40000 outputs. An input is chosen with probability 1/2; the counts
    # add up to a constant, which makes their squared deviations sum to 10/9 of a chi-square with
    # 9 degrees of freedom. Threshold at 1e-6.
    outputs = 40_000
    chosen = fanin.sparse((10, outputs), 0.5, seed=3) != 0
    singles = chosen.sum(axis=1)
    spread = ((singles - outputs / 2) ** 2 / (outputs / 4)).sum()
    assert spread < stats.chi2.isf(1e-6, 9) * 10 / 9
    pairs = np.array([(chosen[i] & chosen[j]).sum() for i in range(10) for j in range(i)])
    probability = 2 / 9  # of a pair: 5/10 * 4/9
    deviation = np.abs(pairs - outputs * probability).max()
    # The largest of 45 binomial counts: six sigma has probability 45 * 2e-9.
    assert deviation < 6 * math.sqrt(outputs * probability * (1 - probability))


def test_the_connections_of_sparse_are_normal():
    weight = fanin.sparse((1000, 500), 0.8, 0.3, seed=4, dtype=np.float64)
    values = weight[weight != 0]
    assert values.size == 100_000
    # Kolmogorov: P(sqrt(N) D > 2.5) -> 2 exp(-12.5) = 7.5e-6.
    distance = stats.kstest(values, stats.norm(scale=0.3).cdf).statistic
    assert distance < 2.5 / math.sqrt(values.size)
    expected = fanin.schemes()["sparse"].expected_std((1000, 500), sparsity=0.8, std=0.3)
    assert expected == pytest.approx(0.3 * math.sqrt(0.2), rel=1e-14)


def test_sparse_does_not_depend_on_the_blocks_in_which_columns_are_made(monkeypatch):
    whole = fanin.sparse((30, 40), 0.7, seed=5)
    for most in (1, 70, 10_000):
        monkeypatch.setattr("fanin._schemes.rows.sparse._BLOCK_KEYS", most)
        assert np.array_equal(fanin.sparse((30, 40), 0.7, seed=5), whole)


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({}, TypeError, "either sparsity= or non_zeros="),
        ({"sparsity": 0.5, "non_zeros": 3}, TypeError, "either sparsity= or non_zeros="),
        ({"sparsity": 1.5}, ValueError, r"sparsity must lie in \[0, 1\]"),
        ({"sparsity": -0.5}, ValueError, "sparsity must be finite and >= 0"),
        ({"sparsity": 0.5, "shape": (3, 4, 4)}, ValueError, "kernel axes"),
    ],
)
def test_sparse_refuses_what_names_no_number_of_connections(keywords, error, words):
    with pytest.raises(error, match=words):
        fanin.sparse(**{"shape": (8, 8), "seed": 0, **keywords})


@pytest.mark.parametrize("order", ["torch", "tensorflow"])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_icnr_repeats_one_kernel_over_the_sub_pixels(order, scale):
    copies = scale**2
    shape = (3, 3, 4, 5 * copies)
    weight = fanin.icnr(shape, scale, order=order, seed=6)
    base = fanin.he_normal((3, 3, 4, 5), seed=6)
    expected = np.repeat(base, copies, axis=-1) if order == "torch" else np.tile(base, copies)
    assert np.array_equal(weight, expected)


def test_icnr_numbers_sub_pixels_as_the_framework_of_its_layout():
    io = fanin.icnr((3, 4, 8), 2, seed=7)
    assert np.array_equal(io, fanin.icnr((3, 4, 8), 2, seed=7, order="tensorflow"))
    oi = fanin.icnr((8, 4, 3), 2, seed=7, layout="oi")
    assert np.array_equal(oi, fanin.icnr((8, 4, 3), 2, seed=7, layout="oi", order="torch"))
    assert np.array_equal(oi[0], oi[1])
    assert np.array_equal(io[..., 0], io[..., 4])


@pytest.mark.parametrize("order", ["torch", "tensorflow"])
def test_a_part_of_icnr_is_that_part_for_steps_of_either_sign(order):
    full = fanin.icnr((2, 3, 24), 2, order=order, seed=6)
    for start, stop in [(None, None), (3, 20), (-1, None), (20, 3), (5, 5)]:
        for step in (1, 2, 3, 4, 5, 7, -1, -2, -3, -4, -5, -7):
            index = (Ellipsis, slice(start, stop, step))
            part = fanin.icnr((2, 3, 24), 2, order=order, seed=6, index=index)
            assert np.array_equal(part, full[index])


def test_icnr_takes_any_base_scheme():
    base = fanin.get("variance_scaling", scale=3.0, mode="fan_out", distribution="uniform")
    weight = fanin.icnr((3, 4, 8), 2, base, seed=8)
    assert np.array_equal(weight[..., :4], base((3, 4, 4), seed=8))
    named = fanin.icnr((3, 4, 8), 2, "glorot_uniform", seed=8, gain=2.0)
    assert np.array_equal(named[..., :4], fanin.glorot_uniform((3, 4, 4), seed=8, gain=2.0))


def test_icnr_takes_one_child_of_a_generator():
    one, other = fanin.default_rng(9), fanin.default_rng(9)
    weight = fanin.icnr((3, 4, 8), 2, seed=one)
    assert np.array_equal(weight[..., :4], fanin.he_normal((3, 4, 4), seed=other))
    assert np.array_equal(fanin.normal(5, seed=one), fanin.normal(5, seed=other))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (((3, 4, 6), 4), ValueError),
        (((4, 8), 2), ValueError),
        (((3, 4, 8), 2, "no_scheme"), ValueError),
        (((3, 4, 8), 2, 3.0), TypeError),
        (((3, 4, 8), 2, "he_normal", "caffe"), ValueError),
    ],
)
def test_icnr_refuses_what_it_cannot_repeat(arguments, error):
    with pytest.raises(error):
        fanin.icnr(*arguments, seed=0)


@pytest.mark.parametrize("t_max", [3.0, 100.0])
def test_chrono_gates_mirror_each_other(t_max):
    hidden = 4096
    bias = fanin.chrono(4 * hidden, t_max, seed=10, dtype=np.float64)
    input_gate, forget_gate, cell, output_gate = bias.reshape(4, hidden)
    assert np.array_equal(input_gate, -forget_gate)
    assert not cell.any()
    assert not output_gate.any()
    # exp(b_f) is U(1, t_max - 1). Kolmogorov: P(sqrt(N) D > 2.5) -> 7.5e-6.
    law = stats.uniform(1.0, t_max - 2.0)
    distance = stats.kstest(np.exp(forget_gate), law.cdf).statistic
    assert distance < 2.5 / math.sqrt(hidden)


def test_chrono_takes_the_gates_in_any_order():
    torch = fanin.chrono(12, 50, seed=11).reshape(4, 3)
    other = fanin.chrono(12, 50, "fiog", seed=11).reshape(4, 3)
    assert np.array_equal(torch[[1, 0, 3, 2]], other)


@pytest.mark.parametrize("t_max", [1.0, -5.0, math.nan, math.inf])
def test_chrono_refuses_time_scales_below_two(t_max):
    with pytest.raises(ValueError, match="t_max"):
        fanin.chrono(8, t_max, seed=0)


def test_the_composites_of_named_streams_differ():
    stream = Stream(0)
    one = fanin.sparse((20, 20), 0.5, seed=stream["one"])
    other = fanin.sparse((20, 20), 0.5, seed=stream["other"])
    assert not np.array_equal(one != 0, other != 0)
