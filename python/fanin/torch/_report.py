"""What a real batch says of a module: `lsuv_` sets its scales by it, `report` shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

import fanin
from fanin._hints import short

from ._fills import is_fillable
from ._names import check_module, uncompiled, unwrapped, within
from ._networks import activation_of, named_network

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
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _run(module: nn.Module, batch: Any) -> Any:
    """The module's output for a batch: a tensor, a tuple of arguments, or a dict of keywords.

    Nothing in it runs compiled: such modules call no hooks."""
    with torch.compiler.set_stance("force_eager"):
        if isinstance(batch, dict):
            return module(**batch)
        return module(*batch) if isinstance(batch, (tuple, list)) else module(batch)


def _layers(module: nn.Module) -> list[tuple[str, nn.Module]]:
    named = module.named_modules()
    return [(unwrapped(n), m) for n, m in named if isinstance(m, _LAYERS)]


@contextmanager
def _in_evaluation(module: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """Without dropout and without a change of running statistics; every mode is put back.

    With `batch_statistics` a batch norm normalises by its batch, as in training."""
    modes = [(one, one.training) for one in module.modules()]
    norms = [(one, one.track_running_stats) for one in module.modules() if isinstance(one, _NORMS)]
    module.eval()
    if batch_statistics:
        for one, _ in norms:
            one.training, one.track_running_stats = True, False
    try:
        yield
    finally:
        for one, mode in modes:
            one.training = mode
        for one, tracks in norms:
            one.track_running_stats = tracks


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
        Its Linear and convolution layers are treated, in the order in which they run; those that
        do not run as modules on the batch stay as they are. Wrappers (DistributedDataParallel,
        torch.compile) change nothing.
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

    Raises
    ------
    TypeError, ValueError
        A tolerance <= 0, or a module without such layers, or with one whose weight cannot be set:
        on meta, computed by a parametrisation, no float. These and what the module raises on the
        batch come before anything is written.

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
    if not isinstance(iterations, int):
        raise TypeError(f"iterations is an int, got {iterations!r}")
    check_module(module, "lsuv_")
    from ._functions import orthogonal_

    _, module = within(module)
    named = {layer: name for name, layer in _layers(module)}
    if not named:
        raise ValueError("lsuv_ found no Linear or convolution layer in the module")
    for layer, name in named.items():
        _check_weight(layer, f"{name}.weight" if name else "weight")
    root = seed if isinstance(seed, (fanin.Stream, fanin.Generator)) else fanin.Stream(seed)
    if isinstance(root, fanin.Generator):
        root = root.spawn(1)[0].stream
    found: dict[str, float] = {}

    def variance(output: Any) -> float:
        return float(output.detach().double().var(unbiased=False))

    def scale(layer: nn.Module, inputs: Any, keywords: Any, output: Any) -> Any:
        if named[layer] in found:  # a layer that runs twice is set by its first run
            return None
        weight: Any = layer.weight
        now = variance(output)
        for _ in range(iterations):
            if abs(now - 1.0) < tolerance or not now > 0.0:
                break
            weight.div_(now**0.5)
            output = type(layer).forward(layer, *inputs, **keywords)
            now = variance(output)
        found[named[layer]] = now
        return output

    with torch.no_grad(), _in_evaluation(module):
        ran = _running(named, module, batch)  # if that fails, it does before anything is written
        named = {layer: name for layer, name in named.items() if layer in ran}
        if orthogonal:
            for layer, name in named.items():
                orthogonal_(layer.weight, generator=root[f"{name}.weight" if name else "weight"])
                if layer.bias is not None:
                    layer.bias.zero_()
        hooks = [layer.register_forward_hook(scale, with_kwargs=True) for layer in named]
        _run_with(hooks, module, batch)
    return found


def _run_with(hooks: list[Any], module: nn.Module, batch: Any) -> None:
    """Runs the module, then takes the hooks away."""
    try:
        _run(module, batch)
    finally:
        for hook in hooks:
            hook.remove()


def _running(layers: Iterable[nn.Module], module: nn.Module, batch: Any) -> set[nn.Module]:
    """Those layers that the module calls on the batch."""
    ran: set[nn.Module] = set()
    hooks = [layer.register_forward_hook(lambda one, *_: ran.add(one)) for layer in layers]
    _run_with(hooks, module, batch)
    return ran


def _check_weight(layer: nn.Module, name: str) -> None:
    """Refuse a weight that lsuv_ cannot set."""
    weight: Any = layer._parameters.get("weight")
    why = ""
    if weight is None:
        why = "is computed from other tensors: initialise the module before you parametrise it"
    elif nn.parameter.is_lazy(weight):
        why = "has no shape yet: run the module on a batch first"
    elif weight.is_meta:
        why = 'is on the meta device and has no memory; call module.to_empty(device="cpu") first'
    elif not is_fillable(weight):
        why = f"cannot be made orthogonal: it is a {type(weight).__name__} of {weight.dtype}"
    if why:
        raise ValueError(f"lsuv_ sets the weights of layers, and {name} {why}")


@dataclass(frozen=True)
class LayerReport:
    """One module of a `Report`: its outputs, their gradients, and the theory's values.

    Attributes
    ----------
    name, kind : str
        The module's name and its class.
    mean, std, zeros : float
        Of its outputs; `zeros` is the share of them.
    gradient_std : float
        Of the gradient at its outputs; nan if none came.
    second : float
        The mean square of its outputs.
    theory : float, optional
        E phi(z)^2 for the measured second moment of an activation's inputs.
    predicted, predicted_gradient_std : float, optional
        `second` and `gradient_std` by `fanin.torch.network`, which knows only the mean square of
        the batch, the variances of the weights and the gradient at the end. None where the theory
        has no answer.
    """

    name: str
    kind: str
    mean: float
    std: float
    zeros: float
    gradient_std: float
    second: float
    theory: float | None
    predicted: float | None = None
    predicted_gradient_std: float | None = None


@dataclass(frozen=True)
class Report:
    """Statistics of every leaf module on one batch, in the order in which they ran.

    Attributes
    ----------
    layers : tuple of LayerReport
        One a module; `table` has them as text, `plot` as a figure.
    """

    layers: tuple[LayerReport, ...]

    def table(self) -> str:
        """The rows as text."""
        wide = max((len(row.name) for row in self.layers), default=4)
        widths = {"mean": 10, "std": 10, "zeros": 6, "E x^2": 10, "of input": 10, "predicted": 10,
                  "grad std": 10, "predicted ": 10}  # fmt: skip
        titles = " ".join(f"{title.strip():>{width}}" for title, width in widths.items())
        lines = [f"{'name':{wide}}  {'kind':12} {titles}"]
        for row in self.layers:
            numbers = (row.second, row.theory, row.predicted,
                       row.gradient_std, row.predicted_gradient_std)  # fmt: skip
            shown = " ".join(" " * 10 if x is None else f"{x:10.4g}" for x in numbers)
            lines.append(
                f"{row.name:{wide}}  {row.kind:12.12} {row.mean:10.3g} {row.std:10.4g} "
                f"{row.zeros:6.1%} {shown}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def plot(self) -> Any:
        """A matplotlib figure: sizes of outputs and of gradients along the depth, and predicted."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        lines = {
            "outputs, root mean square": ("C0o", [row.second**0.5 for row in self.layers]),
            "predicted": ("C0_", [(row.predicted or math.nan) ** 0.5 for row in self.layers]),
            "gradients, std": ("C1s", [row.gradient_std for row in self.layers]),
            "predicted gradients": (
                "C1_", [row.predicted_gradient_std or math.nan for row in self.layers]
            ),
        }  # fmt: skip
        for label, (style, values) in lines.items():
            if np.isfinite(values).any():
                measured = not style.endswith("_")
                axes.semilogy(values, style + "-" * measured, ms=5 if measured else 16, label=label)
        axes.set_xlabel("module")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
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
        From the output to a scalar. None: the inner product of the output with independent
        normal values, so that gradients are as the theory takes them to be.

    Returns
    -------
    Report
        A `LayerReport` for every module without children. Batch norms use the batch's
        statistics, dropout is off.

    Raises
    ------
    TypeError, ValueError
        No module, tensors on meta, an output that is no tensor, with `loss` None.
    Exception
        What the module or `loss` raises; the module is then as before.

    >>> import torch
    >>> from fanin import torch as init
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU())
    >>> [row.kind for row in init.report(model, torch.randn(16, 8)).layers]
    ['Linear', 'ReLU']
    """
    check_module(module, "report")
    module = uncompiled(module)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise ValueError(
                f"{name} is on the meta device and has no values: call "
                'module.to_empty(device="cpu") and init_ first'
            )
    rows: list[LayerReport] = []
    waiting: list[float | None] = []

    def before(layer: nn.Module, inputs: Any) -> None:
        waiting.append(_theory(layer, inputs))

    def keep(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            theory = waiting.pop()
            first = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(first, torch.Tensor) or not first.is_floating_point():
                return
            number = len(rows)
            rows.append(_row(name, layer, first, theory))

            def spread(gradient: torch.Tensor) -> None:
                found = float(gradient.double().std(unbiased=False))
                rows[number] = replace(rows[number], gradient_std=found)

            if first.requires_grad:
                first.register_hook(spread)

        return hook

    # An activation in place overwrites what it is given: everything is read before the next runs.
    named = module.named_modules()
    leaves = [(unwrapped(n), m) for n, m in named if not list(m.children())]
    hooks = [layer.register_forward_pre_hook(before) for _, layer in leaves]
    hooks += [layer.register_forward_hook(keep(name)) for name, layer in leaves]
    kept = [(p, p.grad) for p in module.parameters()]
    try:
        with _in_evaluation(module, batch_statistics=True), torch.enable_grad():
            predict = _predictor(module, batch)
            for parameter, _ in kept:
                parameter.grad = None
            made = _run(module, batch)
            value = _against_noise(made) if loss is None else loss(made)
            if not isinstance(value, torch.Tensor) or value.numel() != 1:
                raise ValueError(f"a loss is a tensor of one number, got {short(value)}")
            if value.requires_grad:
                value.backward()
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, gradient in kept:
            parameter.grad = gradient
    return Report(tuple(predict(rows)))


def _theory(layer: nn.Module, inputs: Any) -> float | None:
    phi = activation_of(layer)
    if phi is None or not inputs or not isinstance(inputs[0], torch.Tensor):
        return None
    q = float(inputs[0].detach().double().square().mean())
    return float(fanin.propagation.moments(q, phi).second)


def _row(name: str, layer: nn.Module, output: torch.Tensor, theory: float | None) -> LayerReport:
    values = output.detach().double()
    return LayerReport(
        name,
        type(layer).__name__,
        float(values.mean()),
        float(values.std(unbiased=False)),
        float((values == 0).double().mean()),
        math.nan,  # until the gradient is here
        float(values.square().mean()),
        theory,
    )


def _against_noise(made: Any) -> torch.Tensor:
    """The sum of every float in an output times a normal value of its own."""
    if isinstance(made, torch.Tensor):
        made = [made]
    elif isinstance(made, dict):
        made = list(made.values())
    elif not isinstance(made, (tuple, list)):
        raise ValueError(f"the output is of type {type(made).__name__}: give the loss= of it")
    total = torch.zeros((), device="cpu")
    for i, one in enumerate(made):
        if isinstance(one, torch.Tensor) and one.is_floating_point():
            noise = torch.from_numpy(fanin.normal(tuple(one.shape), seed=fanin.Stream(0)[i]))
            total = total + (one.float().cpu() * noise).sum()
    return total


def _predictor(module: nn.Module, batch: Any) -> Callable[[list[LayerReport]], list[LayerReport]]:
    """What adds the predictions of `network` to rows; nothing where the theory has no network."""
    try:
        if not isinstance(batch, torch.Tensor) or not batch.is_floating_point():
            return lambda rows: rows
        net, names = named_network(module, batch)
        profile = net.propagate(float(batch.detach().double().square().mean()))
    except ValueError:  # it says which module is no layer of the theory
        return lambda rows: rows
    entry = {name: i for i, name in enumerate(names, 1) if name is not None}

    def predict(rows: list[LayerReport]) -> list[LayerReport]:
        known = [row for row in rows if row.name in entry]
        if not known:
            return rows
        last = known[-1]
        unit = last.gradient_std**2 / float(profile.grad[entry[last.name]])
        return [
            row
            if row.name not in entry
            else replace(
                row,
                predicted=float(profile.q[entry[row.name]]),
                predicted_gradient_std=(unit * float(profile.grad[entry[row.name]])) ** 0.5,
            )
            for row in rows
        ]

    return predict
