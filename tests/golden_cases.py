"""The golden cases: function x dtype x seed x offset, and the hashes of their bytes.

A case is hashed twice: the first 4096 values, for slow machines (emulators) and for every
instruction set, and the whole, 2**20 values or a scheme's example.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

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

#: Haar matrices at the edges of blocks of 32 numbers, of runs of 128 rows and bands of 4096, and of
#: what is kept in memory.
#: Name -> shape and keywords.
HAAR: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "orthogonal(1,1)": ((1, 1), {}),
    "orthogonal(9,1)": ((9, 1), {}),
    "orthogonal(65,65,det=-1)": ((65, 65), {"det": -1}),
    "orthogonal(64,64,det=1)": ((64, 64), {"det": 1}),
    "orthogonal(3,33,31)": ((3, 33, 31), {"batch_axes": 0}),
    "orthogonal(129,300)": ((129, 300), {}),
    "orthogonal(700,641)[:,66:69]": ((700, 641), {"index": (slice(None), slice(66, 69))}),
    "orthogonal(1600,1540)[:,130:132]": ((1600, 1540), {"index": (slice(None), slice(130, 132))}),
    "orthogonal(2**40,20,20)[2**39]": ((2**40, 20, 20), {"batch_axes": 0, "index": 2**39}),
    "orthogonal(258,257)": ((258, 257), {}),
    "orthogonal(4097,3)": ((4097, 3), {}),
    "orthogonal(34,8200)": ((34, 8200), {}),
    "orthogonal(8193,641)[:,66:67]": ((8193, 641), {"index": (slice(None), slice(66, 67))}),
    "orthogonal(32800,2)": ((32800, 2), {}),
    "unitary(130,97)": ((130, 97), {}),
    "unitary(8200,17)[:,15:17]": ((8200, 17), {"index": (slice(None), slice(15, 17))}),
    "unitary(700,641)[:,66:69]": ((700, 641), {"index": (slice(None), slice(66, 69))}),
    "unitary(1600,1540)[:,130:132]": ((1600, 1540), {"index": (slice(None), slice(130, 132))}),
    "unitary(5,40,40)": ((5, 40, 40), {"batch_axes": 0}),
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


SEVEN = np.arange(7.0)
#: The last axis of a shape of 2**63 - 1 elements: seven laws side by side. `truncated` has all its
#: forms among them; a scale of 0 is one of the others'.
EACH = {
    "normal(each)": (fanin.normal, (SEVEN - 3.0, 0.25 * SEVEN)),
    "uniform(each)": (fanin.uniform, (-SEVEN, SEVEN + 0.3)),
    "truncated(each)": (
        fanin.truncated_normal,
        (
            0.25,
            0.5,
            np.array([-2.0, 0.0, -9.0, 40.0, 1.0, -math.inf, -0.5]),
            np.array([2.0, math.inf, -8.0, 41.0, 4.0, -7.0, 0.25]),
        ),
    ),
}


def _each(name: str, dtype: str, seed: int, offset: int) -> Case:
    def draw(count: int) -> np.ndarray:
        law, parameters = EACH[name]
        few = 140 if name.startswith("truncated") else 1400  # a law prepared for every value
        run = fanin.flat[offset : offset + min(few, count)]
        return law((LAST // 7, 7), *parameters, seed=seed, dtype=dtype, index=run)

    return Case(name, dtype, seed, offset, draw)


METHODS = {
    "standard_exponential": ("standard_exponential", (), REAL),
    "exponential(3)": ("exponential", (3.0,), REAL),
    "laplace(0.5,3)": ("laplace", (0.5, 3.0), REAL),
    "rademacher": ("rademacher", (), [*REAL, "int8", "int16", "int32", "int64"]),
    "integers(7,77)": ("integers", (7, 77), INTEGERS),
    "integers(0,2)": ("integers", (0, 2), ["bool"]),
    "integers(0,2**32)": ("integers", (0, 2**32), ["uint32"]),
    "integers(-2**63,2**63)": ("integers", (-(2**63), 2**63), ["int64"]),
    "integers(0,2**64)": ("integers", (0, 2**64), ["uint64"]),
}


def at_word(seed: int, word: int) -> fanin.Generator:
    """A Generator whose cursor stands at a word."""
    rng = fanin.default_rng(seed)
    state = rng.bit_generator.state
    rng.bit_generator.state = {**state, "state": {**state["state"], "word": word}}
    return rng


def _method(name: str, dtype: str, seed: int, tile: int) -> Case:
    def draw(count: int) -> np.ndarray:
        rng = at_word(seed, 32 * tile)
        method, arguments, _ = METHODS[name]
        return getattr(rng, method)(*arguments, size=count, dtype=dtype)

    return Case(name, dtype, seed, tile, draw)


def _words(id: int, seed: int, tile: int) -> Case:
    def draw(count: int) -> np.ndarray:
        return _core.words(fanin.Stream(seed)._key, id, tile, count // 32)

    return Case(f"words(id={id})", "uint32", seed, tile, draw)


def _each_integer(seed: int) -> Case:
    def draw(count: int) -> np.ndarray:
        low, high = np.array([-5, 0]), np.array([7, 2**40])
        return fanin.default_rng(seed).integers(low, high, (count // 2, 2))

    return Case("integers(each)", "int64", seed, 0, draw)


def _bytes(seed: int) -> Case:
    def draw(count: int) -> np.ndarray:
        return np.frombuffer(fanin.default_rng(seed).bytes(count), np.uint8)

    return Case("bytes", "uint8", seed, 0, draw)


def _raw(seed: int, jumps: int) -> Case:
    def draw(count: int) -> np.ndarray:
        return fanin.BitGenerator(seed).jumped(jumps).random_raw(count)

    return Case(f"random_raw(jumps={jumps})", "uint64", seed, 0, draw)


def _cursor(seed: int) -> Case:
    """Words read one by one, then a method of ours, which begins at the next whole tile."""

    def draw(count: int) -> np.ndarray:
        rng = fanin.default_rng(seed)
        rng.bit_generator.random_raw(21)
        rng.standard_normal(3)
        rng.bit_generator.advance(1)
        return np.append(rng.random(count - 1), rng.bit_generator.state["state"]["word"])

    return Case("cursor", "float64", seed, 0, draw)


def _advanced(seed: int) -> Case:
    def draw(count: int) -> np.ndarray:
        return fanin.BitGenerator(seed).advance(2**61 + 1).random_raw(count)

    return Case("random_raw(advance=2**61+1)", "uint64", seed, 0, draw)


def _children(seed: int) -> Case:
    """The values of children, whichever door they come through."""

    def draw(count: int) -> np.ndarray:
        rng = fanin.default_rng(seed)
        doors = [rng.spawn(1)[0].stream, rng.bit_generator.spawn(1)[0].stream,
                 rng.bit_generator.seed_seq.spawn(1)[0].stream, rng]  # fmt: skip
        return np.concatenate([fanin.random(count // 4, seed=door) for door in doors])

    return Case("children", "float32", seed, 0, draw)


def _numpy(dtype: str, seed: int) -> Case:
    def draw(count: int) -> np.ndarray:
        return np.random.Generator(fanin.BitGenerator(seed)).random(count, dtype=dtype)

    return Case("numpy.random", dtype, seed, 0, draw)


def _scheme(name: str, dtype: str, seed: int) -> Case:
    def draw(count: int) -> np.ndarray:
        part = fanin.flat[:count] if count < FULL else None
        example = {"index": part, **fanin.schemes()[name].example}
        return getattr(fanin, name)(**example, seed=seed, dtype=dtype)

    return Case(name, dtype, seed, 0, draw)


def _scheme_part(name: str) -> Case:
    """Every third of the first axis, from the end."""

    def draw(count: int) -> np.ndarray:
        row = fanin.schemes()[name]
        example = {**row.example, "index": (slice(None, None, -3), Ellipsis)}
        made = getattr(fanin, name)(**example, seed=1, dtype=row.default_dtype)
        return made.ravel()[:count]

    return Case(f"{name}[::-3]", fanin.schemes()[name].default_dtype, 1, 0, draw)


def _scheme_far(name: str, offset: int) -> Case:
    """A weight of 2**62 elements."""

    def draw(count: int) -> np.ndarray:
        far = {"shape": (2**31, 2**31), "index": fanin.flat[offset : offset + count]}
        return getattr(fanin, name)(**{**fanin.schemes()[name].example, **far}, seed=1)

    return Case(f"{name}(2**31,2**31)", "float32", 1, offset, draw)


MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo")
DISTRIBUTIONS = ("truncated_normal", "normal", "uniform")
LAYOUTS = {
    "oi": "oi",
    "groups": fanin.Layout(groups=4),
    "transposed": fanin.Layout("oi", transposed=True),
    "batch": fanin.Layout(batch_axes=0),
}


def _scaling(mode: str, distribution: str, dtype: str) -> Case:
    def draw(count: int) -> np.ndarray:
        run = fanin.flat[:count]
        return fanin.variance_scaling(
            (1237, 853), 2.0, mode, distribution, seed=1, dtype=dtype, index=run
        )

    return Case(f"variance_scaling({mode},{distribution})", dtype, 1, 0, draw)


def _layout(name: str, dtype: str) -> Case:
    def draw(count: int) -> np.ndarray:
        run = fanin.flat[:count]
        layout = LAYOUTS[name]
        return fanin.he_normal(
            (3, 5, 12, 20), seed=1, layout=layout, gain=0.7, dtype=dtype, index=run
        )

    return Case(f"he_normal({name},gain=0.7)", dtype, 1, 0, draw)


def _gain(activation: str) -> Case:
    """Factors that weights are multiplied by, as float64."""

    def draw(count: int) -> np.ndarray:
        kinds = ("forward", "backward", "std")
        variances = np.array([0.25, 1.0, 3.0])
        with np.errstate(all="ignore"):
            rows = [fanin.gain(activation, variances, kind) for kind in kinds]
        return np.concatenate(rows)

    return Case(f"gain({activation})", "float64", 0, 0, draw)


BOUNDS = [(-2, 2), (-3, 3), (0, math.inf), (-1, 0.5), (5, math.inf), (-9, -8), (40, 41), (0, 1e-3)]


def _factors(count: int) -> np.ndarray:
    depths = range(1, 65)
    made = [fanin.truncated_normal_std(*bounds) for bounds in BOUNDS]
    made += [fanin.fixup_gain(n, depth) for n in depths for depth in (2, 3, 4)]
    made += [fanin.t_fixup_gain(n, part) for n in depths for part in ("encoder", "decoder")]
    made += [gain for n in depths for gain in fanin.deepnorm_gains(n, 2 * n)]
    return np.array(made)


def _haar(name: str, dtype: str, seed: int) -> Case:
    def draw(count: int) -> np.ndarray:
        shape, keywords = HAAR[name]
        make = getattr(fanin, name.partition("(")[0])
        return make(shape, seed=seed, dtype=dtype, **keywords).ravel()[:count]

    return Case(name, dtype, seed, 0, draw)


#: Two blocks and more, wide, and trees of two leaves and of more than one storey.
QR_SHAPES = [(2, 70, 65), (40, 70), (2100, 3), (70_000, 17)]


def _qr(shape: tuple[int, ...], dtype: str) -> Case:
    def draw(count: int) -> np.ndarray:
        q, r = fanin.linalg.qr(fanin.normal(shape, seed=1, dtype=dtype))
        return np.concatenate([r.ravel(), q.ravel()])[:count]

    name = ",".join(map(str, shape))
    return Case(f"qr({name})", dtype, 1, 0, draw)


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
    for seed in SEEDS:
        yield _each_integer(seed)
        yield _bytes(seed)
        yield from (_raw(seed, jumps) for jumps in (0, 1, 2**64 - 1))
        yield from (_cursor(seed), _advanced(seed), _children(seed))
        yield from (_numpy(dtype, seed) for dtype in ("float32", "float64"))
    for name in EACH:
        for dtype in [*REAL, *(COMPLEX_TYPES if name.startswith("normal") else [])]:
            for offset in OFFSETS:
                yield _each(name, dtype, 1, offset)
    yield from _schemes()
    for name in HAAR:
        half = name in ("orthogonal(129,300)", "orthogonal(65,65,det=-1)")
        real = REAL if half else REAL[:2]
        for dtype in COMPLEX_TYPES if name.startswith("unitary") else real:
            for seed in (1,) if "[" in name else (1, 2**128 - 1):
                yield _haar(name, dtype, seed)
    for dtype in (*REAL[:2], *COMPLEX_TYPES):
        for shape in QR_SHAPES:
            yield _qr(shape, dtype)


def _schemes() -> Iterator[Case]:
    for name, row in fanin.schemes().items():
        dtypes = COMPLEX_TYPES if row.default_dtype == "complex64" else REAL
        for dtype in dtypes:
            for seed in (0, 2**128 - 1) if row.needs_seed else (0,):
                yield _scheme(name, dtype, seed)
        yield _scheme_part(name)
        if row.law is not None and row.example["shape"] == (256, 128):
            for offset in (3, 2**34 - 2, 2**62 - FULL):
                yield _scheme_far(name, offset)
    for mode in MODES:
        for distribution in DISTRIBUTIONS:
            for dtype in REAL[:2]:
                yield _scaling(mode, distribution, dtype)
    for name in LAYOUTS:
        for dtype in REAL:
            yield _layout(name, dtype)
    for activation in fanin.activations():
        yield _gain(activation)
    yield Case("factors", "float64", 0, 0, _factors)


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
        for number, child in enumerate(fanin.default_rng(seed).spawn(2)):
            yield f"# key {seed} spawned {number} {child.stream.key:032x}"
