"""fanin.BitGenerator under numpy.random: its words, its state, and NumPy's distributions."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import oracle
import pytest
from scipy import stats

import fanin

KEY = oracle.seed_key(5)


def bits():
    return fanin.BitGenerator(5)


def numpy_rng():
    return np.random.Generator(bits())


# ---- words ---------------------------------------------------------------------------------------


def test_raw_values_are_the_word_pairs_of_the_stream_in_order(isa):
    expected = oracle.value_words(KEY, 0, 3000, "float64")  # past the buffer of 1024 words
    assert bits().random_raw(3000).tolist() == expected
    one = bits()
    assert [one.random_raw() for _ in range(40)] == expected[:40]
    assert bits().random_raw(3, output=False) is None


def test_uniforms_and_bytes_of_numpy_are_fanins():
    assert np.array_equal(numpy_rng().random(2000), fanin.random(2000, seed=5, dtype="float64"))
    single = numpy_rng().random(2000, dtype=np.float32)
    assert np.array_equal(single, fanin.random(2000, seed=5))
    assert numpy_rng().bytes(64) == fanin.default_rng(5).bytes(64)


def test_single_words_and_pairs_follow_each_other():
    words = oracle.words(KEY, 0, 5).tolist()
    one = bits()
    interface = one.ctypes
    assert interface.next_uint32(interface.state) == words[0]
    assert interface.next_uint64(interface.state) == words[1] | words[2] << 32
    assert interface.next_double(interface.state) == (words[3] | words[4] << 32) // 2**11 / 2**53


def test_ctypes_follows_a_state_that_is_set_later():
    one = bits()
    interface, start = one.ctypes, one.state
    first = interface.next_uint64(interface.state)
    one.state = start
    assert interface.next_uint64(interface.state) == first
    assert isinstance(one, np.random.BitGenerator) and one.lock is not None


# ---- state ---------------------------------------------------------------------------------------


def test_state_goes_back_and_forth():
    one = bits()
    one.random_raw(7)
    saved = one.state
    assert saved["state"] == {"key": KEY, "id": 0, "word": 14}
    following = one.random_raw(20)
    one.state = saved
    assert np.array_equal(one.random_raw(20), following)
    other = fanin.BitGenerator(99)
    other.state = saved
    assert np.array_equal(other.random_raw(20), following) and other.stream == fanin.Stream(5)


@pytest.mark.parametrize("word", [1023, 1024, 1025, 2**31 - 1, 2**32 - 3, 2**33 + 1, 2**61 + 5])
def test_any_word_can_be_reached(word):
    one = bits()
    one.state = {**one.state, "state": {"key": KEY, "id": 0, "word": word}}
    expected = oracle.words(KEY, word, 6).astype("<u4").view("<u8").tolist()
    assert one.random_raw(3).tolist() == expected
    assert one.state["state"]["word"] == word + 6


def numbered(**changes):
    inner = {"key": 1, "id": 0, "word": 0, **changes}
    return {"bit_generator": "fanin.BitGenerator", "state": inner}


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (5, TypeError),
        ({}, ValueError),
        ({"bit_generator": "PCG64", "state": {}}, ValueError),
        (numbered(key=-1), ValueError),
        (numbered(word=2**63 + 1), ValueError),
        (numbered(word=1.5), TypeError),
        (numbered(id=2**64), ValueError),
    ],
)
def test_other_states_are_refused_and_change_nothing(state, error):
    one = bits()
    with pytest.raises(error):
        one.state = state
    assert one.state == bits().state


def test_copies_and_pickles_carry_the_state():
    one = bits()
    one.random_raw(1500)
    one.spawn(2)
    for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other is not one and other.state == one.state
        assert other.seed_seq.n_children_spawned == 2
        assert other.spawn(1)[0].stream == copy.copy(one).spawn(1)[0].stream
        assert np.array_equal(other.random_raw(9), copy.copy(one).random_raw(9))
    rng = np.random.Generator(one)
    twin = pickle.loads(pickle.dumps(rng))
    assert np.array_equal(twin.standard_normal(9), rng.standard_normal(9))
    assert "fanin.BitGenerator" in repr(one) and f"{KEY:032x}" in repr(one)


def test_spawned_children_are_those_of_the_generator():
    children = bits().spawn(3)
    expected = [g.stream for g in fanin.default_rng(5).spawn(3)]
    assert [child.stream for child in children] == expected
    parent = np.random.Generator(bits())
    assert [g.bit_generator.stream for g in parent.spawn(2) + parent.spawn(1)] == expected
    with pytest.raises(ValueError):
        bits().spawn(-1)


def test_seed_sequences_have_numpys_attributes_and_share_the_count():
    one = bits()
    seeds = one.seed_seq
    assert (seeds.entropy, seeds.spawn_key, seeds.n_children_spawned) == (KEY, (), 0)
    assert set(seeds.state) == set(np.random.SeedSequence(1).state)
    assert (seeds.state["entropy"], seeds.state["pool_size"]) == (KEY, 4)
    assert sum(int(word) << 32 * i for i, word in enumerate(seeds.pool)) == KEY
    children = [one.spawn(1)[0].stream, seeds.spawn(1)[0].stream]
    assert children == [g.stream for g in fanin.default_rng(5).spawn(2)]
    assert seeds.n_children_spawned == 2
    for bad in (-2, 2**21, 2**70, 1.5):
        for spawn in (one.spawn, seeds.spawn):
            with pytest.raises((TypeError, ValueError), match="n_children|children at a time"):
                spawn(bad)
    assert seeds.n_children_spawned == 2


def test_bit_generators_are_compared_and_hashed_by_identity_as_numpys_are():
    one = bits()
    assert one == one and one != bits() and len({one, bits(), one}) == 2


def test_advance_moves_as_raw_values_do():
    expected = bits().random_raw(50)
    one = bits()
    assert one.advance(20) is one and one.random_raw() == expected[20]
    assert one.advance(-11).random_raw() == expected[10]
    for bad, error in ((-12, ValueError), (2**62, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="delta"):
            one.advance(bad)
    assert one.random_raw() == expected[11]
    assert one.advance(2**62 - 12).state["state"]["word"] == 2**63


def test_the_state_can_be_read_under_the_lock():
    one = bits()
    with one.lock:
        assert one.state["state"]["word"] == 0


def test_jumped_is_the_next_id_at_the_same_word():
    one = bits()
    one.random_raw(3)
    for jumps in (1, 2, 2**64 - 1):
        other = one.jumped(jumps)
        expected = oracle.words(KEY, 6, 8, id=jumps).astype("<u4").view("<u8").tolist()
        assert other.random_raw(4).tolist() == expected
    assert one.jumped().jumped().state == one.jumped(2).state
    assert one.state["state"]["word"] == 6
    for bad, error in ((-1, ValueError), (2**64, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="jumps"):
            one.jumped(bad)


def test_seeds_are_those_of_fanin():
    stream = fanin.Stream(1)["a"]
    assert fanin.BitGenerator(stream).stream == stream
    rng = fanin.default_rng(2)
    assert fanin.BitGenerator(rng).stream == fanin.default_rng(2).spawn(1)[0].stream
    for seed, error in ((bits(), TypeError), (-1, ValueError), (1.5, TypeError), ([1], TypeError)):
        with pytest.raises(error, match="seed"):
            fanin.BitGenerator(seed)
    assert fanin.BitGenerator().stream != fanin.BitGenerator(None).stream  # entropy of the system


def test_numpy_generators_and_the_legacy_one_take_it_as_a_seed():
    assert np.random.default_rng(bits()).random() == numpy_rng().random()
    assert np.random.RandomState(bits()).random_sample() == numpy_rng().random()
    other = np.random.PCG64(bits().seed_seq)  # its entropy may seed NumPy's own
    assert other.random_raw() == np.random.PCG64(bits().seed_seq).random_raw()
    assert bits().seed_seq.generate_state(3, np.uint64).dtype == np.uint64


# ---- distributions -------------------------------------------------------------------------------

LAWS = {
    "standard_normal": ((), stats.norm()),
    "standard_exponential": ((), stats.expon()),
    "standard_gamma": ((2.5,), stats.gamma(2.5)),
    "beta": ((2.0, 3.0), stats.beta(2, 3)),
    "standard_t": ((5.0,), stats.t(5)),
    "gumbel": ((), stats.gumbel_r()),
    "vonmises": ((0.0, 2.0), stats.vonmises(2.0)),
}


@pytest.mark.parametrize("law", LAWS)
def test_numpys_distributions_on_fanins_words(law):
    arguments, reference = LAWS[law]
    drawn = getattr(numpy_rng(), law)(*arguments, size=100_000)
    assert stats.kstest(drawn, reference.cdf).pvalue > 1e-7  # the project's limit for a failure


def test_permutations_choices_and_integers_of_numpy_work():
    rng = numpy_rng()
    assert sorted(rng.permutation(100).tolist()) == list(range(100))
    assert rng.choice(10, 5, replace=False).size == 5
    counts = np.bincount(rng.integers(0, 6, 600_000), minlength=6)
    # Binomial of mean 1e5 and std sqrt(1e5 * 5 / 6) = 289; six of them.
    assert np.abs(counts - 100_000).max() < 6 * 289


def test_threads_that_share_one_get_every_word_once():
    one, parts = bits(), []

    def work():
        parts.extend(one.random_raw(64) for _ in range(100))

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    drawn = np.concatenate(parts)
    assert sorted(drawn.tolist()) == sorted(bits().random_raw(8 * 100 * 64).tolist())


def test_importing_fanin_does_not_import_numpy_random():
    code = (
        "import sys, numpy, ml_dtypes; before = 'numpy.random' in sys.modules; import fanin; "
        "print(before == ('numpy.random' in sys.modules), 'BitGenerator' in dir(fanin))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True"]
