"""Every architecture of transformers, made small: init_ fills it as its own code does.

The architectures are those of the table of docs/architectures.md, which a tool writes. A dozen run
by default; all of them are marked `long`.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_architectures
from safetensors.torch import load_file

from fanin import torch as init
from fanin._models.tensors import PlanTensor

ROOT = Path(__file__).resolve().parents[3]
LINES = (ROOT / "docs" / "architectures.md").read_text("utf-8").splitlines()
KINDS = [line.split("`")[1] for line in LINES if line.startswith("| `")]
#: Laws of every sort: ties, rows of zeros, cut normals, chains of steps, norms, convolutions.
SOME = [
    "bert", "gpt2", "llama", "vit", "beit", "t5", "mamba2", "wav2vec2", "levit", "swin", "dac",
    "clip",
]  # fmt: skip
#: Parameters of a small model, at most; those that their configuration cannot make so small are
#: held by their record alone.
MOST = 400_000_000
LARGE = [
    "cohere2_moe", "csm", "ernie4_5_vl_moe", "vibevoice", "vibevoice_acoustic_tokenizer",
    "vibevoice_asr",
]  # fmt: skip
EXACT = ("zeros", "ones", "constant", "literal")


def is_fixed(tensor: PlanTensor) -> bool:
    """Whether nothing of it is drawn."""
    return all(v.scheme in EXACT for v in (tensor.value, *(part.value for part in tensor.parts)))


def zero_rows(values: torch.Tensor) -> list[int]:
    flat = values.reshape(len(values), -1) if values.ndim > 1 else values[:0].reshape(0, 1)
    return (flat == 0).all(1).nonzero()[:, 0].tolist()


def bounds(tensor: PlanTensor) -> tuple[float, float] | None:
    """Where all values lie, if they come straight from a bounded law; one rounding to its dtype."""
    law, arguments = tensor.scheme, tensor.arguments
    if tensor.steps or law not in ("uniform", "truncated_normal"):
        return None
    low, high = arguments.get("low", 0.0), arguments.get("high", 1.0)
    if law == "truncated_normal":
        low, high = (arguments["loc"] + arguments["scale"] * end for end in (low, high))
    ulps = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
    room = max(abs(low), abs(high)) * ulps.get(tensor.dtype or "", 2.0**-23)
    if any(part.value.scheme == "zeros" for part in tensor.parts):
        low, high = min(low, 0.0), max(high, 0.0)
    return low - room, high + room


def differences(tensor: PlanTensor, ours: torch.Tensor, theirs: torch.Tensor) -> list[str]:
    """In words, how two draws of one tensor differ in law."""
    if is_fixed(tensor):
        return [] if torch.equal(ours, theirs) else ["fixed values differ"]
    found = []
    if zero_rows(ours) != zero_rows(theirs):
        found.append(f"rows of zeros {zero_rows(ours)[:5]} {zero_rows(theirs)[:5]}")
    ends = bounds(tensor)
    one, two = (values.double().flatten() for values in (ours, theirs))
    for name, values in (("ours", one), ("theirs", two)):
        if not values.isfinite().all():
            found.append(f"{name} not finite")
        elif ends and not (ends[0] <= values.min() and values.max() <= ends[1]):
            found.append(f"{name} outside {ends}: {values.min():g} {values.max():g}")
    count = one.numel()
    if count < 8 or found:
        return found
    both = torch.cat([one, two])
    std = float(both.std(unbiased=False))
    # Of the difference of two means of n values: std sqrt(2 / n); of two variances:
    # sqrt(2 (m4 - var^2) / n). 7 of them, a probability of 3e-12 a tensor where n is large; where
    # it is small the tails of a mean are those of Student's t with n - 1 >= 7 degrees of freedom,
    # beyond 20 of them as rare.
    often = 7.0 if count > 200 else 20.0
    if abs(float(one.mean() - two.mean())) > often * std * math.sqrt(2 / count):
        found.append(f"means {one.mean():g} {two.mean():g}, std {std:g}, n {count}")
    centred = (both - both.mean()).square()
    spread = math.sqrt(max(float(centred.var(unbiased=False)), 0.0) * 2 / count)
    if abs(float(one.var() - two.var())) > often * max(spread, 2**-8 * std**2 / math.sqrt(count)):
        found.append(f"stds {one.std():g} {two.std():g}, n {count}")
    return found


def check(kind: str, folder: Path) -> list[str]:
    """All differences of one architecture; empty if there are none."""
    model, configuration = torch_architectures.small(kind)

    def build() -> Any:
        return model(copy.deepcopy(configuration))

    with torch.device("meta"):
        ours = build()
    assert sum(p.numel() for p in ours.parameters()) < MOST, "the configuration stays large"
    torch.manual_seed(0)
    theirs = build()
    plan = init.record(build)
    ours = ours.to_empty(device="cpu")
    init.init_(ours, seed=0)
    tensors = {name: tensor for tensor in plan.tensors for name in (tensor.name, *tensor.tied)}
    mine, other = (dict([*m.named_parameters(), *m.named_buffers()]) for m in (ours, theirs))
    found = [] if mine.keys() == other.keys() else [f"names {set(mine) ^ set(other)}"]
    for name in mine.keys() & other.keys():
        if name not in tensors:
            found.append(f"{name} is not in the plan")
            continue
        said = differences(tensors[name], mine[name].detach(), other[name].detach())
        found += [f"{name}: {words}" for words in said]
    plan.write(folder / "model.safetensors", seed=0)
    written = load_file(folder / "model.safetensors")
    state = ours.state_dict()
    for name, values in written.items():
        have = state[name].contiguous().view(-1).view(torch.uint8).numpy()
        if not np.array_equal(values.contiguous().view(-1).view(torch.uint8).numpy(), have):
            found.append(f"{name}: the file has other bytes")
    missing = {n for n in state if n not in written and tensors[n].name not in written}
    return found + [f"{name} is not in the file" for name in sorted(missing)]


@pytest.mark.parametrize("kind", SOME)
@pytest.mark.filterwarnings("ignore")
def test_an_architecture_made_small_has_its_own_laws_and_its_file_the_same_bytes(kind, tmp_path):
    assert check(kind, tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in SOME + LARGE])
@pytest.mark.filterwarnings("ignore")
def test_every_architecture_has_its_own_laws_and_its_file_the_same_bytes(kind, tmp_path):
    assert check(kind, tmp_path) == []
