"""The record of a propagation: one entry per layer, shown as a table, as JSON, as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fanin._public import public
from fanin._types import Floats

if TYPE_CHECKING:
    pass

Field = Floats | Callable[[], Floats]

__all__ = ["Profile"]

COLUMNS = ("q", "c", "one_minus_c", "chi", "grad", "weight_grad", "saturated", "dead")
_FIELDS = (*COLUMNS[:6], "mean", "second", *COLUMNS[6:])


@public("fanin.propagation")
class Profile:
    """Signals and gradients of a network at initialisation, layer by layer.

    Every field is a float64 array whose last axis has one entry per layer and one more: index 0
    is what was given (the pre-activation of layer 1), index l what l further layers make of it.

    Attributes
    ----------
    q : array
        Variance (second moment) of a unit.
    c, one_minus_c : array
        Correlation of two inputs' units, and its distance from one without cancellation; NaN
        without a c0.
    chi : array
        Factor of the gradient variance through the layer that follows entry l; in a Network the
        last entry, which nothing follows, is NaN.
    grad : array
        Variance of the loss's gradient with respect to one unit, over the one at the last entry.
    weight_grad : array
        Variance of the gradient with respect to one weight of the layer that made entry l, in the
        same unit; NaN for a layer without weights.
    mean, second : array
        E phi(u) and E phi(u)^2 of what follows entry l; NaN where no activation follows.
    saturated : array
        P(|u| > 3).
    dead : array
        P(phi'(u) = 0), over the activation that follows.
    layers : tuple of str
        Names of the entries.
    """

    q: Floats
    c: Floats
    one_minus_c: Floats
    chi: Floats
    grad: Floats
    weight_grad: Floats
    mean: Floats
    second: Floats
    saturated: Floats
    dead: Floats
    layers: tuple[str, ...]

    def __init__(self, fields: Mapping[str, Field], layers: tuple[str, ...]) -> None:
        vars(self).update(_fields=dict(fields), layers=layers)

    def __getattr__(self, name: str) -> Floats:
        # Long profiles of many lanes are large, so that a field is made when it is asked for.
        if name not in _FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        field = vars(self)["_fields"][name]
        value: Floats = field() if callable(field) else field
        value.flags.writeable = False
        vars(self)[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Profile is a record; {name!r} cannot be set")

    def __repr__(self) -> str:
        return f"<Profile of {len(self.layers) - 1} layers, shape {self.q.shape}>"

    def _lane(self, lane: tuple[int, ...]) -> dict[str, list[float]]:
        if len(lane) != self.q.ndim - 1:
            raise ValueError(
                f"this profile has {self.q.ndim - 1} axes before the layers, shape {self.q.shape}: "
                f"name one lane by as many indices, got {lane!r}"
            )
        return {name: getattr(self, name)[lane].tolist() for name in _FIELDS}

    def table(self, lane: tuple[int, ...] = ()) -> str:
        """The profile of one lane as text, one line per layer.

        Parameters
        ----------
        lane : tuple of int
            Which one, where the arguments had axes.

        Returns
        -------
        str
            Columns without a value are left out.

        Raises
        ------
        ValueError
            For another number of indices than there are axes.

        Examples
        --------
        >>> from fanin import propagation as p
        >>> print(p.propagate("tanh", 2, weight_var=1.0).table())
        layer        q      chi     grad  weight_grad   saturated  dead
            0        1  0.46440  0.29561      0.29561   0.0026998     0
            1  0.39429  0.63654  0.63654      0.25099   1.7739e-6     0
            2  0.23645  0.72673        1      0.23645  6.8499e-10     0
        """
        fields = self._lane(lane)
        shown = [n for n in COLUMNS if not all(math.isnan(x) for x in fields[n])]
        rows = [["layer", *shown]]
        names = self.layers
        for i, name in enumerate(names):
            rows.append([name, *(figures(fields[n][i]) for n in shown)])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )

    def to_json(self, lane: tuple[int, ...] | None = None) -> str:
        """All fields as JSON; NaN becomes null.

        Parameters
        ----------
        lane : tuple of int, optional
            One lane only; default: the arrays as nested lists.

        Returns
        -------
        str

        Examples
        --------
        >>> import json
        >>> from fanin import propagation as p
        >>> text = p.propagate("relu", 3, weight_var=2.0).to_json()
        >>> json.loads(text)["q"]
        [1.0, 1.0, 1.0, 1.0]
        """
        if lane is None:
            fields = {name: getattr(self, name).tolist() for name in _FIELDS}
        else:
            fields = self._lane(lane)
        record = {"layers": list(self.layers), **{n: _finite(v) for n, v in fields.items()}}
        return json.dumps(record, allow_nan=False)

    def plot(self, lane: tuple[int, ...] = (), *, axes: Any = None, simulation: Any = None) -> Any:
        """A picture: q, 1 - c and the gradient along the layers, on a logarithmic axis.

        Parameters
        ----------
        lane : tuple of int
            Which one, where the arguments had axes.
        axes : matplotlib Axes, optional
            Where to draw; default: a new figure.
        simulation : Simulation, optional
            Drawn over it: means with two standard errors.

        Returns
        -------
        matplotlib Figure

        Raises
        ------
        ModuleNotFoundError
            Without matplotlib (the extra ``plot``).
        """
        from ._pictures import plot_profile

        return plot_profile(self, lane, axes=axes, simulation=simulation)


def _finite(value: Any) -> Any:
    """Nested lists with None for every number that JSON has no word for."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value if math.isfinite(value) else None


def figures(value: float, digits: int = 5) -> str:
    """A number with so many significant digits, as short as it goes."""
    if math.isnan(value):
        return "-"
    if value == 0 or (abs(value) >= 1e-3 and abs(value) < 1e5):
        whole = f"{value:.{digits}g}"
        return whole if "." not in whole else f"{value:#.{digits}g}"
    figures, _, power = f"{value:.{digits - 1}e}".partition("e")
    return f"{figures.rstrip('0').rstrip('.')}e{int(power)}" if power else figures


