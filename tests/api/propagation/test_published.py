"""Figures that papers, lectures and other packages print, each to a half unit of its last digit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fanin

p = fanin.propagation


def std_gain(name, **parameters):
    return fanin.gain(fanin.Activation(name, **parameters), kind="std")


def settled(name, gain):
    """Moments behind the activation at the fixed point of a gain."""
    q = p.fixed_points(name, weight_var=gain**2).q
    return p.moments(q, name)


def settled_std(name, gain):
    found = settled(name, gain)
    return math.sqrt(found.second - found.mean**2)


def residual(blocks, branch):
    block = p.Residual(["relu", p.Dense(weight_var=2.0)], branch=branch)
    return p.Network([block] * blocks).propagate().q[-1]


def chaotic(sigma):
    """Poole et al. 2016: standard deviations, of biases .3."""
    return p.fixed_points("tanh", weight_var=sigma**2, bias_var=0.09)


#: What is published, the call, and the digits as printed.
FIGURES = [
    # Gains that keep a standard deviation, exact where NFNet and timm have Monte-Carlo ones.
    ("std gain of relu", lambda: std_gain("relu"), "1.71286"),
    ("std gain of tanh", lambda: std_gain("tanh"), "1.59254"),
    ("std gain of elu", lambda: std_gain("elu"), "1.2708"),
    ("std gain of gelu", lambda: std_gain("gelu"), "1.701"),
    ("std gain of leaky_relu", lambda: std_gain("leaky_relu", negative_slope=0.01), "1.705"),
    ("std gain of silu", lambda: std_gain("silu"), "1.787"),
    ("std gain of softplus", lambda: std_gain("softplus"), "1.919"),
    ("std gain of sigmoid", lambda: std_gain("sigmoid"), "4.801"),
    ("std gain of softsign", lambda: std_gain("softsign"), "2.338"),
    # Magnitude-preserving activations (EDM2 and others).
    ("rms of silu", lambda: 1 / fanin.gain("silu"), "0.5965"),
    ("rms of gelu", lambda: 1 / fanin.gain("gelu"), "0.6521"),
    # torch: gains and the default of nn.Linear.
    ("SELU at gain 3/4, std", lambda: settled_std("selu", 0.75), "0.1996"),
    ("SELU at gain 3/4, rms", lambda: math.sqrt(settled("selu", 0.75).second), "0.2024"),
    ("tanh at gain 5/3, rms", lambda: math.sqrt(settled("tanh", 5 / 3).second), "0.651"),
    ("relu behind nn.Linear", lambda: 1 / p.variance_map(1.0, "relu", weight_var=1 / 3), "6.00000"),
    # Klambauer et al. 2017.
    ("SELU keeps q = 1", lambda: p.variance_map(1.0, "selu", weight_var=1.0), "1.0000000"),
    ("SELU has no mean", lambda: p.moments(1.0, "selu").mean, "0.0000000"),
    # Cho & Saul 2009.
    ("relu of independent inputs", lambda: p.correlation_map(0.0, 1.0, "relu", weight_var=2.0),
     "0.31831"),
    # Yang & Schoenholz 2017.
    ("ten residual blocks", lambda: residual(10, 1.0), "1024.0000"),
    ("many residual blocks of 1/L", lambda: residual(2000, 2000**-0.5), "2.718"),
    # Nielsen: 1000 inputs, all or half of them one; weights of variance 1, or of 1/1000.
    *((f"{ones} of 1000 inputs, weights {std:.3g}", lambda ones=ones, std=std:
       fanin.diagnose.preactivation_std(np.arange(1000.0) < ones, weight_std=std, bias_std=1.0),
       printed) for ones, std, printed in ((500, 1.0, "22.3830"), (1000, 1.0, "31.6386"),
                                           (1000, 1000**-0.5, "1.414214"),
                                           (500, 1000**-0.5, "1.224745"))),
    # What cutting at two deviations takes, layer by layer.
    ("a cut normal's variance", lambda: fanin.truncated_normal_std(-2, 2) ** 2, "0.77374"),
    ("fifty layers of cut normals", lambda: fanin.truncated_normal_std(-2, 2) ** 100 * 1e6, "2.7"),
    # Critical points: seven digits of tanh, and what a public list has as 1.722 and 2.952.
    *((f"critical tanh at {b}", lambda b=b: p.critical("tanh", bias_var=b).weight_var, printed)
      for b, printed in ((0.001, "1.1891896"), (0.01, "1.4242053"), (0.05, "1.7609546"),
                         (0.1, "1.9860726"), (0.2, "2.2851525"), (0.3, "2.5051272"),
                         (0.04, "1.701"))),
    ("critical silu at .04", lambda: p.critical("silu", bias_var=0.04).weight_var, "2.821"),
    # Poole et al. 2016, standard deviations.
    *((f"{what} of tanh at {s}", lambda s=s, what=what: getattr(chaotic(s), what), printed)
      for s, what, printed in ((1.3, "q", "0.607"), (1.3, "chi", "0.940"), (2.5, "q", "4.079"),
                               (2.5, "chi", "1.585"), (4.0, "q", "12.60"), (4.0, "chi", "2.367"))),
    # Mish and GELU near 0: phi'(0)^2.
    ("mish of small signals", lambda: p.moments(1e-10, "mish").second * 1e10, "0.36"),
    ("gelu of small signals", lambda: p.moments(1e-12, "gelu").second * 1e12, "0.25000"),
    # Slopes of a saturated sigmoid.
    ("sigmoid's slope at q = 1", lambda: p.chi(1.0, "sigmoid", weight_var=1.0), "0.0448"),
    # Hayou et al. 2019: 1 - c against 9 pi^2/(2 l^2).
    *((f"relu's correlation after {n}",
       lambda n=n: p.propagate("relu", n, weight_var=2.0, c0=0.0).one_minus_c[-1]
       * 2 * n * n / (9 * math.pi**2), printed)
      for n, printed in ((100, "0.805"), (1000, "0.971"))),
]  # fmt: skip


def half_unit(printed):
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


@pytest.mark.parametrize(
    ("call", "printed"), [row[1:] for row in FIGURES], ids=[row[0] for row in FIGURES]
)
def test_published_figures_come_out(call, printed):
    assert abs(float(call()) - float(printed)) <= half_unit(printed)


#: Monte-Carlo gains of 1e5 normals each (pytorch issue 24991).
SAMPLED = {"sigmoid": 4.809, "tanh": 1.598, "relu": 1.707, "selu": 1.000, "elu": 1.269}


@pytest.mark.parametrize("name", SAMPLED)
def test_sampled_gains_are_within_their_noise(name):
    z = fanin.normal((400_000,), seed=1, dtype="float64")
    y = np.asarray(fanin.Activation(name)(z))
    kurtosis = ((y - y.mean()) ** 4).mean() / y.var() ** 2
    noise = math.sqrt((kurtosis - 1) / 4 / 1e5)  # of a standard deviation, relative
    exact = std_gain(name)
    assert abs(SAMPLED[name] - exact) <= 4 * noise * exact + half_unit("1.000")


def test_critical_points_of_silu_and_gelu_repel_up_to_their_variance():
    # dV/dq > 1 on the critical line below q of about 3.5, and 14.3, which is said to be 13: a sum
    # over a grid of 2e6 points has 1.00003 at 14.30 and .99997 at 14.34.
    for name, below, above in (("gelu", 3.25, 3.75), ("silu", 14.30, 14.34)):
        slope = p.critical(name, q=[below, above]).slope
        assert slope[0] > 1 > slope[1]


def test_small_critical_points_of_tanh_have_the_published_series():
    # sb2 = (4/3) q^3 - ..., whose next term is of relative order q.
    q = np.array([1e-3, 1e-2])
    found = p.critical("tanh", q=q).bias_var
    assert (abs(found / (4 / 3 * q**3) - 1) < 10 * q).all()


def test_gelu_and_its_tanh_form_differ_by_the_published_share():
    exact, other = (p.moments(1.0, name) for name in ("gelu", "gelu_tanh"))
    for field in ("second", "slope_second"):
        share = abs(getattr(other, field) / getattr(exact, field) - 1)
        assert 2e-5 < share < 2e-4  # about 7e-5
