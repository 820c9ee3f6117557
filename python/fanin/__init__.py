"""fanin: neural-network weight initialisation with the same bits on every machine.

Every number has an address: element i of an array drawn from a stream is a pure function of
(stream, i), whatever the thread count, instruction set, chunk, stride, shard, process or machine.
"""

from typing import TYPE_CHECKING, Any

from . import _interpreter  # noqa: F401  # isort: skip  # first: the core would hang
from . import _core, _hints, runtime
from ._arrays.parts import flat
from ._random.stateless import normal, random, truncated_normal, truncated_normal_std, uniform
from ._random.streams import Stream
from ._schemes.depth_gains import DeepNormGains, deepnorm_gains, fixup_gain, t_fixup_gain
from ._schemes.fans import Fans, Layout, fans
from ._schemes.registry import get, schemes
from ._schemes.rows.constants import constant, eye, identity, ones, zeros
from ._schemes.rows.convolution import bilinear, dirac, icnr, zero_hadamard
from ._schemes.rows.defaults import (
    flax_dense_default,
    flax_embedding_default,
    keras_dense_default,
    keras_embedding_default,
    torch_attention_default,
    torch_embedding_default,
    torch_linear_default,
    torch_rnn_default,
    transformers_default,
    vit_default,
    vit_mlp_bias,
)
from ._schemes.rows.orthogonal import orthogonal, unitary
from ._schemes.rows.orthogonal_convolution import conv_orthogonal, delta_orthogonal
from ._schemes.rows.orthogonal_structured import (
    looks_linear,
    ppo_orthogonal,
    recurrent_orthogonal,
    scaled_orthogonal,
)
from ._schemes.rows.recurrent import chrono, irnn, irnn_input, lstm_forget_bias
from ._schemes.rows.residual import deepnorm, fixup, skip_init, t_fixup
from ._schemes.rows.sine import siren_first, siren_hidden
from ._schemes.rows.sparse import sparse
from ._schemes.rows.transformers import (
    cutoff_normal,
    depth_scaled,
    gpt2,
    gpt2_residual,
    mitchell,
    small_init,
    wang_init,
)
from ._schemes.rows.variance import (
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    variance_scaling,
)
from ._schemes.rows.width import mup, mup_variance_scaling, spectral_mup, unit_normal
from ._schemes.scheme import Scheme

if TYPE_CHECKING:
    from . import diagnose, files, linalg, propagation
    from ._activations.activation import Activation
    from ._activations.gains import calculate_gain, gain
    from ._activations.table import activations
    from ._models.plan import Plan
    from ._models.tensors import PlanTensor
    from ._models.verifying import Verification, verify
    from ._random.bit_generator import BitGenerator
    from ._random.generator import Generator, default_rng
    from .propagation._recommend import recommend
    from .propagation._recommendation import Recommendation

STREAM: str = _core.STREAM
"""Name of the stream: it changes whenever any produced bit changes."""

__version__: str = _core.build_config()["version"]

#: Public names and modules that are imported when they are first used.
_LAZY = {
    "Activation": "_activations.activation",
    "activations": "_activations.table",
    "calculate_gain": "_activations.gains",
    "gain": "_activations.gains",
    "BitGenerator": "_random.bit_generator",
    "Generator": "_random.generator",
    "Plan": "_models.plan",
    "PlanTensor": "_models.tensors",
    "Verification": "_models.verifying",
    "verify": "_models.verifying",
    "Recommendation": "propagation._recommendation",
    "default_rng": "_random.generator",
    "recommend": "propagation._recommend",
}
_LAZY_MODULES = ("diagnose", "files", "linalg", "propagation")
_FRAMEWORKS = ("dask", "jax", "keras", "torch")


def __getattr__(name: str) -> Any:
    import importlib

    if name in _LAZY_MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FRAMEWORKS:
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ImportError as error:
            raise AttributeError(str(error)) from error
    if name not in _LAZY:
        raise AttributeError(_hints.no_attribute(name, __all__))
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "STREAM",
    "Activation",
    "BitGenerator",
    "DeepNormGains",
    "Fans",
    "Generator",
    "Layout",
    "Plan",
    "PlanTensor",
    "Recommendation",
    "Scheme",
    "Stream",
    "Verification",
    "activations",
    "bilinear",
    "calculate_gain",
    "chrono",
    "constant",
    "conv_orthogonal",
    "cutoff_normal",
    "deepnorm",
    "deepnorm_gains",
    "default_rng",
    "delta_orthogonal",
    "depth_scaled",
    "diagnose",
    "dirac",
    "eye",
    "fans",
    "files",
    "fixup",
    "fixup_gain",
    "flat",
    "flax_dense_default",
    "flax_embedding_default",
    "gain",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "gpt2",
    "gpt2_residual",
    "he_normal",
    "he_uniform",
    "icnr",
    "identity",
    "irnn",
    "irnn_input",
    "keras_dense_default",
    "keras_embedding_default",
    "lecun_normal",
    "lecun_uniform",
    "linalg",
    "looks_linear",
    "lstm_forget_bias",
    "mitchell",
    "mup",
    "mup_variance_scaling",
    "normal",
    "ones",
    "orthogonal",
    "ppo_orthogonal",
    "propagation",
    "random",
    "recommend",
    "recurrent_orthogonal",
    "runtime",
    "scaled_orthogonal",
    "schemes",
    "siren_first",
    "siren_hidden",
    "skip_init",
    "small_init",
    "sparse",
    "spectral_mup",
    "t_fixup",
    "t_fixup_gain",
    "torch_attention_default",
    "torch_embedding_default",
    "torch_linear_default",
    "torch_rnn_default",
    "transformers_default",
    "truncated_normal",
    "truncated_normal_std",
    "uniform",
    "unit_normal",
    "unitary",
    "variance_scaling",
    "verify",
    "vit_default",
    "vit_mlp_bias",
    "wang_init",
    "zero_hadamard",
    "zeros",
]
