"""Copies and pickles of public objects: equal, and no matter in which file the code stands."""

from __future__ import annotations

import base64
import copy
import io
import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import fanin
from fanin import propagation as p

MADE = Path(__file__).resolve().parents[1] / "golden" / "pickles.txt"


def bent(x):
    return np.maximum(np.abs(x) - 1.0, -0.5)


def used(rng):
    rng.random(40)
    return rng


def network():
    branch = p.Residual([p.Dense(weight_var=0.5), "tanh", p.Dense()], skip=1.0, branch=0.5)
    return p.Network([p.Dense(300, weight_var=2.0), "relu", p.LayerNorm(), branch, p.Dense()])


OBJECTS = {
    "Stream": lambda: fanin.Stream(5)["layer1.weight"][3],
    "Generator": lambda: used(fanin.default_rng(7)),
    "BitGenerator": lambda: used(fanin.default_rng(7)).bit_generator,
    "seed sequence": lambda: fanin.BitGenerator(7).seed_seq,
    "Layout": lambda: fanin.Layout("oi", groups=2),
    "Fans": lambda: fanin.fans((64, 32)),
    "flat": lambda: fanin.flat,
    "run": lambda: fanin.flat[3:5],
    "scheme": lambda: fanin.he_normal,
    "Activation": lambda: fanin.Activation("leaky_relu", negative_slope=0.2),
    "Activation, detected kinks": lambda: fanin.Activation(bent),
    "Activation, given kinks": lambda: fanin.Activation(bent, kinks=[-0.5, 0.5]),
    "Moments": lambda: p.moments(1.0, "tanh"),
    "Critical": lambda: p.critical("tanh", bias_var=0.05),
    "FixedPoints": lambda: p.fixed_points("tanh", weight_var=1.5, bias_var=0.1),
    "PhaseDiagram": lambda: p.phase_diagram("relu", [1.0, 2.0], [0.0, 1.0]),
    "Network": network,
    "Profile": lambda: p.propagate("tanh", 4, weight_var=[1.0, 2.0], c0=0.5),
    "Profile of a Network": lambda: network().propagate(c0=0.5),
    "Profile of an image": lambda: p.Network(
        [p.Conv(8, 3, padding="zero"), "relu", p.Conv(8, 3, padding="zero")], width=8, image=(4, 4)
    ).propagate(),
    "Simulation": lambda: p.simulate("relu", 2, 8, weight_var=2.0, networks=2, seed=0),
    "Recommendation": lambda: fanin.recommend("tanh"),
    "Recommendation for a Network": lambda: fanin.recommend(network()),
    "Report": lambda: fanin.diagnose.report("tanh", 10, width=5),
    "Jacobian": lambda: p.jacobian("tanh", 3),
    "DeepNormGains": lambda: fanin.deepnorm_gains(6, 6),
    "Plan": lambda: fanin.Plan("x", (fanin.PlanTensor("x", (3, 4), "he_normal"),)),
}


def facts(value):
    """What must survive, down to the bits of arrays."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, p.Profile):
        names = [name for name in p.Profile.__annotations__ if name != "layers"]
        maps = [] if np.all(value.q == value.q_low) else [value.position_map(-1)]
        return value.layers, [facts(getattr(value, name)) for name in names], facts(maps)
    if isinstance(value, (tuple, list)):
        return [facts(item) for item in value]
    if isinstance(value, np.random.BitGenerator):
        return repr(value.state)
    if hasattr(value, "__dataclass_fields__"):
        return type(value), [facts(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, (p.Network, fanin.BitGenerator)) or "seeds" in repr(value):
        return repr(value)
    return value


@pytest.mark.parametrize("name", OBJECTS)
def test_copies_and_pickles_are_equal(name):
    made = OBJECTS[name]()
    before = facts(made)
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(twin) is type(made) and facts(twin) == before


class Names(pickle._Unpickler):
    """Collects what a pickle imports."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.found = set()

    def find_class(self, module, name):
        self.found.add(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("name", OBJECTS)
def test_a_pickle_names_public_modules_only(name):
    reader = Names(pickle.dumps(OBJECTS[name]()))
    reader.load()
    private = [path for path in reader.found if path.startswith("fanin") and "._" in path]
    assert not private, "a move of that file would break the pickle"


def test_detected_kinks_are_those_of_the_twin():
    made = fanin.Activation(bent)
    assert np.allclose(made.kinks, [-0.5, 0.5])
    assert pickle.loads(pickle.dumps(made)).kinks == made.kinks == copy.deepcopy(made).kinks


#: Day, name of OBJECTS and pickle; new lines only, made by `pickle.dumps(OBJECTS[name](), 4)`.
EARLIER = [line.split() for line in MADE.read_text().splitlines()]


@pytest.mark.parametrize(("day", "name", "data"), EARLIER, ids=lambda value: value[:20])
def test_a_pickle_of_an_earlier_commit_opens(day, name, data):
    opened, now = pickle.loads(base64.b85decode(data)), OBJECTS[name.replace("_", " ")]()
    if name == "Profile":  # whose digits may become better
        assert opened.layers == now.layers
        np.testing.assert_allclose(opened.q, now.q, rtol=1e-12)
    else:
        assert facts(opened) == facts(now)
