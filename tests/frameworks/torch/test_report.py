"""lsuv_ and report: what a batch says of a module."""

import pytest
import torch
from torch import nn

from fanin import torch as init


def model():
    return nn.Sequential(
        nn.Linear(30, 60),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(60, 60),
        nn.Tanh(),
        nn.Linear(60, 9),
    )


def batch():
    return torch.randn(500, 30, generator=torch.Generator().manual_seed(0))


def test_lsuv_gives_every_layer_unit_variance():
    module = model()
    found = init.lsuv_(module, 7 * batch(), tolerance=0.01, seed=3)
    assert list(found) == ["0", "3", "5"]
    with torch.no_grad():
        x = 7 * batch()
        module.eval()
        for layer in module:
            x = layer(x)
            if isinstance(layer, nn.Linear):
                assert abs(float(x.var()) - 1) < 0.02
    q = module[3].weight.detach()
    assert torch.allclose(q @ q.T, q.norm() ** 2 / 60 * torch.eye(60), atol=1e-5)


def test_lsuv_leaves_modes_and_hooks_as_they_were_and_needs_layers():
    module = model()
    init.lsuv_(module, batch())
    assert all(m.training for m in module.modules())
    assert not module[0]._forward_hooks
    with pytest.raises(ValueError, match="no Linear or convolution"):
        init.lsuv_(nn.ReLU(), batch())


def test_a_report_measures_activations_and_gradients_and_changes_nothing():
    module = model()
    init.init_(module, seed=1)
    module[0].weight.grad = torch.ones(60, 30)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    report = init.report(module, batch())
    assert [row.name for row in report.layers] == list("012345")
    assert (module[0].weight.grad == 1).all() and module[3].weight.grad is None
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    relu = report.layers[1]
    x = module[0](batch()).detach()
    assert relu.second == pytest.approx(float(x.relu().double().square().mean()), rel=1e-5)
    # 30000 pre-activations that are nearly normal: E max(0, z)^2 is half of E z^2 to some percent
    assert relu.theory == pytest.approx(float(x.double().square().mean()) / 2, rel=1e-9)
    assert relu.second == pytest.approx(relu.theory, rel=0.1)
    assert report.layers[5].gradient_std == pytest.approx(report.layers[5].std, rel=0.2)
    assert report.layers[0].gradient_std > 0 and report.layers[0].theory is None
    assert str(report).count("\n") == 6
    assert len(report.plot().axes) == 1
