"""The commands `propagate`, `gain` and `phase`, called as the console script calls them."""

from __future__ import annotations

import re

import numpy as np
import pytest

import fanin
from fanin.cli import main


def run(capsys, *arguments):
    """Status, standard output and standard error of one call."""
    status = main([str(argument) for argument in arguments])
    caught = capsys.readouterr()
    return status, caught.out, caught.err


def numbers(text, name):
    """The numbers of the first line that begins with `name`."""
    (line, *_) = [line for line in text.splitlines() if line.strip().startswith(name)]
    return [float(x) for x in re.findall(r"(?<![\w.])[-\d][\d.e+-]*", line)]


def test_propagate_shows_the_layers_and_draws_a_picture(capsys, tmp_path):
    path = tmp_path / "out.png"
    status, out, err = run(
        capsys,
        "propagate",
        "--activation",
        "tanh",
        "--depth",
        50,
        "--weight-var",
        1,
        "--plot",
        path,
    )
    assert (status, err) == (0, "")
    assert path.read_bytes().startswith(b"\x89PNG")
    profile = fanin.propagation.propagate("tanh", 50, weight_var=1.0)
    rows = {line.split()[0]: line.split() for line in out.splitlines() if re.match(r" +\d+ ", line)}
    assert set(rows) == {str(i) for i in range(0, 51, 2)}
    # Four digits are shown: half a unit of the last.
    assert float(rows["10"][1]) == pytest.approx(0.0522001, rel=5e-4)
    assert float(rows["0"][3]) == pytest.approx(profile.grad[0], rel=5e-4)
    assert f"picture: {path}" in out


def test_propagate_without_variances_takes_the_recommended_ones(capsys):
    status, out, _ = run(capsys, "propagate", "-a", "relu", "-d", 3)
    assert status == 0 and "weight_var 2, bias_var 0" in out and "keeps the variance" in out
    assert len([line for line in out.splitlines() if re.match(r" +\d+ ", line)]) == 4


def test_propagate_says_what_is_wrong(capsys):
    _, out, _ = run(capsys, "propagate", "-a", "relu", "-d", 40, "--weight-var", 1, "--c0", 0.5)
    assert "The signal vanishes" in out and "1 - c" in out


def test_gain_shows_the_three_gains(capsys):
    status, out, err = run(capsys, "gain", "gelu")
    assert (status, err) == (0, "")
    assert numbers(out, "gain, forward")[-1] == pytest.approx(1.53353044, rel=1e-8)
    assert numbers(out, "gain, std")[-1] == pytest.approx(1.70092624, rel=1e-8)
    assert numbers(out, "slope")[-1] == pytest.approx(0.45585087, rel=1e-7)
    _, at_two, _ = run(capsys, "gain", "gelu", "--q", 2)
    expected = fanin.gain("gelu", q=2.0)
    assert numbers(at_two, "gain, forward")[-1] == pytest.approx(expected, rel=1e-9)


def test_gain_lists_every_activation(capsys):
    _, out, _ = run(capsys, "gain", "--list")
    first = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert first[2:] == list(fanin.activations())


def test_phase_shows_the_edge_and_places_a_network(capsys, tmp_path):
    path = tmp_path / "phase.png"
    status, out, err = run(
        capsys,
        "phase",
        "--activation",
        "tanh",
        "--weight-var",
        2.5,
        "--bias-var",
        0.3,
        "--plot",
        path,
    )
    assert (status, err) == (0, "")
    assert numbers(out, "0.05")[1] == pytest.approx(1.7609546, rel=1e-4)
    assert "ordered, q* = 1.4577" in out and "933" in out
    assert path.read_bytes().startswith(b"\x89PNG")


def test_phase_of_a_network_without_a_stable_variance_says_so(capsys):
    _, out, _ = run(capsys, "phase", "-a", "relu", "--weight-var", 3)
    assert "(3, 0): no phase: no variance q is stable" in out and "it grows" in out


def test_phase_of_an_activation_without_an_edge_says_so(capsys):
    _, out, _ = run(capsys, "phase", "-a", "softplus")
    assert "no critical point" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("propagate", "-a", "nonsense"), "no activation 'nonsense'"),
        (("propagate", "-a", "relu", "-d", "0"), "--depth"),
        (("propagate",), "--activation"),
        (("gain",), "which activation?"),
        (("phase", "-a", "tanh", "--plot", "x.txt"), "must end in one of"),
    ],
)
def test_wrong_usage_is_one_line_and_2(capsys, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert status == 2 and err.count("\n") == 1 and text in err
    assert list(tmp_path.iterdir()) == []


def test_a_value_out_of_range_is_wrong_usage_one_line_and_2(capsys):
    status, _, err = run(capsys, "propagate", "-a", "relu", "--weight-var", "-1")
    assert status == 2 and "--weight-var" in err and err.count("\n") == 1


def test_help_names_the_commands(capsys):
    _, out, _ = run(capsys, "--help")
    assert all(word in out for word in ("propagate", "gain", "phase"))


def test_no_line_is_wrapped_where_there_is_no_terminal(capsys):
    _, out, _ = run(capsys, "propagate", "-a", "tanh", "-d", 5, "--c0", 0.5)
    header = next(line for line in out.splitlines() if "layer" in line)
    assert "dead" in header or np.any(["dead" in line for line in out.splitlines()[:4]])
