"""Every architecture of transformers with a base model: its default configuration, and a small one.

For tools/list_architectures.py and the tests of fanin.torch.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING, MODEL_MAPPING_NAMES

transformers.logging.set_verbosity_error()

WIDTHS = re.compile(
    r"((moe|expert|moe_shared_expert)_)?((ffn_)?hidden_(size|dim)|d_model|n_embd|intermediate_size|ffn_dim|d_ff|d_inner|embed_dim|embedding_size"
    r"|hidden_sizes|embed_dims|encoder_(hidden_)?dim|decoder_(hidden_)?dim|projection_dim|mlp_dim"
    r"|lru_width|mamba_expand_dim|kv_lora_rank|q_lora_rank|feat_extract_dim|conv_dim)s?$"
)
LAYERS = re.compile(r"(num_(\w+_)?layers|n_layers?|(encoder|decoder)_layers|depth|num_blocks)$")
EXPERTS = re.compile(r"(n_routed|num|num_local|moe_num|n)_experts$")
WORDS = re.compile(r"(\w+_)?vocab_size(_\w+)?$|\w+_group_vocab$")
FEW_WORDS, FEW_LAYERS, FEW_EXPERTS, NARROWER = 1200, 2, 8, 8


def kinds() -> list[str]:
    """The model types that have a base model."""
    return sorted(MODEL_MAPPING_NAMES)


def default(kind: str) -> tuple[type, Any] | None:
    """The base model's class and its default configuration; None where there is none."""
    try:
        configuration = CONFIG_MAPPING[kind]()
        model = MODEL_MAPPING[type(configuration)]
    except Exception:  # a configuration that asks for arguments, packages or files
        return None
    return (model[0] if isinstance(model, tuple) else model), configuration


def on_meta(model: type, configuration: Any) -> torch.nn.Module:
    with torch.device("meta"):
        return model(copy.deepcopy(configuration))


def builds(model: type, configuration: Any) -> bool:
    """Whether transformers itself builds it, without memory."""
    try:
        on_meta(model, configuration)
    except Exception:
        return False
    return True


@cache
def small(kind: str) -> tuple[type, Any]:
    """The class and a configuration of 2 layers and an eighth of the widths, or as near as the
    architecture lets itself be made small: the first of the ways that builds."""
    found = default(kind)
    assert found is not None, kind
    model, configuration = found
    for widths, layers in ((True, True), (False, True), (True, False)):
        shrunk = copy.deepcopy(configuration)
        for part in _parts(shrunk):
            _shrink(part, widths, layers)
        if builds(model, shrunk):
            return model, shrunk
    return model, configuration


def _parts(configuration: Any) -> Iterator[Any]:
    """A configuration and those inside it."""
    yield configuration
    for value in vars(configuration).values():
        if isinstance(value, transformers.PretrainedConfig):
            yield from _parts(value)


def _shrink(configuration: Any, widths: bool, layers: bool) -> None:
    for name, value in list(vars(configuration).items()):
        new = value
        if WORDS.match(name) and isinstance(value, int):
            new = min(value, _words(configuration))
        elif layers and LAYERS.match(name) and isinstance(value, int) and value > FEW_LAYERS:
            new = FEW_LAYERS
        elif layers and name in ("layer_types", "mlp_layer_types") and isinstance(value, list):
            new = value[-FEW_LAYERS:]
        elif layers and EXPERTS.match(name) and isinstance(value, int):
            new = min(value, FEW_EXPERTS)
        elif name in ("num_experts_per_tok", "moe_topk", "top_k") and isinstance(value, int):
            new = min(value, 2)
        elif widths and WIDTHS.match(name):
            new = _narrow(value)
        if new is not value and new != value:
            try:
                setattr(configuration, name, new)
            except Exception:  # a derived entry
                continue


def _words(configuration: Any) -> int:
    """Enough for every token that has a number of its own."""
    ids = [v for k, v in vars(configuration).items() if k.endswith("_id") and isinstance(v, int)]
    return max([FEW_WORDS, *(number + 1 for number in ids if number < 1 << 20)])


def _narrow(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_narrow(each) for each in value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 64:
        return value // NARROWER
    return value
