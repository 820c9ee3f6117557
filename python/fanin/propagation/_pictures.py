"""Pictures, by matplotlib (the extra ``plot``), imported when one is asked for."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fanin._types import Floats


class Curves(Protocol):
    """What a picture shows of a network, layer by layer: a Profile has it."""

    @property
    def q(self) -> Floats: ...
    @property
    def grad(self) -> Floats: ...
    @property
    def one_minus_c(self) -> Floats: ...
    @property
    def q_low(self) -> Floats: ...
    @property
    def q_high(self) -> Floats: ...
    @property
    def grad_low(self) -> Floats: ...
    @property
    def grad_high(self) -> Floats: ...
    def last_map(self, lane: tuple[int, ...]) -> tuple[int, Floats] | None: ...


class Means(Protocol):
    """Means over networks and their standard errors: a Simulation has them."""

    @property
    def q(self) -> Floats: ...
    @property
    def q_se(self) -> Floats: ...
    @property
    def grad(self) -> Floats: ...
    @property
    def grad_se(self) -> Floats: ...
    @property
    def c(self) -> Floats: ...
    @property
    def c_se(self) -> Floats: ...


__all__ = ["plot_phase_diagram", "plot_profile"]

#: One hue for signals, one for gradients, one for correlations: dark enough on white, told apart by
#: readers of every kind of colour vision (Okabe & Ito 2008).
_SIGNAL, _GRADIENT, _APART = "#0072b2", "#d55e00", "#009e73"
#: |log10 chi| at which the colours of a phase diagram end.
_FULL_COLOUR = 0.3


def _axes(axes: Any, size: tuple[float, float]) -> Any:
    """The axes given, or those of a new figure that no global state knows."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pictures need the extra 'plot' (matplotlib is missing): pip install 'fanin[plot]'",
            name="matplotlib",
        ) from error
    if axes is not None:
        return axes
    return Figure(figsize=size, layout="constrained", dpi=120).subplots()


def plot_phase_diagram(
    diagram: Any,
    *,
    axes: Any = None,
    point: tuple[float, float] | None = None,
    title: str | None = None,
) -> Any:
    """Order and chaos over weight_var and bias_var, with the edge between them.

    Colour is chi, the factor of the gradient's variance a layer; the black line is chi = 1.

    Parameters
    ----------
    diagram : PhaseDiagram
    axes : matplotlib Axes, optional
        Where to draw; default: a new figure.
    point : (weight_var, bias_var), optional
        Marked: a network of one's own.
    title : str, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ModuleNotFoundError
        Without matplotlib.
    """
    ax = _axes(axes, (6.4, 4.2))  # which says what is missing without matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    x, y = np.asarray(diagram.weight_var), np.asarray(diagram.bias_var)
    chi = np.asarray(diagram.chi)
    if chi.shape != (x.size, y.size):
        x, y = x[:, 0], y[0]
    # A picture, not a result: NumPy's logarithm will do.
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log10(chi).T
    colours = LinearSegmentedColormap.from_list("phases", ["#2c6fae", "#f7f7f7", "#c4402d"])
    mesh = ax.pcolormesh(
        x, y, level, cmap=colours, vmin=-_FULL_COLOUR, vmax=_FULL_COLOUR, shading="gouraud"
    )
    if np.nanmin(level) < 0 < np.nanmax(level):
        ax.contour(x, y, level, levels=[0.0], colors="black", linewidths=2.2)
        ax.plot([], [], color="black", lw=2.2, label=r"edge of chaos, $\chi_1 = 1$")
    for wanted, word in (
        ("ordered", "ordered\ngradients vanish"),
        ("chaotic", "chaotic\ngradients explode"),
    ):
        inside = np.asarray(diagram.phase) == wanted
        if inside.mean() > 0.05:
            row, column = np.nonzero(inside)
            _label(ax, x, y, row, column, word)
    if point is not None:
        ax.plot(
            *point, marker="*", ms=14, mfc="#ffd21f", mec="black", ls="none", label="this network"
        )
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, extend="both")
    ticks = [0.5, 0.7, 1.0, 1.4, 2.0]
    bar.set_ticks(np.log10(ticks).tolist(), labels=[f"{t:g}" for t in ticks])
    bar.set_label(r"$\chi_1$, gradient variance per layer")
    ax.set_xlabel(r"weight variance $\sigma_w^2$ = fan_in · Var(W)")
    ax.set_ylabel(r"bias variance $\sigma_b^2$")
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    if title:
        ax.set_title(title)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="upper left", framealpha=0.9)
    return ax.figure


def _label(ax: Any, x: Any, y: Any, row: Any, column: Any, word: str) -> None:
    """A word in the middle of a phase."""
    ax.text(
        float(np.median(x[row])),
        float(np.median(y[column])),
        word,
        ha="center",
        va="center",
        fontsize=11,
        color="black",
    )


def plot_profile(
    profile: Curves,
    lane: tuple[int, ...] = (),
    *,
    axes: Any = None,
    simulation: Means | None = None,
    title: str | None = None,
) -> Any:
    """Variance of signals and gradients, and the distance of two inputs, along the layers.

    Parameters
    ----------
    profile : Profile
    lane : tuple of int
        Which one, where the profile has axes before the layers.
    axes : matplotlib Axes, optional
        Where to draw; default: a new figure.
    simulation : Simulation, optional
        Means over networks of finite width with two standard errors.
    title : str, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ModuleNotFoundError
        Without matplotlib.

    Notes
    -----
    Where positions differ, bands reach from the least to the largest, and a new figure has the q of
    the last image of one or two sides as a small map beside the curves.
    """
    mapped = profile.last_map(lane) if axes is None else None
    if mapped is not None and mapped[1].ndim <= 2:
        figure = _axes(None, (8.4, 4.0)).figure
        figure.clear()
        ax, place = figure.subplots(1, 2, width_ratios=(3.4, 1.0))
        _heat_map(place, *mapped)
    else:
        ax = _axes(axes, (6.4, 4.0))
    layers = np.arange(profile.q.shape[-1])
    curves = [
        ("q", _SIGNAL, "signal variance $q$", "-"),
        ("grad", _GRADIENT, "gradient variance, 1 at the end", "--"),
        ("one_minus_c", _APART, "distance of two inputs, $1 - c$", "-."),
    ]
    for name, colour, label, dash in curves:
        values = getattr(profile, name)[lane]
        if np.isfinite(values).any():
            ax.plot(layers, values, dash, color=colour, lw=2, label=label)
    for low, high, colour in (("q_low", "q_high", _SIGNAL), ("grad_low", "grad_high", _GRADIENT)):
        ends = getattr(profile, low)[lane], getattr(profile, high)[lane]
        if (ends[0] != ends[1]).any():
            ax.fill_between(layers, *ends, color=colour, alpha=0.18, lw=0)
    if simulation is not None:
        _points(ax, layers, simulation)
    ax.set_yscale("log")
    _tame_limits(ax)
    ax.set_xlabel("layer")
    ax.set_ylabel("variance (logarithmic)")
    ax.set_xlim(0, max(layers[-1], 1))
    ax.grid(alpha=0.3)
    ax.legend(framealpha=0.9)
    if title:
        ax.set_title(title)
    return ax.figure


def _heat_map(ax: Any, entry: int, image: Floats) -> None:
    """q over the positions of one entry; darker is more."""
    from matplotlib.colors import LinearSegmentedColormap

    grid = image.reshape(1, -1) if image.ndim == 1 else image
    colours = LinearSegmentedColormap.from_list("signal", ["#f2f7fb", _SIGNAL, "#002b49"])
    mesh = ax.imshow(grid, cmap=colours, vmin=0.0, vmax=float(grid.max()) or 1.0)
    ax.set(xticks=[], yticks=[])
    sides = " x ".join(map(str, image.shape))
    ax.set_title(f"$q$ by position,\nlayer {entry}, {sides}", fontsize=9)
    bar = ax.figure.colorbar(mesh, ax=ax, orientation="horizontal", fraction=0.08, pad=0.06)
    bar.ax.tick_params(labelsize=8)


def _points(ax: Any, layers: Any, simulation: Means) -> None:
    every = max(1, len(layers) // 25)
    pairs = [
        (simulation.q, simulation.q_se, _SIGNAL),
        (simulation.grad, simulation.grad_se, _GRADIENT),
        (1 - simulation.c, simulation.c_se, _APART),
    ]
    for mean, error, colour in pairs:
        if np.isfinite(mean).any():
            at = slice(None, None, every)
            ax.errorbar(
                layers[at], mean[at], 2 * error[at], fmt="o", ms=3.5, color=colour, capsize=2, lw=1
            )
    ax.errorbar(
        [],
        [],
        [],
        fmt="o",
        ms=3.5,
        color="0.3",
        capsize=2,
        lw=1,
        label="simulated, ±2 standard errors",
    )


def _tame_limits(ax: Any) -> None:
    """A flat line at 1 deserves more than a sliver of the axis, a zero must not stretch it."""
    low, high = ax.get_ylim()
    ax.set_ylim(max(min(low, 0.1), 1e-30), max(high, 10.0))
