"""FSDP2 on two processes: each makes its own part, and the whole is what one process makes.

Run ``python examples/torch_fsdp2.py``; it needs torch with gloo, and no GPU.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from fanin import torch as init


def build() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 257), nn.GELU(), nn.Linear(257, 10))


def work(rank: int, world: int, meeting: str) -> None:
    """One process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world
    )
    with torch.device("meta"):
        model = build()
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    model.to_empty(device="cpu")
    init.init_(model, seed=0)

    alone = build()
    init.init_(alone, seed=0)
    # FSDP2 cuts the first axis as torch.chunk does. Nothing is sent, neither by init_ nor here.
    same = all(
        torch.equal(sharded.to_local(), whole.chunk(world)[rank])
        for sharded, whole in zip(model.parameters(), alone.parameters(), strict=True)
    )
    shape = tuple(model[0].weight.to_local().shape)
    print(f"rank {rank} holds {shape} of (257, 64); equal to one process: {same}", flush=True)
    torch.distributed.destroy_process_group()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        torch.multiprocessing.spawn(work, (2, meeting), nprocs=2)


if __name__ == "__main__":
    main()
