"""The plan of a config.json: by transformers itself where it is installed, else by our catalogue.

The one door upwards: ``fanin.torch.record`` says what the model's own code would draw.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .architectures import bert, gpt2, llama, resnet, vit
from .tensors import PlanTensor

__all__ = ["from_catalogue", "from_transformers", "has_transformers"]


class _Known(NamedTuple):
    classes: Sequence[str]  # the first is the one where the config names none
    rows: Callable[[Mapping[str, Any], str], Iterator[PlanTensor]]


_KNOWN: dict[str, _Known] = {
    "gpt2": _Known(("GPT2Model", *gpt2.CLASSES), gpt2.from_config),
    "bert": _Known(("BertModel", *bert.CLASSES), bert.from_config),
    "vit": _Known(("ViTModel", *vit.CLASSES), vit.from_config),
    "resnet": _Known(("ResNetModel", *resnet.CLASSES), resnet.from_config),
    **{
        kind: _Known((classes[1], *classes), llama.from_config)
        for kind, classes in llama.CLASSES.items()
    },
}


_NO_JSON = ("Infinity", "-Infinity", "NaN")


def has_transformers() -> bool:
    """Whether torch and transformers can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers"))


def architecture_of(config: Mapping[str, Any]) -> str | None:
    """The class that the config names."""
    named = config.get("architectures")
    if named is None or named == []:
        return None
    if not isinstance(named, list) or not isinstance(named[0], str):
        raise ValueError(f"config.json: architectures must be a list of names, got {named!r}")
    return named[0]


def from_catalogue(config: Mapping[str, Any]) -> tuple[str, tuple[PlanTensor, ...]]:
    """The class and the tensors of a config, without torch.

    Raises
    ------
    ValueError
        The model is not one of those known here.
    """
    kind = config.get("model_type")
    known = _KNOWN.get(kind) if isinstance(kind, str) else None
    need = "every other needs torch and transformers: pip install 'fanin[models]'"
    if known is None:
        raise ValueError(
            f"config.json: model_type {kind!r} is not known without transformers (known: "
            f"{', '.join(_KNOWN)}); {need}"
        )
    architecture = architecture_of(config) or known.classes[0]
    if architecture not in known.classes:
        raise ValueError(
            f"config.json: the class {architecture} is not known without transformers (known: "
            f"{', '.join(known.classes[1:])}); {need}"
        )
    return architecture, tuple(known.rows(config, architecture))


def from_transformers(config: Mapping[str, Any]) -> tuple[str, tuple[PlanTensor, ...]]:
    """The class and the tensors of any config that transformers knows, by its own code.

    Raises
    ------
    ValueError
        transformers has no such model or class.
    """
    transformers = importlib.import_module("transformers")
    given = {key: _with_floats(value) for key, value in config.items()}
    kind = given.pop("model_type", None)
    architecture = architecture_of(config)
    # Configs are checked by transformers in its own ways, with errors of many classes.
    try:
        configuration = transformers.AutoConfig.for_model(kind, **given)
    except Exception as error:
        raise ValueError(f"config.json: transformers refuses it: {error}") from error
    if architecture is None:

        def build() -> Any:
            return transformers.AutoModel.from_config(configuration)
    else:
        named = getattr(transformers, architecture, None)
        if named is None:
            raise ValueError(f"config.json: transformers has no class {architecture}")

        def build() -> Any:
            return named(configuration)

    def built() -> Any:
        try:
            return build()
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"config.json: transformers cannot build {architecture or kind} of it: {what}"
            ) from error

    recorded = importlib.import_module("fanin.torch").record(built)
    return architecture or recorded.model, recorded.tensors


def _with_floats(value: Any) -> Any:
    """The value with the floats that JSON lacks; transformers writes {"__float__": "Infinity"}."""
    if isinstance(value, Mapping):
        if value.keys() == {"__float__"} and value["__float__"] in _NO_JSON:
            return float(value["__float__"])
        return {key: _with_floats(each) for key, each in value.items()}
    return [_with_floats(each) for each in value] if isinstance(value, list) else value
