"""What each process of tests/frameworks/torch/test_shards.py does."""

import contextlib
import os
import sys

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
from torch.distributed.tensor.placement_types import _StridedShard

import fanin
from fanin import torch as init

#: Uneven for 2, 3 and 4 processes; the second leaves some of them without a row or a column.
SHAPES = ((13, 7), (3, 2))


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


@contextlib.contextmanager
def group(rank, world, meeting):
    """A group of processes, each of which ends with the block.

    DTensor's caches keep the group alive when it is destroyed, and with it gloo's threads; one that
    lets go of a tensor while Python shuts down aborts the process (PyTorch's issue 190489). So a
    process whose work is done ends without that; one with an error goes torch's way and reports it.
    """
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def check_everything(rank, world, meeting):
    with group(rank, world, meeting):
        mesh = init_device_mesh("cpu", (world,))
        check_tensors(mesh, [[Shard(0)], [Shard(1)], [Replicate()]])
        if world == 4:
            grid = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
            pairs = [(Shard(0), Shard(1)), (Shard(1), Shard(0)), (Shard(0), Shard(0)),
                     (Replicate(), Shard(1)), (Shard(1), Replicate())]  # fmt: skip
            check_tensors(grid, pairs)
            check_strided(grid)
            check_both_parallel(grid)
        one = model()
        init.init_(one, seed=9)
        want = {name: value.clone() for name, value in one.state_dict().items()}
        check_fsdp2(mesh, want)
        for original in (True, False):
            for strategy in (ShardingStrategy.FULL_SHARD, ShardingStrategy.NO_SHARD):
                check_fsdp1(mesh, want, original, strategy)


def check_tensors(mesh, placements):
    stream = fanin.Stream(5)["w"]
    for name in ("normal_", "uniform_", "trunc_normal_", "orthogonal_", "kaiming_uniform_"):
        fill = getattr(init, name)
        for dtype in (torch.float32, torch.bfloat16):
            for shape in SHAPES:
                want = fill(torch.empty(shape, dtype=dtype), generator=stream)
                for placement in placements:
                    sharded = distribute_tensor(torch.zeros(shape, dtype=dtype), mesh, placement)
                    with NoMessages():
                        assert fill(sharded, generator=stream) is sharded
                    assert torch.equal(sharded.full_tensor(), want), (name, shape, placement)


def check_strided(grid):
    """Rows cut for one axis of the mesh within those of the other, as FSDP2 cuts over TP."""
    want = init.normal_(torch.empty(12, 4), generator=fanin.Stream(5)["w"])
    for placements in ([_StridedShard(0, split_factor=2), Shard(0)],):
        data, tensor = grid.get_coordinate()
        rows = torch.arange(12).chunk(2)[tensor].chunk(2)[data]
        local = torch.zeros(3, 4)
        sharded = DTensor.from_local(local, grid, placements, run_check=False, shape=(12, 4),
                                     stride=(4, 1))  # fmt: skip
        with NoMessages():
            init.normal_(sharded, generator=fanin.Stream(5)["w"])
        assert torch.equal(sharded.to_local(), want[rows])


MEBIBYTE = 1 << 20
#: The weight of the tests of memory, and what a process may take beyond its shard.
WEIGHT, MORE = (12288, 6144), 64 * MEBIBYTE


def check_memory(rank, world, meeting):
    """Each process takes its shard and no more than 64 MiB, whatever the law and the cut."""
    with group(rank, world, meeting):
        mesh = init_device_mesh("cpu", (world,))
        # What a fill loads at its first call is not counted.
        init.normal_(distribute_tensor(torch.zeros(64, 64), mesh, [Shard(1)]))
        for name, axis, dtype in (
            ("normal_", 1, torch.float32),
            ("trunc_normal_", 0, torch.bfloat16),
            ("kaiming_uniform_", 1, torch.bfloat16),
        ):
            shape = list(WEIGHT)
            shape[axis] //= world
            local = torch.ones(shape, dtype=dtype)
            sharded = DTensor.from_local(local, mesh, [Shard(axis)], run_check=False)
            fill, stream = getattr(init, name), fanin.Stream(1)["w"]
            assert taken(fill, sharded, generator=stream) < MORE, name
        del local, sharded
        with torch.device("meta"):
            module = nn.Sequential(nn.Linear(*WEIGHT), nn.Embedding(*WEIGHT))
        fully_shard(module, mesh=mesh)
        module.to_empty(device="cpu")
        for parameter in module.parameters():
            parameter.detach().to_local().zero_()
        assert taken(init.init_, module, seed=0) < MORE


def taken(call, *arguments, **more):
    """Bytes that this process held at once during a call, at most, beyond those before it."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = status("VmRSS")
    call(*arguments, **more)
    return status("VmHWM") - before


def status(name):
    """An entry of /proc/self/status, in bytes."""
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(name)]
    return int(line.split()[1]) * 1024


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
