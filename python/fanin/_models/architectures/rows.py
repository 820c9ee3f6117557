"""Rows that every architecture has: norms, a weight with its bias, an embedding, sizes by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fanin._models.tensors import PlanTensor
from fanin._models.values import Part, Value

__all__ = ["MOST_LAYERS", "Sizes", "embedding", "layer", "norm", "normal_layer"]


#: More layers have more names than the header of a file holds.
MOST_LAYERS = 100_000


class Sizes:
    """The entries of a config.json, with the defaults of the configuration's class."""

    def __init__(self, given: Mapping[str, Any], **defaults: Any) -> None:
        self._entries = {**defaults, **given}

    def count(self, name: str) -> int:
        """An entry that must be an int >= 1."""
        value = self._entries.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"config.json: {name} must be an int >= 1, got {value!r}")
        return value

    def layers(self, name: str) -> int:
        """A number of layers, of which each has tensors."""
        if self.count(name) > MOST_LAYERS:
            given = self.count(name)
            raise ValueError(f"config.json: {name} must be 1 to {MOST_LAYERS}, got {given}")
        return self.count(name)

    def depths(self, name: str) -> tuple[int, ...]:
        """A list of numbers of layers."""
        return tuple(Sizes({name: entry}).layers(name) for entry in self.counts(name))

    def counts(self, name: str) -> tuple[int, ...]:
        """An entry that must be a list of ints >= 1."""
        value = self._entries.get(name)
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"config.json: {name} must be a list of ints, got {value!r}")
        return tuple(Sizes({name: entry}).count(name) for entry in value)

    def number(self, name: str) -> float:
        """An entry that must be a number >= 0."""
        value = self._entries.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e300:
            raise ValueError(f"config.json: {name} must be a number >= 0, got {value!r}")
        return value

    def flag(self, name: str) -> bool:
        """An entry that must be true or false."""
        value = self._entries.get(name)
        if not isinstance(value, bool):
            raise ValueError(f"config.json: {name} must be true or false, got {value!r}")
        return value

    def get(self, name: str) -> Any:
        """Any entry, None where there is none."""
        return self._entries.get(name)

    @property
    def labels(self) -> int:
        """Classes of a classification head."""
        labels = self._entries.get("id2label")
        if isinstance(labels, Mapping):
            return len(labels)
        given = self._entries.get("num_labels")
        return 2 if given is None else self.count("num_labels")


def norm(name: str, width: int) -> Iterator[PlanTensor]:
    """A layer or batch norm that changes nothing yet."""
    yield PlanTensor(f"{name}.weight", (width,), "ones")
    yield PlanTensor(f"{name}.bias", (width,), "zeros")


def layer(
    name: str, shape: tuple[int, ...], outputs: int, scheme: str, **arguments: object
) -> Iterator[PlanTensor]:
    """A weight and its zero bias."""
    yield PlanTensor(f"{name}.weight", shape, scheme, arguments)
    yield PlanTensor(f"{name}.bias", (outputs,), "zeros")


def normal_layer(
    name: str, outputs: int, inputs: int, std: float, bias: bool = True
) -> Iterator[PlanTensor]:
    """A torch Linear of N(0, std**2), stored (out, in), and its zero bias."""
    yield PlanTensor(f"{name}.weight", (outputs, inputs), "transformers_default", {"std": std})
    if bias:
        yield PlanTensor(f"{name}.bias", (outputs,), "zeros")


def embedding(name: str, rows: int, width: int, std: float, padding: Any = None) -> PlanTensor:
    """A table of N(0, std**2) whose row `padding` is zero."""
    parts: tuple[Part, ...] = ()
    if padding is not None:
        if isinstance(padding, bool) or not isinstance(padding, int) or not -rows <= padding < rows:
            raise ValueError(f"config.json: pad_token_id {padding!r} is no row of {rows}")
        row = padding % rows
        parts = (Part(((row, row + 1, 1), (0, width, 1)), Value("zeros")),)
    normal = {"std": std}
    return PlanTensor(f"{name}.weight", (rows, width), "transformers_default", normal, parts=parts)
