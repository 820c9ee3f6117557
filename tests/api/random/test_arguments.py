"""What the arguments of a draw may be, and what an argument in the memory of `out` gives."""

from __future__ import annotations

import numpy as np
import pytest

import fanin


def same(a, b):
    """Equal bits, shape and dtype."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# ---- integers that no float64 holds --------------------------------------------------------------

HUGE = 10**400
CALLS = {
    "normal": fanin.normal,
    "uniform": fanin.uniform,
    "truncated_normal": fanin.truncated_normal,
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("name", CALLS)
def test_an_integer_that_no_float_holds_is_refused(name, place, sign):
    arguments = [0.0, 1.0, -2.0, 2.0][: 4 if name == "truncated_normal" else 2]
    if place >= len(arguments):
        place = 0
    arguments[place] = sign * HUGE
    with pytest.raises((TypeError, ValueError, OverflowError)):
        CALLS[name](3, *arguments, seed=0)


# ---- seeds ---------------------------------------------------------------------------------------


class Keyed:
    """Looks like a Stream from within."""

    _key = fanin.Stream(0)._key


class Parent:
    """Looks like a Generator from within."""

    def _next_child(self):
        return fanin.Stream(0)


NO_SEEDS = [fanin.BitGenerator(5), Keyed(), Parent(), fanin.Stream(0)._key, np.array(3), 1.0, True]


@pytest.mark.parametrize("seed", NO_SEEDS, ids=lambda seed: type(seed).__name__)
def test_only_an_int_a_stream_and_a_generator_are_seeds(seed):
    for call in (
        lambda: fanin.normal(3, seed=seed),  # the quick way
        lambda: fanin.normal(3, seed=seed, dtype="float64"),
        lambda: fanin.he_normal((3, 3), seed=seed),
        lambda: fanin.orthogonal((3, 3), seed=seed),
        lambda: fanin.Stream(seed),
        lambda: fanin.BitGenerator(seed),
        lambda: fanin.propagation.simulate("tanh", 1, 4, weight_var=1.0, seed=seed),
    ):
        with pytest.raises(TypeError, match="seed must be an int"):
            call()
    if not isinstance(seed, fanin.BitGenerator):  # NumPy's default_rng takes one
        with pytest.raises(TypeError, match="seed must be an int"):
            fanin.default_rng(seed)


def test_an_integer_of_numpy_is_a_seed():
    assert same(fanin.normal(3, seed=np.int64(7)), fanin.normal(3, seed=7))


# ---- arguments in the memory of out --------------------------------------------------------------


@pytest.mark.parametrize("name", ["constant", *CALLS, "rng.normal", "rng.uniform", "rng.laplace"])
@pytest.mark.parametrize("view", ["transposed", "reversed", "shifted", "a row", "itself"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_an_argument_in_the_memory_of_out_counts_as_it_was(name, view, dtype):
    def call(first, out):
        if name.startswith("rng."):
            rng = fanin.default_rng(0)
            second = first + 1 if name == "rng.uniform" else 0.5
            return getattr(rng, name[4:])(first, second, dtype=dtype, size=(300, 300), out=out)
        keywords = {"seed": 0, "dtype": dtype, "out": out}
        if name == "constant":
            return fanin.constant((300, 300), first, **keywords)
        second = 1e4 if name == "uniform" else 0.5
        return CALLS[name]((300, 300), first, second, **keywords)

    memory = (np.arange(301 * 300) % 997).astype(dtype).reshape(301, 300)
    out = memory[:300]
    first = {
        "transposed": out.T,
        "reversed": out[::-1, ::-1],
        "shifted": memory[1:],
        "a row": out[150],
        "itself": out,
    }[view]
    expected = call(first.copy(), None)
    assert same(call(first, out), expected)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint32"])
def test_bounds_in_the_memory_of_out_count_as_they_were(dtype):
    out = (np.arange(90_000) % 50).astype(dtype).reshape(300, 300)
    expected = fanin.default_rng(0).integers(out.T.copy(), 100, dtype=dtype, size=(300, 300))
    got = fanin.default_rng(0).integers(out.T, 100, dtype=dtype, size=(300, 300), out=out)
    assert got is out and same(out, expected)


# ---- an instruction set that is not there --------------------------------------------------------


def test_a_bit_generator_refuses_an_instruction_set_that_is_not_there():
    import os
    import subprocess
    import sys

    code = "import fanin\ntry: fanin.BitGenerator(0)\nexcept ValueError as error: print(error)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, env={**os.environ, "FANIN_ISA": "bogus"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("FANIN_ISA is 'bogus'; this machine runs: ")
