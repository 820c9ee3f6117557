"""Streams: seeds and names to keys, against the oracle and against each other."""

import copy
import itertools
import pickle
import unicodedata

import numpy as np
import oracle
import pytest
from scipy import stats

import fanin
from fanin import _core

SEEDS = [0, 1, 2, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**64, 2**127, 2**128 - 1]
# Lengths around the 16 bytes of a block, several bytes a character, and bytes that look like
# padding.
NAMES = [
    "a",
    "weight",
    "x" * 15,
    "x" * 16,
    "x" * 17,
    "y" * 32,
    "y" * 33,
    "größe",
    "重み",
    "\0",
    "a\0",
]


@pytest.mark.parametrize("seed", SEEDS)
def test_keys_of_seeds_are_the_contracts(seed):
    assert fanin.Stream(seed).key == oracle.seed_key(seed)


@pytest.mark.parametrize("name", [*NAMES, 0, 1, 255, 2**32, 2**64 - 1])
def test_keys_of_children_are_the_contracts(name):
    parent = fanin.Stream(3)
    assert parent[name].key == oracle.child(parent.key, name)
    assert parent[name]["deeper"].key == oracle.child(oracle.child(parent.key, name), "deeper")


def test_keys_of_spawned_children_are_the_contracts():
    rng = fanin.default_rng(5)
    keys = [child.stream.key for child in rng.spawn(3)]
    assert keys == [oracle.spawned(oracle.seed_key(5), number) for number in range(3)]


def test_two_names_never_give_one_stream():
    s = fanin.Stream(0)
    streams = [s, *(s[name] for name in NAMES), *(s[number] for number in range(20))]
    streams += [
        s["1"],
        s["a"]["b"],
        s["ab"],
        s["a.b"],
        s["b"]["a"],
        s["a"][1],
        s[1]["a"],
        s[1][0],
        s[0][1],
    ]
    streams += [rng.stream for rng in fanin.default_rng(0).spawn(20)]
    assert len({stream.key for stream in streams}) == len(streams)
    composed = "é"
    assert s[composed] != s[unicodedata.normalize("NFD", composed)]


def test_a_million_tensor_names_have_a_million_keys():
    parts = itertools.product(range(2500), ("attn", "mlp"), "qkvo", ("weight", "bias"), range(25))
    key = fanin.Stream(0)._key
    names = (f"layers.{a}.{b}.{c}{e}.{d}".encode() for a, b, c, d, e in parts)
    keys = {_core.fold(key, oracle.NAME, name) for name in names}
    assert len(keys) == 1_000_000


def test_first_words_differ_over_many_seeds():
    seeds = [start + i for start in (0, 2**32, 2**63, 2**64 - 10_000) for i in range(10_000)]
    firsts = {_core.words(_core.seed_key(seed), 0, 0, 1)[:4].tobytes() for seed in seeds}
    assert len(firsts) == len(seeds)


def test_every_seed_bit_changes_half_of_the_key():
    # 128 x 64 flips of 128 key bits each are fair coins: the flip count of every (seed bit, key
    # bit) is
    # binomial(64, 1/2). All z-scores below 6 (p of the worst of 16384 at 6: 3e-5), and chi2 of the
    # whole.
    rng = np.random.default_rng(1)
    flips = np.zeros((128, 128))
    for _ in range(64):
        seed = int.from_bytes(rng.bytes(16), "little")
        key = oracle.seed_key(seed)
        for bit in range(128):
            other = fanin.Stream(seed ^ 1 << bit).key ^ key
            flips[bit] += [other >> place & 1 for place in range(128)]
    z = (flips - 32) / 4
    assert np.abs(z).max() < 6.5
    assert 1e-7 < stats.chi2.sf((z**2).sum(), z.size) < 1 - 1e-7


@pytest.mark.parametrize("element", [0, 1, 17])
def test_one_element_over_consecutive_seeds_is_uniform_and_uncorrelated(element):
    u = np.array([fanin.random(18, seed=seed, dtype="float64")[element] for seed in range(20_000)])
    assert stats.kstest(u, "uniform").pvalue > 1e-7
    centred = u - 0.5
    for lag in (1, 2, 3, 16):
        correlation = 12 * np.mean(centred[lag:] * centred[:-lag])
        assert abs(correlation) * np.sqrt(u.size - lag) < 5.33  # p = 1e-7


def test_streams_are_not_correlated_with_each_other():
    # 64 neighbours among seeds, numbers and names; every pair at lags 0..8: 36,288 correlations,
    # each
    # normal with variance 1/n. The worst is above 6.8 with probability 4e-7.
    s = fanin.Stream(1)
    streams = [fanin.Stream(i) for i in range(22)] + [s[i] for i in range(21)]
    streams += [s[f"layer.{i}"] for i in range(21)]
    n = 1 << 14
    x = np.stack([fanin.normal(n + 8, seed=stream) for stream in streams])
    worst = 0.0
    for lag in range(9):
        correlation = x[:, :n] @ x[:, lag : n + lag].T / np.sqrt(n)
        np.fill_diagonal(correlation, 0)
        worst = max(worst, np.abs(correlation).max())
    assert worst < 6.8


# ---- the objects ---------------------------------------------------------------------------------


def test_streams_are_values():
    s = fanin.Stream(4)["a"]
    for other in (
        copy.copy(s),
        copy.deepcopy(s),
        pickle.loads(pickle.dumps(s)),
        fanin.Stream(4)["a"],
    ):
        assert other == s and hash(other) == hash(s) and other.key == s.key
    assert s != fanin.Stream(4) and s != "a" and s != s.key
    assert f"{s.key:032x}" in repr(s)
    with pytest.raises((AttributeError, TypeError)):
        s.key = 0


def test_numpy_integers_are_integers():
    assert fanin.Stream(np.uint64(2**64 - 1)) == fanin.Stream(2**64 - 1)
    assert fanin.Stream(np.int8(3))[np.int32(5)] == fanin.Stream(3)[5]


@pytest.mark.parametrize(
    "seed", [True, 1.0, np.float64(1), "1", b"1", None, [1], (1, 2), np.array([1, 2])]
)
def test_other_seeds_are_type_errors(seed):
    with pytest.raises(TypeError):
        fanin.Stream(seed)


@pytest.mark.parametrize("seed", [[1, 2], np.random.SeedSequence(1)])
def test_sequences_as_seed_are_told_about_streams(seed):
    for refused in (lambda: fanin.normal(3, seed=seed), lambda: fanin.default_rng(seed)):
        with pytest.raises(TypeError, match="Stream"):
            refused()


@pytest.mark.parametrize("seed", [-1, 2**128, 2**200])
def test_seeds_out_of_range_are_value_errors(seed):
    for refused in (fanin.Stream, fanin.default_rng, lambda seed: fanin.random(2, seed=seed)):
        with pytest.raises(ValueError, match=str(seed)):
            refused(seed)


@pytest.mark.parametrize("name", [True, 1.0, b"a", ("a",), None, slice(0, 1), np.float32(1)])
def test_other_names_are_type_errors(name):
    with pytest.raises(TypeError):
        fanin.Stream(0)[name]


@pytest.mark.parametrize("name", ["", -1, 2**64])
def test_empty_names_and_numbers_out_of_range_are_value_errors(name):
    with pytest.raises(ValueError):
        fanin.Stream(0)[name]


def test_a_stream_is_not_a_container():
    with pytest.raises(TypeError):
        iter(fanin.Stream(0))
    with pytest.raises(TypeError):
        "a" in fanin.Stream(0)  # noqa: B015
