"""Networks that people build, written down with the variances of their own initialisation."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from fanin._checks import as_count
from fanin._hints import short

from ._layers import (
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Embedding,
    Gated,
    LayerNorm,
    MaxPool,
    Residual,
    RMSNorm,
)
from ._networks import Network

__all__ = ["architecture"]

#: Each is an object.
_MOST_LAYERS = 1 << 16


def _attention(width: int, tokens: int, std: float, out_std: float, *, causal: bool) -> Attention:
    inner = width * std * std
    return Attention(tokens, inner, inner, inner * width * out_std * out_std, causal=causal)


def _mlp(activation: str, width: int, inner: int, std: float, out_std: float) -> list[Any]:
    first = Dense(inner, weight_var=width * std * std)
    return [first, activation, Dense(width, weight_var=inner * out_std * out_std)]


def gpt2(
    layers: int = 12, width: int = 768, tokens: int = 256, inner: int = 0, std: float = 0.02
) -> Network:
    inner, eps = inner or 4 * width, 1e-5
    out = std / (2 * layers) ** 0.5  # of the projections that end in the residual stream
    blocks: list[Any] = []
    for _ in range(layers):
        mixing = _attention(width, tokens, std, out, causal=True)
        blocks.append(Residual([LayerNorm(epsilon=eps), mixing]))
        blocks.append(
            Residual([LayerNorm(epsilon=eps), *_mlp("gelu_tanh", width, inner, std, out)])
        )
    start = Embedding(std * std, position_var=std * std)
    return Network([start, *blocks, LayerNorm(epsilon=eps)], width=width)


def llama(
    layers: int = 32, width: int = 4096, tokens: int = 256, inner: int = 11008, std: float = 0.02
) -> Network:
    eps, one = 1e-6, width * std * std
    blocks: list[Any] = []
    for _ in range(layers):
        mixing = _attention(width, tokens, std, std, causal=True)
        blocks.append(Residual([RMSNorm(epsilon=eps), mixing]))
        gated = Gated("silu", inner, weight_var=one, value_var=one)
        down = Dense(width, weight_var=inner * std * std)
        blocks.append(Residual([RMSNorm(epsilon=eps), gated, down]))
    return Network([Embedding(std * std), *blocks, RMSNorm(epsilon=eps)], width=width)


def bert(
    layers: int = 12, width: int = 768, tokens: int = 512, inner: int = 0, std: float = 0.02
) -> Network:
    inner, eps, var = inner or 4 * width, 1e-12, std * std
    made: list[Any] = [Embedding(var, position_var=var, common_var=var), LayerNorm(epsilon=eps)]
    for _ in range(layers):
        made += [Residual([_attention(width, tokens, std, std, causal=False)])]
        made += [LayerNorm(epsilon=eps), Residual(_mlp("gelu", width, inner, std, std))]
        made += [LayerNorm(epsilon=eps)]
    return Network(made, width=width)


def vit(
    layers: int = 12, width: int = 768, tokens: int = 197, inner: int = 0, std: float = 0.02,
    patch: int = 16, channels: int = 3,
) -> Network:  # fmt: skip
    inner, eps, var = inner or 4 * width, 1e-12, std * std
    made: list[Any] = [Embedding(channels * patch * patch * var, position_var=var, first_var=var)]
    for _ in range(layers):
        mixing = _attention(width, tokens, std, std, causal=False)
        made.append(Residual([LayerNorm(epsilon=eps), mixing]))
        made.append(Residual([LayerNorm(epsilon=eps), *_mlp("gelu", width, inner, std, std)]))
    return Network([*made, LayerNorm(epsilon=eps)], width=width)


def resnet50(
    blocks: Sequence[int] = (3, 4, 6, 3), width: int = 64, image: int = 224, channels: int = 3
) -> Network:
    def conv(out: int, kernel: int, stride: int = 1) -> Conv:
        # Variance 2/(out k^2): He et al. for the way back.
        return Conv(out, kernel, 2.0, mode="fan_out", stride=stride)

    eps = 1e-5
    made: list[Any] = [conv(width, 7, 2), BatchNorm(epsilon=eps), "relu", MaxPool(3, 2, 1)]
    for stage, count in enumerate(blocks):
        narrow = width << stage
        for block in range(count):
            stride = 2 if block == 0 and stage > 0 else 1
            branch = [
                conv(narrow, 1), BatchNorm(epsilon=eps), "relu",
                conv(narrow, 3, stride), BatchNorm(epsilon=eps), "relu",
                conv(4 * narrow, 1), BatchNorm(epsilon=eps),
            ]  # fmt: skip
            short = [conv(4 * narrow, 1, stride), BatchNorm(epsilon=eps)] if block == 0 else []
            made += [Residual(branch, projection=short), "relu"]
    return Network([*made, AveragePool(None)], width=channels, image=(image, image))


_BUILDERS: dict[str, Callable[..., Network]] = {
    "gpt2": gpt2,
    "llama": llama,
    "bert": bert,
    "vit": vit,
    "resnet50": resnet50,
}


def architecture(name: str, **sizes: Any) -> Network:
    """The Network of a published architecture, with the variances of its own initialisation.

    From tokens or pixels to the last norm (or pool), as transformers builds and initialises it;
    q0 = 1 and c0 = 0 stand for different tokens, or for pixels of variance one.

    Parameters
    ----------
    name : {"gpt2", "llama", "bert", "vit", "resnet50"}
    **sizes
        ``layers``, ``width``, ``tokens``, ``inner`` (of the MLP) and ``std`` (of every weight) of
        the transformers, ``patch`` and ``channels`` of vit; ``blocks``, ``width``, ``image`` and
        ``channels`` of resnet50. Default: the published model's, and 256 tokens where they are
        causal (gpt2, llama): every pair of tokens has a correlation of its own there, and a layer
        of 1024 takes .25 GB, one of 2048 1 GB. Heads, and how many of them share keys and values,
        change no moment.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        For another name, and a size below 1.
    TypeError
        For a size that the architecture does not have.

    Notes
    -----
    Attention is the approximation of :class:`Attention`. Heads do move what differs from network
    to network: the sum of a query's squared weights, of relative variance .14 at 50 keys and
    logits of variance one, over the number of heads. Llama's rotary positions are left out, since
    they turn queries and keys and so keep the variance of each logit: q, c and gradients of small
    Llamas with and without them differ by less than 2 %. The class token of ViT is the first
    token, with q and a gradient of its own (`Profile.position_map`): its small q makes that a
    hundred times a patch's. ResNet has circular padding here and batches without end.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> net = p.architecture("llama", layers=2, width=64, tokens=16, inner=128)
    >>> net
    Network([Embedding, Residual(RMSNorm, Attention~), Residual(RMSNorm, Gated, Dense), \
Residual(RMSNorm, Attention~), Residual(RMSNorm, Gated, Dense), RMSNorm])
    >>> profile = net.propagate(c0=0.0)
    >>> round(profile.q[0].item(), 6), round(profile.q[-1].item(), 3)
    (1.0, 0.999)
    """
    if not isinstance(name, str) or name not in _BUILDERS:
        near = difflib.get_close_matches(str(name), _BUILDERS, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no {short(name)} among {', '.join(_BUILDERS)}{hint}")
    for size, value in sizes.items():
        if size == "blocks":
            for count in value:
                as_count(count, "an entry of blocks")
        elif size != "std" and as_count(value, size) > _MOST_LAYERS and size == "layers":
            raise ValueError(f"layers are at most {_MOST_LAYERS}, got {value}")
    return _BUILDERS[name](**sizes)
