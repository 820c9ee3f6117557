"""init_: every tensor by its name, from the record, in place."""

import pytest
import torch
from torch import nn
from torch_models import bert, gpt2

import fanin
from fanin import torch as init
from fanin._models.writing import write


def small():
    return nn.Sequential(nn.Linear(6, 5), nn.Embedding(7, 6, padding_idx=2), nn.BatchNorm1d(5))


def on_cpu(build):
    with torch.device("meta"):
        module = build()
    return module.to_empty(device="cpu")


@pytest.mark.parametrize("build", [small, gpt2, bert])
def test_meta_to_empty_and_touched_modules_hold_what_the_plan_writes(build):
    plan = init.record(build)
    fresh, touched = on_cpu(build), build()
    for module in (fresh, touched):
        init.init_(module, seed=4)
    for tensor in plan.tensors:
        want = torch.empty(tensor.shape, dtype=getattr(torch, tensor.dtype))
        write(tensor, fanin.Stream(4), want.numpy())
        for module in (fresh, touched):
            have = module.state_dict(keep_vars=True)
            for name in (tensor.name, *tensor.tied):
                if name in have:
                    assert torch.equal(have[name].detach(), want), name


def test_ties_that_to_empty_undid_are_restored():
    model = on_cpu(gpt2)
    report = init.init_(model, seed=1)
    assert model.lm_head.weight is model.transformer.wte.weight
    assert report.tied == ("lm_head.weight",)


class Tied(nn.Module):
    """A tie that no method restores."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(9, 4), nn.Linear(4, 9)
        self.head.weight = self.words.weight


def test_ties_without_tie_weights_are_restored_from_the_plan():
    model, plan = on_cpu(Tied), init.record(Tied)
    assert model.head.weight is not model.words.weight
    report = init.init_(model, seed=1, how=plan)
    assert model.head.weight is model.words.weight and isinstance(model.head.weight, nn.Parameter)
    assert report.tied == ("head.weight",)
    want = fanin.normal((9, 4), seed=fanin.Stream(1)["words.weight"])
    assert (model.head.weight.detach().numpy() == want).all()


def test_adding_a_layer_changes_nothing_else():
    one, two = small(), small().append(nn.Linear(3, 3))
    init.init_(one, seed=1)
    init.init_(two, seed=1)
    state = two.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in one.state_dict().items())


def test_rules_win_over_the_record_and_the_first_wins():
    module = small()
    report = init.init_(
        module,
        [("0.bias", "ones"), ("0.*", "he_normal", {"gain": 2.0}), ("1.weight", fanin.uniform)],
        seed=2,
    )
    root = fanin.Stream(2)
    want = fanin.he_normal((5, 6), gain=2.0, layout="oi", seed=root["0.weight"])
    assert (module[0].weight.detach().numpy() == want).all() and (module[0].bias == 1).all()
    drawn = fanin.uniform((7, 6), seed=root["1.weight"])
    assert (module[1].weight.detach().numpy() == drawn).all()
    assert "1.weight" in report.filled


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"rules": {"0.wight": "zeros"}},
            "'0.wight' matches none of the .* the closest are 0.weight",
        ),
        ({"rules": {"0.bias": "he_normal"}}, "the rule '0.bias' on 0.bias"),
        ({"only": "3.*"}, "'3.*' matches none"),
    ],
)
def test_refused_calls_write_nothing(arguments, words):
    module = small()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        init.init_(module, **arguments)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_meta_tensors_are_an_error_that_says_to_empty():
    with torch.device("meta"):
        module = small()
    with pytest.raises(ValueError, match="to_empty"):
        init.init_(module)


def test_loaded_frozen_and_unwanted_tensors_are_left_alone():
    module = small()
    module[0].weight._is_hf_initialized = True
    module.extra = nn.Parameter(torch.randn(3), requires_grad=False)
    module.other = nn.Parameter(torch.randn(3))
    module[0].bias.requires_grad_(False)  # frozen, but its module initialises it
    before = {k: v.clone() for k, v in module.state_dict().items()}
    report = init.init_(module, seed=5, only=["0.*", "2.*", "extra", "other"])
    after = module.state_dict()
    assert report.loaded == ("0.weight",)
    assert report.frozen == ("extra",)
    assert report.skipped == ("other", "1.weight")
    for name in ("0.weight", "extra", "other", "1.weight"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["0.bias"], after["0.bias"])
    assert "loaded" in str(report) and "0.weight" in str(report)


def test_half_types_hold_the_rounded_values_and_buffers_are_filled():
    one, two = small(), small().to(torch.bfloat16)
    for module in (one, two):
        init.init_(module, seed=3)
        module[2].running_mean.fill_(float("nan"))
        init.init_(module, seed=3)
    assert (two[2].running_mean == 0).all()
    assert torch.equal(one[0].weight.bfloat16(), two[0].weight)


def test_any_seed_and_any_plan_decide():
    plan = init.record(small)
    modules = [small() for _ in range(4)]
    init.init_(modules[0], seed=fanin.Stream(6), how=plan)
    init.init_(modules[1], seed=6)
    init.init_(modules[2], seed=fanin.default_rng(6))
    init.init_(modules[3], seed=fanin.default_rng(6).spawn(1)[0].stream)
    weights = [m[0].weight for m in modules]
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[2], weights[3])
    assert not torch.equal(weights[0], weights[2])


def test_wrappers_do_not_change_names():
    plain, compiled = small(), torch.compile(small(), backend="eager")
    parallel = nn.DataParallel(small())
    for module in (plain, compiled, parallel):
        init.init_(module, seed=8)
    for module in (compiled, parallel):
        assert all(torch.equal(a, b) for a, b in
                   zip(module.parameters(), plain.parameters(), strict=True))  # fmt: skip


def test_progress_is_told_in_bytes():
    told = []
    init.init_(small(), progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] and len(told) == 8 and told == sorted(told)


def test_versions_rise_so_autograd_knows():
    module = nn.Linear(3, 3)
    loss = (module.weight * module.weight).sum()
    init.init_(module)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_parameters_that_cannot_be_written_are_named_before_anything_is():
    with torch.inference_mode():
        frozen = nn.Linear(4, 4)
    expanded = nn.Linear(4, 4)
    expanded.weight = nn.Parameter(torch.zeros(1, 4).expand(4, 4))
    windows = nn.Linear(4, 4)
    windows.weight = nn.Parameter(torch.zeros(10).unfold(0, 4, 2))
    refused = [
        (frozen, "cannot be written"),
        (expanded, "cannot be written"),
        (windows, "more than one element"),
        (nn.LazyLinear(4), "no shape yet"),
    ]
    for module, words in refused:
        pair = nn.Sequential(nn.Linear(4, 4), module)
        before = pair[0].weight.clone()
        with pytest.raises(ValueError, match=f"1.weight.*{words}"):
            init.init_(pair)
        assert torch.equal(pair[0].weight, before)
