"""The functions of _core itself: the plain writes that benchmarks compare with, and what it refuses
from callers that pass it something the package never does."""

from __future__ import annotations

import numpy as np
import pytest

import fanin
from fanin import _core

KEY = fanin.Stream(0)._key
F32, I32, I64 = 0, 6, 7


@pytest.mark.parametrize("store", [_core.debug.stream_store, _core.debug.plain_store])
def test_the_stores_of_the_benchmarks_write_every_number_and_no_other(isa, store):
    for count in (1, 15, 16, 17, 1000, 300_001):
        memory = np.zeros(count + 3, np.float32)
        store(memory[1:-2], 2)
        assert (memory[1:-2] == 1).all()
        assert memory[0] == 0 and not memory[-2:].any()


def test_memory_touched_first_is_all_ones():
    made = _core.debug.first_touch(1_000_000, 2)
    assert made.nbytes == 1_000_000
    assert (made.view(np.float32) == 1).all()


def test_names_that_the_core_does_not_know_are_refused():
    out = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="no function named nothing"):
        _core.debug.apply("nothing", out)
    with pytest.raises(TypeError, match="does not take this dtype"):
        _core.debug.apply("log", np.zeros(4, np.int32))
    with pytest.raises(ValueError, match="no law named nothing"):
        _core.fill("nothing", (0.0, 1.0), F32, False, KEY, 0, out, 0, None, 1, False)
    with pytest.raises(ValueError, match="floating-point values only"):
        whole = np.zeros(4, np.int32)
        _core.fill("uniform", (0.0, 1.0), I32, False, KEY, 0, whole, 0, None, 1, False)
    assert not out.any() and not whole.any()


def test_parameters_that_do_not_fit_the_elements_are_refused():
    out = np.zeros(4, np.float32)
    columns = [np.zeros(4), np.ones(3)]
    with pytest.raises(ValueError, match="one argument for each element"):
        _core.fill_each("normal", columns, 0, F32, False, KEY, 0, out, 0, None, 1)
    with pytest.raises(ValueError, match="one argument for each element"):
        _core.fill_each("normal", [np.ones(3)] * 2, 2, F32, False, KEY, 0, out, 0, None, 1)
    with pytest.raises(ValueError, match="1 to 4 arguments"):
        _core.fill_each("normal", [np.ones(4)] * 5, 0, F32, False, KEY, 0, out, 0, None, 1)
    whole = np.zeros(4, np.int64)
    for low, high in ((np.zeros(3, "i8"), np.ones(4, "i8")), (np.zeros(4), np.ones(4, "i8"))):
        with pytest.raises(ValueError, match="integers that broadcast to the array"):
            _core.fill_integers_each(low, high, I64, KEY, 0, whole, 0)
    assert not whole.any()
    assert not out.any()
