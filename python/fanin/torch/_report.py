"""What a real batch says of a module: `lsuv_` sets its scales by it, `report` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import fanin

from ._networks import activation_of

__all__ = ["LayerReport", "Report", "lsuv_", "report"]

#: Layers with a weight matrix or kernel whose outputs are pre-activations.
_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def _run(module: nn.Module, batch: Any) -> Any:
    """The module's output for a batch: a tensor, a tuple of arguments, or a dict of keywords."""
    if isinstance(batch, dict):
        return module(**batch)
    return module(*batch) if isinstance(batch, (tuple, list)) else module(batch)


def _layers(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(n, m) for n, m in module.named_modules() if isinstance(m, _LAYERS)]


@contextmanager
def _in_evaluation(module: nn.Module) -> Iterator[None]:
    """Without dropout and without a change of running statistics; every mode is put back."""
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for one, mode in modes:
            one.training = mode


def lsuv_(
    module: nn.Module,
    batch: Any,
    *,
    seed: Any = 0,
    tolerance: float = 0.1,
    iterations: int = 10,
    orthogonal: bool = True,
) -> dict[str, float]:
    """Layer-sequential unit variance: each layer's outputs get variance 1 on a batch, in place.

    Orthogonal weights, then, from the first layer that runs to the last, the weight divided by
    the std of its outputs until abs(variance - 1) < tolerance      (Mishkin & Matas 2016, alg. 1)

    Parameters
    ----------
    module : Module
        Its Linear and convolution layers are treated, in the order in which they run.
    batch : Tensor, tuple or dict
        What the module is called with.
    seed : int, Stream or Generator
        Layer ``name`` draws from ``Stream(seed)[name + ".weight"]``.
    tolerance : float
        How far a variance may be from 1.
    iterations : int
        Divisions a layer, at most.
    orthogonal : bool
        False keeps the weights that are there and scales them only.

    Returns
    -------
    dict
        The variance of each layer's outputs at the end.

    >>> import torch
    >>> from fanin import torch as init
    >>> first, last = torch.nn.Linear(30, 40), torch.nn.Linear(40, 20)
    >>> model = torch.nn.Sequential(first, torch.nn.ReLU(), last)
    >>> done = init.lsuv_(model, torch.randn(256, 30), seed=1)
    >>> [bool(abs(variance - 1) < 0.1) for variance in done.values()]
    [True, True]
    """
    if not tolerance > 0.0:
        raise ValueError(f"tolerance must be > 0, got {tolerance!r}")
    from ._functions import orthogonal_

    named = {layer: name for name, layer in _layers(module)}
    if not named:
        raise ValueError("lsuv_ found no Linear or convolution layer in the module")
    root = seed if isinstance(seed, (fanin.Stream, fanin.Generator)) else fanin.Stream(seed)
    if isinstance(root, fanin.Generator):
        root = root.spawn(1)[0].stream
    found: dict[str, float] = {}

    def variance(output: Any) -> float:
        return float(output.detach().double().var(unbiased=False))

    def scale(layer: nn.Module, inputs: Any, output: Any) -> Any:
        if named[layer] in found:  # a layer that runs twice is set by its first run
            return None
        weight: Any = layer.weight
        now = variance(output)
        for _ in range(iterations):
            if abs(now - 1.0) < tolerance or not now > 0.0:
                break
            weight.data.div_(now**0.5)
            output = type(layer).forward(layer, *inputs)
            now = variance(output)
        found[named[layer]] = now
        return output

    with torch.no_grad(), _in_evaluation(module):
        if orthogonal:
            for layer, name in named.items():
                orthogonal_(layer.weight, generator=root[f"{name}.weight" if name else "weight"])
                if layer.bias is not None:
                    layer.bias.zero_()
        hooks = [layer.register_forward_hook(scale) for layer in named]
        try:
            _run(module, batch)
        finally:
            for hook in hooks:
                hook.remove()
    return found


@dataclass(frozen=True)
class LayerReport:
    """One module of a `Report`: its outputs, their gradients, and the theory's value.

    `theory` is E phi(z)^2 for the measured second moment of an activation's inputs, None for
    modules that the theory has no name for.
    """

    name: str
    kind: str
    mean: float
    std: float
    zeros: float
    gradient_std: float
    second: float
    theory: float | None


@dataclass(frozen=True)
class Report:
    """Statistics of every leaf module on one batch, in the order in which they ran."""

    layers: tuple[LayerReport, ...]

    def table(self) -> str:
        """The rows as text."""
        wide = max((len(row.name) for row in self.layers), default=4)
        widths = {"mean": 10, "std": 10, "zeros": 6, "grad std": 10, "E x^2": 10, "theory": 10}
        titles = " ".join(f"{title:>{width}}" for title, width in widths.items())
        head = f"{'name':{wide}}  {'kind':12} {titles}"
        lines = [head]
        for row in self.layers:
            theory = "" if row.theory is None else f"{row.theory:10.4g}"
            lines.append(
                f"{row.name:{wide}}  {row.kind:12.12} {row.mean:10.3g} {row.std:10.4g} "
                f"{row.zeros:6.1%} {row.gradient_std:10.3g} {row.second:10.4g} {theory:>10}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def plot(self) -> Any:
        """A matplotlib figure: std of activations and of gradients along the depth."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        depth = range(len(self.layers))
        axes.semilogy(depth, [row.std for row in self.layers], "o-", label="std of outputs")
        axes.semilogy(
            depth, [row.gradient_std for row in self.layers], "s-", label="std of gradients"
        )
        known = [(i, row.theory) for i, row in enumerate(self.layers) if row.theory is not None]
        axes.semilogy([i for i, _ in known], [t**0.5 for _, t in known], "k_", ms=14,
                      label="theory, root mean square")  # fmt: skip
        axes.set_xlabel("module")
        axes.legend()
        return figure


for _kind in (LayerReport, Report):
    _kind.__module__ = "fanin.torch"  # where users import them


def report(
    module: nn.Module, batch: Any, loss: Callable[[Any], torch.Tensor] | None = None
) -> Report:
    """Activation and gradient statistics of a real batch, beside the theory where it has a layer.

    Parameters
    ----------
    module : Module
        It is run once forward and backward; parameters, their ``.grad``, modes and running
        statistics stay as they are.
    batch : Tensor, tuple or dict
        What the module is called with.
    loss : callable, optional
        From the output to a scalar. None: half the sum of the squared floats of the output.

    >>> import torch
    >>> from fanin import torch as init
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU())
    >>> [row.kind for row in init.report(model, torch.randn(16, 8)).layers]
    ['Linear', 'ReLU']
    """
    outputs: list[tuple[str, nn.Module, torch.Tensor, float | None]] = []

    def keep(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(first, torch.Tensor) or not first.is_floating_point():
                return
            if first.requires_grad:
                first.retain_grad()
            outputs.append((name, layer, first, _theory(layer, inputs)))

        return hook

    leaves = [(n, m) for n, m in module.named_modules() if not list(m.children())]
    hooks = [layer.register_forward_hook(keep(name)) for name, layer in leaves]
    kept = [(p, p.grad) for p in module.parameters()]
    try:
        with _in_evaluation(module), torch.enable_grad():
            for parameter, _ in kept:
                parameter.grad = None
            made = _run(module, batch)
            value = _squares(made) if loss is None else loss(made)
            if value.requires_grad:
                value.backward()
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, gradient in kept:
            parameter.grad = gradient
    return Report(tuple(_row(*entry) for entry in outputs))


def _theory(layer: nn.Module, inputs: Any) -> float | None:
    phi = activation_of(layer)
    if phi is None or not inputs or not isinstance(inputs[0], torch.Tensor):
        return None
    q = float(inputs[0].detach().double().square().mean())
    return float(fanin.propagation.moments(q, phi).second)


def _row(name: str, layer: nn.Module, output: torch.Tensor, theory: float | None) -> LayerReport:
    values = output.detach().double()
    gradient = output.grad
    spread = float("nan") if gradient is None else float(gradient.double().std(unbiased=False))
    return LayerReport(
        name,
        type(layer).__name__,
        float(values.mean()),
        float(values.std(unbiased=False)),
        float((values == 0).double().mean()),
        spread,
        float(values.square().mean()),
        theory,
    )


def _squares(made: Any) -> torch.Tensor:
    """Half the sum of the squares of every float in an output."""
    if isinstance(made, torch.Tensor):
        return made.float().square().sum() / 2
    if isinstance(made, dict):
        made = list(made.values())
    floats = [one for one in made if isinstance(one, torch.Tensor) and one.is_floating_point()]
    total: torch.Tensor = sum((one.float().square().sum() / 2 for one in floats), torch.zeros(()))
    return total
