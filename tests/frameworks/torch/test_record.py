"""The recorder: the laws of a model's own code, without a draw."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch_models import bert, gpt2

import fanin
from fanin import torch as init
from fanin._models.values import Before, Literal
from fanin._models.writing import write


def laws(plan):
    return {t.name: t for t in plan.tensors}


def values(tensor, seed=0):
    out = np.empty(tensor.shape, tensor.dtype)
    return write(tensor, fanin.Stream(seed), out)


def test_layers_of_torch_have_their_documented_laws():
    layers = [
        lambda: nn.Linear(16, 4),
        lambda: nn.Embedding(5, 3, padding_idx=1),
        lambda: nn.BatchNorm1d(3),
        lambda: nn.LSTM(3, 4),
    ]
    plan = laws(init.record(lambda: nn.Sequential(*(layer() for layer in layers))))
    assert (plan["0.weight"].scheme, plan["0.bias"].scheme) == ("uniform", "uniform")
    assert plan["0.weight"].arguments == pytest.approx({"low": -0.25, "high": 0.25})
    assert plan["1.weight"].arguments == {"loc": 0.0, "scale": 1.0}
    (row,) = plan["1.weight"].parts
    assert (row.box, row.value.scheme) == (((1, 2, 1), (0, 3, 1)), "zeros")
    assert plan["2.running_var"].scheme == "ones" and plan["2.running_var"].is_buffer
    assert plan["2.num_batches_tracked"].dtype == "int64"
    assert plan["3.weight_hh_l0"].arguments == {"low": -0.5, "high": 0.5}
    assert plan["0.weight"].set_by == "torch.nn.modules.linear.Linear.reset_parameters"


class Arithmetic(nn.Module):
    """The vocabulary of real constructors."""

    def __init__(self):
        super().__init__()
        dt = torch.exp(torch.rand(6) * (5 - 1) + 1).clamp(min=1e-4)
        self.dt = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
        self.a_log = nn.Parameter(torch.log(torch.arange(1, 5).float().repeat(3, 1)))
        self.log_uniform = nn.Parameter(torch.empty(6).uniform_(1, 16).log_())
        self.halves = nn.Parameter(torch.empty(4, 6))
        with torch.no_grad():
            self.halves[:2].normal_(0, 0.02)
            self.halves[2:].fill_(3.0)
            self.halves /= 2
        self.pattern = nn.Parameter(torch.randn(2, 3) * 0.1 + torch.arange(3.0))
        self.scaled = nn.Parameter(torch.empty(8, 8))
        nn.init.xavier_uniform_(self.scaled)
        self.scaled.data = self.scaled.data / 4**0.5
        self.scale = nn.Parameter(torch.tensor([1.0, 2.5]))
        self.logit = nn.Parameter(torch.tensor(2.6592))
        self.truncated = nn.Parameter(nn.init.trunc_normal_(torch.empty(5), 0.1, 0.5, -0.4, 1.1))
        self.matrix = nn.Parameter(nn.init.orthogonal_(torch.empty(6, 4), gain=2.0))
        table = torch.zeros(4, 6)
        position = torch.arange(4).float()[:, None]
        table[:, 0::2] = torch.sin(position * torch.ones(3))
        table[:, 1::2] = torch.cos(position * torch.ones(3))
        self.register_buffer("table", table)
        self.register_buffer("ids", torch.arange(7), persistent=False)


def test_arithmetic_on_draws_becomes_a_chain_of_steps():
    plan = laws(init.record(Arithmetic))
    steps = [(s.operation, s.operand) for s in plan["dt"].steps]
    assert steps == [("mul", 4.0), ("add", 1.0), ("exp", None), ("at_least", 1e-4), ("neg", None),
                     ("expm1", None), ("neg", None), ("log", None), ("add", Before(4))]  # fmt: skip
    u = fanin.uniform(6, seed=fanin.Stream(0)["dt"], dtype="float64")
    single = fanin.uniform(6, seed=fanin.Stream(0)["dt"]).astype(np.float64)
    assert u.shape == single.shape
    dt = np.maximum(np.exp(single * 4 + 1), 1e-4)
    # nine float32 steps of half an ulp each, none of which amplifies: far below 1e-5
    np.testing.assert_allclose(values(plan["dt"]), dt + np.log(-np.expm1(-dt)), rtol=1e-5)
    assert [s.operation for s in plan["log_uniform"].steps] == ["log"]
    assert [(s.operation, s.operand) for s in plan["scaled"].steps] == [("div", 2.0)]
    assert plan["pattern"].steps[1].operand == Literal.of(np.arange(3, dtype=np.float32))


def test_parts_literals_and_constants_are_what_torch_computes():
    plan, real = laws(init.record(Arithmetic)), Arithmetic()
    for name in ("a_log", "scale", "logit", "table", "ids"):
        want = (
            real.get_parameter(name)
            if name in dict(real.named_parameters())
            else getattr(real, name)
        )
        assert np.array_equal(values(plan[name]), want.detach().numpy()), name
    half = values(plan["halves"])
    assert (half[2:] == 1.5).all() and abs(half[:2]).max() < 0.06
    assert not plan["ids"].is_stored and plan["table"].is_stored


def test_bounds_are_in_units_of_scale_and_orthogonal_reads_rows_first():
    plan = laws(init.record(Arithmetic))
    assert plan["truncated"].arguments == pytest.approx(
        {"loc": 0.1, "scale": 0.5, "low": -1.0, "high": 2.0}
    )
    q = values(plan["matrix"])
    np.testing.assert_allclose(q.T @ q, 4 * np.eye(4), atol=4e-6)  # 16 ulp of 4


def test_nothing_is_drawn_and_a_built_module_is_left_as_it_is():
    module = nn.Sequential(nn.Linear(4, 4), nn.Embedding(3, 4, padding_idx=0))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    versions = [p._version for p in module.parameters()]
    parameters = list(module.parameters())
    state = torch.get_rng_state()
    plan = init.record(module)
    init.record(module, how=lambda m: [nn.init.normal_(p) for p in m.parameters()])
    init.record(lambda: nn.Linear(4, 4))
    assert (torch.get_rng_state() == state).all()
    assert all((v == before[k]).all() for k, v in module.state_dict().items())
    assert [p._version for p in module.parameters()] == versions
    assert all(p is q for p, q in zip(module.parameters(), parameters, strict=True))
    assert [t.name for t in plan.tensors] == list(before)


def test_a_tensor_that_nothing_wrote_is_its_constant_or_an_error():
    class Scaled(nn.Module):
        def __init__(self, fill):
            super().__init__()
            self.scale = nn.Parameter(fill(3))

    assert laws(init.record(Scaled(lambda n: torch.full((n,), 2.5))))["scale"].arguments == {
        "value": 2.5
    }
    with pytest.raises(ValueError, match="cannot record scale of Scaled: no code that was"):
        init.record(Scaled(torch.randn))
    with pytest.raises(ValueError, match="cannot record scale of Scaled: no code that was"):
        init.record(lambda: Scaled(torch.empty))


def test_what_has_no_description_names_module_tensor_and_operation():
    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.cumsum(torch.randn(4), 0))

    with pytest.raises(ValueError, match="cannot record w of Strange: aten::cumsum"):
        init.record(Strange)


def test_weight_norm_is_recorded_as_the_norm_of_its_direction():
    plan = laws(init.record(lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3))))
    g = values(plan["parametrizations.weight.original0"])
    v = values(plan["parametrizations.weight.original1"])
    want = np.sqrt((v.astype(np.float64) ** 2).sum((1, 2), keepdims=True))
    np.testing.assert_allclose(g, want, rtol=2**-23)  # one rounding to float32


def test_how_replaces_the_models_own_code():
    def constant_bias(module):
        module.reset_parameters()
        nn.init.constant_(module.bias, 2)

    plan = init.record(nn.Linear(4, 4), how=constant_bias)
    assert laws(plan)["bias"].arguments == {"value": 2.0}


def test_a_write_to_a_temporary_changes_no_parameter():
    def build():
        conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3))
        nn.init.normal_(conv.weight)
        return conv

    assert laws(init.record(build))["parametrizations.weight.original1"].scheme == "uniform"


def test_other_arguments_are_refused():
    with pytest.raises(TypeError, match="a module or a callable"):
        init.record(3)
    with pytest.raises(TypeError, match="built no module"):
        init.record(lambda: 3)
    with pytest.raises(TypeError, match="how is a callable"):
        init.record(nn.Linear(2, 2), how=3)


def test_gpt2_has_its_published_scheme_and_its_tie():
    plan = laws(init.record(gpt2))
    assert plan["transformer.wte.weight"].tied == ("lm_head.weight",)
    assert plan["transformer.wte.weight"].arguments["scale"] == 0.02
    assert plan["transformer.h.1.mlp.c_proj.weight"].arguments["scale"] == 0.02 / 4**0.5
    built = init.record(gpt2())
    assert laws(built) == plan


def test_a_tied_embedding_keeps_the_row_of_zeros_that_its_construction_gives():
    name = "bert.embeddings.word_embeddings.weight"
    assert (bert().state_dict()[name][0] == 0).all()
    for plan in (init.record(bert), init.record(bert())):
        word = laws(plan)[name]
        assert word.tied == ("cls.predictions.decoder.weight",)
        ((box, value),) = [(part.box, part.value.scheme) for part in word.parts]
        assert (box, value) == (((0, 1, 1), (0, 32, 1)), "zeros")


def test_a_constructor_that_does_not_initialise_is_helped():
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertPreTrainedModel

    class Bare(BertPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.layer = nn.Linear(4, 4)

    plan = laws(init.record(lambda: Bare(BertConfig(initializer_range=0.25))))
    assert plan["layer.weight"].arguments["scale"] == 0.25


def test_marks_of_loaded_weights_are_there_after_recording():
    model = gpt2()
    model.transformer.wte.weight._is_hf_initialized = True
    marks = [getattr(m, "_is_hf_initialized", None) for m in model.modules()]
    init.record(model, how=lambda m: m.initialize_weights())
    assert model.transformer.wte.weight._is_hf_initialized
    assert [getattr(m, "_is_hf_initialized", None) for m in model.modules()] == marks


def test_a_parametrisation_that_keeps_the_tensor_keeps_its_law():
    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

        def right_inverse(self, weight):
            return weight

    def factory():
        layer = nn.Linear(4, 3)
        parametrize.register_parametrization(layer, "weight", Doubled())
        return layer

    plan = init.record(factory)
    laws = {tensor.name: tensor.scheme for tensor in plan.tensors}
    assert laws == {"bias": "uniform", "parametrizations.weight.original": "uniform"}


def test_complex_draws_are_recorded():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(3, 3, dtype=torch.complex64))

    plan = init.record(Complex)
    (tensor,) = plan.tensors
    assert (tensor.scheme, tensor.dtype) == ("normal", "complex64")
    module = Complex()
    init.init_(module, seed=1, how=plan)
    want = fanin.normal((3, 3), seed=fanin.Stream(1)["w"], dtype="complex64")
    assert np.array_equal(module.w.detach().numpy(), want)


def test_a_lazy_module_is_told_what_to_do():
    for call in (lambda: init.record(lambda: nn.Sequential(nn.LazyLinear(4))),
                 lambda: init.record(nn.Sequential(nn.LazyLinear(4)))):  # fmt: skip
        with pytest.raises(ValueError, match="0.weight of LazyLinear has no shape yet: run"):
            call()
