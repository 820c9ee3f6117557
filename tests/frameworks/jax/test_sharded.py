"""Arrays spread over a forced number of CPU devices, each number in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from frameworks.processes import run_tests


@pytest.mark.parametrize("devices", [1, 4, 8])
def test_shards_hold_the_bits_of_the_whole_array(devices):
    run_tests(
        Path(__file__).with_name("on_devices.py"),
        XLA_FLAGS=f"--xla_force_host_platform_device_count={devices}",
        FANIN_TEST_DEVICES=str(devices),
    )
