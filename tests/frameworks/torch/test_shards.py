"""Sharded tensors and modules: each process makes its part, and the whole is the same bits."""

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy
from torch_shards import check_everything, check_memory

from fanin import torch as init


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_every_mesh_and_placement_gives_the_tensor_of_one_process(world, tmp_path):
    torch.multiprocessing.spawn(check_everything, (world, str(tmp_path / "meeting")), nprocs=world)


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_process_takes_its_shard_and_64_mebibytes(world, tmp_path):
    torch.multiprocessing.spawn(check_memory, (world, str(tmp_path / "meeting")), nprocs=world)


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_fsdp1_without_a_plan_says_what_it_needs(original, tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    try:
        module = FullyShardedDataParallel(
            nn.Sequential(nn.Linear(13, 21)),
            use_orig_params=original,
            device_id=torch.device("cpu"),
            sharding_strategy=ShardingStrategy.FULL_SHARD,
        )
        with pytest.raises(ValueError, match="record the model before it is wrapped"):
            init.init_(module)
    finally:
        torch.distributed.destroy_process_group()
