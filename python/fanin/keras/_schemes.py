"""fanin's other schemes as Keras initializers, made from the table of schemes."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any, ClassVar

import keras

import fanin

from ._drawn import CALLED, Drawn, register

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_COMMON = {"gain": 1.0, "layout": "io", "seed": None}
_LAYOUT_FIELDS = ("order", "in_axes", "out_axes", "batch_axes", "groups", "transposed")


class _OfScheme(Drawn):
    """A scheme of fanin; its constructor takes the scheme's arguments, `gain`, `layout`, `seed`."""

    row: ClassVar[fanin.Scheme]

    def configure(self, own: dict[str, Any]) -> None:
        """Take the scheme's arguments."""
        layout = own.pop("layout", "io")
        if isinstance(layout, dict):
            layout = fanin.Layout(**layout)
        own = {name: keras.saving.deserialize_keras_object(value) if isinstance(value, dict)
               else value for name, value in own.items()}  # fmt: skip
        self._own = own
        self._layout = layout
        self._scheme = fanin.get(self.row.name, layout=layout, **own)

    def draw(self, shape: tuple[int, ...], **where: Any) -> Any:
        """``fanin.get(name, ...)(shape, ...)``."""
        return self._scheme(shape, **where)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for JSON."""
        layout = self._layout
        if isinstance(layout, fanin.Layout):
            layout = {name: _listed(getattr(layout, name)) for name in _LAYOUT_FIELDS}
        own = {name: keras.saving.serialize_keras_object(_listed(value))
               for name, value in self._own.items()}  # fmt: skip
        return {**super().get_config(), **own, "layout": layout}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """An initializer from what `get_config` gave."""
        return cls(**config)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def classes(besides: Collection[str]) -> dict[str, type]:
    """A class for each scheme whose name is not among `besides`, by the scheme's name."""
    return {name: _class(row) for name, row in fanin.schemes().items() if name not in besides}


def _class(row: fanin.Scheme) -> type:
    common = [inspect.Parameter(name, _KEYWORD, default=d) for name, d in _COMMON.items()]
    own = [row.signature.parameters[p.name] for p in row.parameters]
    signature = inspect.Signature([*own, *common])
    name = "".join(part.capitalize() for part in row.name.split("_"))
    text = f"{row.summary}\n\n{row.formula} ({row.source}); see `fanin.{row.name}`.\n"
    kind = type(name, (_OfScheme,), {
        "row": row, "arguments": signature, "__signature__": signature,
        "__doc__": f"{text}\n{CALLED}",
    })  # fmt: skip
    return register(kind, row.name)
