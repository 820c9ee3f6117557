"""A user's function is asked for few of the values that pairs of its inputs need."""

import numpy as np
import pytest
from scipy.special import erf

import fanin
from fanin import propagation as p

LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772
FUNCTIONS = {
    "tanh": (np.tanh, ()),
    "gelu": (lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))), ()),
    "relu": (lambda x: np.maximum(x, 0), (0.0,)),
    "hardtanh": (lambda x: np.clip(x, -1, 1), (-1.0, 1.0)),
    "selu": (
        lambda x: LAMBDA * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0))),
        (0.0,),
    ),
}


class Counted:
    """A function that counts the values it was asked for."""

    def __init__(self, of):
        self.of, self.values = of, 0

    def __call__(self, x):
        self.values += x.size
        return self.of(x)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("q", "c"), [(1.0, 0.9), (1e-8, 0.7), (300.0, 0.99), (4.0, -0.9)])
def test_pairs_of_a_users_function_are_those_of_the_built_in_one(name, q, c):
    function, kinks = FUNCTIONS[name]
    own = fanin.Activation(function, kinks=kinks)
    made, right = p.covariance(q, q, c, own), p.covariance(q, q, c, name)
    assert made == pytest.approx(right, rel=1e-12)
    made = p.propagate(own, 3, q0=q, c0=c, weight_var=1.5)
    right = p.propagate(name, 3, q0=q, c0=c, weight_var=1.5)
    np.testing.assert_allclose(made.c, right.c, rtol=0, atol=1e-12)
    np.testing.assert_allclose(made.q, right.q, rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_twenty_layers_ask_a_function_for_less_than_a_million_values(name):
    function, kinks = FUNCTIONS[name]
    counted = Counted(function)
    own = fanin.Activation(counted, kinks=kinks)
    counted.values = 0
    p.propagate(own, 20, weight_var=1.5, c0=0.6)
    assert counted.values < 1e6  # of some 1e8 nodes, nine values a slope


def test_a_kink_within_a_piece_parts_it():
    """clip(x, -.7, .7) is .7 hardtanh(x / .7)."""
    counted = Counted(lambda x: np.clip(x, -0.7, 0.7))
    own = fanin.Activation(counted, kinks=[-0.7, 0.7])
    counted.values = 0
    q = np.array([0.3, 1.0, 5.0])
    made = p.covariance(q, 2 * q, 0.8, own)
    right = 0.49 * p.covariance(q / 0.49, 2 * q / 0.49, 0.8, "hardtanh")
    np.testing.assert_allclose(made, right, rtol=1e-12)
    assert counted.values < 1e5


def test_a_function_that_changes_faster_is_cut_finer():
    asked = {}
    for frequency in (1, 20):
        counted = Counted(lambda x, times=frequency: np.cos(times * x))
        own = fanin.Activation(counted, derivative=lambda x, t=frequency: -t * np.sin(t * x))
        counted.values = 0
        p.covariance(1.0, 2.0, 0.9, own)
        asked[frequency] = counted.values
    assert asked[20] > 3 * asked[1]


def test_a_function_that_no_polynomial_meets_is_asked_itself():
    """Steps finer than the finest piece: 512 in [1, 2), where a user states two kinks."""
    kinks = 1 + np.arange(512) / 512 + 1 / 1024
    stairs = Counted(lambda x: np.searchsorted(kinks, x) / 512.0)
    ramp = Counted(lambda x: np.clip(x, kinks[0], kinks[-1]))
    made = {}
    for function in (stairs, ramp):
        own = fanin.Activation(function, derivative=np.zeros_like, kinks=kinks[[0, -1]])
        function.values = 0
        made[function] = p.covariance(1.0, 1.0, 0.9999, own)
    assert stairs.values > 3 * ramp.values
    x = np.linspace(-8, 8, 4001)
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    mean_square = np.trapezoid(stairs(x) ** 2 * density, x)
    assert made[stairs] == pytest.approx(mean_square, rel=0.02)


def test_kinks_closer_than_pieces_are_seen():
    """A bump between 1.001 and 1.002: the density of both there, times its area."""
    bump = lambda x: np.where((x > 1.001) & (x < 1.002), 1.0, 0.0)  # noqa: E731
    own = fanin.Activation(bump, derivative=np.zeros_like, kinks=[1.001, 1.002])
    u, q1, q2, c = 1.0015, 1.0, 2.0, 0.8
    form = u * u * (1 / q1 + 1 / q2 - 2 * c / np.sqrt(q1 * q2)) / (1 - c * c)
    density = np.exp(-form / 2) / (2 * np.pi * np.sqrt(q1 * q2 * (1 - c * c)))
    assert p.covariance(q1, q2, c, own) == pytest.approx(density * 1e-6, rel=1e-5)
