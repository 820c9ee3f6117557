"""Propagation of variance, correlation and gradients through deep nets (mean field).

Everything is a variance (second moment): `weight_var` is sigma_w^2 = fan * Var(W), `bias_var`
sigma_b^2, `q` the second moment of a pre-activation, `c` a correlation of the pre-activations of
two inputs. Functions broadcast as NumPy's ufuncs do.
"""

from ._activations import Activation
from ._density import jacobian_density
from ._jacobian import Jacobian, jacobian
from ._layers import (
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    LayerNorm,
    Residual,
    RMSNorm,
)
from ._networks import Network, propagate
from ._profile import Profile
from ._propagation_maps import Moments, chi, moments, variance_map, variance_slope
from ._propagation_pairs import correlation_map, covariance, one_minus_correlation_map
from ._simulate import Simulation, simulate

__all__ = [
    "Activation",
    "Attention",
    "AveragePool",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Jacobian",
    "LayerNorm",
    "Moments",
    "Network",
    "Profile",
    "RMSNorm",
    "Residual",
    "Simulation",
    "chi",
    "correlation_map",
    "covariance",
    "jacobian",
    "jacobian_density",
    "moments",
    "one_minus_correlation_map",
    "propagate",
    "simulate",
    "variance_map",
    "variance_slope",
]
