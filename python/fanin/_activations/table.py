"""The table of the built-in activations."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from fanin import _core

#: Other names of built-in activations.
ALIASES = {
    "identity": "linear",
    "prelu": "leaky_relu",
    "CReLU": "crelu",
    "relu^2": "squared_relu",
    "swish": "silu",
}


@dataclass(frozen=True)
class ActivationRow:
    """What is known of a built-in activation."""

    name: str
    formula: str
    source: str
    parameters: dict[str, float]
    parity: int
    kinks: tuple[float, ...]
    degree: int


class ActivationTable(dict[str, ActivationRow]):
    """Activations by name; prints as a table of name, formula and source."""

    def __repr__(self) -> str:
        lines = []
        for row in self.values():
            own = ", ".join(f"{name}={value:g}" for name, value in row.parameters.items())
            title = f"{row.name}({own})" if own else row.name
            source = f"   [{row.source}]" if row.source else ""
            lines.append(f"{title:<28} {row.formula}{source}")
        return "\n".join(lines)


@functools.cache
def rows() -> ActivationTable:
    made = ActivationTable()
    for entry in _core.activation_rows():
        made[entry["name"]] = ActivationRow(**{**entry, "kinks": tuple(entry["kinks"])})
    return made


def activations() -> ActivationTable:
    """All built-in activations with their formulas.

    Returns
    -------
    ActivationTable
        A new dict from name to row; a row has ``name``, ``formula``, ``source``, ``parameters``
        (names and standard values), ``parity`` (1 even, -1 odd, 0 neither), ``kinks`` and
        ``degree`` (of a positively homogeneous activation, else 0). It prints as a table.

    Examples
    --------
    >>> import fanin
    >>> fanin.activations()["silu"].formula
    'x / (1 + exp(-beta x))'
    >>> fanin.activations()["leaky_relu"].parameters
    {'negative_slope': 0.01}
    """
    return ActivationTable(rows())
