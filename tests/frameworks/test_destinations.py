"""`out=` in the memory of frameworks: what is immutable stays, what is watched is told."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import fanin

DRAWS = {
    "normal": lambda out: fanin.normal((4, 4), seed=0, out=out),
    "normal with an array": lambda out: fanin.normal((4, 4), np.zeros(4), seed=0, out=out),
    "constant": lambda out: fanin.constant((4, 4), 2.0, out=out),
    "identity": lambda out: fanin.identity((4, 4), out=out),
    "he_normal": lambda out: fanin.he_normal((4, 4), seed=0, out=out),
    "sparse": lambda out: fanin.sparse((4, 4), 0.5, seed=0, out=out),
    "orthogonal": lambda out: fanin.orthogonal((4, 4), seed=0, out=out),
    "delta_orthogonal": lambda out: fanin.delta_orthogonal((1, 2, 2, 4), seed=0, out=out),
    "looks_linear": lambda out: fanin.looks_linear((4, 4), seed=0, out=out),
    "Generator.normal": lambda out: fanin.default_rng(0).normal(out=out, dtype="float32"),
    "Generator.rademacher": lambda out: fanin.default_rng(0).rademacher(out=out, dtype="float32"),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_array_of_jax_is_refused_and_stays(name, dtype):
    x = jnp.zeros((1, 2, 2, 4) if name == "delta_orthogonal" else (4, 4), dtype)
    with pytest.raises((TypeError, ValueError)):
        DRAWS[name](x)
    with pytest.raises((TypeError, ValueError)):
        DRAWS[name](np.asarray(x))
    assert not np.asarray(x, "float32").any()


@pytest.mark.parametrize("name", DRAWS)
def test_autograd_notices_that_a_tensor_was_overwritten(name):
    shape = (1, 2, 2, 4) if name == "delta_orthogonal" else (4, 4)
    w = torch.ones(shape, requires_grad=True)
    y = (w * w).sum()
    assert DRAWS[name](w) is w
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_storage_can_be_freed_afterwards_as_before(name, dtype):
    if name.startswith("Generator") and dtype is torch.bfloat16:
        dtype = torch.float32  # which these draws state
    w = torch.ones((1, 2, 2, 4) if name == "delta_orthogonal" else (4, 4), dtype=dtype)
    DRAWS[name](w)
    assert w.untyped_storage().resizable()
    w.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="freed"):
        DRAWS[name](w)


def test_a_tensor_that_is_stored_as_its_conjugate_is_refused():
    w = torch.ones(4, dtype=torch.complex64)
    for view in (w.conj(), w.conj().imag):
        with pytest.raises(RuntimeError, match="conjugate or negative"):
            fanin.normal((4,), seed=0, out=view)
    assert torch.equal(w, torch.ones(4, dtype=torch.complex64))


def test_tensors_that_share_memory_by_halves_and_steps_are_filled_where_they_lie():
    whole = torch.zeros(6, 8, dtype=torch.bfloat16)
    part = whole[1::2, 2:8:3].T
    fanin.normal((2, 3), seed=3, out=part)
    expected = fanin.normal((2, 3), seed=3, dtype="bfloat16")
    assert np.array_equal(part.float().numpy(), expected.astype("float32"))
    assert int((whole != 0).sum()) == 6


def test_a_refused_call_does_not_count_as_a_write():
    w = torch.ones(4, requires_grad=True)
    y = (w * w).sum()
    with pytest.raises(ValueError, match="scale"):
        fanin.normal((4,), 0.0, -1.0, seed=0, out=w)
    y.backward()
    assert (w.grad == 2).all()


def test_a_tensor_of_inference_mode_is_filled():
    with torch.inference_mode():
        w = torch.zeros(4, dtype=torch.bfloat16)
        fanin.normal((4,), seed=0, out=w)
    assert w.any()
