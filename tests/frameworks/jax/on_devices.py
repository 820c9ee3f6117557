"""Run by test_sharded.py in processes with 1, 4 and 8 CPU devices."""

from __future__ import annotations

import os
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import fanin
import fanin.jax

DEVICES = int(os.environ["FANIN_TEST_DEVICES"])
SHAPE = (64, 48)
KEY = jax.random.key(5)


def mesh(axis_type=AxisType.Auto):
    across = 2 if DEVICES > 1 else 1
    return jax.make_mesh((DEVICES // across, across), ("x", "y"), axis_types=(axis_type,) * 2)


SPECS = [P("x", "y"), P("y", "x"), P("x"), P(None, "y"), P(("x", "y")), P(None, ("x", "y")), P()]

#: Scheme, its arguments, and the same array made in one piece.
SCHEMES = {
    "he_normal": ("he_normal", {}),
    "glorot_uniform in bfloat16": ("glorot_uniform", {"dtype": "bfloat16"}),
    "orthogonal": ("orthogonal", {"gain": 2.0}),
    "gpt2_residual": ("gpt2_residual", {"n_layers": 12}),
    "zeros": ("zeros", {}),
    "sparse": ("sparse", {"sparsity": 0.5}),
}


def test_there_are_as_many_devices_as_asked_for():
    assert jax.device_count() == DEVICES


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("case", SCHEMES)
def test_a_sharded_array_has_the_bits_of_the_unsharded_one(case, spec):
    scheme, arguments = SCHEMES[case]
    sharding = NamedSharding(mesh(), spec)
    made = fanin.jax.make_array(scheme, SHAPE, sharding, seed=3, **arguments)
    whole = fanin.get(scheme, **arguments)(SHAPE, seed=3)
    assert made.sharding.is_equivalent_to(sharding, 2) and made.dtype == whole.dtype
    assert np.array_equal(made, whole)
    for shard in made.addressable_shards:
        assert np.array_equal(shard.data, whole[shard.index])


@pytest.mark.parametrize("law", ["normal", "uniform", "truncated_normal", "random"])
def test_laws_by_name_and_functions_themselves_are_schemes_too(law):
    sharding = NamedSharding(mesh(), P("x", "y"))
    whole = getattr(fanin, law)(SHAPE, seed=3)
    assert np.array_equal(fanin.jax.make_array(law, SHAPE, sharding, seed=3), whole)
    function = getattr(fanin, law)
    assert np.array_equal(fanin.jax.make_array(function, SHAPE, sharding, seed=3), whole)
    init = fanin.jax.he_normal(in_axis=0, out_axis=1, dtype=jnp.float16)
    made = fanin.jax.make_array(init, SHAPE, sharding, seed=3)
    assert np.array_equal(made, fanin.he_normal(SHAPE, seed=3, dtype="float16"))


def test_each_device_asks_for_its_own_part_only():
    asked = []

    def scheme(shape, *, index=None, **where):
        asked.append(index)
        return fanin.he_normal(shape, index=index, **where)

    made = fanin.jax.make_array(scheme, SHAPE, NamedSharding(mesh(), P("x", "y")), seed=3)
    parts = [index for index in asked if index != fanin.flat[0:0]]
    assert sorted(map(str, parts)) == sorted(str(s.index) for s in made.addressable_shards)


def test_beside_the_array_no_more_than_one_shard_is_held():
    shape = (1 << 10, 1 << 12)
    sharding = NamedSharding(mesh(), P(("x", "y")))
    tracemalloc.start()
    made = fanin.jax.make_array("normal", shape, sharding, seed=3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # JAX takes fanin's memory over; half a megabyte is left for Python's own objects.
    assert peak <= made.nbytes + made.nbytes // DEVICES + (1 << 19)


def test_a_generator_gives_one_child_for_all_shards():
    sharding = NamedSharding(mesh(), P("x", "y"))
    rng, twin = fanin.default_rng(1), fanin.default_rng(1)
    made = fanin.jax.make_array("normal", SHAPE, sharding, seed=rng)
    assert np.array_equal(made, fanin.normal(SHAPE, seed=twin))
    assert rng == twin


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("spec", [P("x", "y"), P(None, "x")], ids=str)
def test_out_sharding_gives_the_bits_of_the_unsharded_call(axis_type, spec):
    init = fanin.jax.orthogonal()
    whole = init(KEY, SHAPE)
    devices = mesh(axis_type)
    sharding = NamedSharding(devices, spec)
    made = init(KEY, SHAPE, out_sharding=sharding)
    assert made.sharding.is_equivalent_to(sharding, 2) and (np.asarray(made) == whole).all()
    with jax.set_mesh(devices):
        made = init(KEY, SHAPE, out_sharding=spec)
        assert made.sharding.is_equivalent_to(sharding, 2) and (np.asarray(made) == whole).all()
        traced = jax.jit(lambda key: init(key, SHAPE, out_sharding=spec))(KEY)
    assert traced.sharding.is_equivalent_to(sharding, 2) and (np.asarray(traced) == whole).all()


def test_a_spec_without_a_mesh_is_refused_with_the_right_call():
    with pytest.raises(ValueError, match="jax.set_mesh"):
        fanin.jax.he_normal()(KEY, SHAPE, out_sharding=P("x"))


def test_bad_arguments_are_refused_before_anything_is_made():
    sharding = NamedSharding(mesh(), P("x", "y"))
    rng = fanin.default_rng(1)
    with pytest.raises(ValueError, match="he_nomal"):
        fanin.jax.make_array("he_nomal", SHAPE, sharding, seed=rng)
    with pytest.raises(TypeError, match="NamedSharding"):
        fanin.jax.make_array("he_normal", SHAPE, P("x"), seed=rng)
    with pytest.raises(TypeError, match="int32"):
        fanin.jax.make_array("he_normal", SHAPE, sharding, seed=rng, dtype="int32")
    with pytest.raises(TypeError, match="scheme must be"):
        fanin.jax.make_array(7, SHAPE, sharding, seed=rng)
    with pytest.raises(TypeError, match="arguments already"):
        fanin.jax.make_array(fanin.jax.he_normal(), SHAPE, sharding, seed=rng, gain=2.0)
    with pytest.raises(TypeError, match="seed"):
        fanin.jax.make_array("he_normal", SHAPE, sharding)
    with pytest.raises(TypeError, match="seed"):
        fanin.jax.make_array("he_normal", SHAPE, sharding, seed="zero")
    assert rng == fanin.default_rng(1)
