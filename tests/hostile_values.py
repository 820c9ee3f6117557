"""Every parameter of every public function, given what it was not made for.

Run by test_hostile_values.py. A call may give a result or refuse: by an error that Python's own
functions would raise, in a text that a person can read, without a word of the binding, a warning or
an endless loop.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
import warnings
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np

import fanin
from fanin import diagnose, linalg
from fanin import propagation as p

SECONDS = 8  # of processor time
ROOM = 3 << 29  # bytes of address space beyond what is there

REFUSED = (ValueError, TypeError, OverflowError, IndexError, MemoryError)
LEAKS = ("incompatible function", "vector::", "std::bad", "add.<locals>", "pybind")
LONGEST = 1500


class Raises:
    """An object whose conversions fail by an error of their own, which passes through."""

    def __float__(self):
        raise RuntimeError("asked for a float")

    __index__ = __float__


VALUES = {
    "an int beyond float64": 10**400,
    "its negative": -(10**400),
    "2**64": 2**64,
    "-1": -1,
    "0": 0,
    "2.5": 2.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": -float("inf"),
    "the least double": 5e-324,
    "1e30": 1e30,
    "the largest double": 1.7e308,
    "True": True,
    "None": None,
    "text": "1",
    "long text": "x" * 100_000,
    "a lone surrogate": "\ud800",
    "bytes": b"1",
    "an empty list": [],
    "a list": [1, 2],
    "an empty array": np.array([]),
    "an array of one": np.array([2.0]),
    "an array of no axis": np.array(2.0),
    "a big object": np.array([10**400], dtype=object),
    "float16": np.float16(2),
    "infinite float32": np.float32("inf"),
    "bfloat16": ml_dtypes.bfloat16(2),
    "int8": np.int8(-5),
    "a date": np.datetime64("2020"),
    "complex": 1j,
    "complex64": np.complex64(1j),
    "a Decimal": Decimal(1),
    "a Fraction": Fraction(1, 3),
    "an object": object(),
    "a function": lambda x: x,
    "a type": int,
    "a dict": {},
    "an ellipsis": ...,
    "a slice": slice(None),
    "what raises": Raises(),
}


def calls():
    """Name of each call -> function, positional arguments, keywords; all of them are right."""
    found = {}

    def add(called, function, /, *arguments, **named):
        found[called] = function, list(arguments), named

    where = {"seed": 0, "dtype": None, "out": None, "index": None, "threads": None}
    laws = {"random": {}, "normal": {"loc": 0.0, "scale": 1.0},
            "uniform": {"low": 0.0, "high": 1.0},
            "truncated_normal": {"loc": 0.0, "scale": 1.0, "low": -2.0, "high": 2.0}}  # fmt: skip
    for name, parameters in laws.items():
        add(name, getattr(fanin, name), (3,), **parameters, **where)
    for name, row in fanin.schemes().items():
        own = {parameter.name: parameter.default for parameter in row.parameters} | row.example
        shape = own.pop("shape")
        own = {"layout": "io", **where, **own, "gain": 1.0}
        add(name, getattr(fanin, name), shape, **own)
    of_methods = {
        **laws, "standard_normal": {}, "rademacher": {}, "standard_exponential": {},
        "exponential": {"scale": 1.0}, "laplace": laws["normal"],
        "integers": {"low": 0, "high": 5, "endpoint": False},
    }  # fmt: skip
    for name, parameters in of_methods.items():

        def drawn(*arguments, name=name, **named):
            return getattr(fanin.default_rng(0), name)(*arguments, **named)

        dtype = "int64" if name == "integers" else "float64"
        add(f"Generator.{name}", drawn, **parameters, size=3, dtype=dtype, out=None)
    for name in ("bytes", "spawn"):
        add(f"Generator.{name}", lambda n, name=name: getattr(fanin.default_rng(0), name)(n), 3)
    for name in ("advance", "jumped", "spawn", "random_raw"):
        add(f"BitGenerator.{name}", lambda n, name=name: getattr(fanin.BitGenerator(0), name)(n), 3)
    state = fanin.BitGenerator(0).state
    for key in state["state"]:

        def setting(value, key=key):
            fanin.BitGenerator(0).state = {**state, "state": {**state["state"], key: value}}

        add(f"state {key}", setting, 3)
    add("default_rng", fanin.default_rng, 0)
    add("Stream", fanin.Stream, 0)
    add("a child", lambda key: fanin.Stream(0)[key], "a")
    add("BitGenerator", fanin.BitGenerator, 0)
    add("flat", lambda a, b: fanin.normal(9, seed=0, index=fanin.flat[a:b]), 1, 3)
    add("fans", fanin.fans, (3, 4), layout="io")
    add("Layout", fanin.Layout, "io", in_axes=0, out_axes=1, batch_axes=(), groups=1,
        transposed=False)  # fmt: skip
    add("get", fanin.get, "he_normal")
    add("gain", fanin.gain, "tanh", q=1.0, kind="forward")
    add("calculate_gain", fanin.calculate_gain, "leaky_relu", param=0.2)
    add("Activation", fanin.Activation, "leaky_relu", negative_slope=0.2)
    add("own Activation", fanin.Activation, np.tanh, derivative=None, kinks=None, unit=1.0)
    for method in ("__call__", "derivative", "second_derivative", "error"):
        add(f"Activation.{method}", getattr(fanin.Activation("tanh"), method), 1.0)
    add("crelu", fanin.Activation("crelu"), [1.0])
    add("truncated_normal_std", fanin.truncated_normal_std, -2.0, 2.0)
    add("deepnorm_gains", fanin.deepnorm_gains, 2, 3)
    add("fixup_gain", fanin.fixup_gain, 2, 3)
    add("set_threads", fanin.runtime.set_threads, 1)
    add("qr", linalg.qr, np.eye(3))
    add("orthonormalize", linalg.orthonormalize, np.eye(3))
    add_of_theory(add)
    return found


def add_of_theory(add):
    """The calls of propagation and diagnose."""
    net, weights = p.Network(["relu", p.Dense(4)], width=4), {"weight_var": 1.5, "bias_var": 0.1}
    profile = p.propagate("tanh", 3, weight_var=1.0, c0=0.5)
    add("recommend", fanin.recommend, "tanh", objective="both", depth=5, bias_var=0.01)
    add("recommend for a network", fanin.recommend, net, objective="both", bias_var=0.01)
    add("weight", fanin.recommend("relu").weight, (3, 4), seed=0, layout="io", layer=None)
    add("moments", p.moments, 1.0, "tanh")
    add("chi", p.chi, 1.0, "tanh", weight_var=1.0)
    add("variance_map", p.variance_map, 1.0, "tanh", **weights)
    add("covariance", p.covariance, 1.0, 1.0, 0.5, "tanh")
    add("slope_covariance", p.slope_covariance, 1.0, 1.0, 0.5, "tanh")
    add("correlation_map", p.correlation_map, 0.5, 1.0, "tanh", **weights)
    add("1 - c", p.one_minus_correlation_map, 0.5, 1.0, "tanh", **weights)
    add("critical", p.critical, "tanh", bias_var=0.1)
    add("critical at q", p.critical, "tanh", q=1.0)
    add("fixed_points", p.fixed_points, "tanh", **weights, dropout=0.1)
    add("depth_scales", p.depth_scales, "tanh", **weights)
    add("phase_diagram", p.phase_diagram, "tanh", [1.0, 2.0], [0.0, 0.1])
    add("propagate", p.propagate, "tanh", 3, **weights, q0=1.0, c0=0.5, widths=None,
        mode="fan_in", dropout=0.1)  # fmt: skip
    add("jacobian", p.jacobian, "tanh", 3, weights="gaussian", **weights, q=1.0, widths=None)
    add("jacobian_density", p.jacobian_density, [1.0], "tanh", 2, weights="gaussian", q=1.0)
    add("jacobian_atoms", p.jacobian_atoms, "relu", 2, weights="orthogonal", q=1.0)
    add("residual_jacobian", p.residual_jacobian, "tanh", 3, weight_var=1.0, branch=0.1, q=1.0)
    add("residual density", p.residual_jacobian_density, [1.0], 0.5)
    add("simulate", p.simulate, "tanh", 2, 8, **weights, q0=1.0, c0=0.5, inputs=2, networks=2,
        method="weights", weights="gaussian", seed=0, threads=1)  # fmt: skip
    add("kernels", p.kernels, np.eye(3), "tanh", 2, **weights)
    add("gradient_correlation", p.gradient_correlation, "tanh", 2, **weights, q0=1.0, c0=0.5)
    add("dks", p.dks, "softplus", 5, slope=1.5)
    add("tat", p.tat, "tanh", 5, curvature=0.3)
    add("leaky_tat", p.leaky_tat, 5, correlation=0.5)
    add("mup_rates", p.mup_rates, [3, 4, 5], [3, 2, 5], optimizer="adam", blocks=1, base_blocks=1)
    add("coordinate_check", p.coordinate_check, [4, 8], parametrization="mup", optimizer="adam",
        learning_rate=0.02, activation="relu", hidden=1, inputs=2, features=2, seed=0)  # fmt: skip
    add("largest_singular_value", p.largest_singular_value, 3, 4, weight_var=1.0, mode="fan_in",
        weights="gaussian")  # fmt: skip
    add("born_dead", p.born_dead, [3, 4])
    add("architecture", p.architecture, "gpt2", layers=2, width=64)
    variances = {"weight_var": 1.0, "bias_var": 0.0, "mode": "fan_in"}
    norm = {"gamma": 1.0, "beta_var": 0.0, "epsilon": 0.0}
    layers = {
        "Dense": {"width": 3, **variances},
        "Conv": {"channels": 4, "kernel": 3, **variances, "groups": 1, "stride": 1,
                 "padding": "circular", "delta": False},
        "Gated": {"activation": "relu", "width": 3, "weight_var": 1.0, "value_var": 1.0},
        "Embedding": {"weight_var": 1.0, "position_var": 0.0, "common_var": 0.0},
        "Dropout": {"rate": 0.1},
        "AveragePool": {"size": 2, "correlation": None},
        "MaxPool": {"size": 2, "stride": 2},
        "LayerNorm": norm, "RMSNorm": norm, "BatchNorm": norm,
        "Attention": {"tokens": 4, "query_var": 1.0, "key_var": 1.0, "value_var": 1.0,
                      "causal": False},
        "Residual": {"layers": ["relu", p.Dense()], "skip": 1.0, "branch": 1.0, "projection": ()},
    }  # fmt: skip
    for name, given in layers.items():

        def through(name=name, **given):
            image = (4, 4) if name in ("Conv", "AveragePool", "MaxPool") else None
            first = ["relu"] if name in ("Dense", "Conv") else []
            layers = [*first, getattr(p, name)(**given)]
            return p.Network(layers, width=4, image=image).propagate(c0=0.5).q

        add(name, through, **given)
    add("Network", lambda *a, **k: p.Network(*a, **k).propagate(), ["relu", p.Dense(4)], width=4,
        image=None)  # fmt: skip
    add("Network.propagate", net.propagate, 1.0, c0=0.5)
    add("Network.simulate", net.simulate, q0=1.0, c0=0.5, inputs=2, networks=2, seed=0, width=None)
    add("Profile.table", profile.table, ())
    add("Profile.to_json", profile.to_json, ())
    uneven = p.Network([p.Conv(4, 3, padding="zero")], width=4, image=(3, 3)).propagate()
    add("Profile.position_map", uneven.position_map, 0, name="q")
    add("report", diagnose.report, "tanh", 3, weight_var=1.0, bias_var=0.0, q0=1.0, width=None)
    add("saturation", diagnose.saturation, 1.0, activation="sigmoid", threshold=1.0)
    add("symmetry", diagnose.symmetry, np.ones((2, 2)), activation="tanh", learning_rate=0.1,
        steps=2)  # fmt: skip
    add("chain_gradient", diagnose.chain_gradient, 1.0, b=0.0, x=0.0, activation="tanh", depth=3)
    add("two_neurons", diagnose.two_neurons, 1.0, weights=(0.0, 0.0), out=(0.0, 0.0))
    add("preactivation_std", diagnose.preactivation_std, [1.0], weight_std=1.0, bias_std=1.0)
    add("logistic_gradient", diagnose.logistic_gradient, [[1.0]], [1.0])


#: What goes on for as long as it is told to, and hears Ctrl-C.
ENDLESS = {("symmetry", "steps"), ("chain_gradient", "depth"), ("coordinate_check", "hidden")}


def tried(name, function, arguments, named):
    """One call; what is wrong with how it ends, or ""."""
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            function(*arguments, **named)
        ours = [w for w in said if not issubclass(w.category, (UserWarning, DeprecationWarning))]
        return f"{ours[0].category.__name__}: {ours[0].message}" if ours else ""
    except REFUSED as error:
        text = str(error)
        numpys = name.startswith("Generator.") and "could not convert" in text
        if len(text) > LONGEST and not numpys:
            return f"{type(error).__name__} of {len(text)} characters"
        return text if any(leak in text for leak in LEAKS) else ""
    except RuntimeError as error:
        return "" if str(error) == "asked for a float" else repr(error)
    except Exception as error:
        return repr(error)[:300]


def late(signum, frame):
    raise TimeoutError(f"more than {SECONDS} s of processor time")


def main(words):
    signal.signal(signal.SIGPROF, late)
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    count, faults = 0, []
    for name, (function, arguments, named) in calls().items():
        if words and not any(word in name for word in words):
            continue
        function(*arguments, **named)  # as it is meant
        for place in [*range(len(arguments)), *named]:
            for what, value in VALUES.items():
                if (name, place) in ENDLESS and isinstance(value, int) and value > 1000:
                    continue
                given, by_name = list(arguments), dict(named)
                (by_name if isinstance(place, str) else given)[place] = value
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                fault = tried(name, function, given, by_name)
                signal.setitimer(signal.ITIMER_PROF, 0)
                count += 1
                if fault:
                    faults.append(f"{name}, {place} = {what}: {fault}")
        gc.collect()
    print(*faults, sep="\n", file=sys.stderr)
    print(f"{count} calls, {len(faults)} faults")


if __name__ == "__main__":
    main(sys.argv[1:])
