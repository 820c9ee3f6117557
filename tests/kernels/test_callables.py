"""Users' functions: computed to the precision of what they return; errors that say so."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fanin

p = fanin.propagation


def narrow(call, dtype=np.float32):
    return lambda x: call(x.astype(dtype))


SMOOTH = {
    "tanh": np.tanh,
    "sin": np.sin,
    "softplus": lambda x: np.logaddexp(x.dtype.type(0), x),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu_tanh": lambda x: (
        x * x.dtype.type(0.5)
        * (1 + np.tanh(x.dtype.type(np.sqrt(2 / np.pi)) * (x + x.dtype.type(0.044715) * x**3)))
    ),
}  # fmt: skip
KINKED = {
    "relu": (lambda x: np.maximum(x, 0), [0.0]),
    "hardtanh": (lambda x: np.clip(x, -1, 1), [-1.0, 1.0]),
    "relu6": (lambda x: np.clip(x, 0, 6), [0.0, 6.0]),
    "hardswish": (lambda x: x * np.clip(x + 3, 0, 6) / x.dtype.type(6), [-3.0, 3.0]),
    "step": (lambda x: (x > 0).astype(x.dtype), [0.0]),
}


@pytest.mark.parametrize("name", [*SMOOTH, *KINKED])
def test_a_function_of_float32_is_computed_to_its_precision(name):
    call, kinks = KINKED.get(name, (SMOOTH.get(name), []))
    own = fanin.Activation(narrow(call))
    assert list(own.kinks) == kinks  # none invented by rounding
    assert own.precision == np.finfo(np.float32).eps
    q = np.array([0.01, 1.0, 10.0])
    got, true = p.moments(q, own), p.moments(q, name)
    # Values are rounded to 6e-8 of phi and of x; slopes are differences of them over 1/8, and 60
    # times worse within 1/2 of a kink.
    assert np.allclose(got.second, true.second, rtol=1e-6)
    if name == "step":
        assert np.isinf(got.slope_second).all()
    else:
        assert np.allclose(got.slope_second, true.slope_second, rtol=1e-5 if kinks else 4e-6)
    assert own.error(1.0) < 1e-5


def test_shorter_floats_have_their_precision_too():
    for dtype, unit in ((np.float16, 2.0**-10), (ml_dtypes.bfloat16, 2.0**-7)):
        own = fanin.Activation(narrow(np.tanh, dtype))
        assert own.precision == unit and own.kinks == ()
        assert float(p.moments(1.0, own).second) == pytest.approx(0.394294, rel=unit)


def test_float64_and_integers_are_exact():
    assert fanin.Activation(np.tanh).precision == 2.0**-52
    assert fanin.Activation(lambda x: (x > 0).astype(np.int64)).precision == 2.0**-52
    assert fanin.Activation("tanh").precision == 2.0**-52


def test_the_edge_of_chaos_of_a_function_of_float32_needs_few_of_its_values():
    asked = []

    def gelu(x):
        asked.append(x.size)
        return SMOOTH["gelu_tanh"](x.astype(np.float32))

    got = p.critical(gelu, bias_var=0.05)
    assert float(got.weight_var) == pytest.approx(
        float(p.critical("gelu_tanh", bias_var=0.05).weight_var), rel=1e-5
    )
    # 81 binades of 20 to 60 panels of 16 nodes, 9 values for each slope, twice that for curvatures.
    # Kinks invented by rounding made it a hundred times as many.
    assert sum(asked) < 81 * 60 * 16 * 19


def test_a_function_that_is_no_array_of_numpy_is_asked_in_few_sizes():
    sizes = set()

    class Array:
        """As frameworks have them: no ndarray, but one for np.asarray."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return self.values

    def relu(x):
        sizes.add(x.size)
        return Array(np.maximum(x, 0))

    own = fanin.Activation(relu)
    assert own.kinks == (0.0,)
    assert p.moments([0.1, 1.0, 30.0], own).second == pytest.approx([0.05, 0.5, 15.0], rel=1e-12)
    assert len(sizes) < 8


def test_errors_tell_of_nan_and_of_integrals_that_diverge():
    assert np.isnan(fanin.Activation(lambda x: x * np.nan).error(1.0))
    assert fanin.Activation(lambda x: np.exp(x * x)).error(1.0) == np.inf
    tame = fanin.Activation(lambda x: np.exp(x * x / 8))  # E phi^2 = sqrt(2) at variance 1
    assert p.moments(1.0, tame).second == pytest.approx(np.sqrt(2), rel=1e-9)
    assert tame.error(1.0) < 1e-9
    assert fanin.Activation(np.exp).error(1.0) < 1e-12
