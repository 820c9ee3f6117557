"""Sharded tensors and modules: each process makes its part, and the whole is the same bits."""

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy, fully_shard
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


@pytest.fixture
def alone(tmp_path):
    """A group of this process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_fsdp1_without_a_plan_says_what_it_needs(original, alone):
    module = FullyShardedDataParallel(
        nn.Sequential(nn.Linear(13, 21)),
        use_orig_params=original,
        device_id=torch.device("cpu"),
        sharding_strategy=ShardingStrategy.FULL_SHARD,
    )
    with pytest.raises(ValueError, match="record the model before it is wrapped"):
        init.init_(module)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_gathered_parameters_are_not_written_to(alone):
    module = nn.Sequential(nn.Linear(13, 21), nn.Linear(21, 5))
    fully_shard(module[1], mesh=init_device_mesh("cpu", (1,)))
    module[1].unshard()
    before = module[0].weight.clone()
    with pytest.raises(ValueError, match=r"gathered the parameters of 1, .* reshard\(\) first"):
        init.init_(module)
    assert torch.equal(module[0].weight, before)
    module[1].reshard()
    assert len(init.init_(module).filled) == 4
