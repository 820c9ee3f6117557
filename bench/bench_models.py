"""Whole models into fresh memory: the list of a Llama's weights, all kept until the last is made.

python bench/bench_models.py --threads 2 --save
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from math import prod
from typing import Any

from harness import main, timed

import fanin
from fanin._bench.contenders import Contender, installed
from fanin._bench.laws import NORMAL
from fanin._bench.timing import Report, against, assert_moments

STD = 0.02
LAW = replace(NORMAL, variance=STD * STD)

# Shapes of Llama 2 7B (Touvron et al. 2023): hidden 4096, feed-forward 11008, 32000 words. The
# embedding, the head and 4 of the 32 layers are 1.07e9 parameters, 2.1 GB in bfloat16.
HIDDEN, FEED_FORWARD, WORDS, LAYERS = 4096, 11008, 32000, 4


def llama_shapes() -> dict[str, tuple[int, int]]:
    """Names and (out, in) shapes of the matrices, as the published checkpoints have them."""
    shapes = {"model.embed_tokens.weight": (WORDS, HIDDEN)}
    for layer in range(LAYERS):
        start = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"{start}.self_attn.{name}.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{start}.mlp.gate_proj.weight"] = (FEED_FORWARD, HIDDEN)
        shapes[f"{start}.mlp.up_proj.weight"] = (FEED_FORWARD, HIDDEN)
        shapes[f"{start}.mlp.down_proj.weight"] = (HIDDEN, FEED_FORWARD)
    return {**shapes, "lm_head.weight": (WORDS, HIDDEN)}


def llama(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """All matrices in bfloat16 with std 0.02, each in new memory."""
    shapes = llama_shapes()
    values = sum(prod(shape) for shape in shapes.values())
    what = f"Llama-shaped list, {values / 1e9:.2f}e9 bfloat16, fresh"

    def own() -> list[Any]:
        stream = fanin.Stream(0)
        return [
            fanin.normal(shape, 0.0, STD, seed=stream[name], dtype="bfloat16", threads=threads)
            for name, shape in shapes.items()
        ]

    ours = Contender("fanin", what, f"{threads} thr", own, values)
    contenders = [ours]
    if "torch" in choice.peers and installed("torch"):
        import torch

        def torch_list() -> list[Any]:
            torch.set_num_threads(threads)
            return [
                torch.empty(shape, dtype=torch.bfloat16).normal_(0.0, STD)
                for shape in shapes.values()
            ]

        contenders.append(Contender("torch", what, f"{threads} thr", torch_list, values))
    for one in contenders:
        for made in one.run():
            assert_moments(made, LAW, one.name)
    timing = timed(report, choice, contenders, checked=False)
    # The requirement speaks of the machine's two cores; torch draws normals on one core only.
    report.rows += against(timing, ours, "torch", 12.0 if threads == 2 else None)


if __name__ == "__main__":
    raise SystemExit(main("models", __doc__ or "", {"llama": llama}))
