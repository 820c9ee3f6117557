"""The same bits under another rounding mode, or with subnormals flushed, set by another library."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fanin

LIBM = ctypes.CDLL("libm.so.6")
DTYPES = ["float32", "float64", "float16", "bfloat16"]
SEED = fanin.Stream(3)
X86 = platform.machine() == "x86_64"
#: The codes of fenv.h: down, up, towards zero.
MODES = {"down": 0x400, "up": 0x800, "zero": 0xC00} if X86 else {
    "down": 0x800000, "up": 0x400000, "zero": 0xC00000}  # fmt: skip


@contextmanager
def environment(name: str) -> Iterator[None]:
    """A rounding mode, or flushing of subnormals, of this thread; the old one afterwards."""
    before = ctypes.create_string_buffer(64)
    LIBM.fegetenv(before)
    try:
        if name == "flushing":
            # x86-64: fenv_t ends with MXCSR at byte 28, FTZ is bit 15, DAZ bit 6.
            # aarch64: FPCR comes first, FZ is bit 24.
            place, flag = (28, 0x8040) if X86 else (0, 1 << 24)
            word = int.from_bytes(before.raw[place : place + 4], "little") | flag
            changed = before.raw[:place] + word.to_bytes(4, "little") + before.raw[place + 4 :]
            LIBM.fesetenv(changed)
        else:
            assert LIBM.fesetround(MODES[name]) == 0
        yield
    finally:
        LIBM.fesetenv(before)


def sampled(dtype: str) -> list[Callable[[], Any]]:
    rng = fanin.default_rng
    bounds = [(-2, 2), (-1.3, 2.2), (0, 9.0), (-9, -8.0), (40, 41.0)]
    laws: list[Callable[[], Any]] = [
        lambda: fanin.uniform(3000, -0.3, 0.7, seed=SEED, dtype=dtype),
        lambda: fanin.normal(3000, -0.3, 0.7, seed=SEED, dtype=dtype),
        lambda: fanin.normal(3000, 0.0, 1e-39, seed=SEED, dtype=dtype),
        lambda: fanin.normal((9, 3), 0.1, [0.7, 0.4, 0.11], seed=SEED, dtype=dtype),
        lambda: fanin.truncated_normal(
            (9, 2), 0.1, 0.7, [-1.1, 5], [2, 7.0], seed=SEED, dtype=dtype
        ),  # fmt: skip
        lambda: rng(SEED).exponential(0.3, 3000, dtype=dtype),
        lambda: rng(SEED).laplace(0.1, 0.3, 3000, dtype=dtype),
    ]
    for low, high in bounds:
        laws.append(
            lambda low=low, high=high: fanin.truncated_normal(
                3000, 0.1, 0.7, low, high, seed=SEED, dtype=dtype
            )
        )
    return laws


def bits(call: Callable[[], Any]) -> bytes:
    with np.errstate(all="ignore"):
        return np.asarray(call()).tobytes()


@pytest.mark.parametrize("name", [*MODES, "flushing"])
def test_the_environments_of_this_test_are_what_they_say(name):
    one, three, five, tiny = map(np.float64, (1, 3, 5, 5e-324))

    def computed() -> tuple[np.float64, ...]:
        return one / three, one / five, tiny * one

    plain = computed()
    with environment(name):
        other = computed()
    assert plain != other


@pytest.mark.parametrize("name", [*MODES, "flushing"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_laws_keep_their_bits(name, dtype):
    for number, call in enumerate(sampled(dtype)):
        expected = bits(call)
        with environment(name):
            made = bits(call)
        assert made == expected, number


@pytest.mark.parametrize("name", [*MODES, "flushing"])
@pytest.mark.parametrize("scheme", fanin.schemes())
def test_schemes_keep_their_bits(name, scheme):
    row = fanin.schemes()[scheme]
    common = {"seed": SEED, "gain": 0.7}
    dtypes = DTYPES if row.default_dtype == "float32" else ["complex64", "complex128"]
    for dtype in dtypes:

        def call(dtype: str = dtype) -> Any:
            return getattr(fanin, scheme)(**{**row.example, **common, "dtype": dtype})

        expected = bits(call)
        with environment(name):
            made = bits(call)
        assert made == expected, dtype


VARIANCES = np.array([0.3, 1.0, 2.0])
NUMBERS = {
    "gains": lambda: np.stack([fanin.gain(a, q=VARIANCES) for a in fanin.activations()]),
    "truncated": lambda: np.array([fanin.truncated_normal_std(-b, b) for b in (1.0, 2.0, 3.0)]),
    "fixup": lambda: np.array([fanin.fixup_gain(n, 3) for n in range(1, 30)]),
    "t_fixup": lambda: np.array([fanin.t_fixup_gain(n) for n in range(1, 30)]),
    "deepnorm": lambda: np.array([fanin.deepnorm_gains(n, 3) for n in range(1, 30)]),
    "torch's gain": lambda: np.array([fanin.calculate_gain("leaky_relu", 0.3)]),
    "complex": lambda: fanin.normal(300, 0.1 + 1j, 0.7, seed=SEED, dtype="complex128"),
    "qr": lambda: fanin.linalg.qr(fanin.normal((50, 40), seed=SEED, dtype="float64"))[1],
    "named gain": lambda: fanin.lecun_normal((30, 7), seed=SEED, gain="gelu", dtype="float64"),
    "numpy": lambda: np.random.Generator(fanin.BitGenerator(SEED)).random(300),
}


@pytest.mark.parametrize("name", [*MODES, "flushing"])
@pytest.mark.parametrize("number", NUMBERS)
def test_gains_and_factors_keep_their_bits(name, number):
    expected = bits(NUMBERS[number])
    with environment(name):
        made = bits(NUMBERS[number])
    assert made == expected


def test_the_setting_of_others_is_there_after_a_call_that_fails():
    with environment("up"):
        with pytest.raises(ValueError, match="gain"):
            fanin.he_normal((2, 2), seed=0, gain=-1.0)
        with pytest.raises(ValueError, match="scale"):
            fanin.normal(3, 0.0, -1.0, seed=0)
        assert LIBM.fegetround() == MODES["up"]
    assert LIBM.fegetround() == 0
