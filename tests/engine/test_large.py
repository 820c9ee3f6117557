"""Arrays of more elements than 32 bits count."""

from __future__ import annotations

import numpy as np
import pytest
from golden_cases import at_word

import fanin


def test_signs_past_2_to_the_31_in_one_call_are_those_of_their_addresses():
    count = 2**31 + 5
    made = fanin.default_rng(7).rademacher(count, "int8")
    rng = at_word(7, 2**31 - 64)
    assert np.array_equal(made[2**31 - 64 :], rng.rademacher(69, "int8"))
    assert np.array_equal(made[:100], fanin.default_rng(7).rademacher(100, "int8"))


@pytest.mark.long
@pytest.mark.parametrize("law", [fanin.random, fanin.normal, fanin.truncated_normal])
def test_2_to_the_32_and_5_values_in_one_call_are_those_of_their_parts(law):
    count = 2**32 + 5  # 8.6 GB
    made = law(count, seed=7, dtype="bfloat16").view(np.uint16)
    for first in (0, 2**31 - 500, 2**32 - 995):
        run = fanin.flat[first : first + 1000]
        part = law(count, seed=7, dtype="bfloat16", index=run).view(np.uint16)
        assert np.array_equal(made[first : first + 1000], part)
