"""The record of a propagation: one entry per layer, shown as a table, as JSON, as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fanin._hints import short
from fanin._public import public
from fanin._types import Floats

Field = Floats | Callable[[], Floats]

__all__ = ["Profile"]

COLUMNS = ("q", "c", "one_minus_c", "chi", "grad", "weight_grad", "saturated", "dead")
#: Shown where positions differ.
EXTREMES = ("q_low", "q_high", "grad_low", "grad_high")
FIELDS = (*COLUMNS[:6], "mean", "second", *COLUMNS[6:], *EXTREMES, "weight_grads")


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
        same unit; NaN for a layer without weights, for a residual its branch's last layer with
        weights. A weight that all pixels of an image share has the sum over its outputs, which
        share gradients in front of a pool.
    weight_grads : array
        The same for every layer with weights, those inside residuals too, in their order: its
        last axis has an entry for each of them.
    mean, second : array
        E phi(u) and E phi(u)^2 of what follows entry l; NaN where no activation follows.
    saturated : array
        P(|u| > 3).
    dead : array
        P(phi'(u) = 0), over the activation that follows.
    q_low, q_high, grad_low, grad_high : array
        Least and largest over the positions of an image; q and grad are the means, and c the mean
        product over the mean square.
    layers : tuple of str
        Names of the entries.
    hints : tuple of str
        What finite width changes where it matters, if widths were given; `table` ends in it.
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
    weight_grads: Floats
    q_low: Floats
    q_high: Floats
    grad_low: Floats
    grad_high: Floats
    layers: tuple[str, ...]

    def __init__(
        self,
        fields: Mapping[str, Field],
        layers: tuple[str, ...],
        maps: Mapping[str, Sequence[Any]] | None = None,
        hints: tuple[str, ...] | Callable[[], tuple[str, ...]] = (),
    ) -> None:
        vars(self).update(_fields=dict(fields), layers=layers, _maps=dict(maps or {}), _hints=hints)

    @property
    def hints(self) -> tuple[str, ...]:
        found = vars(self)["_hints"]
        if callable(found):
            found = vars(self)["_hints"] = found()
        return tuple(found)

    def __getattr__(self, name: str) -> Floats:
        # Long profiles of many lanes are large, so that a field is made when it is asked for.
        if name not in FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        fields = vars(self)["_fields"]
        # Without positions the extremes are the value.
        field = fields[name] if name in fields else getattr(self, name.partition("_")[0])
        value: Floats = field() if callable(field) else field
        value.flags.writeable = False
        vars(self)[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Profile is a record; {name!r} cannot be set")

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in FIELDS}
        return Profile, (fields, self.layers, vars(self)["_maps"], self.hints)

    def __repr__(self) -> str:
        return f"<Profile of {len(self.layers) - 1} layers, shape {self.q.shape}>"

    def position_map(self, layer: int, name: str = "q") -> Floats:
        """q or grad at every position of the image at one entry.

        Parameters
        ----------
        layer : int
            Which entry; a negative one counts from the end.
        name : {"q", "grad"}

        Returns
        -------
        array of the shape of the lanes and the image

        Raises
        ------
        ValueError
            For another name, and for a network whose positions are all alike.

        Examples
        --------
        >>> from fanin import propagation as p
        >>> net = p.Network([p.Conv(8, 3, padding="zero")], width=8, image=(3, 3))
        >>> (net.propagate().position_map(-1) * 9).round(9).tolist()  # taps inside
        [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]
        """
        if name not in ("q", "grad"):
            raise ValueError(f"there are maps of 'q' and 'grad', got {short(name)}")
        maps = vars(self)["_maps"]
        if not maps:
            raise ValueError(
                "all positions of this network are alike: maps belong to zero padding on an image"
            )
        image = maps["image"][layer] or ()
        return np.array(np.broadcast_to(maps[name][layer], (*self.q.shape[:-1], *image)))

    def last_map(self, lane: tuple[int, ...] = ()) -> tuple[int, Floats] | None:
        """The last entry whose q differs between pixels, and its q at each of them.

        Parameters
        ----------
        lane : tuple of int
            Which one, where the arguments had axes.

        Returns
        -------
        (int, array of the image's shape), or None if there is none

        Examples
        --------
        >>> from fanin import propagation as p
        >>> net = p.Network([p.Conv(8, 3, padding="zero"), "relu"], width=8, image=(3, 3))
        >>> entry, q = net.propagate().last_map()
        >>> entry, (q[1] * 9).round(9).tolist()
        (2, [3.0, 4.5, 3.0])
        """
        for entry in reversed(range(len(vars(self)["_maps"].get("q", ())))):
            found = self.position_map(entry)[lane]
            if found.size > 1 and found.min() != found.max():
                return entry, found
        return None

    def _check_lane(self, lane: tuple[int, ...]) -> None:
        if not isinstance(lane, tuple):
            raise TypeError(
                f"lane is a tuple of indices, as in plot((0,)), got {short(lane)}; a picture goes "
                'to a file by plot().savefig("x.png")'
            )
        if len(lane) != self.q.ndim - 1:
            raise ValueError(
                f"this profile has {self.q.ndim - 1} axes before the layers, shape {self.q.shape}: "
                f"name one lane by as many indices, as in plot((0,)), got {short(lane)}"
            )

    def _lane(self, lane: tuple[int, ...]) -> dict[str, list[float]]:
        self._check_lane(lane)
        return {name: getattr(self, name)[lane].tolist() for name in FIELDS}

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
        shown += EXTREMES if vars(self)["_maps"] else ()
        rows = [["layer", *shown]]
        names = self.layers
        for i, name in enumerate(names):
            rows.append([name, *(figures(fields[n][i]) for n in shown)])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = (
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )
        return "\n".join([*lines, *self.hints])

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
            fields = {name: getattr(self, name).tolist() for name in FIELDS}
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
        TypeError, ValueError
            For a lane that is none: a file's name, another number of indices than there are axes.
        ModuleNotFoundError
            Without matplotlib (the extra ``plot``).
        """
        from ._pictures import plot_profile

        self._check_lane(lane)
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
