"""The commands `propagate`, `gain` and `phase`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

import fanin
from fanin._types import Floats
from fanin.propagation._profile import COLUMNS, Profile, figures

from . import _tables
from ._console import console, waiting
from ._pictures import PlotOption, draw

__all__ = ["register"]

_HEADINGS = {
    "q": "q",
    "c": "c",
    "one_minus_c": "1 - c",
    "chi": "chi",
    "grad": "gradient\nvariance",
    "weight_grad": "weight\ngradient",
    "saturated": "P(|u|>3)",
    "dead": "dead\nunits",
}
#: Lines of a table; longer profiles show some of their layers.
_MOST_LINES = 26
#: Significant digits, so that all columns fit a terminal of 80.
_DIGITS = 4

ActivationOption = Annotated[
    str,
    typer.Option("--activation", "-a", metavar="NAME", help="As `fanin gain --list` names them."),
]


def _check(low: float, high: float, what: str) -> Callable[[float | None], float | None]:
    """A callback that refuses what lies outside [low, high], NaN and infinities."""

    def check(value: float | None) -> float | None:
        if value is not None and not (low <= value <= high and math.isfinite(value)):
            raise typer.BadParameter(f"{value} is no {what}")
        return value

    return check


_variance = _check(0.0, math.inf, "variance: accepted is a finite number >= 0")
_correlation = _check(-1.0, 1.0, "correlation: accepted is -1 to 1")


def _known(name: str) -> fanin.Activation:
    try:
        return fanin.Activation(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def profile_table(profile: Profile) -> Table:
    """Every layer, or about 25 of them, evenly spaced."""
    fields = {name: getattr(profile, name) for name in COLUMNS}
    shown = [name for name, values in fields.items() if not np.isnan(values).all()]
    table = _tables.new_table(("layer", "right"), *((_HEADINGS[n], "right") for n in shown))
    count = len(profile.layers)
    step = -(-count // _MOST_LINES)
    lines = sorted({*range(0, count, step), count - 1})
    for i in lines:
        table.add_row(profile.layers[i], *(figures(float(fields[n][i]), _DIGITS) for n in shown))
    return table


def _variances(
    phi: fanin.Activation,
    depth: int,
    weight_var: float | None,
    bias_var: float | None,
    q0: float | None,
) -> tuple[float, float, float, list[str]]:
    """Variances of weights, biases and layer 1, given or recommended, and what to say of them."""
    notes: list[str] = []
    if weight_var is None:
        try:
            advice = fanin.recommend(phi, depth=depth, bias_var=bias_var)
        except ValueError as error:
            raise typer.BadParameter(f"{error}; give --weight-var") from None
        weight, bias = float(advice.weight_var), advice.bias_var
        start = float(advice.profile.q[0]) if q0 is None else q0
        notes = [*advice.reasons, *advice.warnings]
    else:
        weight, bias, start = weight_var, bias_var or 0.0, 1.0 if q0 is None else q0
    if not notes:
        found = fanin.diagnose.report(phi, depth, weight_var=weight, bias_var=bias, q0=start)
        notes = list(found.findings)
    return weight, bias, start, notes


def propagate(
    activation: ActivationOption,
    depth: Annotated[int, typer.Option("--depth", "-d", min=1, help="Number of layers.")] = 50,
    weight_var: Annotated[
        float | None,
        typer.Option(
            "--weight-var",
            metavar="FLOAT",
            callback=_variance,
            help="fan_in Var(W) (default: recommended).",
        ),
    ] = None,
    bias_var: Annotated[
        float | None,
        typer.Option("--bias-var", metavar="FLOAT", callback=_variance, help="Var(b)."),
    ] = None,
    q0: Annotated[
        float | None,
        typer.Option(
            "--q0", metavar="FLOAT", callback=_variance, help="Variance of layer 1's units."
        ),
    ] = None,
    c0: Annotated[
        float | None,
        typer.Option(
            "--c0", metavar="FLOAT", callback=_correlation, help="Correlation of two inputs there."
        ),
    ] = None,
    plot: PlotOption = None,
) -> None:
    """Show what becomes of signals and gradients in a deep dense network.

    Without --weight-var the recommended variances are taken, `fanin.recommend` gives the reasons.
    """
    phi, screen = _known(activation), console()
    with waiting(f"{activation}, {depth} layers"):
        weight, bias, start, notes = _variances(phi, depth, weight_var, bias_var, q0)
        profile = fanin.propagation.propagate(
            phi, depth, weight_var=weight, bias_var=bias, q0=start, c0=c0
        )
        title = f"{activation}, {depth} layers, weight_var {weight:.6g}, bias_var {bias:.6g}"
        if plot is not None:
            from fanin.propagation._pictures import plot_profile

            draw(lambda: plot_profile(profile, title=title), plot)
    screen.print(f"[bold]{escape(title)}[/]\n")
    screen.print(profile_table(profile))
    screen.print()
    for note in notes:
        screen.print(note, markup=False)
    if plot is not None:
        screen.print(f"picture: {plot}", markup=False)


def gain(
    activation: Annotated[str | None, typer.Argument(help="The activation.")] = None,
    q: Annotated[
        float,
        typer.Option(
            "--q", metavar="FLOAT", callback=_variance, help="Variance of the pre-activation."
        ),
    ] = 1.0,
    show_list: Annotated[bool, typer.Option("--list", help="All activations, and leave.")] = False,
) -> None:
    """Show the gains of an activation and the moments they come from."""
    screen = console()
    if show_list:
        table = _tables.new_table(("activation", "left"), ("formula", "left"), ("gain", "right"))
        for name, row in fanin.activations().items():
            table.add_row(f"[bold]{name}[/]", escape(row.formula), f"{fanin.gain(name):.8f}")
        screen.print(table)
        return
    if activation is None:
        raise typer.BadParameter("which activation? `fanin gain --list` names them all")
    phi = _known(activation)
    found = fanin.propagation.moments(q, phi)
    rows = [
        ("gain, forward", "1/sqrt(E phi^2)", fanin.gain(phi, q=q)),
        ("gain, backward", "1/sqrt(E phi'^2)", fanin.gain(phi, q=q, kind="backward")),
        ("gain, std", "1/std(phi)", fanin.gain(phi, q=q, kind="std")),
        ("mean", "E phi", float(found.mean)),
        ("second moment", "E phi^2", float(found.second)),
        ("slope", "E phi'^2", float(found.slope_second)),
    ]
    screen.print(f"[bold]{escape(phi.name)}[/]  {escape(phi.formula)}   at q = {q:g}\n")
    table = _tables.new_table(("", "left"), ("formula", "left"), ("value", "right"))
    for name, formula, value in rows:
        table.add_row(f"[bold]{name}[/]", formula, f"{value:.10g}")
    screen.print(table)


def _place(phi: fanin.Activation, weight_var: float, bias_var: float) -> str:
    """The phase of one network, in words; the same as `phase_diagram` names."""
    p = fanin.propagation
    found = p.fixed_points(phi, weight_var=weight_var, bias_var=bias_var)
    word = str(p.phase_diagram(phi, weight_var, bias_var).phase[0, 0])
    if word == "none" or np.isnan(found.q):
        after = p.propagate(phi, 2, weight_var=weight_var, bias_var=bias_var).q
        fate = "grows" if after[2] > after[1] else "falls"
        return f"no phase: no variance q is stable ({found.status}), from q = 1 it {fate}"
    scale = p.depth_scales(phi, weight_var=weight_var, bias_var=bias_var)
    return (
        f"{word}, q* = {float(found.q):.6g} ({found.status}), chi = {float(found.chi):.6g}, "
        f"correlations live for xi_c = {float(scale.xi_c):.4g} layers"
    )


def _edge_table(biases: Floats, edge: fanin.propagation.Critical) -> Table:
    """A line for each bias variance that has a critical point."""
    table = _tables.new_table(
        ("bias_var", "right"),
        ("critical\nweight_var", "right"),
        ("q*", "right"),
        ("dV/dq", "right"),
        ("", "left"),
    )
    for i, bias in enumerate(biases):
        if np.isfinite(edge.weight_var[i]):
            unstable = "repels" if edge.slope[i] > 1 else "neutral"
            word = "" if bool(edge.stable[i]) else unstable
            cells = (edge.weight_var[i], edge.q[i], edge.slope[i])
            table.add_row(f"{bias:g}", *(figures(float(x)) for x in cells), word)
    return table


def _draw_phases(
    phi: fanin.Activation, weights: list[float], mark: tuple[float, float] | None, path: Path
) -> None:
    """The phase diagram, wide enough for all of `weights`."""
    from fanin.propagation._pictures import plot_phase_diagram

    widest = max(2.0, float(np.nanmax([*weights, 2.0])))
    grid = np.linspace(0.25, 1.4 * widest, 220)
    diagram = fanin.propagation.phase_diagram(phi, grid, np.linspace(0.0, 0.5, 160))
    title = f"{phi.name}: order and chaos"
    draw(lambda: plot_phase_diagram(diagram, point=mark, title=title), path)


def phase(
    activation: ActivationOption,
    weight_var: Annotated[
        float | None,
        typer.Option(
            "--weight-var", metavar="FLOAT", callback=_variance, help="A network to place."
        ),
    ] = None,
    bias_var: Annotated[
        float,
        typer.Option("--bias-var", metavar="FLOAT", callback=_variance, help="Its bias variance."),
    ] = 0.0,
    plot: PlotOption = None,
) -> None:
    """Show the edge of chaos of an activation, and where a network lies."""
    p, phi, screen = fanin.propagation, _known(activation), console()
    biases = np.array([0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5])
    with waiting(f"{phi.name}: the edge of chaos"):
        edge = p.critical(phi, bias_var=biases)
        place = "" if weight_var is None else _place(phi, weight_var, bias_var)
        if plot is not None:
            mark = None if weight_var is None else (weight_var, bias_var)
            _draw_phases(phi, [*edge.weight_var, weight_var or 0.0], mark, plot)
    table = _edge_table(biases, edge)
    screen.print(f"[bold]{escape(phi.name)}[/]: the edge of chaos, chi = 1\n")
    if table.row_count:
        screen.print(table)
    else:
        screen.print("no critical point with bias_var from 0 to 0.5")
    if weight_var is not None:
        screen.print(f"\n({weight_var:g}, {bias_var:g}): {place}", markup=False)
    if plot is not None:
        screen.print(f"\npicture: {plot}", markup=False)


def register(app: typer.Typer) -> None:
    """Add the commands to `fanin`."""
    for command in (propagate, gain, phase):
        app.command()(command)
