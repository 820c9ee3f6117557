"""A module as a network of the theory: its layers, read from what it is and what it calls."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

import fanin

from ._names import check_module, uncompiled

__all__ = ["activation_of", "named_network", "network"]

p = fanin.propagation

_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.Softplus: "softplus",
    nn.Softsign: "softsign",
    nn.Mish: "mish",
    nn.Hardtanh: "hardtanh",
    nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid",
    nn.ReLU6: "relu6",
}
#: Parameters of an activation's module that the theory has under another name, or only at a value.
_SHAPES: dict[type[nn.Module], dict[str, Any]] = {
    nn.ELU: {"alpha": 1.0},
    nn.Softplus: {"beta": 1},
    nn.Hardtanh: {"min_val": -1.0, "max_val": 1.0},
}
_FUNCTIONS: dict[Any, str] = {
    F.relu: "relu", torch.relu: "relu", "relu": "relu", "relu_": "relu",
    F.tanh: "tanh", torch.tanh: "tanh", "tanh": "tanh",
    F.sigmoid: "sigmoid", torch.sigmoid: "sigmoid", "sigmoid": "sigmoid",
    F.silu: "silu", F.elu: "elu", F.selu: "selu", F.softplus: "softplus", F.softsign: "softsign",
    F.mish: "mish", F.hardtanh: "hardtanh", F.hardswish: "hardswish",
    F.hardsigmoid: "hardsigmoid", F.relu6: "relu6",
}  # fmt: skip
_ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
_FLATTENING = (torch.flatten, "flatten")
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_WHOLE_POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_LARGEST = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


class _Unknown(Exception):
    """Why a module or a call is no layer of the theory."""


def activation_of(module: nn.Module) -> Any:
    """The activation that a module is, or None."""
    if isinstance(module, nn.LeakyReLU):
        return fanin.Activation("leaky_relu", negative_slope=module.negative_slope)
    name = _ACTIVATIONS.get(type(module))
    if name is None:
        return None
    if isinstance(module, nn.GELU) and module.approximate == "tanh":
        return "gelu_tanh"
    shaped = _SHAPES.get(type(module), {})
    return name if all(getattr(module, key) == value for key, value in shaped.items()) else None


# --- one module ---------------------------------------------------------------------------------


def _mean_square(values: Any) -> float:
    if values is None:
        return 0.0
    if values.is_meta:
        raise _Unknown("its weights are on the meta device: initialise them first")
    return float(values.detach().double().square().mean())


def _dense(module: Any) -> Any:
    variance = module.in_features * _mean_square(module.weight)
    return p.Dense(module.out_features, variance, _mean_square(module.bias))


def _sides(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _conv(module: Any) -> Any:
    kernel = tuple(module.kernel_size)
    fan_in = module.in_channels // module.groups * math.prod(kernel)
    if set(_sides(module.dilation, len(kernel))) != {1}:
        raise _Unknown("dilated")
    around = module.padding
    same = around == "same" or _sides(around if around != "valid" else 0, len(kernel)) == tuple(
        (k - 1) // 2 for k in kernel
    )
    if module.padding_mode not in ("zeros", "circular") or not same:
        raise _Unknown(
            "only paddings 'zeros' and 'circular' that keep the size (kernel // 2) are known"
        )
    point = set(kernel) == {1}
    return p.Conv(
        module.out_channels, kernel, fan_in * _mean_square(module.weight),
        _mean_square(module.bias), groups=module.groups, stride=tuple(module.stride),
        padding="circular" if module.padding_mode == "circular" or point else "zero",
    )  # fmt: skip


def _norm(kind: Callable[..., Any], module: Any, epsilon: float) -> Any:
    weight, bias = module.weight, getattr(module, "bias", None)
    gamma = 1.0 if weight is None else math.sqrt(_mean_square(weight))
    return kind(gamma, _mean_square(bias), epsilon)


def _root_mean_square(module: Any) -> Any:
    epsilon = torch.finfo(torch.float32).eps if module.eps is None else module.eps
    return _norm(p.RMSNorm, module, epsilon)


def _pool(module: Any) -> Any:
    if module.stride not in (None, module.kernel_size) or module.padding not in (0, (0,), (0, 0)):
        raise _Unknown("an average over windows that overlap or are padded")
    return p.AveragePool(module.kernel_size)


def _whole_pool(module: Any) -> Any:
    size = module.output_size
    if set((size,) if isinstance(size, int) else size) != {1}:
        raise _Unknown("adaptive pooling to more than one position")
    return p.AveragePool(None)


def _largest(module: Any) -> Any:
    if module.dilation not in (1, (1,), (1, 1)):
        raise _Unknown("dilated")
    if module.ceil_mode:
        raise _Unknown("with ceil_mode")
    axes = int(type(module).__name__[-2])
    size, stride, padding = (
        _sides(value, axes) for value in (module.kernel_size, module.stride, module.padding)
    )
    return p.MaxPool(size, stride, padding)


_MODULES: dict[tuple[type[nn.Module], ...], Callable[[Any], Any]] = {
    (nn.Linear,): _dense,
    _CONVOLUTIONS: _conv,
    (nn.LayerNorm,): lambda module: _norm(p.LayerNorm, module, module.eps),
    (nn.RMSNorm,): _root_mean_square,
    _NORMS: lambda module: _norm(p.BatchNorm, module, module.eps),
    _POOLS: _pool,
    _WHOLE_POOLS: _whole_pool,
    _LARGEST: _largest,
    (nn.Flatten,): lambda module: p.Flatten(),
    (nn.Identity,): lambda module: None,
    _DROPOUTS: lambda module: p.Dropout(module.p) if module.training else None,
}


def _layer_of(module: nn.Module) -> Any:
    """The layer, or None for one that changes nothing."""
    phi = activation_of(module)
    if phi is not None:
        return phi
    for kinds, make in _MODULES.items():
        if type(module) in kinds:
            return make(module)
    raise _Unknown("no layer of the theory")


# --- the graph ----------------------------------------------------------------------------------


def _recurrent(module: Any) -> list[Any]:
    """The layers of an nn.RNN, LSTM or GRU, one on another."""
    if module.bidirectional or getattr(module, "proj_size", 0):
        raise _Unknown("of two directions, or with projections")
    units, layers = module.hidden_size, []
    for number in range(module.num_layers):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        found: list[Any] = [getattr(module, f"{name}_l{number}", None) for name in names]
        into, between, *biases = found
        given: dict[str, Any] = {
            "weight_var": into.shape[1] * _mean_square(into),
            "recurrent_var": units * _mean_square(between),
        }
        if biases[0] is not None:
            one, other = (bias.detach().double() for bias in biases)
            both = one + other
            if isinstance(module, nn.LSTM):  # in the order i, f, g, o
                forget = both[units : 2 * units]
                given["forget_bias"] = float(forget.mean())
                forget -= forget.mean()
            split = isinstance(module, nn.GRU)  # a gate adds one of them within its tanh
            given["bias_var"] = sum(map(_mean_square, (one, other) if split else (both,)))
        if isinstance(module, nn.RNN):
            given["activation"] = module.nonlinearity
        layers.append(_CELLS[type(module)](units, **given))
        if module.training and module.dropout and number < module.num_layers - 1:
            layers.append(p.Dropout(module.dropout))
    return layers


_CELLS: dict[type[nn.Module], Any] = {nn.RNN: p.RNN, nn.LSTM: p.LSTM, nn.GRU: p.GRU}


def _taken(node: torch.fx.Node, modules: dict[str, nn.Module]) -> tuple[torch.fx.Node, list[Any]]:
    """The recurrent module that a look-up takes its values from, and the layers up to them."""
    path: list[Any] = []
    source = node
    while source.target is operator.getitem:
        path.insert(0, source.args[1])
        source = source.args[0]
    module = modules.get(str(source.target)) if source.op == "call_module" else None
    if type(module) not in _CELLS:
        raise _Unknown("no layer of the theory")
    assert module is not None
    layers = _recurrent(module)
    if path == [0]:
        return source, layers
    end = (slice(None), -1) if module.batch_first else -1
    state = [1, 0] if isinstance(module, nn.LSTM) else [1]
    top = (-1, 0) if module.num_layers == 1 else (-1,)
    if path in ([0, end], *([*state, layer] for layer in top)):
        return source, [*layers[:-1], dataclasses.replace(layers[-1], last=True)]
    raise _Unknown(f"of a {type(module).__name__} only all outputs or the last step are known")


#: A layer, and the node of the graph that it ends at.
Step = tuple[torch.fx.Node, Any]


def _called(node: torch.fx.Node, modules: dict[str, nn.Module]) -> Any:
    """The layer that a node is."""
    if node.op == "call_module":
        return _layer_of(modules[str(node.target)])
    if node.target is F.gelu:
        return "gelu_tanh" if node.kwargs.get("approximate") == "tanh" else "gelu"
    if node.target in (F.leaky_relu,):
        slope = node.kwargs.get("negative_slope", [*node.args, 0.01][1])
        return fanin.Activation("leaky_relu", negative_slope=slope)
    if node.target in _FUNCTIONS:
        if len(node.args) > 1:
            raise _Unknown("with more than its input")
        return _FUNCTIONS[node.target]
    if node.target in _FLATTENING:
        return p.Flatten()
    if node.target is F.dropout and not node.kwargs.get("training", True):
        return None
    raise _Unknown("no layer of the theory")


def _chain(
    node: torch.fx.Node, modules: dict[str, nn.Module], unknown: dict[str, str]
) -> list[Step]:
    """The layers from the input to a node."""
    if node.op == "placeholder":
        return []
    tensors = [a for a in node.args if isinstance(a, torch.fx.Node)]
    if node.target is operator.getitem:
        try:
            source, layers = _taken(node, modules)
        except _Unknown as why:
            unknown[str(node.name)] = f"{node.target}: {why}"
            return []
        before = _chain(source.args[0], modules, unknown)
        if len(source.args) > 1 or source.kwargs:
            unknown[str(source.target)] = "a start other than 0"
        return [*before, *((node, layer) for layer in layers)]
    if node.target in _ADDITIONS and len(tensors) == 2:
        first, second = (_chain(one, modules, unknown) for one in tensors)
        shared = 0
        for one, other in zip(first, second, strict=False):
            if one[0] is not other[0]:
                break
            shared += 1
        skip, branch = sorted((first[shared:], second[shared:]), key=len)
        try:
            block = p.Residual([x for _, x in branch], projection=[x for _, x in skip])
        except ValueError as error:
            unknown[str(node.name)] = f"addition: {error}"
            return first
        return [*first[:shared], (node, block)]
    if len(tensors) != 1:
        unknown[str(node.name)] = f"{node.target}: {len(tensors)} tensors come in"
        return []
    before = _chain(tensors[0], modules, unknown)
    try:
        layer = _called(node, modules)
    except _Unknown as why:
        what = type(modules[str(node.target)]).__name__ if node.op == "call_module" else node.target
        unknown[str(node.target if node.op == "call_module" else node.name)] = f"{what}: {why}"
        return before
    return before if layer is None else [*before, (node, layer)]


def _ending(
    node: torch.fx.Node, modules: dict[str, nn.Module], unknown: dict[str, str]
) -> list[Step]:
    """The layers up to the module's output: of a recurrent layer at the end of an nn.Sequential,
    which puts out its states too, all outputs."""
    cell = modules.get(str(node.target)) if node.op == "call_module" else None
    if type(cell) not in _CELLS or len(node.args) != 1 or node.kwargs:
        return _chain(node, modules, unknown)
    before = _chain(node.args[0], modules, unknown)
    try:
        return [*before, *((node, layer) for layer in _recurrent(cell))]
    except _Unknown as why:
        unknown[str(node.target)] = f"{type(cell).__name__}: {why}"
        return before


class _Alone(nn.Module):  # type: ignore[misc]
    """A module of torch.nn as a whole, where the tracer would look into it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        return self.module(x)


class _AllSteps(nn.Module):  # type: ignore[misc]
    """The outputs of a recurrent module, without its states."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Any) -> Any:
        return self.cell(x)[0]


def _traced(module: nn.Module) -> list[Step]:
    tracer = torch.fx.Tracer()  # modules of torch.nn stay whole
    if type(module) in _CELLS:
        module = _AllSteps(module)
    elif tracer.is_leaf_module(module, ""):
        module = _Alone(module)
    try:
        graph = tracer.trace(module)
    except Exception as error:
        raise ValueError(
            f"network cannot follow {type(module).__name__}: torch.fx does not trace its forward "
            f"({error}); build the propagation.Network of its layers by hand"
        ) from error
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    [end] = [node for node in graph.nodes if node.op == "output"]
    unknown: dict[str, str] = {}
    if len(inputs) != 1 or not isinstance(end.args[0], torch.fx.Node):
        raise ValueError("network understands modules of one input and one output")
    modules = dict(module.named_modules())
    steps = _ending(end.args[0], modules, unknown)
    if unknown:
        listed = "; ".join(f"{name}: {why}" for name, why in unknown.items())
        raise ValueError(f"network does not understand {listed}")
    return steps


# --- models of transformers ---------------------------------------------------------------------


def _family(config: Any) -> dict[str, Any] | None:
    """What `propagation.architecture` is asked for a configuration of transformers."""
    get = config.to_dict().get
    kind, std = get("model_type"), get("initializer_range")
    if kind == "gpt2":
        return {"name": "gpt2", "layers": get("n_layer"), "width": get("n_embd"),
                "tokens": get("n_positions"), "std": std,
                "inner": get("n_inner") or 4 * get("n_embd")}  # fmt: skip
    if kind == "llama":
        return {"name": "llama", "layers": get("num_hidden_layers"), "width": get("hidden_size"),
                "tokens": get("max_position_embeddings"), "inner": get("intermediate_size"),
                "std": std}  # fmt: skip
    if kind in ("bert", "vit"):
        asked = {"name": kind, "layers": get("num_hidden_layers"), "width": get("hidden_size"),
                 "inner": get("intermediate_size"), "std": std}  # fmt: skip
        if kind == "bert":
            return {**asked, "tokens": get("max_position_embeddings")}
        patches = (get("image_size") // get("patch_size")) ** 2
        return {**asked, "tokens": patches + 1, "patch": get("patch_size"),
                "channels": get("num_channels")}  # fmt: skip
    widths = get("hidden_sizes")
    if kind == "resnet" and get("layer_type") == "bottleneck":
        width = get("embedding_size")
        if list(widths) == [4 * width << i for i in range(len(widths))]:
            return {"name": "resnet50", "blocks": tuple(get("depths")), "width": width,
                    "channels": get("num_channels")}  # fmt: skip
    return None


def _tokens(example: Any) -> int | None:
    """How many tokens or pixels along a side an example has."""
    if isinstance(example, dict):
        example = next(iter(example.values()), None)
    shape: tuple[int, ...] = tuple(getattr(example, "shape", ()))
    return int(shape[-1]) if len(shape) > 1 else None


# --- both ---------------------------------------------------------------------------------------


def network(module: nn.Module, example: Any) -> fanin.propagation.Network:
    """The `propagation.Network` of a module that the theory understands.

    Of transformers' GPT-2, Llama, BERT, ViT and ResNet (bottlenecks) it is
    `propagation.architecture` with the sizes and the std of their configuration. Any other module
    is traced by torch.fx, modules of torch.nn as a whole: layers with weights get the variances
    that their weights and biases have now (fan_in mean(W^2) and mean(b^2)), an addition becomes a
    `Residual`. Of an nn.RNN, LSTM or GRU all outputs are known, and the last step.

    Parameters
    ----------
    module : Module
        Its forward takes one tensor and returns one. Dropout counts in training mode.
    example : Tensor, tuple or dict
        What it is called with: only its shape is read, (batch, features), (batch, channels,
        \\*sides), (batch, tokens) of ids. The theory wants its inputs normal, with mean square q0.

    Returns
    -------
    Network

    Raises
    ------
    TypeError
        No module, or an example that is no tensor.
    ValueError
        That names every module and call that is no layer of the theory, and why; or that
        torch.fx cannot trace the forward.

    Examples
    --------
    >>> import torch
    >>> from fanin import torch as init
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(),
    ...                             torch.nn.Linear(512, 512))
    >>> for layer in (model[0], model[2]):
    ...     _ = init.kaiming_normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    >>> q = init.network(model, torch.randn(8, 64)).propagate().q
    >>> [round(float(x), 1) for x in q]  # the input, then each layer
    [1.0, 2.0, 1.0, 2.0]
    """
    return named_network(module, example)[0]


def named_network(
    module: nn.Module, example: Any
) -> tuple[fanin.propagation.Network, tuple[str | None, ...]]:
    """The network, and the names of the modules that its layers are, None for a call."""
    check_module(module, "network")
    module = uncompiled(module)
    config = getattr(module, "config", None)
    if config is not None and hasattr(config, "to_dict"):
        asked = _family(config)
        if asked is None:
            known = "gpt2, llama, bert, vit and resnet (of bottlenecks)"
            raise ValueError(
                f"network knows of transformers {known}, not {getattr(config, 'model_type', '?')}"
            )
        size = _tokens(example)
        if size is not None:
            if asked["name"] == "resnet50":
                asked["image"] = size
            elif asked["name"] != "vit":
                asked["tokens"] = size
        return p.architecture(**asked), ()
    steps = _traced(module)
    layers = [layer for _, layer in steps]
    names = tuple(str(node.target) if node.op == "call_module" else None for node, _ in steps)
    if names == ("module",) and "module" not in module._modules:
        names = ("",)  # it is the module itself
    first = example[0] if isinstance(example, Sequence) and example else example
    if isinstance(first, dict) and len(first) == 1:
        [first] = first.values()
    if not isinstance(first, torch.Tensor):
        raise TypeError(f"the example is a tensor, or one in a tuple or dict, got {example!r}")
    shape = tuple(first.shape)
    if len(shape) < 2:
        raise ValueError(f"the example needs a batch and features, got the shape {shape}")
    image = shape[2:] or None
    cells = [m for m in module.modules() if type(m) in _CELLS]
    if cells and len(shape) == 3:
        steps_first = not cells[0].batch_first
        return p.Network(layers, width=shape[2], image=(shape[0 if steps_first else 1],)), names
    if image is not None and not any(isinstance(layer, p.Conv) for layer in layers):
        return p.Network(layers, width=shape[-1]), names  # features are last, as Linear has them
    return p.Network(layers, width=shape[1], image=image), names
