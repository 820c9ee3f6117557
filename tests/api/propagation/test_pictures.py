"""Pictures: what is drawn, in which words, and that nothing else is imported for it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin
from fanin.propagation._pictures import plot_phase_diagram, plot_profile

p = fanin.propagation


def diagram():
    return p.phase_diagram("tanh", np.linspace(0.5, 3.0, 26), np.linspace(0.0, 0.3, 16))


def words(axes):
    legend = axes.get_legend()
    texts = [text.get_text() for text in legend.get_texts()] if legend else []
    return [axes.get_xlabel(), axes.get_ylabel(), axes.get_title(), *texts]


def test_a_profile_has_named_axes_a_legend_and_its_numbers(tmp_path):
    profile = p.propagate("tanh", 30, weight_var=1.5, bias_var=0.05, c0=0.5)
    figure = profile.plot()
    (axes,) = figure.axes
    text = " ".join(words(axes))
    for word in ("layer", "variance", "signal", "gradient", "1 - c"):
        assert word in text
    assert axes.get_yscale() == "log"
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert_allclose(curves["signal variance $q$"], profile.q)
    assert_allclose(curves["distance of two inputs, $1 - c$"], profile.one_minus_c)
    figure.savefig(tmp_path / "profile.png")
    assert (tmp_path / "profile.png").stat().st_size > 5000


def test_a_profile_without_correlation_has_no_curve_for_it():
    (axes,) = p.propagate("relu", 5, weight_var=2.0).plot().axes
    assert len(axes.get_legend().get_texts()) == 2


def test_an_image_is_a_small_map_beside_curves_with_bands(tmp_path):
    conv = p.Conv(8, 3, weight_var=np.array([1.0, 2.0]), padding="zero")
    profile = p.Network([conv, "relu", conv], width=8, image=(6, 5)).propagate()
    figure = profile.plot((1,))
    curves, place, bar = figure.axes
    assert_allclose(place.images[0].get_array(), profile.position_map(3)[1])
    assert "6 x 5" in place.get_title() and "layer 3" in place.get_title()
    bands = [band.get_paths()[0].get_extents() for band in curves.collections]
    assert len(bands) == 2 and bar is not None
    assert_allclose(bands[0].y0, profile.q_low[1].min())
    figure.savefig(tmp_path / "map.png")
    # One side is one row; axes of one's own hold the curves alone; three sides have no map.
    row = p.Network([p.Conv(8, (3,), padding="zero")], width=8, image=(6,)).propagate()
    assert row.plot().axes[1].images[0].get_array().shape == (1, 6)
    assert len(row.plot(axes=figure.axes[0]).axes) == 3
    cube = p.Network([p.Conv(8, (3, 3, 3), padding="zero")], width=8, image=(3, 3, 3)).propagate()
    assert len(cube.plot().axes) == 1 and cube.last_map()[1].shape == (3, 3, 3)


def test_one_lane_of_many_is_drawn():
    profile = p.propagate("relu", 5, weight_var=[1.0, 2.0])
    (axes,) = profile.plot((1,)).axes
    assert_allclose(axes.lines[0].get_ydata(), 1.0)


def test_a_simulation_is_drawn_over_the_theory():
    found = p.simulate("tanh", 10, 50, weight_var=1.5, c0=0.5, networks=8, seed=0)
    (axes,) = found.theory.plot(simulation=found).axes
    assert len(axes.containers) == 4  # three quantities and the legend's entry
    assert "standard errors" in words(axes)[-1]


def test_a_phase_diagram_has_both_phases_the_edge_and_the_point(tmp_path):
    figure = plot_phase_diagram(diagram(), point=(1.3, 0.1), title="tanh")
    axes, bar = figure.axes
    text = " ".join(words(axes))
    for word in ("weight variance", "bias variance", "edge of chaos", "this network", "tanh"):
        assert word in text
    assert "gradient" in bar.get_ylabel()
    assert {text.get_text().split()[0] for text in axes.texts} == {"ordered", "chaotic"}
    figure.savefig(tmp_path / "phase.svg")


def test_the_edge_that_is_drawn_is_the_edge():
    figure = plot_phase_diagram(diagram())
    (contour,) = [c for c in figure.axes[0].collections if hasattr(c, "allsegs")]
    line = np.concatenate(contour.allsegs[0])
    line = line[line[:, 1].argsort()]
    for bias, weight in [(0.05, 1.7609546), (0.1, 1.9860726), (0.2, 2.2851525)]:
        drawn = np.interp(bias, line[:, 1], line[:, 0])
        # Linear on a grid of h = 0.02: h^2/8 times the edge's curvature, below 100 there.
        assert abs(drawn - weight) < 0.006


def test_a_diagram_without_an_edge_is_drawn_all_the_same():
    found = p.phase_diagram("relu", np.linspace(0.5, 1.5, 5), np.linspace(0.0, 0.1, 3))
    axes = plot_phase_diagram(found).axes[0]
    assert axes.get_legend() is None and axes.texts[0].get_text().startswith("ordered")


def test_the_phase_diagram_plots_itself():
    assert len(diagram().plot().axes) == 2


def test_pictures_can_share_a_figure():
    from matplotlib.figure import Figure

    left, right = Figure().subplots(1, 2)
    profile = p.propagate("relu", 5, weight_var=2.0)
    assert plot_profile(profile, axes=left) is plot_profile(profile, axes=right)


def test_drawing_touches_no_global_state_of_matplotlib():
    code = (
        "import sys, fanin; p = fanin.propagation;"
        "assert 'matplotlib' not in sys.modules;"
        "p.propagate('relu', 3, weight_var=2.0).plot();"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_it_says_how_to_install_it():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import fanin;"
        "fanin.propagation.propagate('relu', 3, weight_var=2.0).plot()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: pictures need the extra 'plot' (matplotlib is missing): "
        "pip install 'fanin[plot]'"
    )


@pytest.mark.parametrize("lane", [(), (0, 0), (5,)])
def test_a_wrong_lane_is_an_error(lane):
    profile = p.propagate("relu", 5, weight_var=[1.0, 2.0])
    with pytest.raises((IndexError, ValueError)):
        profile.plot(lane)
