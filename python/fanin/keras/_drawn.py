"""What all random initializers of fanin.keras share: the call and the seed."""

from __future__ import annotations

import functools
import inspect
import operator
from typing import Any, ClassVar

import keras

from ._seeds import next_stream, read_seed, seed_config
from ._tensors import tensor

#: What the documentation of every initializer ends with.
CALLED = """Notes
-----
Called as ``init(shape, dtype=None, layout=None)``: dtype float32, float64, float16 or bfloat16,
else ``keras.config.floatx()``; with a layout on JAX every device makes its own part only. A
TypeError or ValueError says what is wrong before anything is drawn.

``seed`` as Keras has it: an int, or none given, repeats its values at every call; a
``keras.random.SeedGenerator`` gives new ones. So do a `fanin.Stream` and a `fanin.Generator`:
call n of an initializer draws from its stream's child number n."""


class Drawn(keras.initializers.Initializer):
    """A random initializer of Keras whose values are fanin's: ``init(shape, dtype, layout)``."""

    arguments: ClassVar[inspect.Signature]  # of the constructor
    seed: Any
    _given: Any

    def __init__(self, *arguments: Any, **named: Any) -> None:
        try:
            bound = self.arguments.bind(*arguments, **named)
        except TypeError as error:
            name = type(self).__name__
            raise TypeError(f"{name}() {error}; it is called {name}{self.arguments}") from None
        own = dict(bound.arguments)
        self._given = own.pop("seed", None)
        seed = read_seed(self._given)
        self.configure(own)
        self.seed = seed

    def configure(self, own: dict[str, Any]) -> None:
        """Take the arguments that were given, but the seed."""
        super().__init__(**own)

    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        full = tuple(operator.index(size) for size in shape)
        kind = keras.backend.standardize_dtype(dtype)
        return tensor(self.draw, full, kind, functools.partial(next_stream, self.seed), layout)

    def draw(self, shape: tuple[int, ...], **where: Any) -> Any:
        """The values as fanin makes them: ``draw(shape, seed=, dtype=, out=, index=)``."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for JSON."""
        return {**super().get_config(), "seed": seed_config(self._given, self.seed)}


def register(kind: type, alias: str, *others: str) -> type:
    """Let Keras find a class by ``"fanin>HeNormal"``, ``"fanin>he_normal"`` and other names."""
    kind.__module__ = "fanin.keras"
    keras.saving.register_keras_serializable(package="fanin")(kind)
    for name in (alias, *others):
        keras.saving.get_custom_objects()[f"fanin>{name}"] = kind
    return kind
