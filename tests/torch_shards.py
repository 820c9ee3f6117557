"""What each process of tests/frameworks/torch/test_shards.py does."""

import torch
import torch.distributed
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FullStateDictConfig,
    FullyShardedDataParallel,
    ShardingStrategy,
    StateDictType,
    fully_shard,
)
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

import fanin
from fanin import torch as init

SHAPE = (13, 7)


def model():
    return nn.Sequential(
        nn.Linear(13, 21),
        nn.Embedding(17, 13, padding_idx=2),
        nn.Sequential(nn.Linear(21, 5, bias=False), nn.LayerNorm(5)),
    )


class NoMessages(torch.utils._python_dispatch.TorchDispatchMode):
    """Any collective is an error."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert "c10d" not in str(func), f"{func} sends something"
        return func(*args, **(kwargs or {}))


def check_everything(rank, world, meeting):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world
    )
    try:
        mesh = init_device_mesh("cpu", (world,))
        check_tensors(mesh, [[Shard(0)], [Shard(1)], [Replicate()]])
        if world == 4:
            grid = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
            pairs = [(Shard(0), Shard(1)), (Shard(1), Shard(0)), (Shard(0), Shard(0)),
                     (Replicate(), Shard(1)), (Shard(1), Replicate())]  # fmt: skip
            check_tensors(grid, pairs)
            check_both_parallel(grid)
        one = model()
        init.init_(one, seed=9)
        want = {name: value.clone() for name, value in one.state_dict().items()}
        check_fsdp2(mesh, want)
        for original in (True, False):
            for strategy in (ShardingStrategy.FULL_SHARD, ShardingStrategy.NO_SHARD):
                check_fsdp1(mesh, want, original, strategy)
    finally:
        torch.distributed.destroy_process_group()


def check_tensors(mesh, placements):
    stream = fanin.Stream(5)["w"]
    for name in ("normal_", "uniform_", "trunc_normal_", "orthogonal_", "kaiming_uniform_"):
        fill = getattr(init, name)
        for dtype in (torch.float32, torch.bfloat16):
            want = fill(torch.empty(SHAPE, dtype=dtype), generator=stream)
            for placement in placements:
                sharded = distribute_tensor(torch.zeros(SHAPE, dtype=dtype), mesh, placement)
                with NoMessages():
                    assert fill(sharded, generator=stream) is sharded
                assert torch.equal(sharded.full_tensor(), want), (name, placement)


def equal(module, want):
    for name, value in module.state_dict().items():
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        assert torch.equal(whole, want[name]), name


def check_fsdp2(mesh, want):
    with torch.device("meta"):
        module = model()
    for part in (module[0], module[2]):
        fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)
    module.to_empty(device="cpu")
    init.init_(module, seed=9)
    equal(module, want)


def check_both_parallel(grid):
    """FSDP2 over tensor parallel layers: strided shards."""

    def build():
        return nn.Sequential(nn.Linear(12, 22), nn.ReLU(), nn.Linear(22, 10))

    one = build()
    init.init_(one, seed=2)
    want = {name: value.clone() for name, value in one.state_dict().items()}
    with torch.device("meta"):
        module = build()
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    module = parallelize_module(module, grid["tensor"], plan)
    fully_shard(module, mesh=grid["data"])
    module.to_empty(device="cpu")
    init.init_(module, seed=2)
    kinds = {type(p).__name__ for q in module.parameters() for p in q.placements}
    assert "_StridedShard" in kinds, kinds
    equal(module, want)


def check_fsdp1(mesh, want, original, strategy):
    plan = init.record(model())
    module = FullyShardedDataParallel(
        model(),
        use_orig_params=original,
        device_id=torch.device("cpu"),
        device_mesh=mesh,
        sharding_strategy=strategy,
        auto_wrap_policy=lambda module, recurse, nonwrapped_numel: (
            recurse or isinstance(module, nn.Linear)
        ),
    )
    init.init_(module, seed=9, how=plan)
    settings = FullStateDictConfig()
    with FullyShardedDataParallel.state_dict_type(module, StateDictType.FULL_STATE_DICT, settings):
        equal(module, want)
