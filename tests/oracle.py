"""The stream in slow, plain Python: what a stranger would write from docs/contract.md.

Nothing here comes from the C++ code or shares a formula with it: the AES round has its S-box
computed from the field, rounding is done on exact fractions, and every elementary function is
mpmath's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from statistics import NormalDist

import ml_dtypes
import mpmath
import numpy as np

mpmath.mp.dps = 40
MASK64 = 2**64 - 1
TYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}

# ---- AES rounds, FIPS 197: 16 bytes a block, row r and column c at byte r + 4 c ------------------


def _times(a: int, b: int) -> int:
    """Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def _substitute(x: int) -> int:
    """The S-box: the inverse x^254, then the affine map."""
    inverse = 1
    for _ in range(254):
        inverse = _times(inverse, x)
    bits = 0
    for turn in range(5):
        bits ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
    return bits ^ 0x63


SBOX = np.array([_substitute(x) for x in range(256)], np.uint8)
TWICE = np.array([_times(x, 2) for x in range(256)], np.uint8)
SHIFT_ROWS = [row + 4 * ((column + row) % 4) for column in range(4) for row in range(4)]


def aes_last_round(state: np.ndarray, key: np.ndarray) -> np.ndarray:
    """SubBytes, ShiftRows, AddRoundKey on states of shape (n, 16)."""
    return SBOX[state][:, SHIFT_ROWS] ^ key


def aes_round(state: np.ndarray, key: np.ndarray) -> np.ndarray:
    """SubBytes, ShiftRows, MixColumns, AddRoundKey on states of shape (n, 16)."""
    a = SBOX[state][:, SHIFT_ROWS].reshape(-1, 4, 4)
    one, two, three = (np.roll(a, -k, axis=2) for k in (1, 2, 3))
    return (TWICE[a] ^ TWICE[one] ^ one ^ two ^ three).reshape(-1, 16) ^ key


WEYL_LOW, WEYL_HIGH = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B


def _bytes(number: int) -> np.ndarray:
    return np.frombuffer(number.to_bytes(16, "little"), np.uint8)


def round_key(key: int, number: int) -> np.ndarray:
    """The key plus `number` times the Weyl constants, half by half."""
    low = (key + number * WEYL_LOW) & MASK64
    high = ((key >> 64) + number * WEYL_HIGH) & MASK64
    return _bytes(high << 64 | low)


def ars(counters: Iterable[int], key: int, rounds: int = 7) -> np.ndarray:
    """ARS of 128-bit counters: words, shape (n, 4) (Salmon et al. 2011)."""
    state = np.stack([_bytes(counter) for counter in counters]) ^ round_key(key, 0)
    for number in range(1, rounds):
        state = aes_round(state, round_key(key, number))
    state = aes_last_round(state, round_key(key, rounds))
    return np.ascontiguousarray(state).view("<u4")


def words(key: int, first: int, count: int, id: int = 0) -> np.ndarray:
    """Words first .. first + count of a stream."""
    begin, end = first // 4, -(-(first + count) // 4)
    flat = ars((id << 64 | block for block in range(begin, end)), key).reshape(-1)
    return flat[first - 4 * begin :][:count]


# ---- keys ----------------------------------------------------------------------------------------

# Fractional hexadecimal digits of pi, 128 bits each, made odd to be multipliers; the start is
# "fanin" and the hexadecimal digits of e - 2.
_PI = [
    0x243F6A8885A308D313198A2E03707344,
    0xA4093822299F31D0082EFA98EC4E6C89,
    0x452821E638D01377BE5466CF34E90C6C,
    0xC0AC29B7C97C50DD3F84D5B5B5470917,
]
_MULTIPLIERS = [digits | 1 for digits in _PI]
_SHIFTS = [67, 61, 65, 63, 66]
_START = 0x66616E696EB7E151628AED2A6ABF7158
NAME, NUMBER, SPAWN = 1, 2, 3


def mix(x: int) -> int:
    """The bijection of 128-bit numbers behind every key."""
    x = (x + _START) % 2**128
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        x = (x ^ x >> shift) * multiplier % 2**128
    return x ^ x >> _SHIFTS[-1]


def seed_key(seed: int) -> int:
    """Key of Stream(seed)."""
    return mix(seed)


def fold(key: int, tag: int, payload: bytes) -> int:
    """Key of a child: the tag and the length, then the payload in blocks of 16 bytes."""
    key = mix(key ^ (tag << 64 | len(payload)))
    for at in range(0, len(payload), 16):
        key = mix(key ^ int.from_bytes(payload[at : at + 16], "little"))
    return key


def child(key: int, name: str | int) -> int:
    """Key of stream[name]."""
    if isinstance(name, str):
        return fold(key, NAME, name.encode("utf-8"))
    return fold(key, NUMBER, name.to_bytes(8, "little"))


def spawned(key: int, number: int) -> int:
    """Key of the stream of the spawned child with this number (the first is 0)."""
    return fold(key, SPAWN, number.to_bytes(8, "little"))


# ---- rounding ------------------------------------------------------------------------------------

#: dtype name -> significant bits, smallest normal exponent, largest exponent
FORMATS = {
    "float32": (24, -126, 127),
    "float64": (53, -1022, 1023),
    "float16": (11, -14, 15),
    "bfloat16": (8, -126, 127),
}


def compute_type(dtype: str) -> str:
    """The type a value is computed in."""
    return "float64" if dtype == "float64" else "float32"


def exponent(x: Fraction) -> int:
    """floor(log2 |x|) of x != 0, exact."""
    top = abs(x.numerator).bit_length() - x.denominator.bit_length()
    return top if abs(x) >= Fraction(2) ** top else top - 1


def spacing(x: Fraction, dtype: str) -> Fraction:
    """Distance of the representable numbers in x's binade."""
    digits, smallest, _ = FORMATS[dtype]
    return Fraction(2) ** (max(exponent(x) if x else smallest, smallest) - digits + 1)


def nearest(x: Fraction, dtype: str) -> Fraction:
    """x rounded to the dtype, ties to even (`round` of a Fraction does that)."""
    step = spacing(x, dtype)
    result = round(x / step) * step
    if result and exponent(result) > FORMATS[dtype][2]:
        raise OverflowError(f"{float(x)} in {dtype}")
    return result


def below(x: Fraction, dtype: str) -> Fraction:
    """The largest representable number smaller than x."""
    step = spacing(x, dtype)
    result = (-(-x // step) - 1) * step
    if x > 0 and result < Fraction(2) ** exponent(
        x
    ):  # x is a power of two: the binade below is finer
        finer = spacing(result, dtype) if result else step
        result = (-(-x // finer) - 1) * finer
    return result


def fma(a: Fraction, b: Fraction, c: Fraction, dtype: str) -> Fraction:
    """a b + c, rounded once."""
    return nearest(a * b + c, dtype)


def ulps(got: Sequence[float] | np.ndarray, true: Sequence[mpmath.mpf], dtype: str) -> np.ndarray:
    """|got - true| in units in the last place of the true value."""
    digits, smallest, _ = FORMATS[dtype]
    errors = []
    for value, exact in zip(got, true, strict=True):
        binade = max(mpmath.frexp(exact)[1] - 1 if exact else smallest, smallest)
        errors.append(
            float(abs(mpmath.mpf(float(value)) - exact) * mpmath.mpf(2) ** (digits - 1 - binade))
        )
    return np.array(errors)


# ---- words to values -----------------------------------------------------------------------------


def value_words(key: int, first: int, count: int, dtype: str, id: int = 0) -> list[int]:
    """The word (float64: two words, the low half first) of values first .. first + count."""
    if dtype == "float64":
        return [int(w) for w in words(key, 2 * first, 2 * count, id).astype("<u4").view("<u8")]
    return [int(w) for w in words(key, first, count, id)]


def unit(word: int, dtype: str) -> Fraction:
    """[0, 1): the upper 24 (float64: 53) bits."""
    digits, bits = (53, 64) if dtype == "float64" else (24, 32)
    return Fraction(word >> (bits - digits), 2**digits)


def uniform_value(word: int, low: float, high: float, dtype: str) -> Fraction:
    """low + u (high - low), kept below high as the dtype has it, unless that would be below low."""
    compute = compute_type(dtype)
    width = nearest(Fraction(high - low), compute)
    value = fma(unit(word, dtype), width, nearest(Fraction(low), compute), compute)
    largest = below(nearest(Fraction(high), dtype), dtype)
    return min(nearest(value, dtype), max(largest, nearest(Fraction(low), dtype)))


def uniform(
    key: int, first: int, count: int, dtype: str, low: float = 0.0, high: float = 1.0
) -> list[float]:
    """Uniform values, exact."""
    drawn = value_words(key, first, count, dtype)
    return [float(uniform_value(word, low, high, dtype)) for word in drawn]


def normal_pair(radius_word: int, angle_word: int, dtype: str) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Box & Muller 1958 on two words; the roundings of the two integers are part of the recipe."""
    compute = compute_type(dtype)
    bits = 64 if compute == "float64" else 32
    low_bits = Fraction(2 * (angle_word & 255) + 1, 512)
    u = nearest(nearest(Fraction(radius_word), compute) + low_bits, compute)
    radius = mpmath.sqrt(-2 * mpmath.log(_real(u) / mpmath.mpf(2) ** bits))
    quarter = (angle_word << 2 | 2) % 2**bits
    quarter -= 2**bits if quarter >= 2 ** (bits - 1) else 0
    angle = _real(nearest(Fraction(quarter), compute)) / mpmath.mpf(2) ** bits * mpmath.pi / 2
    cosine, sine = mpmath.cos(angle), mpmath.sin(abs(angle))
    if angle_word >> (bits - 2) & 1:
        cosine, sine = sine, cosine
    if angle_word >> (bits - 1):
        cosine = -cosine
    return radius * cosine, radius * (-sine if angle < 0 else sine)


def normal(key: int, first: int, count: int, dtype: str, id: int = 0) -> list[mpmath.mpf]:
    """Standard normal values; value j and j + half a tile are the pair."""
    tile = 16 if dtype == "float64" else 32
    begin, end = first // tile, -(-(first + count) // tile)
    drawn = value_words(key, begin * tile, (end - begin) * tile, dtype, id)
    values: list[mpmath.mpf] = []
    for at in range(0, len(drawn), tile):
        half = tile // 2
        pairs = [normal_pair(drawn[at + j], drawn[at + half + j], dtype) for j in range(half)]
        values += [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    return values[first - begin * tile :][:count]


def upper_tail(z: mpmath.mpf) -> mpmath.mpf:
    """P(Z > z)."""
    return mpmath.erfc(z / mpmath.sqrt(2)) / 2


def upper_quantile(probability: mpmath.mpf) -> mpmath.mpf:
    """z with P(Z > z) = probability, by Newton's method on the logarithm of the tail."""
    if probability > 0.5:
        return -upper_quantile(1 - probability)
    log_probability = mpmath.log(probability)
    z = mpmath.sqrt(-2 * log_probability)
    if probability > 1e-300:
        z = mpmath.mpf(-NormalDist().inv_cdf(float(probability)))
    for _ in range(40):
        tail = upper_tail(z)
        step = (mpmath.log(tail) - log_probability) * tail / mpmath.npdf(z)
        z += step
        if abs(step) < mpmath.mpf(10) ** -18 * (
            1 + abs(z)
        ):  # converges quadratically: exact to 1e-36
            return z
    raise ArithmeticError(f"no quantile of {probability}")


def _above_zero(word: int, dtype: str) -> Fraction:
    """(word + 1/2) / 2^32 or 2^64, the word rounded before and after the half is added."""
    compute, bits = compute_type(dtype), 64 if dtype == "float64" else 32
    return nearest(nearest(Fraction(word), compute) + Fraction(1, 2), compute) / 2**bits


def _real(x: Fraction | float) -> mpmath.mpf:
    x = Fraction(x)
    return mpmath.mpf(x.numerator) / x.denominator


def _constants(shape: Sequence[float], count: int, compute: str) -> list[Fraction]:
    return [nearest(Fraction(constant), compute) for constant in shape[:count]]


def two_sigma_value(word: int, shape: Sequence[float], dtype: str) -> mpmath.mpf:
    """The quantile of 1/2 + middle + t half_width, t an odd integer over 2^31 or 2^63."""
    compute, bits = compute_type(dtype), 64 if dtype == "float64" else 32
    middle, half_width = _constants(shape, 2, compute)
    odd = (word | 1) - (2**bits if word >> (bits - 1) else 0)
    t = nearest(Fraction(odd), compute) / 2 ** (bits - 1)
    v = fma(t, half_width, middle, compute)
    return -upper_quantile(mpmath.mpf(1) / 2 + _real(v))


def truncated_value(word: int, shape: Sequence[float], dtype: str) -> mpmath.mpf:
    """The quantile of the smaller of the two tails left and right of the value."""
    compute, bits = compute_type(dtype), 64 if dtype == "float64" else 32
    under, over, mass = _constants(shape, 3, compute)
    lower = fma(_above_zero(word, dtype), mass, under, compute)
    upper = fma(_above_zero(2**bits - 1 - word, dtype), mass, over, compute)
    return -upper_quantile(_real(lower)) if lower < upper else upper_quantile(_real(upper))


def far_value(word: int, shape: Sequence[float], dtype: str) -> mpmath.mpf:
    """The quantile whose tail is x times the tail beyond the near bound."""
    compute, bits = compute_type(dtype), 64 if dtype == "float64" else 32
    near, _, ratio, rest, sign = _constants(shape, 5, compute)
    flipped = 2**bits - 1 - word if sign > 0 else word
    x = fma(_above_zero(flipped, dtype), rest, ratio, compute)
    return _real(sign) * upper_quantile(_real(x) * upper_tail(_real(near)))


TRUNCATED = {
    "truncated_two_sigma": two_sigma_value,
    "truncated": truncated_value,
    "truncated_far": far_value,
}


def exponential_value(word: int, dtype: str) -> mpmath.mpf:
    """-log of a number in (0, 1]."""
    return -mpmath.log(_real(_above_zero(word, dtype)))


def laplace_value(word: int, dtype: str) -> mpmath.mpf:
    """The sign is the highest bit, the magnitude comes from the others."""
    bits = 64 if dtype == "float64" else 32
    magnitude = exponential_value((word << 1 | 1) % 2**bits, dtype)
    return -magnitude if word >> (bits - 1) else magnitude


def as_float(x: object) -> np.ndarray:
    """Any real array as float64; exact."""
    return np.asarray(x).astype(np.float64)
