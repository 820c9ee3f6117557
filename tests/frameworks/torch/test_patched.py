"""patched: whatever draws inside the block is fanin, and only inside."""

import copy
import threading
import tracemalloc

import numpy as np
import pytest
import torch
import torch_architectures
from torch import nn
from torch.nn.init import kaiming_normal_ as imported_before
from torch.utils._python_dispatch import TorchDispatchMode
from torch_models import bert, gpt2, llama, vit

import fanin
from fanin import torch as init


class Counter(TorchDispatchMode):
    """Counts aten's random and QR calls but those of one element, which take a seed, and those on
    meta, which draw nothing."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        random = torch.Tag.nondeterministic_seeded in func.tags or "qr" in str(func)
        drawn = not (isinstance(made, torch.Tensor) and (made.numel() == 1 or made.is_meta))
        if random and drawn:
            self.found.append(str(func))
        return made


def transformer():
    return nn.Transformer(16, 2, 1, 1, 32, batch_first=True)


def orthogonal():
    layer = nn.Linear(6, 6)
    nn.init.orthogonal_(layer.weight)
    nn.init.sparse_(layer.weight[:, :3], 0.5)
    nn.init.trunc_normal_(layer.bias)
    return layer


def small(kind):
    """A factory of the base model of a model type of transformers, made small."""

    def build():
        model, configuration = torch_architectures.small(kind)
        return model(copy.deepcopy(configuration))

    build.__name__ = kind
    return build


#: Beside the five above: cut normals, orthogonal matrices, exponential and uniform draws, draws
#: on temporaries, weight norm, convolutions, states of recurrences.
MORE = """albert bart beit bloom clip convnext deberta-v2 dinov2 distilbert electra gemma gpt_neox
          levit mamba mamba2 mistral opt phi qwen2 roberta swin t5 wav2vec2 whisper""".split()
BUILDS = [gpt2, bert, vit, llama, transformer, orthogonal, *map(small, MORE)]


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
@pytest.mark.filterwarnings("ignore")
def test_no_random_call_of_aten_is_left(build):
    with Counter() as outside:
        build()
    assert outside.found
    with init.patched(seed=1), Counter() as inside:
        one = build()
    assert inside.found == []
    before = torch.get_num_threads()
    for threads in (1, 2):
        try:
            torch.set_num_threads(threads)
            with init.patched(seed=1):
                two = build()
        finally:
            torch.set_num_threads(before)
        for name, values in one.named_parameters():
            assert torch.equal(values, two.get_parameter(name)), (name, threads)


CALLS = {
    "imported before": lambda: imported_before(torch.empty(4, 4)),
    "by attribute": lambda: torch.nn.init.normal_(torch.empty(4, 4)),
    "normal_": lambda: torch.empty(4, 4).normal_(0.0, 0.5),
    "uniform_": lambda: torch.empty(4, 4).uniform_(-1, 1),
    "uniform_ by name": lambda: torch.empty(4, 4, dtype=torch.float64).uniform_(to=2.0),
    "exponential_": lambda: torch.empty(4, 4).exponential_(2.0),
    "randn": lambda: torch.randn(4, 4),
    "randn of a size": lambda: torch.randn((4, 4), dtype=torch.bfloat16),
    "rand": lambda: torch.rand(4, 4, requires_grad=True),
    "randn_like": lambda: torch.randn_like(torch.empty(4, 4)),
    "rand_like": lambda: torch.rand_like(torch.empty(4, 4)),
    "normal": lambda: torch.normal(1.0, 2.0, (4, 4)),
    "normal of tensors": lambda: torch.normal(torch.zeros(4, 4), torch.ones(4)),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_way_to_a_draw_is_reached(name):
    torch.manual_seed(1)
    theirs = CALLS[name]()
    torch.manual_seed(1)
    with init.patched(), Counter() as counter:
        ours = CALLS[name]()
    assert counter.found == []
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    assert ours.requires_grad == theirs.requires_grad
    assert not torch.equal(ours, theirs) and ours.isfinite().all()
    torch.manual_seed(1)
    with init.patched():
        assert torch.equal(CALLS[name](), ours)


def test_a_seed_numbers_the_draws_of_the_block():
    with init.patched(seed=3):
        first, second = torch.randn(5), torch.randn(5)
    rng = fanin.default_rng(3)
    for made in (first, second):
        assert (made.numpy() == fanin.normal(5, seed=rng.spawn(1)[0].stream)).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_exponentials_of_a_large_tensor_are_one_draw_in_little_memory(transposed):
    shape = (2, 2_500_003)
    tensor = torch.empty(shape[::-1]).t() if transposed else torch.empty(shape)
    version = tensor._version
    tracemalloc.start()
    with init.patched(seed=3):
        assert tensor.exponential_(2.0) is tensor
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rng = fanin.default_rng(fanin.default_rng(3).spawn(1)[0].stream)
    assert (tensor.numpy() == rng.exponential(0.5, shape).astype("f4")).all()
    assert tensor._version > version
    assert transposed or peak < 16 << 20  # of 40 MB in float64


def test_blocks_nest_and_end_also_by_an_error():
    codes = {name: getattr(nn.init, name).__code__ for name in nn.init.__all__[:15]}
    with pytest.raises(KeyError), init.patched(seed=1):
        one = torch.randn(3)
        with init.patched(seed=1):
            assert torch.equal(torch.randn(3), one)
        assert nn.init.normal_.__code__ is not codes["normal_"]
        raise KeyError
    assert all(getattr(nn.init, name).__code__ is code for name, code in codes.items())


def test_other_threads_draw_from_torch():
    torch.manual_seed(5)
    want = nn.init.normal_(torch.empty(4))
    got = []
    with init.patched(seed=0):
        torch.manual_seed(5)
        thread = threading.Thread(target=lambda: got.append(nn.init.normal_(torch.empty(4))))
        thread.start()
        thread.join()
    assert torch.equal(got[0], want)


def test_meta_tensors_draw_nothing():
    state = torch.get_rng_state()
    with init.patched(), torch.device("meta"):
        nn.Linear(4, 4)
        nn.init.orthogonal_(torch.empty(4, 4))
    assert (torch.get_rng_state() == state).all()


def test_what_fanin_does_not_draw_is_torchs():
    torch.manual_seed(2)
    want = torch.randint(9, (4,)), torch.empty(3, dtype=torch.int64).random_(7)
    torch.manual_seed(2)
    with init.patched(seed=0):
        got = torch.randint(9, (4,)), torch.empty(3, dtype=torch.int64).random_(7)
        with pytest.raises(RuntimeError, match="std"):
            torch.empty(3).normal_(0, -1)
        with pytest.raises(RuntimeError, match="leaf Variable"):
            torch.nn.Parameter(torch.empty(3)).normal_()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_sizes_may_be_numpys_or_tensors():
    with init.patched(seed=0):
        made = torch.randn(np.int64(3)), torch.randn(2, torch.tensor(3)), torch.rand([2, 3])
    assert [tuple(one.shape) for one in made] == [(3,), (2, 3), (2, 3)]


WRONG = {
    "negative std": lambda: torch.normal(torch.zeros(3), -1.0),
    "a negative std among others": lambda: torch.normal(0.0, torch.tensor([1.0, -1.0])),
    "shapes that do not meet": lambda: torch.normal(torch.zeros(3), torch.ones(4)),
    "negative rate": lambda: torch.empty(3).exponential_(-1.0),
    "no size": lambda: torch.randn("x"),
    "negative size": lambda: torch.rand(-1),
    "integers": lambda: torch.randn(2, dtype=torch.int64),
    "a leaf as out": lambda: torch.randn(2, out=torch.empty(2, requires_grad=True)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_raise_torchs_error(name):
    with pytest.raises((RuntimeError, TypeError, NotImplementedError)) as theirs:
        WRONG[name]()
    with init.patched(seed=0), pytest.raises(theirs.type) as ours:
        WRONG[name]()
    assert str(ours.value) == str(theirs.value)
