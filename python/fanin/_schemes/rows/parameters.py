"""Parameters that several rows share, and the shape of their examples."""

from __future__ import annotations

from typing import Any

from fanin._checks import as_integer
from fanin._hints import short
from fanin._modes import MODE_ALIASES, MODES
from fanin._schemes.accepts import COUNT, NON_NEGATIVE, Accepts, Parameter, one_of

DENSE = {"shape": (256, 128)}
_MODES = one_of(*MODES, *MODE_ALIASES)
_DISTRIBUTIONS = one_of("truncated_normal", "normal", "untruncated_normal", "uniform")
SCALING = (
    Parameter("scale", NON_NEGATIVE, "Variance factor: fan * Var(w).", 1.0),
    Parameter(
        "mode",
        _MODES,
        "The fan: inputs, outputs, their arithmetic or their geometric mean "
        '("fan_geo" = "fan_geo_avg").',
        "fan_in",
    ),
    Parameter(
        "distribution",
        _DISTRIBUTIONS,
        '"truncated_normal" is cut at two sigma and widened to the std; "normal" = '
        '"untruncated_normal"; "uniform" is U(+-sqrt(3 * scale / fan)).',
        "truncated_normal",
    ),
)


STD = Parameter("std", NON_NEGATIVE, "Standard deviation before any correction for depth.", 0.02)
LAYERS = Parameter("n_layers", COUNT, "Blocks of the model.")


def _gates(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {short(value)}")
    if not {"i", "f"} <= set(value) or len(set(value)) != len(value):
        raise ValueError(
            f'{name} {short(value)} must name each gate once, among them "i" and "f", as in "ifgo"'
        )
    return value


GATES = Parameter(
    "gates",
    Accepts('str of one letter per gate, with "i" and "f"', _gates),
    'The gates in the order of the last axis: "ifgo" is that of torch and Keras.',
    "ifgo",
)


def _read_axes(name: str, value: Any) -> tuple[int, ...]:
    entries = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(as_integer(entry, name) for entry in entries)


BATCH_AXES = Parameter(
    "batch_axes",
    Accepts("int or sequence of int", _read_axes),
    "Axes that number independent matrices; short for those of a Layout.",
    (),
)
