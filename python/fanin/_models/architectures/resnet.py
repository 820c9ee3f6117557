"""ResNet (He et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fanin._models.tensors import PlanTensor

from .rows import Sizes, norm

__all__ = ["CLASSES", "config", "from_config", "published"]

#: The classes of transformers that are known here.
CLASSES = ("ResNetForImageClassification", "ResNetModel")

#: Outputs of a bottleneck block for each of its inner channels.
_EXPANSION = 4


def published(*, blocks: tuple[int, ...], classes: int) -> Iterator[PlanTensor]:
    """ResNet with bottlenecks: convolutions N(0, 2 / fan_out), norms 1 and 0, torch's last layer.

    He et al. 2015, eq. 14 (the backward condition), as torchvision and transformers both do; the
    last layer is torch.nn.Linear's default, U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), bias included.
    """
    return from_config(config(blocks=blocks, classes=classes), "ResNetForImageClassification")


def config(*, blocks: tuple[int, ...], classes: int) -> dict[str, Any]:
    """What config.json says of these sizes."""
    widths = [256 * 2**stage for stage in range(len(blocks))]
    return {
        "architectures": ["ResNetForImageClassification"], "model_type": "resnet",
        "depths": list(blocks), "hidden_sizes": widths, "embedding_size": 64,
        "layer_type": "bottleneck",
        "id2label": {str(i): f"LABEL_{i}" for i in range(classes)},
        "label2id": {f"LABEL_{i}": i for i in range(classes)},
    }  # fmt: skip


def from_config(given: Mapping[str, Any], architecture: str) -> Iterator[PlanTensor]:
    """The tensors of a ResNetConfig; transformers' laws are torchvision's."""
    sizes = Sizes(
        given, num_channels=3, embedding_size=64, hidden_sizes=[256, 512, 1024, 2048],
        depths=[3, 4, 6, 3], layer_type="bottleneck", downsample_in_first_stage=False,
    )  # fmt: skip
    kind = sizes.get("layer_type")
    if kind not in ("basic", "bottleneck"):
        raise ValueError(f'config.json: layer_type must be "basic" or "bottleneck", got {kind!r}')
    prefix = "" if architecture == "ResNetModel" else "resnet."
    inputs = sizes.count("embedding_size")
    yield from _convolution(f"{prefix}embedder.embedder", sizes.count("num_channels"), inputs, 7)
    stages = zip(sizes.counts("hidden_sizes"), sizes.depths("depths"), strict=True)
    for stage, (width, depth) in enumerate(stages):
        for index in range(depth):
            block = f"{prefix}encoder.stages.{stage}.layers.{index}"
            halved = index == 0 and (stage > 0 or sizes.flag("downsample_in_first_stage"))
            if inputs != width or halved:
                yield from _convolution(f"{block}.shortcut", inputs, width, 1)
            kernels: tuple[tuple[int, int, int], ...]
            if kind == "basic":
                kernels = ((inputs, width, 3), (width, width, 3))
            else:
                inner = width // _EXPANSION
                kernels = ((inputs, inner, 1), (inner, inner, 3), (inner, width, 1))
            for number, kernel in enumerate(kernels):
                yield from _convolution(f"{block}.layer.{number}", *kernel)
            inputs = width
    if architecture == "ResNetForImageClassification":
        last = {"fan_in": inputs}
        shape = (sizes.labels, inputs)
        yield PlanTensor("classifier.1.weight", shape, "torch_linear_default", last)
        yield PlanTensor("classifier.1.bias", shape[:1], "torch_linear_default", last)


def _convolution(name: str, inputs: int, outputs: int, kernel: int) -> Iterator[PlanTensor]:
    """A convolution without bias and its batch norm with the running statistics."""
    he = {"scale": 2.0, "mode": "fan_out", "distribution": "normal", "layout": "oi"}
    shape = (outputs, inputs, kernel, kernel)
    yield PlanTensor(f"{name}.convolution.weight", shape, "variance_scaling", he)
    statistics = f"{name}.normalization"
    yield from norm(statistics, outputs)
    yield PlanTensor(f"{statistics}.running_mean", (outputs,), "zeros", is_buffer=True)
    yield PlanTensor(f"{statistics}.running_var", (outputs,), "ones", is_buffer=True)
    counter = f"{statistics}.num_batches_tracked"
    yield PlanTensor(counter, (), "zeros", dtype="int64", is_buffer=True)
