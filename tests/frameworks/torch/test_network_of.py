"""`fanin.torch.network`: the network of the theory that a module is."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional as F

from fanin import propagation as p
from fanin import torch as init


class Added(nn.Module):
    """One Linear, then x + f(x), written out by hand."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.short = nn.Linear(width, width, bias=False)

    def forward(self, x):
        x = self.first(x)
        x = x + self.outer(F.gelu(self.inner(x), approximate="tanh"))
        return torch.add(self.short(x), self.outer(self.inner(x).relu()))


def drawn(module: nn.Module) -> nn.Module:
    init.init_(module, seed=1)
    return module


def test_layers_and_their_variances_are_those_of_the_modules():
    model = drawn(
        nn.Sequential(
            nn.Linear(40, 60), nn.LeakyReLU(0.2), nn.Identity(), nn.LayerNorm(60, eps=1e-3),
            nn.Sequential(nn.Linear(60, 50), nn.GELU(approximate="tanh")), nn.Dropout(0.25),
            nn.RMSNorm(50),
        )
    )  # fmt: skip
    layers = init.network(model, torch.zeros(2, 40)).layers
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["Dense", "Apply", "LayerNorm", "Dense", "Apply", "Dropout", "RMSNorm"]
    weight = model[0].weight.detach().double()
    assert layers[0].weight_var == pytest.approx(40 * float(weight.square().mean()))
    assert layers[0].bias_var == pytest.approx(
        float(model[0].bias.detach().double().square().mean())
    )
    assert "0.2" in repr(layers[1]) and "gelu_tanh" in repr(layers[4])
    assert layers[2].epsilon == 1e-3 and layers[5].rate == 0.25
    kept = init.network(model.eval(), torch.zeros(2, 40)).layers
    assert "Dropout" not in [type(layer).__name__ for layer in kept]


def test_an_addition_in_the_forward_is_a_residual():
    layers = init.network(drawn(Added(32)), torch.zeros(2, 32)).layers
    dense, plain, projected = layers
    assert isinstance(dense, p.Dense)
    assert [type(one).__name__ for one in plain.layers] == ["Dense", "Apply", "Dense"]
    assert plain.projection == () and "gelu_tanh" in repr(plain.layers[1])
    assert [one.width for one in projected.projection] == [32]
    assert "relu" in repr(projected.layers[1])


def test_convolutions_keep_their_padding_stride_and_groups():
    model = drawn(
        nn.Sequential(
            nn.Conv2d(4, 8, 3, padding=1, stride=2, groups=2), nn.ReLU(),
            nn.Conv2d(8, 6, (1, 5), padding="same", padding_mode="circular"), nn.BatchNorm2d(6),
            nn.ReLU(), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
        )
    )  # fmt: skip
    network = init.network(model, torch.zeros(2, 4, 16, 16))
    first, _, second = network.layers[:3]
    assert (first.stride, first.groups, first.padding) == ((2, 2), 2, "zero")
    assert (second.kernel, second.padding) == ((1, 5), "circular")
    weight = model[0].weight.detach().double()
    assert first.weight_var == pytest.approx(2 * 9 * float(weight.square().mean()))
    assert network.layers[-3:][0].size is None
    assert np.isfinite(network.propagate().q).all()


def test_the_theory_of_a_module_is_what_its_batch_shows():
    width, networks, found = 400, 12, []
    for seed in range(networks):
        model = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, width),
        )  # fmt: skip
        init.init_(model, seed=seed)
        x = torch.from_numpy(np.random.default_rng(seed).standard_normal((4, width)))
        with torch.no_grad():
            y = model.double()(x)
        theory = init.network(model, x).propagate(q0=float(x.square().mean())).q[-1]
        found.append(float(y.square().mean()) / float(theory))
    error = np.std(found, ddof=1) / math.sqrt(networks)
    # Four standard errors of the mean over networks, and 1 / width for each of three layers.
    assert abs(np.mean(found) - 1) < 4 * error + 3 / width
    assert error < 0.05


@pytest.mark.parametrize(
    ("config", "kind", "example", "blocks"),
    [
        (transformers.GPT2Config(n_layer=2, n_embd=32, n_head=2), "GPT2LMHeadModel", (1, 12), 6),
        (transformers.LlamaConfig(num_hidden_layers=2, hidden_size=32, intermediate_size=48,
                                  num_attention_heads=2), "LlamaForCausalLM", (1, 12), 6),
        (transformers.BertConfig(num_hidden_layers=2, hidden_size=32, num_attention_heads=2,
                                 intermediate_size=64), "BertModel", (1, 12), 10),
        (transformers.ViTConfig(num_hidden_layers=2, hidden_size=32, num_attention_heads=2,
                                intermediate_size=64), "ViTModel", (1, 3, 224, 224), 6),
        (transformers.ResNetConfig(embedding_size=8, hidden_sizes=[32, 64], depths=[1, 2]),
         "ResNetModel", (1, 3, 64, 64), 11),
    ],
    ids=["gpt2", "llama", "bert", "vit", "resnet"],
)  # fmt: skip
def test_models_of_transformers_are_their_architectures(config, kind, example, blocks):
    with torch.device("meta"):  # of these only the configuration is read
        model = getattr(transformers, kind)(config)
    network = init.network(model, torch.empty(example, device="meta"))
    assert len(network.layers) == blocks
    assert network.width in (32, 3)


class Choosing(nn.Module):
    """What it does depends on the values."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_what_is_not_understood_is_named():
    with torch.no_grad():
        strange = nn.Sequential(nn.Linear(4, 4), nn.PReLU(), nn.Conv1d(4, 4, 3))
    with pytest.raises(ValueError, match=r"1: PReLU: no layer .*; 2: Conv1d: only paddings"):
        init.network(strange, torch.zeros(2, 4))
    with pytest.raises(ValueError, match="torch.fx does not trace"):
        init.network(Choosing(), torch.zeros(2, 5))
    with pytest.raises(ValueError, match="of transformers gpt2, .*, not t5"):
        config = transformers.T5Config(num_layers=1, d_model=16, d_kv=4, d_ff=16, num_heads=2)
        with torch.device("meta"):
            model = transformers.T5EncoderModel(config)
        init.network(model, torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="0: Linear: .* meta device"):
        init.network(nn.Sequential(nn.Linear(4, 4, device="meta")), torch.zeros(2, 4))


class Reader(nn.Module):
    """A recurrent module, what is taken of it, and a head."""

    def __init__(self, cell, take, width):
        super().__init__()
        self.cell, self.take, self.head = cell, take, nn.Linear(width, 5)

    def forward(self, x):
        return self.head(self.take(self.cell(x)))


def last_output(cell):
    return lambda found: found[0][:, -1] if cell.batch_first else found[0][-1]


def last_state(cell):
    return lambda found: (found[1][0] if isinstance(cell, nn.LSTM) else found[1])[-1]


#: The same last step, taken in each way that people write.
LAST = {"output": last_output, "state": last_state}


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("taken", ["all", *LAST])
@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_modules_are_layers_of_their_variances(kind, taken, batch_first):
    torch.manual_seed(3)
    cell = kind(40, 60, num_layers=2, batch_first=batch_first, dropout=0.25)
    take = (lambda found: found[0]) if taken == "all" else LAST[taken](cell)
    x = torch.zeros(2, 7, 40) if batch_first else torch.zeros(7, 2, 40)
    network = init.network(Reader(cell, take, 60), x)
    first, dropped, second, head = network.layers
    assert network.image == (7,) and network.width == 40
    assert isinstance(first, getattr(p, kind.__name__)) and dropped.rate == 0.25
    assert (first.last, second.last) == (False, taken != "all")
    assert isinstance(head, p.Dense)
    into, between = (getattr(cell, f"weight_{x}h_l1").detach().double() for x in "ih")
    assert second.weight_var == pytest.approx(60 * float((into**2).mean()))
    assert second.recurrent_var == pytest.approx(60 * float((between**2).mean()))
    ones, others = (getattr(cell, f"bias_{x}h_l0").detach().double() for x in "ih")
    if kind is nn.GRU:
        assert first.bias_var == pytest.approx(float((ones**2).mean() + (others**2).mean()))
    elif kind is nn.RNN:
        assert first.bias_var == pytest.approx(float(((ones + others) ** 2).mean()))
        assert first.activation.name == "tanh"
    else:
        gates = (ones + others).reshape(4, 60)
        assert first.forget_bias == pytest.approx(float(gates[1].mean()))
        gates[1] -= gates[1].mean()
        assert first.bias_var == pytest.approx(float((gates**2).mean()))
    assert all(type(layer) is not p.Dropout for layer in init.network(
        Reader(cell, take, 60).eval(), x).layers)  # fmt: skip


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_the_outputs_of_a_recurrent_module_are_predicted(kind):
    torch.manual_seed(4)
    steps, width, units, batch, networks = 6, 120, 200, 8, 40
    found = []
    for _ in range(networks):
        cell = kind(width, units, num_layers=2, batch_first=True)
        with torch.no_grad():
            for name, parameter in cell.named_parameters():
                parameter.normal_(0, 0.3 if "bias" in name else 1.2 / math.sqrt(parameter.shape[1]))
            if kind is nn.LSTM:
                cell.bias_ih_l1[units : 2 * units] += 1
            x = torch.randn(batch, steps, width)
            found.append(cell(x)[0].square().mean((0, 2)).tolist())
    # The layers of one module, with the variances that all were drawn with.
    law = {"weight_var": 1.2**2, "recurrent_var": 1.2**2, "bias_var": 2 * 0.3**2}
    layers = [dataclasses.replace(layer, **law) for layer in init.network(cell, x).layers]
    if kind is nn.LSTM:
        layers = [dataclasses.replace(x, forget_bias=float(i)) for i, x in enumerate(layers)]
    theory = p.Network(layers, width=width, image=(steps,)).propagate().position_map(2)
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / math.sqrt(networks)
    # Units of the theory are good to 1 %; a relative 1/units a step is left at a finite width.
    room = 4 * error + ((0 if kind is nn.RNN else 0.01) + steps / units) * theory
    assert (abs(mean - theory) < room).all(), (mean / theory, error / theory)
    assert (error < 0.03 * theory).all()


def test_what_of_a_recurrent_module_is_not_known_is_named():
    def of(cell, take):
        return lambda: init.network(Reader(cell, take, 60), torch.zeros(2, 7, 40))

    with pytest.raises(ValueError, match="only all outputs or the last step"):
        of(nn.GRU(40, 60, batch_first=True), lambda found: found[0][:, 2])()
    with pytest.raises(ValueError, match="two directions"):
        of(nn.LSTM(40, 30, batch_first=True, bidirectional=True), lambda found: found[0])()
    with pytest.raises(ValueError, match="no layer of the theory"):
        of(nn.Linear(40, 60), lambda found: found[0])()


def test_a_recurrent_module_may_end_a_sequence():
    sequence = nn.Sequential(nn.Linear(5, 7), nn.LSTM(7, 9, num_layers=2, batch_first=True))
    found = init.network(sequence, torch.randn(2, 4, 5))
    linear, first, second = found.layers
    assert isinstance(linear, p.Dense) and linear.width == 7
    assert isinstance(first, p.LSTM) and isinstance(second, p.LSTM) and not second.last
    assert found.image == (4,)
    both = nn.Sequential(nn.Linear(5, 7), nn.LSTM(7, 9, bidirectional=True))
    with pytest.raises(ValueError, match="1: LSTM: of two directions"):
        init.network(both, torch.randn(2, 4, 5))


@pytest.mark.parametrize("given", [(2,), (3, 2, 1), (3, 2)])
def test_windows_of_a_max_pool_are_the_modules(given):
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.MaxPool2d(*given)
    )
    x = torch.randn(1, 3, 9, 6)
    pool = init.network(module, x).layers[-1]
    assert pool.image_behind((9, 6)) == tuple(module(x).shape[2:])
    module[-1].ceil_mode = True
    with pytest.raises(ValueError, match="ceil_mode"):
        init.network(module, x)
