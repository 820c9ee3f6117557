"""A model of transformers, built without memory and filled by its own published scheme.

Run ``python examples/torch_transformers.py``; it needs torch and transformers, and no network.
"""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from fanin import torch as init


def main() -> None:
    config = GPT2Config(n_layer=4, n_embd=128, n_head=4)
    plan = init.record(lambda: GPT2LMHeadModel(config))
    for tensor in plan.tensors[:6]:
        print(f"{tensor.name:40} {tensor.scheme:8} {dict(tensor.arguments)}")

    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    model.to_empty(device="cpu")
    print(init.init_(model, seed=0))
    print("the head is tied again:", model.lm_head.weight is model.transformer.wte.weight)


if __name__ == "__main__":
    main()
