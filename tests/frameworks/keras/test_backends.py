"""fanin.keras on each backend of Keras, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from frameworks.processes import run_python, run_tests

HERE = Path(__file__).parent
BACKENDS = ("torch", "jax", "tensorflow")


@pytest.mark.parametrize("backend", BACKENDS)
def test_initializers_and_init_on_a_backend(backend):
    run_tests(HERE / "on_backend.py", KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3")


def test_a_variable_with_a_layout_is_made_part_by_part_on_four_and_eight_devices():
    for devices in (4, 8):
        run_tests(
            HERE / "on_devices.py",
            KERAS_BACKEND="jax",
            XLA_FLAGS=f"--xla_force_host_platform_device_count={devices}",
        )


def test_a_model_has_the_same_bits_on_every_backend():
    code = """
import hashlib, keras
import fanin.keras
keras.layers.Dense(1)  # counted names differ from process to process
model = keras.Sequential([keras.Input((5, 8)), keras.layers.Dense(4), keras.layers.LSTM(2)])
fanin.keras.init_(model, seed=3)
bits = b"".join(keras.ops.convert_to_numpy(v).tobytes() for v in model.weights)
print(hashlib.sha256(bits).hexdigest())
"""
    found = {
        run_python("-c", code, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3").split()[-1]
        for backend in BACKENDS
    }
    assert len(found) == 1
