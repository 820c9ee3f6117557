"""Sharded tensors and modules: each process makes its part, and the whole is the same bits."""

import pytest
import torch
import torch.multiprocessing
from torch_shards import check_everything, check_memory


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_every_mesh_and_placement_gives_the_tensor_of_one_process(world, tmp_path):
    torch.multiprocessing.spawn(check_everything, (world, str(tmp_path / "meeting")), nprocs=world)


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_process_takes_its_shard_and_64_mebibytes(world, tmp_path):
    torch.multiprocessing.spawn(check_memory, (world, str(tmp_path / "meeting")), nprocs=world)
