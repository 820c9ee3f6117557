"""Every variable of a model by its place, from its layer's own initializer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras.src.saving import saving_lib
from keras.src.utils.naming import to_snake_case

import fanin

from . import _initializers
from ._drawn import Drawn
from ._tensors import tensor


@dataclass(frozen=True)
class InitReport:
    """What :func:`init_` did, each variable by its place in the model.

    Attributes
    ----------
    filled : tuple of str
        Drawn by fanin, or set by an initializer without randomness.
    called : tuple of str
        Set by a function or class of the model's own, whose numbers are its own too.
    skipped : tuple of str
        Without an initializer: left as they were.
    seconds : float
    """

    filled: tuple[str, ...]
    called: tuple[str, ...]
    skipped: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        rows = [(name, kind) for kind in ("filled", "called", "skipped")
                for name in getattr(self, kind)]  # fmt: skip
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:<{width}}  {kind}" for name, kind in rows)


def init_(model: Any, seed: Any = 0) -> InitReport:
    """Give every variable of a built model its values anew, in place.

    A variable's stream is ``Stream(seed)[place]``. Its place is the path under which Keras saves
    it, ``"layers/dense/vars/0"``: attribute names and positions, never the counted names of layers
    (``dense_17``). So the same model built twice has the same bits, in one process or in two and on
    any backend. Its law is that of the layer's ``kernel_initializer``, ``bias_initializer`` and so
    on; Keras's own classes stand for fanin's, and their seeds are not used. Variables without an
    initializer and those of integers (quantised layers) are left alone.

    Parameters
    ----------
    model : keras.Model or keras.Layer
        Built: its variables exist.
    seed : int, Stream or Generator

    Returns
    -------
    InitReport
        Prints as a table.

    Raises
    ------
    ValueError
        If the model is not built, or an initializer cannot make its variable; then nothing has been
        changed.

    Examples
    --------
    >>> import keras, fanin.keras
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> fanin.keras.init_(model, seed=1).filled
    ('layers/dense/vars/0', 'layers/dense/vars/1')
    """
    if not isinstance(model, keras.Layer):
        raise TypeError(f"model must be a keras.Model or keras.Layer, got {type(model).__name__}")
    if not model.built:
        raise ValueError(
            f"{model.name} is not built, so it has no variables yet: call "
            "model.build(input_shape) or the model on some input first"
        )
    start = time.perf_counter()
    if not isinstance(seed, (fanin.Stream, fanin.Generator)):
        seed = fanin.Stream(seed)
    found: dict[str, list[tuple[str, Any, Any]]] = {"filled": [], "called": [], "skipped": []}
    for place, variable, maker in _variables(model):
        if not keras.backend.is_float_dtype(variable.dtype):
            maker = None  # of a quantised layer, whose initializer made what was quantised
        law = maker.maker if isinstance(maker, _Forget) else maker
        if isinstance(law, Drawn):  # refuse now what cannot be drawn
            law.draw(tuple(variable.shape), seed=0, dtype=variable.dtype,
                       index=fanin.flat[0:0])  # fmt: skip
        kind = "skipped" if maker is None else "filled" if _known(maker) else "called"
        found[kind].append((place, variable, maker))
    stream = seed.spawn(1)[0].stream if isinstance(seed, fanin.Generator) else seed
    for place, variable, maker in found["filled"] + found["called"]:
        _fill(variable, maker, stream[place])
    names = {kind: tuple(place for place, _, _ in rows) for kind, rows in found.items()}
    return InitReport(**names, seconds=time.perf_counter() - start)


def _fill(variable: Any, maker: Any, stream: fanin.Stream) -> None:
    shape, dtype = tuple(variable.shape), variable.dtype
    if isinstance(maker, _Forget):
        variable.assign(keras.ops.convert_to_tensor(maker.values(shape, dtype, stream), dtype))
    elif not isinstance(maker, Drawn):
        variable.assign(maker(shape, dtype=dtype))
    elif keras.backend.backend() == "torch" and variable.value.device.type == "cpu":
        maker.draw(shape, seed=stream, dtype=dtype, out=variable.value)  # no second copy
    else:
        variable.assign(tensor(maker.draw, shape, dtype, lambda: stream, None))


# --- where the variables are ----------------------------------------------------------------------


def _variables(model: Any) -> list[tuple[str, Any, Any]]:
    """Place, variable and what makes it, each variable once, in the order of Keras's saving.

    A wrapper may hold its layer's variables too: the first place counts, and the first layer that
    has an initializer."""
    found: dict[int, tuple[str, Any, Any]] = {}
    for path, layer in _layers(model, "", {}):
        # The layer's own, as its save_own_variables counts them.
        own = layer._trainable_variables + layer._non_trainable_variables
        for position, variable in enumerate(own):
            place, _, maker = found.get(id(variable), (f"{path}vars/{position}", None, None))
            maker = _maker(layer, variable) if maker is None else maker
            found[id(variable)] = (place, variable, maker)
    return list(found.values())


def _layers(value: Any, path: str, seen: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    """Layers below `value` with their paths, as Keras's saving walks a model.

    `seen` holds what has been visited, so that the id of a list that a property made anew is not
    given to another."""
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, keras.Layer):
        yield path, value
        for attribute, child in saving_lib._walk_saveable(value):
            if isinstance(child, (keras.Layer, list, dict, tuple)):
                yield from _layers(child, f"{path}{attribute}/", seen)
        return
    used: dict[str, int] = {}
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, keras.Layer):
            name = to_snake_case(type(child).__name__)
        elif isinstance(child, (list, dict, tuple)):
            name = "container"
        else:
            continue
        count = used.get(name, 0)
        used[name] = count + 1
        yield from _layers(child, f"{path}{name}_{count}/" if count else f"{path}{name}/", seen)


# --- which initializer a variable has -------------------------------------------------------------

#: Layers whose attribute has another name than their variable.
_RENAMED = {
    ("DepthwiseConv1D", "kernel"): "depthwise_initializer",
    ("DepthwiseConv2D", "kernel"): "depthwise_initializer",
}
_CONSTANT = (
    keras.initializers.Zeros,
    keras.initializers.Ones,
    keras.initializers.Constant,
    keras.initializers.Identity,
    keras.initializers.STFT,
)
_RANDOM = {
    getattr(keras.initializers, kind.__name__): kind
    for kind in _initializers.ALIASES.values()
    if issubclass(kind, Drawn)
}


def _known(maker: Any) -> bool:
    return isinstance(maker, (Drawn, _Forget, *_CONSTANT))


def _maker(layer: Any, variable: Any) -> Any:
    """fanin's initializer for a variable, or the layer's own, or None."""
    name = variable.name
    held = [attribute for attribute, value in vars(layer).items() if value is variable]
    names = [name, name.removesuffix("_kernel"), *(attribute.strip("_") for attribute in held)]
    attributes = [f"{each}_initializer" for each in names]
    renamed = _RENAMED.get((type(layer).__name__, name))
    for attribute in [*([renamed] if renamed else []), *attributes]:
        given = getattr(layer, attribute, None)
        if given is not None:
            made = _ours(keras.initializers.get(given))
            if name == "bias" and getattr(layer, "unit_forget_bias", False):
                return _Forget(made)
            return _einsum(layer, made) if isinstance(layer, keras.layers.EinsumDense) else made
    return None


def _ours(initializer: Any) -> Any:
    """fanin's class for one of Keras's own; others as they are."""
    kind = _RANDOM.get(type(initializer))
    if kind is None:
        return initializer
    return kind.from_config({**initializer.get_config(), "seed": 0})


def _einsum(layer: Any, made: Any) -> Any:
    """With the axes that EinsumDense gives its initializer when it is built."""
    if not isinstance(made, keras.initializers.VarianceScaling) or not isinstance(made, Drawn):
        return made
    if made.input_axes is not None and made.output_axes is not None:
        return made
    weight, output = layer.equation.split(",")[1].split("->")
    outputs = [axis for axis, letter in enumerate(weight) if letter in output]
    inputs = [axis for axis, letter in enumerate(weight) if letter not in output]
    config = {**made.get_config(), "seed": 0, "input_axes": inputs, "output_axes": outputs}
    return type(made).from_config(config)


class _Forget:
    """The bias of an LSTM with `unit_forget_bias`: the layer's law, and ones in the forget gate."""

    def __init__(self, maker: Any) -> None:
        self.maker = maker

    def values(self, shape: tuple[int, ...], dtype: str, stream: fanin.Stream) -> Any:
        """Input gate, forget gate, cell and output gate, as Keras orders and draws them."""
        units = shape[0] // 4
        whole = fanin.ones(shape, dtype=dtype)
        for part, name in ((whole[:units], "input"), (whole[2 * units :], "cell and output")):
            if isinstance(self.maker, Drawn):
                self.maker.draw(part.shape, seed=stream[name], dtype=dtype, out=part)
            else:
                part[...] = keras.ops.convert_to_numpy(self.maker(part.shape, dtype=dtype))
        return whole
