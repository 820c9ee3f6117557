"""The modes of a fan: which number divides a variance."""

from __future__ import annotations

import math

from fanin._hints import short

MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo")
#: Other names.
MODE_ALIASES = {"fan_geo_avg": "fan_geo"}


def as_mode(mode: str) -> str:
    """The mode without its alias."""
    mode = MODE_ALIASES.get(mode, mode) if isinstance(mode, str) else mode
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(map(repr, MODES))}, got {short(mode)}")
    return mode


def divisor(mode: str, fan_in: float, fan_out: float) -> float:
    """The number that `mode` names: inputs, outputs, their arithmetic or geometric mean."""
    if mode == "fan_in":
        return fan_in
    if mode == "fan_out":
        return fan_out
    if mode == "fan_avg":
        return (fan_in + fan_out) / 2
    return math.sqrt(fan_in * fan_out)
