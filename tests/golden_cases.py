"""The golden cases: function x dtype x seed x offset, and the hashes of their bytes.

A case is hashed twice: the first 4096 values, for slow machines (emulators) and for every
instruction set, and the whole, 2**20 values or a scheme's example.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fanin
from fanin import _core

FOLDER = Path(__file__).with_name("golden")
SHORT, FULL = 2**12, 2**20
SEEDS = [0, 1, 2**32, 2**63, 2**64 - 1, 2**128 - 1]
LAST = 2**63 - 1
#: Of the first value; the last entry ends with the last element an array can have.
OFFSETS = [0, 1, 3, 2**31 - 2, 2**32 - 2, 2**34 - 2, LAST - FULL]
#: Of the first tile of a Generator, whose cursor moves by tiles and ends at 2**58 of them.
TILES = [0, 1, 2**26 - 1, 2**27 - 1, 2**29 - 1, 2**58 - FULL // 8]
#: First tiles of the raw words, eight blocks each: around blocks 2**31, 2**32, 2**63; the end.
WORD_TILES = [0, 1, 2**28 - 1, 2**29 - 1, 2**60 - 1, 2**61 - FULL // 32]

REAL = ["float32", "float64", "float16", "bfloat16"]
COMPLEX_TYPES = ("complex64", "complex128")
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]

#: Haar matrices at the edges of their blocks of 32 and 64 reflectors and of the sums' panels.
HAAR: dict[str, Callable[..., np.ndarray]] = {
    "orthogonal(65,65,det=-1)": lambda **keywords: fanin.orthogonal((65, 65), det=-1, **keywords),
    "orthogonal(3,33,31)": lambda **keywords: fanin.orthogonal(
        (3, 33, 31), batch_axes=0, **keywords
    ),
    "orthogonal(129,300)": lambda **keywords: fanin.orthogonal((129, 300), **keywords),
    "unitary(130,97)": lambda **keywords: fanin.unitary((130, 97), **keywords),
}


class Case(NamedTuple):
    """One line of the file; `draw(count)` gives its first values."""

    function: str
    dtype: str
    seed: int
    offset: int
    draw: Callable[[int], np.ndarray]

    @property
    def name(self) -> str:
        """The columns before the hashes."""
        return f"{self.function} {self.dtype} {self.seed} {self.offset}"


def _cut(low: float, high: float, loc: float = 0.25) -> Callable[..., np.ndarray]:
    return lambda shape, **keywords: fanin.truncated_normal(shape, loc, 0.5, low, high, **keywords)


#: Each row of the kernels at parameters where rounding matters.
STATELESS = {
    "random": fanin.random,
    "uniform(-0.3,0.7)": lambda n, **keywords: fanin.uniform(n, -0.3, 0.7, **keywords),
    "normal": fanin.normal,
    "normal(1.5,0.02)": lambda n, **keywords: fanin.normal(n, 1.5, 0.02, **keywords),
    "truncated(-2,2)": _cut(-2, 2),
    "truncated(0,inf)": _cut(0, math.inf),
    "truncated(-9,-8)": _cut(-9, -8),
    "truncated(40,41)": _cut(40, 41, loc=-20.0),
}
COMPLEX = ["normal", "normal(1.5,0.02)"]


def _stateless(name: str, dtype: str, seed: int, offset: int) -> Case:
    def draw(count: int) -> np.ndarray:
        run = fanin.flat[offset : offset + count]
        return STATELESS[name](LAST, seed=seed, dtype=dtype, index=run)

    return Case(name, dtype, seed, offset, draw)


METHODS = {
    "exponential(3)": ("exponential", (3.0,), REAL),
    "laplace(0.5,3)": ("laplace", (0.5, 3.0), REAL),
    "rademacher": ("rademacher", (), [*REAL, "int8", "int64"]),
    "integers(7,77)": ("integers", (7, 77), INTEGERS),
    "integers(0,2**32)": ("integers", (0, 2**32), ["uint32"]),
    "integers(-2**63,2**63)": ("integers", (-(2**63), 2**63), ["int64"]),
}


def _method(name: str, dtype: str, seed: int, tile: int) -> Case:
    def draw(count: int) -> np.ndarray:
        rng = fanin.default_rng(seed)
        rng.__setstate__({**rng.__getstate__(), "tile": tile})
        method, arguments, _ = METHODS[name]
        return getattr(rng, method)(*arguments, size=count, dtype=dtype)

    return Case(name, dtype, seed, tile, draw)


def _words(id: int, seed: int, tile: int) -> Case:
    def draw(count: int) -> np.ndarray:
        return _core.words(fanin.Stream(seed)._key, id, tile, count // 32)

    return Case(f"words(id={id})", "uint32", seed, tile, draw)


def _scheme(name: str, dtype: str, seed: int) -> Case:
    def draw(count: int) -> np.ndarray:
        part = fanin.flat[:count] if count < FULL else None
        example = {"index": part, **fanin.schemes()[name].example}
        return getattr(fanin, name)(**example, seed=seed, dtype=dtype)

    return Case(name, dtype, seed, 0, draw)


def _haar(name: str, dtype: str) -> Case:
    return Case(name, dtype, 1, 0, lambda count: HAAR[name](seed=1, dtype=dtype).ravel()[:count])


def cases() -> Iterator[Case]:
    """Every case, in the order of the file."""
    for seed in SEEDS:
        for id in (0, 1, 2**64 - 1):
            for tile in WORD_TILES:
                yield _words(id, seed, tile)
    for name in STATELESS:
        for dtype in [*REAL, *(["complex64", "complex128"] if name in COMPLEX else [])]:
            for seed in SEEDS:
                for offset in OFFSETS:
                    yield _stateless(name, dtype, seed, offset)
    for name, (_, _, dtypes) in METHODS.items():
        for dtype in dtypes:
            for seed in SEEDS:
                for tile in TILES:
                    yield _method(name, dtype, seed, tile)
    for name, row in fanin.schemes().items():
        random = COMPLEX_TYPES if row.default_dtype == "complex64" else ("float32", "bfloat16")
        for dtype in random if row.needs_seed else ("float32",):
            for seed in (0, 2**128 - 1) if row.needs_seed else (0,):
                yield _scheme(name, dtype, seed)
    for name in HAAR:
        for dtype in COMPLEX_TYPES if name.startswith("unitary") else ("float32", "float64"):
            yield _haar(name, dtype)


def digest(values: np.ndarray) -> str:
    """sha256 of the values' bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(values).view(np.uint8)).hexdigest()


def short_hash(case: Case) -> str:
    """Of the first 4096 values: the first 16 digits of their sha256."""
    return digest(case.draw(SHORT))[:16]


def full_hash(case: Case) -> str:
    """Of 2**20 values, or of the whole example."""
    return digest(case.draw(FULL))


def path(stream: str = fanin.STREAM) -> Path:
    """The file of a stream."""
    return FOLDER / f"{stream}.txt"


def recorded(stream: str = fanin.STREAM) -> dict[str, tuple[str, str]]:
    """Case -> its two hashes, as the file has them."""
    rows = {}
    for line in path(stream).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, short, full = line.rsplit(" ", 2)
            rows[name] = short, full
    return rows


def keys() -> Iterator[str]:
    """One line for each of some streams: path and key; part of the file's head."""
    for seed in SEEDS:
        for names in ((), ("w",), ("layers.17.mlp.w1.weight",), (0,), (2**64 - 1,), ("a", "b")):
            stream = fanin.Stream(seed)
            for name in names:
                stream = stream[name]
            yield f"# key {seed} {list(names)!r} {stream.key:032x}"
