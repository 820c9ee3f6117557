"""What a recorder must not take for a law: copies, other orders, other dtypes, other arguments.

Each factory's tensor has a joint law that a plan has no words for, or one that is easily read as
another; where there are words, torch's own draws are compared.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import init as theirs
from torch.nn.functional import softplus

from fanin import torch as init


class Holder(nn.Module):
    """A module of the tensors that it is given."""

    def __init__(self, **tensors):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


def row(build):
    """The record of a tensor."""
    (tensor,) = init.record(lambda: Holder(a=build())).tensors
    return tensor


def filled(build, *, seed=0):
    """A tensor as a factory's record fills it."""
    plan = init.record(lambda: Holder(a=build()))
    with torch.device("meta"):
        module = Holder(a=build()).to_empty(device="cpu")
    init.init_(module, seed=seed, how=plan)
    return module.a


def complex_normal(count=3):
    return torch.randn(count, dtype=torch.complex64)


def stacked():
    x = torch.randn(4)
    return torch.stack([x, x])


def mirrored():
    x = torch.randn(4)
    return torch.cat([x, -x])


def symmetric():
    x = torch.randn(3, 3)
    return x + x.t()


def symmetric_by_a_copy():
    x = torch.randn(3, 3)
    return x + x.t().contiguous()


UNKNOWN = {
    "an expanded draw": (lambda: torch.randn(4).expand(3, 4).clone(), "repeated"),
    "an expanded draw, times two": (lambda: torch.randn(4).expand(3, 4) * 2, "repeated"),
    "each draw twice": (lambda: torch.randn(4).repeat_interleave(2), "repeated"),
    "windows of a draw": (lambda: torch.randn(6).unfold(0, 2, 1).clone(), "repeated"),
    "windows by strides": (lambda: torch.randn(9).as_strided((2, 2), (1, 1)).clone(), "repeated"),
    "one draw in two rows": (stacked, "one draw stands at several places"),
    "a draw and its negative": (mirrored, "one draw stands at several places"),
    "a sum with its transpose": (symmetric, "two random tensors"),
    "a sum with a copy of it": (symmetric_by_a_copy, "two random tensors"),
    "real parts": (lambda: complex_normal().real.clone(), "complex64 seen as torch.float32"),
    "pairs of reals": (lambda: torch.view_as_real(complex_normal()), "complex64 seen as"),
    "pairs as complex": (lambda: torch.view_as_complex(torch.randn(3, 2)), "float32 seen as"),
    "words of a draw": (lambda: torch.randn(4).view(torch.int32), "float32 seen as torch.int32"),
    "halves of a draw": (lambda: torch.randn(4).view(torch.bfloat16), "float32 seen as"),
    "a draw cast to complex": (lambda: torch.randn(3).to(torch.complex64), "a cast of a random"),
    "a complex draw and a number": (lambda: complex_normal() + 1, "arithmetic on random numbers"),
    "sizes of complex draws": (lambda: complex_normal().abs(), "arithmetic on random numbers"),
    "cut, then a float": (lambda: (torch.rand(4) * 9).long() * 0.5, "arithmetic on random numbers"),
    "a quotient cut": (lambda: torch.div(torch.rand(4), 0.1, rounding_mode="floor"), "arguments"),
    "another threshold": (lambda: softplus(torch.randn(4), threshold=1.0), "these arguments"),
    "a draw times a complex": (lambda: torch.randn(3) * torch.full((3,), 2j), "complex"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_no_law_is_no_record(name):
    build, words = UNKNOWN[name]
    with pytest.raises(ValueError, match=f"cannot record a of Holder: .*{words}"):
        row(build)


def test_what_asks_for_values_says_who_does():
    for name, build in {
        "Tensor.numpy": lambda: torch.from_numpy(torch.randn(3).numpy()),
        "Tensor.tolist": lambda: torch.tensor(torch.randn(3).tolist()),
        "aten::_local_scalar_dense": lambda: torch.randn(3) * torch.rand(()).item(),
        "aten::geqrf": lambda: torch.geqrf(torch.randn(3, 3))[0],
    }.items():
        with pytest.raises(ValueError, match=f"{name}, called by .*lambda>, asks for values"):
            row(build)


def test_what_is_known_may_be_asked_for():
    assert row(lambda: torch.tensor(torch.ones(3).tolist()) * 2).arguments == {"value": 2.0}
    assert row(lambda: torch.from_numpy(torch.full((3,), 2.5).numpy())).arguments == {"value": 2.5}


@pytest.mark.parametrize(
    "build",
    [
        lambda: torch.full((3,), 1 + 2j),
        lambda: theirs.constant_(torch.empty(3, dtype=torch.complex128), 2j),
        lambda: torch.full((3,), 2**53 + 1),
        lambda: torch.full((2,), 2**63 - 1),
        lambda: torch.ones(3, dtype=torch.float64).mul_(0.1).add_(1e-12),
        lambda: torch.full((3,), 2**40 + 1).mul_(3),
        lambda: torch.full((2, 3), 0.1, dtype=torch.float64).sub_(torch.arange(3)),
        lambda: torch.tensor([0.0, -0.0]),
        lambda: torch.full((3,), math.nan),
        lambda: torch.full((3,), -math.inf),
        lambda: torch.full((3,), 2.7).long(),
    ],
)
def test_constants_are_torchs_bit_for_bit(build):
    for have in (filled(build), filled(lambda: build().clone())):
        assert have.dtype == build().dtype
        assert have.numpy().tobytes() == build().numpy().tobytes()


@pytest.mark.parametrize("value", [math.nan, -math.inf, 1 + 2j, 2**53 + 1])
def test_a_tensor_of_one_number_that_nothing_wrote_is_that_number(value):
    module = nn.Module()
    module.a = nn.Parameter(torch.full((3,), value), requires_grad=False)
    before = module.a.detach().numpy().tobytes()
    (tensor,) = init.record(module).tensors
    plan_values = init.init_(module)
    assert tensor.name == "a" and len(plan_values.filled + plan_values.skipped) == 1
    assert module.a.detach().numpy().tobytes() == before


@pytest.mark.parametrize(
    "build",
    [
        lambda: softplus(torch.rand(40_000), beta=2.0),
        lambda: torch.rsub(torch.rand(40_000), torch.ones(40_000), alpha=3),
        lambda: torch.add(torch.ones(40_000), torch.rand(40_000), alpha=3),
        lambda: torch.sub(torch.ones(40_000), torch.rand(40_000), alpha=0.5),
        lambda: torch.ones(40_000).sub_(torch.rand(40_000), alpha=2),
        lambda: (torch.rand(40_000) * 9).long(),
    ],
)
def test_arguments_of_operations_count(build):
    torch.manual_seed(0)
    ours, them = filled(build).double(), build().double()
    # 7 std of the difference of two means and of two variances: a probability of 3e-12 each
    assert abs(ours.mean() - them.mean()) < 7 * them.std() * math.sqrt(2 / 40_000)
    spread = (them - them.mean()).square().std() * math.sqrt(2 / 40_000)
    assert abs(ours.var() - them.var()) < 7 * spread


def test_a_complex_normal_keeps_its_parts_after_a_factor():
    for factor, build in (
        (0.5, lambda: complex_normal(20_000) * 0.5),
        (3.0, lambda: complex_normal(20_000).mul_(-3)),
        (0.25, lambda: complex_normal(20_000) / 4),
    ):
        tensor = row(build)
        assert (tensor.scheme, tensor.steps) == ("normal", ())
        assert tensor.arguments == {"loc": 0.0, "scale": factor}
        values = filled(build).numpy()
        for part in (values.real, values.imag):  # each has half the variance; 7 std of its estimate
            assert abs(part.var() / (factor**2 / 2) - 1) < 7 * math.sqrt(2 / 20_000)


def test_the_same_draw_seen_in_its_own_order_is_the_same():
    def squared():
        x = torch.randn(2, 6)
        return x.view(3, 4) * x.reshape(3, 4)

    assert (filled(squared) >= 0).all()
    assert [step.operation for step in row(squared).steps] == ["mul"]


def test_weight_norm_along_any_axis_is_the_norm_of_its_direction():
    for axis in (0, 1, 2):
        build = lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3), dim=axis)  # noqa: B023, E731
        plan = init.record(build)
        module = build()
        init.init_(module, how=plan)
        original = module.parametrizations.weight
        v = original.original1.detach().numpy().astype(np.float64)
        want = np.sqrt((v**2).sum(tuple({0, 1, 2} - {axis}), keepdims=True))
        np.testing.assert_allclose(original.original0.detach().numpy(), want, rtol=2**-23)
