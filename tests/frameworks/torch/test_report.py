"""lsuv_ and report: what a batch says of a module."""

import math

import pytest
import torch
from torch import nn

import fanin
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
    # The loss is the inner product of the output with independent normal values.
    assert report.layers[5].gradient_std == pytest.approx(1.0, rel=0.1)
    assert report.layers[0].gradient_std > 0 and report.layers[0].theory is None
    assert str(report).count("\n") == 6
    assert len(report.plot().axes) == 1


CONVOLUTIONS = [nn.Conv1d(50, 400, 1), nn.BatchNorm1d(400), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
                nn.Flatten(), nn.Linear(400, 400)]  # fmt: skip
DENSE = [layer for _ in range(3) for layer in (nn.Linear(400, 400), nn.Tanh())]


@pytest.mark.parametrize("layers, shape", [(CONVOLUTIONS, (40, 50, 7)), (DENSE, (40, 400))])
def test_a_report_shows_what_the_theory_predicts_of_the_whole_module(layers, shape):
    """A mean square of 16000 values is within 4 sqrt(2/16000) = .045 of its expectation, and
    1/width corrections of three layers stay below 6/400; .1 covers both. Behind the pool all
    samples are alike: 400 outputs are as good as those of one, within 4 sqrt(2/400) = .28."""
    module = nn.Sequential(*layers)
    init.init_(module, seed=1)
    for i, layer in enumerate(module):
        if isinstance(layer, nn.Linear):
            init.normal_(layer.weight, 0.0, 1.5 / 20, generator=fanin.Stream(i))
    inputs = torch.from_numpy(fanin.normal(shape, seed=9))
    report = init.report(module, inputs)
    q = init.network(module, inputs).propagate(float(inputs.double().square().mean())).q
    assert [row.predicted for row in report.layers] == [float(x) for x in q[1:]]
    for row in report.layers:
        alike = 0.28 if layers is CONVOLUTIONS and row.name == "5" else 0.1
        assert row.second == pytest.approx(row.predicted, rel=alike), row
        assert row.gradient_std == pytest.approx(row.predicted_gradient_std, rel=0.1), row
    labels = [text.get_text() for text in report.plot().axes[0].get_legend().get_texts()]
    assert labels == ["outputs, root mean square", "predicted", "gradients, std",
                      "predicted gradients"]  # fmt: skip


def test_a_batch_norm_is_reported_by_its_batch_and_keeps_its_statistics():
    module = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    report = init.report(module, 5.0 * torch.randn(64, 8))
    assert report.layers[1].std == pytest.approx(1.0, rel=1e-3)
    assert module[1].training and module[1].track_running_stats
    assert (module[1].running_mean == 0).all() and module[1].num_batches_tracked == 0


def test_a_module_that_the_theory_does_not_know_is_reported_without_predictions():
    report = init.report(nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1)), torch.randn(4, 8))
    assert [row.predicted for row in report.layers] == [None, None]
    assert "nan" not in str(report)


def test_activations_in_place_change_no_row():
    first, last = nn.Linear(8, 64), nn.Linear(64, 4)
    batch = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
    rows = [
        init.report(nn.Sequential(first, act, last), batch).layers
        for act in (nn.ReLU(), nn.ReLU(inplace=True))
    ]
    assert rows[0] == rows[1] and not math.isnan(rows[0][0].gradient_std)
