"""fanin.torch beside torch.nn.init: small tensors, models touched before, fresh ones, memory.

python bench/bench_torch.py --threads 2 --only small --save
python bench/bench_torch.py --threads 2 --only fresh_llama --rounds 2 --save
python bench/bench_torch.py --threads 2 --only touched fresh_vit memory --rounds 2 --json FILE

Each contender writes the parameters of one model, or of a new one on meta that gets its memory
within the clock; mean and variance of a weight of each are asserted first.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from harness import main, timed
from torch import nn

import fanin
from fanin import _core
from fanin import torch as init
from fanin._bench.contenders import Contender
from fanin._bench.machine import machine_class
from fanin._bench.timing import Report, Row

STD = 0.02
CALLS = 1000
SMALL = (8, 8)
MICROSECONDS_MORE = 3.0
MEBIBYTES_MORE = 64.0
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
NEW_BYTES = 1 << 20
#: Every function of torch.nn.init that fills: the shape of 64 values, the other arguments.
CALLED: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "normal_": (SMALL, {}),
    "uniform_": (SMALL, {}),
    "trunc_normal_": (SMALL, {}),
    "xavier_uniform_": (SMALL, {}),
    "xavier_normal_": (SMALL, {}),
    "kaiming_uniform_": (SMALL, {}),
    "kaiming_normal_": (SMALL, {}),
    "orthogonal_": (SMALL, {}),
    "sparse_": (SMALL, {"sparsity": 0.25}),
    "eye_": (SMALL, {}),
    "dirac_": ((4, 4, 4), {}),
    "constant_": (SMALL, {"val": 0.5}),
    "ones_": (SMALL, {}),
    "zeros_": (SMALL, {}),
}


def llama() -> nn.Module:
    """A Llama of 0.99e9 parameters, bfloat16."""
    config = transformers.LlamaConfig(
        vocab_size=32000, hidden_size=2048, intermediate_size=5504, num_hidden_layers=17,
        num_attention_heads=16, num_key_value_heads=16, initializer_range=STD,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).to(torch.bfloat16)


def vit() -> nn.Module:
    """ViT-L/16, 0.30e9 parameters, float32."""
    config = transformers.ViTConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    )
    return transformers.ViTModel(config)


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def empty(build: Callable[[], nn.Module]) -> nn.Module:
    return on_meta(build).to_empty(device="cpu")


def truncated(module: nn.Module) -> None:
    """As a ViT's authors have it: every weight cut at two standard deviations."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=STD, a=-2 * STD, b=2 * STD)
        else:
            nn.init.zeros_(parameter)


def each(module: nn.Module, fill: Callable[..., Any], **arguments: Any) -> Callable[[], None]:
    """One function of torch.nn.init on every weight, whose memory is there already."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    for parameter in module.parameters():
        parameter.detach().zero_()

    def run() -> None:
        for weight in weights:
            fill(weight, **arguments)

    return run


def assert_spread(module: nn.Module, std: float, name: str) -> None:
    """The root mean square of every weight of many values: within 7 standard errors and one
    rounding to the dtype; a row of zeros is within them."""
    for weight in module.parameters():
        if weight.ndim < 2 or weight.numel() < 1 << 16:
            continue
        found = float(weight.detach().float().square().mean().sqrt())
        error = 7 / (2 * weight.numel()) ** 0.5 + 2.0**-8
        assert abs(found / std - 1) < error, (name, found, std)


def compared(report: Report, choice: argparse.Namespace, what: str, required: float | None,
             ours: Contender, theirs: Contender) -> None:  # fmt: skip
    timing = timed(report, choice, [ours, theirs], checked=False)
    mine, other = (timing.seconds[each.name] for each in (ours, theirs))
    report.rows.append(
        Row(what, mine, other, "s", theirs.name, other / mine, measure="x", required=required)
    )


def small(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Every function on 64 values, in microseconds a call."""

    def repeated(peer: str, function: Callable[..., Any], call: Any) -> Contender:
        tensor, arguments = torch.empty(call[0]), call[1]

        def run() -> None:
            for _ in range(CALLS):
                function(tensor, **arguments)

        return Contender(peer, name, "64 float32", run, CALLS)

    for name, call in CALLED.items():
        ours = repeated("fanin", getattr(init, name), call)
        theirs = repeated("torch", getattr(nn.init, name), call)
        timing = timed(report, choice, [ours, theirs], checked=False)
        mine, other = (1e6 * timing.seconds[one.name] / CALLS for one in (ours, theirs))
        report.rows.append(
            Row(f"torch {name}, 64 float32", mine, other, "us", theirs.name, mine - other,
                measure="us more", required=MICROSECONDS_MORE, at_most=True)
        )  # fmt: skip


def touched(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Parameters that were written before."""
    begin(threads)
    intel = machine_class().startswith("Intel")
    normal, cut = (10.0, 60.0) if intel else (15.0, 80.0)
    cases: list[tuple[str, Any, str, dict[str, Any], float, float | None]] = [
        ("Llama-shaped, 0.99e9 bfloat16, normal_", llama, "normal_", {"std": STD}, STD, normal),
        ("ViT-L, 0.30e9 float32, trunc_normal_ at 2 std", vit, "trunc_normal_",
         {"std": STD, "a": -2 * STD, "b": 2 * STD}, STD * fanin.truncated_normal_std(-2, 2), cut),
        ("ViT-L, 0.30e9 float32, trunc_normal_ at 100 std", vit, "trunc_normal_", {"std": STD},
         STD, None),
    ]  # fmt: skip
    for what, build, name, arguments, std, required in cases:
        module = empty(build)
        ours = each(module, getattr(init, name), **arguments)
        theirs = each(module, getattr(nn.init, name), **arguments)
        ours()
        assert_spread(module, std, what)
        compared(
            report, choice, f"{what}, touched, {threads} thr", required,
            Contender("fanin", what, "", ours, 1), Contender("torch", what, "", theirs, 1),
        )  # fmt: skip


def own(build: Callable[[], nn.Module], how: Callable[[nn.Module], Any]) -> nn.Module:
    """A new model, with its own initialisation by torch."""
    module = empty(build)
    with torch.no_grad():
        how(module)
    return module


def published(module: Any) -> None:
    module.initialize_weights()
    module.tie_weights()


def fresh_llama(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """meta -> to_empty -> the model's own laws, all within the clock."""
    fresh(report, choice, threads, "Llama-shaped, 0.99e9 bfloat16", llama, published, None, STD, 8)


def fresh_vit(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """The same with the laws of a ViT's authors."""
    what, std = "ViT-L, 0.30e9 float32, trunc_normal_ at 2 std", fanin.truncated_normal_std(-2, 2)
    fresh(report, choice, threads, what, vit, truncated, truncated, STD * std, 20)


def fresh(report: Report, choice: argparse.Namespace, threads: int, what: str, build: Any,
          theirs: Any, how: Any, std: float, required: float) -> None:  # fmt: skip
    begin(threads)
    nbytes = sum(p.numel() * p.element_size() for p in on_meta(build).parameters())

    def ours() -> nn.Module:
        module = empty(build)
        init.init_(module, seed=0, how=how)
        return module

    assert_spread(ours(), std, what)
    fanins = Contender("fanin", what, "", ours, 1)
    torchs = Contender("torch", what, "own", lambda: own(build, theirs), 1)
    pages = Contender("first touch", what, "", lambda: _core.debug.first_touch(nbytes, threads), 1)
    timing = timed(report, choice, [fanins, torchs, pages], checked=False)
    mine, other, bound = (timing.seconds[each.name] for each in (fanins, torchs, pages))
    title = f"{what}, meta -> to_empty -> init_, {threads} thr"
    report.rows += [
        Row(title, mine, other, "s", torchs.name, other / mine, measure="x", required=required),
        Row(title, mine, bound, "s", "first touch of as many bytes", bound / mine, measure="of it"),
    ]


def memory(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """What init_ takes at its peak beyond the parameters, in a process of its own."""
    for name in ("llama", "vit"):
        said = subprocess.run(
            [sys.executable, __file__, "--excess", name], capture_output=True, text=True, check=True
        ).stdout
        more = float(said.splitlines()[-1])
        report.rows.append(
            Row(f"init_ of {name}, peak memory beyond the parameters", more, 0.0, "MiB", "none",
                more, measure="MiB more", required=MEBIBYTES_MORE, at_most=True)
        )  # fmt: skip


def excess(name: str) -> float:
    """MiB; a small model first, so that what torch and fanin load once is not counted."""
    init.init_(nn.Sequential(nn.Linear(3000, 3000), nn.Embedding(9, 9)), seed=0)
    module = empty({"llama": llama, "vit": vit}[name])
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.detach().zero_()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    init.init_(module, seed=0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def take_new_memory() -> None:
    """Have large tensors come from the system, before there is any.

    Else malloc hands the second model the first one's pages, and what `fresh` times is memory that
    was touched before.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, NEW_BYTES)


def begin(threads: int) -> None:
    fanin.runtime.set_threads(threads)
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--excess"]:
        print(excess(sys.argv[2]))
        raise SystemExit
    take_new_memory()
    parts = {"small": small, "touched": touched, "fresh_llama": fresh_llama,
             "fresh_vit": fresh_vit, "memory": memory}  # fmt: skip
    raise SystemExit(main("torch", __doc__ or "", parts))
