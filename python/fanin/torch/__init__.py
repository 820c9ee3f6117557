"""torch.nn.init, filled by fanin; and whole modules, by the law that each tensor has.

``from fanin import torch as init`` stands in for ``from torch.nn import init``: every public
function of it, with the same signature, errors and return value. ``generator=`` also takes a
fanin.Stream or a fanin.Generator. `record`, `init_` and `patched` do whole models.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("fanin.torch needs PyTorch: pip install 'fanin[torch]'") from error

# torch's own, of no draw: code that says init._calculate_fan_in_and_fan_out(w) finds them here too.
from torch.nn.init import _calculate_correct_fan as _calculate_correct_fan
from torch.nn.init import _calculate_fan_in_and_fan_out as _calculate_fan_in_and_fan_out

from ._functions import (
    calculate_gain,
    constant_,
    dirac_,
    eye_,
    kaiming_normal_,
    kaiming_uniform_,
    normal_,
    ones_,
    orthogonal_,
    sparse_,
    trunc_normal_,
    uniform_,
    xavier_normal_,
    xavier_uniform_,
    zeros_,
)
from ._modules import InitReport, init_
from ._networks import network
from ._old_names import (
    constant,
    dirac,
    eye,
    kaiming_normal,
    kaiming_uniform,
    normal,
    orthogonal,
    sparse,
    uniform,
    xavier_normal,
    xavier_uniform,
)
from ._patching import patched
from ._recording import record
from ._report import LayerReport, Report, lsuv_, report

__all__ = [
    "InitReport",
    "LayerReport",
    "Report",
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "init_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "lsuv_",
    "network",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "patched",
    "record",
    "report",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]
