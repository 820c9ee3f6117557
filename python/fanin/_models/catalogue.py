"""Published models by name: what their tensors are, and which config.json goes with them.

The names are those of `save_pretrained` of the class in `Model.architecture` (the one that the
model's published configuration names), so `from_pretrained` reads a file of them. The schemes are
those of the authors' own code where it is public, else of transformers.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .architectures import bert, gpt2, llama, resnet, vit
from .architectures.rows import MOST_LAYERS
from .tensors import PlanTensor

__all__ = ["MODELS", "Model", "find", "parameters"]


@dataclass(frozen=True)
class Model:
    """A published architecture.

    Attributes
    ----------
    name : str
        What the user types.
    architecture : str
        The class in transformers that reads the file.
    scheme : str
        The published scheme in a few words.
    source : str
        Where the scheme was published.
    rows, configure : callable
        Give the tensors, and the entries of config.json, of some sizes.
    sizes : mapping
        The published sizes, by the names of the callables' arguments.
    """

    name: str
    architecture: str
    scheme: str
    source: str
    rows: Callable[..., Iterator[PlanTensor]]
    configure: Callable[..., dict[str, Any]]
    sizes: Mapping[str, Any]

    def tensors(self, **sizes: Any) -> tuple[PlanTensor, ...]:
        """Every tensor of the file, in the order of the network; `sizes` replace published ones."""
        return tuple(self.rows(**self.with_sizes(sizes)))

    def config(self, **sizes: Any) -> dict[str, Any]:
        """The entries of config.json."""
        return self.configure(**self.with_sizes(sizes))

    def with_sizes(self, sizes: Mapping[str, Any]) -> dict[str, Any]:
        """The published sizes with some replaced; ValueError for what is none of this model."""
        known = inspect.signature(self.configure).parameters
        for name, size in sizes.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f", did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"{self.name} has no size {name!r}{hint} (known: {', '.join(known)})"
                )
            if name == "tied":
                accepted = isinstance(size, bool)
            elif name == "blocks":
                accepted = isinstance(size, (tuple, list)) and all(map(_is_count, size))
            elif name == "layers":
                accepted = _is_count(size)
            else:
                accepted = _is_size(size)
            if not accepted:
                count = f"1 to {MOST_LAYERS}"
                wanted = {"tied": "a bool", "layers": count, "blocks": f"a list of ints {count}"}
                raise ValueError(f"{name} must be {wanted.get(name, 'an int >= 1')}, got {size!r}")
        return {**self.sizes, **sizes}


def _is_size(size: Any) -> bool:
    return not isinstance(size, bool) and hasattr(size, "__index__") and size >= 1


def _is_count(size: Any) -> bool:
    return _is_size(size) and size <= MOST_LAYERS


def parameters(tensors: Iterable[PlanTensor]) -> int:
    """How many numbers are trained; a tied matrix counts once."""
    return sum(math.prod(tensor.shape) for tensor in tensors if not tensor.is_buffer)


def _rows() -> Iterator[Model]:
    gpt2_sizes = {"gpt2": (12, 768), "gpt2-medium": (24, 1024), "gpt2-large": (36, 1280)}
    for name, (layers, width) in (gpt2_sizes | {"gpt2-xl": (48, 1600)}).items():
        yield Model(
            name, "GPT2LMHeadModel", "N(0, 0.02**2), residual scaled", "Radford 2019",
            gpt2.published, gpt2.config, {"layers": layers, "width": width},
        )  # fmt: skip
    llamas = {
        "llama-1b": (16, 2048, 8192, 32, 8, 128256, True),
        "llama-7b": (32, 4096, 11008, 32, 32, 32000, False),
    }
    of_llama = ("layers", "width", "inner", "heads", "key_heads", "vocabulary", "tied")
    for name, values in llamas.items():
        yield Model(
            name, "LlamaForCausalLM", "N(0, 0.02**2)", "transformers",
            llama.published, llama.config, dict(zip(of_llama, values, strict=True)),
        )  # fmt: skip
    yield Model(
        "bert-base", "BertForMaskedLM", "N(0, 0.02**2) cut at 2 sigma", "Devlin 2019",
        bert.published, bert.config, {"layers": 12, "width": 768, "inner": 3072},
    )  # fmt: skip
    yield Model(
        "vit-b16", "ViTForImageClassification", "Glorot uniform, head 0", "Dosovitskiy 2021",
        vit.published, vit.config,
        {"layers": 12, "width": 768, "inner": 3072, "patch": 16, "image": 224, "classes": 1000},
    )  # fmt: skip
    yield Model(
        "resnet50", "ResNetForImageClassification", "Var 2/fan_out, last uniform", "He 2015",
        resnet.published, resnet.config, {"blocks": (3, 4, 6, 3), "classes": 1000},
    )  # fmt: skip


#: Every model by its name.
MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _rows()})


def find(name: str) -> Model:
    """The model of that name.

    Raises
    ------
    ValueError
        There is none; the text names all, and the nearest.
    """
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name, MODELS, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no model {name!r}{hint} (known: {', '.join(MODELS)})")
