"""Functions given by the user as activations: their derivatives and kinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fanin._hints import closest, short
from fanin._types import Floats

# Finite differences over nine points, exact for polynomials of degree 8 (Fornberg 1988), as the
# numerators over a common denominator: first and second derivative, central and forward.
_CENTRAL = np.arange(-4, 5)
_CENTRAL_FIRST = np.array([3, -32, 168, -672, 0, 672, -168, 32, -3]) / 840
_CENTRAL_SECOND = np.array([-9, 128, -1008, 8064, -14350, 8064, -1008, 128, -9]) / 5040
_FORWARD = np.arange(9)
_FORWARD_FIRST = np.array([-2283, 6720, -11760, 15680, -14700, 9408, -3920, 960, -105]) / 840
_FORWARD_SECOND = (
    np.array([29531, -138528, 312984, -448672, 435330, -284256, 120008, -29664, 3267]) / 5040
)
#: Unit of rounding of float64.
UNIT_OF_FLOAT64 = 2.0**-52


#: Elements that a framework's function is asked for, at least.
_LEAST_ASKED = 2048


def _step(eps: float) -> float:
    """Step of the differences in units: truncation h^8 and rounding eps / h are alike.

    1/64 for float64 (1e-14 both), 1/8 for float32."""
    step = 0.5
    while step**9 > eps:
        step /= 2
    return step


def values_and_slopes(
    call: Callable[..., Any],
    derivative: Callable[..., Any] | None,
    kinks: Sequence[float],
    unit: float,
    eps: float,
) -> Callable[[Floats, bool], Floats]:
    """A function that returns phi, phi' and, if wanted, phi'' as three rows.

    eps is the unit of rounding of the values."""
    step = _step(eps) * unit

    def differences(of: Callable[..., Any], x: Floats, order: int) -> Floats:
        """Derivatives of `of`; near a kink from the side on which x lies."""
        nearest = np.full_like(x, np.inf)
        for kink in kinks:
            offset = x - kink
            nearest = np.where(np.abs(offset) < np.abs(nearest), offset, nearest)
        # Far out functions change over their distance.
        h = np.maximum(step, np.abs(x) * step * (1.0 if eps <= UNIT_OF_FLOAT64 else 0.25))
        near = np.abs(nearest) <= 4 * h
        side = np.where(nearest >= 0, 1.0, -1.0)
        result = np.empty_like(x)
        for chosen, offsets, weights, direction in (
            (~near, _CENTRAL, (_CENTRAL_FIRST, _CENTRAL_SECOND), np.ones_like(x)),
            (near, _FORWARD, (_FORWARD_FIRST, _FORWARD_SECOND), side),
        ):
            if chosen.any():
                at, along, width = x[chosen], direction[chosen], h[chosen]
                points = at + (along * width) * offsets[:, None]
                values = evaluated(of, points.reshape(-1)).reshape(points.shape)
                total = (weights[order - 1][:, None] * values).sum(axis=0)
                result[chosen] = total / (along * width if order == 1 else width * width)
        return result

    def rows(x: Floats, curved: bool) -> Floats:
        with np.errstate(all="ignore"):
            result = np.zeros((3, x.size))
            result[0] = evaluated(call, x)
            if derivative is None:
                result[1] = differences(call, x, 1)
            else:
                result[1] = evaluated(derivative, x)
            if curved:
                by_slope = derivative is not None
                result[2] = differences(derivative or call, x, 1 if by_slope else 2)
            return result

    return rows


def evaluated(call: Callable[..., Any], x: Floats) -> Floats:
    """call(x) as float64, with a check of its shape."""
    values = np.asarray(call(x), dtype=np.float64)
    if values.shape != x.shape:
        raise ValueError(
            f"an activation returns one value for each element: got shape {values.shape} for "
            f"{x.shape}"
        )
    return values


def asked_in_few_sizes(call: Callable[..., Any]) -> Callable[[Floats], Any]:
    """The same function for arrays of one axis, asked for powers of two of elements only: a
    framework's function is compiled anew for every shape."""

    def asked(x: Floats) -> Any:
        size = max(_LEAST_ASKED, 1 << max(x.size - 1, 0).bit_length())
        padded = np.concatenate([x, np.full(size - x.size, x[-1:].sum())])
        values = np.asarray(call(padded))
        return values[: x.size] if values.shape == padded.shape else values

    return asked


def check_function(call: Callable[..., Any], known: Mapping[str, Any]) -> tuple[float, bool]:
    """The unit of rounding of what a function of arrays returns, and whether that is NumPy's.

    TypeError for one of tensors or of single numbers, for a class. `known` are the rows of the
    built-in activations, for the name of the one that was meant.
    """
    try:
        returned = call(np.array([-0.5, 0.25, 0.5, 0.75]))
        values = np.asarray(returned)
        values.astype(np.float64)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        what = f"{short(call)} is no function of NumPy arrays ({type(error).__name__}: {reason})"
        raise TypeError(f"{what}; {_instead(call, known)}") from error
    return _unit_of_rounding(values.dtype), isinstance(returned, np.ndarray)


def _unit_of_rounding(dtype: np.dtype[Any]) -> float:
    """2^-23 for float32, likewise for every shorter type that NumPy knows of; else float64's."""
    if dtype.kind in "biuO" or dtype.itemsize >= 8:
        return UNIT_OF_FLOAT64
    unit, one = 1.0, dtype.type(1)
    while dtype.type(1 + unit / 2) != one:
        unit /= 2
    return unit


def _instead(call: Callable[..., Any], known: Mapping[str, Any]) -> str:
    """What to give for a function or module of another library."""
    name = getattr(call, "__name__", type(call).__name__)
    name = closest(name, known) or name
    if name == "gelu" and getattr(call, "approximate", "none") == "tanh":
        name = "gelu_tanh"
    if name not in known:
        return (
            "write it with NumPy's functions (np.maximum, not max), or wrap it, as in "
            "lambda x: f(torch.from_numpy(x)).numpy()"
        )
    own = [(key, getattr(call, key, None)) for key in known[name].parameters]
    given = "".join(f", {key}={value!r}" for key, value in own if isinstance(value, int | float))
    return (
        f'fanin has it by name: fanin.Activation("{name}"{given})'
        if given
        else (f'fanin has it by name: "{name}"')
    )


def find_kinks(call: Callable[..., Any], eps: float) -> list[float]:
    """Where phi or phi' jumps in [-16, 16].

    On a grid of step h the second difference of a smooth function is h^2 phi'', at a jump of
    phi' it is h times the jump. Intervals that stand out are halved towards the larger second
    difference; a jump is one that still stands out at the end. eps is the unit of rounding of the
    values: what it makes of them stands out too, and is none.
    """
    h = 1 / 32
    # off the round numbers where kinks like to be
    grid: Floats = np.arange(-512.0, 513.0) * h + h / 3
    with np.errstate(all="ignore"):
        second = np.abs(_second_difference(call, grid, h))
        smooth = np.abs(_second_difference(call, grid, h / 4))
        noise = _noise(evaluated(call, grid), grid, eps)
        # a quarter of the step: 16 times smaller where smooth, 4 times or less at a jump
        stands_out = (smooth > second / 10 + noise) | (second > 64 * np.median(second))
        candidates = grid[(second > np.maximum(1e-9, 4 * noise)) & stands_out]
        found: list[float] = []
        for start in candidates:
            kink = _narrowed(call, float(start), h, eps)
            if kink is not None and all(abs(kink - other) > _apart(eps) for other in found):
                found.append(kink)
    return found


def _noise(values: Floats, x: Floats, eps: float) -> Floats:
    """What the rounding of x and of values, the step of the former taken as 1, can make of a
    second difference."""
    return np.asarray(4 * eps * (np.abs(values) + np.abs(x)))


def _finest(eps: float) -> float:
    """The step at which differences of rounded values still show a jump: of 1e-6, float32: 1e-2."""
    return 2.0**-24 if eps <= UNIT_OF_FLOAT64 else 2.0**-10


def _apart(eps: float) -> float:
    return 1e-6 if eps <= UNIT_OF_FLOAT64 else 2.0**-6


def _second_difference(call: Callable[..., Any], x: Floats, h: float) -> Floats:
    return evaluated(call, x - h) - 2 * evaluated(call, x) + evaluated(call, x + h)


def _narrowed(call: Callable[..., Any], middle: float, h: float, eps: float) -> float | None:
    """The jump within h of `middle`, or None if the function is smooth there."""
    first = None
    while h > _finest(eps):
        centres = middle + np.array([-0.5, 0.0, 0.5]) * h
        sizes = np.abs(_second_difference(call, centres, h / 2))
        best = int(sizes.argmax())
        if first is None:
            first = float(sizes[best]) / h
        middle, h = float(centres[best]), h / 2
        last = float(sizes[best]) / (2 * h)
    assert first is not None
    noise = _noise(evaluated(call, np.array([middle])), np.array([middle]), eps)
    least = max(1e-6, 8 * float(noise[0]) / h) if eps > UNIT_OF_FLOAT64 else 1e-6
    if not last > 0.25 * first or last < least:
        return None
    return _polished(call, middle, h, eps)


def _polished(call: Callable[..., Any], middle: float, h: float, eps: float) -> float:
    """Where the straight lines of the two sides meet; the middle if the value itself jumps."""
    reach, round_numbers = (2.0**-12, 4096) if eps <= UNIT_OF_FLOAT64 else (2.0**-6, 64)
    x = np.array([middle - 2 * reach, middle - reach, middle + reach, middle + 2 * reach])
    a, b, c, d = evaluated(call, x)
    left, right = (b - a) / reach, (d - c) / reach
    nearest = round(middle * round_numbers) / round_numbers
    if left == right or abs(c - b) > 8 * reach * (abs(left) + abs(right)):
        return nearest if reach > 2.0**-12 and abs(nearest - middle) <= h else middle
    meeting = (c - b + left * x[1] - right * x[2]) / (left - right)
    nearest = round(meeting * round_numbers) / round_numbers
    if abs(meeting - middle) > 4 * h + reach**2:
        return middle
    return nearest if abs(nearest - meeting) < 4 * reach**2 else float(meeting)
