"""One import changes: torch.nn.init's functions, filled by fanin.

Run ``python examples/torch_drop_in.py``; it needs torch.
"""

from __future__ import annotations

import torch
from torch import nn

import fanin
from fanin import torch as init  # instead of: from torch.nn import init


def build() -> nn.Module:
    """A small network with an initialisation of its own."""
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    init.kaiming_normal_(model[0].weight, mode="fan_in", nonlinearity="relu")
    init.zeros_(model[0].bias)
    init.xavier_uniform_(model[2].weight, generator=fanin.Stream(0)["head.weight"])
    init.zeros_(model[2].bias)
    return model


def main() -> None:
    torch.manual_seed(0)
    one = build()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    two = build()
    same = all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    print(
        f"std of the first layer {one[0].weight.std():.4f}, sqrt(2 / 784) is {(2 / 784) ** 0.5:.4f}"
    )
    print(f"equal bits for another number of threads: {same}")


if __name__ == "__main__":
    main()
