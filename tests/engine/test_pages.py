"""Large memory that nobody has touched comes in huge pages, whoever has allocated it."""

from __future__ import annotations

import mmap
import re

import numpy as np

import fanin

BYTES = 1 << 23


def asks_for_huge_pages(memory: np.ndarray) -> bool:
    """What Linux says of the mapping that holds the middle of the memory."""
    middle = memory.__array_interface__["data"][0] + memory.nbytes // 2
    within, flags = False, []
    with open("/proc/self/smaps") as lines:
        for line in lines:
            bounds = re.match("([0-9a-f]+)-([0-9a-f]+) ", line)
            if bounds:
                within = int(bounds[1], 16) <= middle < int(bounds[2], 16)
            elif within and line.startswith("VmFlags:"):
                flags = line.split()
    return "hg" in flags


def test_untouched_memory_is_asked_to_come_in_huge_pages():
    memory = np.frombuffer(mmap.mmap(-1, BYTES, flags=mmap.MAP_PRIVATE), np.float32)
    assert not asks_for_huge_pages(memory)
    fanin.normal(memory.shape, seed=1, out=memory)
    assert asks_for_huge_pages(memory)
    assert np.array_equal(memory, fanin.normal(memory.shape, seed=1))


def test_memory_that_was_written_before_is_left_as_it_is():
    memory = np.frombuffer(mmap.mmap(-1, BYTES, flags=mmap.MAP_PRIVATE), np.float32)
    memory[:] = 1
    fanin.normal(memory.shape, seed=1, out=memory)
    assert not asks_for_huge_pages(memory)


def test_a_large_array_of_uneven_ends_has_the_bits_of_a_small_one_s_parts():
    memory = np.frombuffer(mmap.mmap(-1, BYTES + 12, flags=mmap.MAP_PRIVATE), np.float32)[3:]
    fanin.uniform(memory.shape, seed=2, out=memory)
    assert asks_for_huge_pages(memory)
    for first in (0, 1000, memory.size // 2 - 500, memory.size - 1000):
        part = fanin.uniform(memory.shape, seed=2, index=fanin.flat[first : first + 1000])
        assert np.array_equal(memory[first : first + 1000], part)
