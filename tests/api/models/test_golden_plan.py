"""A plan whose whole file is frozen: header, metadata and data."""

from __future__ import annotations

import hashlib

import pytest

import fanin
from fanin import Plan, PlanTensor
from fanin._models.values import Part, Step, Value

#: Every kind of entry but orthogonal matrices, whose bits have names of their own.
PLAN = Plan(
    "golden",
    (
        *Plan.for_model("gpt2", layers=1, width=64, vocabulary=300, positions=32).tensors,
        *Plan.for_model("resnet50", blocks=[1], classes=3).tensors,
        PlanTensor("cut", (30, 20), "truncated_normal", {"scale": 0.5, "low": -1.0, "high": 3.0}),
        PlanTensor("even", (40, 5), "glorot_uniform", {"layout": "oi", "gain": 1.5}, seed=2**127),
        PlanTensor(
            "table", (9, 8), "normal", {"scale": 0.02},
            parts=(Part(((4, 5, 1), (0, 8, 1)), Value("zeros")),),
        ),
        PlanTensor("steps", (17,), "uniform", {"high": 16.0}, steps=(Step("mul", 2.0),)),
        PlanTensor("mask", (3, 3), "ones", dtype="bool", is_buffer=True),
    ),
)  # fmt: skip

#: dtype -> SHA-256 of the file.
HASHES = {
    "float32": "2a3d9383cdb952db0509b5fb6f384e9d36c5cebf0d94ed203fd68373e05296d5",
    "bfloat16": "6426249ee6617d59797952e4ce3a58372339fe7d3dc3dbd540352d7cd6825bdf",
    "float8_e4m3fn": "bb9656af6bc58d5d68048eef0579438dff659b4b56b9ee989315feb8d46f2cb1",
}


@pytest.mark.parametrize("dtype", HASHES)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_file_of_the_golden_plan_is_frozen(tmp_path, dtype, threads):
    path = tmp_path / "golden.safetensors"
    PLAN.write(path, seed=2026, dtype=dtype, threads=threads)
    # The names of the stream and of the package's version stand in the metadata as they are.
    content = path.read_bytes()
    for now, then in ((fanin.STREAM, "fanin-1"), (fanin.__version__, "0.1.0")):
        assert content.count(now.encode()) == 1
        content = content.replace(now.encode(), then.encode())
    assert hashlib.sha256(content).hexdigest() == HASHES[dtype]
    assert fanin.verify(path).ok
