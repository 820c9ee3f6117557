"""What every layer answers: which positions and pairs it needs, and how a signal passes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from fanin._checks import as_count
from fanin._hints import short
from fanin._numbers import as_floats
from fanin._types import Floats

from ._gradient import Back, Gradient
from ._positions import Pairs
from ._state import Passage, State

Image = tuple[int, ...] | None


class Layer(Protocol):
    """A layer of a network."""

    def through(self, state: State, wanted: Pairs) -> Passage:
        """The passage of a signal; `wanted` are the pairs that the layers behind ask for."""


class EvenLayer:
    """A layer that treats all positions alike."""

    def uneven(self, image: Image) -> bool:
        """Whether positions differ behind it though they were alike in front."""
        return False

    def image_behind(self, image: Image) -> Image:
        return image

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        """The pairs in front from which those behind are made; `grid` is None where positions
        are alike."""
        return pairs


def variance_parameters(weight_var: Any, bias_var: Any) -> None:
    for value in (weight_var, bias_var):
        if (as_floats(value, "a variance of weights or biases") < 0).any():
            raise ValueError("variances of weights and biases are at least 0, got a negative one")


def repeated(value: Any, times: int, what: str) -> list[Any]:
    """A list of `times` equal values; an error that names them if no memory holds it."""
    try:
        return [value] * times
    except MemoryError:
        raise MemoryError(f"Unable to allocate {times} {what}") from None


def layer_sizes(widths: Any, depth: int) -> list[float]:
    """`widths`, the sizes n_0 .. n_depth of the layers; None: all equal."""
    if widths is None:
        return repeated(1.0, depth + 1, "sizes of layers")
    sizes = list(widths) if isinstance(widths, Iterable) and not isinstance(widths, str) else []
    if len(sizes) != depth + 1:
        raise ValueError(
            f"widths are the {depth + 1} sizes n_0 .. n_{depth} of {depth} layers, got "
            f"{short(widths)}"
        )
    return [float(as_count(n, "a width")) for n in sizes]


def images_along(layers: Sequence[Any], image: Image) -> list[Image]:
    """The image in front of each layer, and the one behind the last."""
    images = [image]
    for layer in layers:
        images.append(layer.image_behind(images[-1]))
    return images


def any_uneven(layers: Sequence[Any], image: Image) -> bool:
    images = images_along(layers, image)
    return any(layer.uneven(at) for layer, at in zip(layers, images, strict=False))


def demands(layers: Sequence[Any], pairs: Pairs, image: Image, mapped: bool) -> list[Pairs]:
    """The pairs in front of each layer, and those behind the last, which are given."""
    images, found = images_along(layers, image), [pairs]
    for layer, at in zip(reversed(layers), reversed(images[:-1]), strict=True):
        found.append(layer.wanted(found[-1], at if mapped else None))
    return found[::-1]


def _scaled(back: Back, factor: Floats) -> Back:
    both = factor * factor
    return lambda g: back(g.scaled(factor, both[..., None], both, both[..., None]))


def passed(layers: Sequence[Any], state: State, pairs: Pairs) -> list[Passage]:
    """The passages of layers in a row, with `pairs` behind the last."""
    found: list[Passage] = []
    wanted = demands(layers, pairs, state.image, state.mapped)
    for layer, behind in zip(layers, wanted[1:], strict=True):
        passage = layer.through(state, behind)
        after = passage.after  # what a layer carried on without a word of its own is gone
        if after.applied is state.applied and state.applied is not None:
            after = replace(after, applied=None)
        if after.laws is state.laws and state.laws is not None:
            after = replace(after, laws=None)
        passage = replace(passage, after=after)
        if passage.earlier is not None and found:
            found[-1] = replace(found[-1], back=_scaled(found[-1].back, passage.earlier))
        elif passage.earlier is not None:
            passage = replace(passage, back=_scaled(passage.back, passage.earlier))
        state = passage.after
        found.append(passage)
    return found


def asked_twice(compute: Callable[[Gradient], Any]) -> Callable[[Gradient], Any]:
    """The same for a gradient that comes twice in a row, once for the weights and once on its way
    back."""
    last: list[Any] = []

    def found(g: Gradient) -> Any:
        if last and last[0] is g:
            made = last[1]
            last.clear()
            return made
        last[:] = [g, compute(g)]
        return last[1]

    return found


def swept(
    passages: Sequence[Passage], gradient: Gradient
) -> tuple[list[Gradient], list[list[Floats]]]:
    """Gradients in front of each layer, and those of each layer's weights; pairs of positions in
    front of the first only, for they take the memory of a matrix each."""
    gradients: list[Gradient] = []
    weights = []
    for passage in reversed(passages):
        weights.append(passage.weights(gradient))
        gradients[-1:] = [replace(g, same=None, cross=None) for g in gradients[-1:]]
        gradient = passage.back(gradient)
        gradients.append(gradient)
    return gradients[::-1], weights[::-1]
