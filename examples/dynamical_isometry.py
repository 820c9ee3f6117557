"""Dynamical isometry: singular values of the Jacobian of a deep tanh network at initialisation.

An orthogonal network passes every direction of its input on; a Gaussian one, of the same mean
square, loses nearly all of them (Saxe, McClelland & Ganguli 2014; Pennington, Schoenholz & Ganguli
2017). Run ``python examples/dynamical_isometry.py --out isometry.png``; the picture needs
matplotlib, the table does not. Values below 2e-16 times the largest are rounding, not the network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fanin

Values = NDArray[np.float64]


def jacobian_values(scheme: Callable[..., Any], width: int, depth: int, seed: int) -> Values:
    """Singular values of d output / d input, largest first, for one input of unit variance."""
    stream = fanin.Stream(seed)
    activity = fanin.normal(width, seed=stream["input"], dtype=np.float64)
    jacobian = np.eye(width)
    for layer in range(depth):
        weight = scheme((width, width), seed=stream[layer], dtype=np.float64)
        jacobian = jacobian * (1.0 - np.tanh(activity) ** 2) @ weight
        activity = np.tanh(activity) @ weight
    values: Values = np.linalg.svd(jacobian, compute_uv=False)
    return values


def draw(values: dict[str, Values], title: str, path: Path) -> None:
    """Singular values against their rank."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    for (name, spectrum), colour in zip(values.items(), ("#0b5394", "#cc4125"), strict=True):
        rank = np.arange(1, spectrum.size + 1) / spectrum.size
        axes.semilogy(rank, spectrum, color=colour, linewidth=2)
        middle = spectrum.size // 2
        axes.annotate(
            name,
            (rank[middle], spectrum[middle]),
            xytext=(8, 8),
            textcoords="offset points",
            color=colour,
        )
    bottom = min(spectrum[-1] for spectrum in values.values())
    rounding = max(spectrum[0] for spectrum in values.values()) * np.finfo(np.float64).eps
    if bottom < rounding:
        axes.set_ylim(bottom=bottom)
        axes.axhspan(bottom, rounding, color="#eeeeee", zorder=0)
        axes.text(0.01, rounding, "rounding of float64", va="top", color="#777777", fontsize=9)
    axes.set_xlabel("rank / width")
    axes.set_ylabel("singular value of the Jacobian")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(0, 1)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to write the picture")
    arguments = parser.parse_args()
    schemes = {
        "orthogonal": fanin.orthogonal,
        "Gaussian": fanin.get("variance_scaling", scale=1.0, mode="fan_in", distribution="normal"),
    }
    values = {
        name: jacobian_values(scheme, arguments.width, arguments.depth, arguments.seed)
        for name, scheme in schemes.items()
    }
    print(f"{'weights':<12}{'largest':>12}{'median':>12}{'smallest':>12}{'mean square':>14}")
    for name, spectrum in values.items():
        print(
            f"{name:<12}{spectrum[0]:>12.3g}{np.median(spectrum):>12.3g}{spectrum[-1]:>12.3g}"
            f"{(spectrum**2).mean():>14.4g}"
        )
    if arguments.out:
        title = f"{arguments.depth} tanh layers of {arguments.width} units, weight_var = 1"
        draw(values, title, arguments.out)


if __name__ == "__main__":
    main()
