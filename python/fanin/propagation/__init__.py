"""Propagation of variance, correlation and gradients through deep nets (mean field).

Everything is a variance (second moment): `weight_var` is sigma_w^2 = fan * Var(W), `bias_var`
sigma_b^2, `q` the second moment of a pre-activation, `c` a correlation of the pre-activations of
two inputs. Functions broadcast as NumPy's ufuncs do.
"""

from fanin._activations.activation import Activation

from ._architectures import architecture
from ._critical import Critical, critical
from ._density import JacobianAtoms, jacobian_atoms, jacobian_density
from ._fixed_points import DepthScales, FixedPoints, depth_scales, fixed_points
from ._jacobian import Jacobian, jacobian
from ._kernels import Kernels, gradient_correlation, kernels, slope_covariance
from ._layers import (
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gated,
    LayerNorm,
    MaxPool,
    Residual,
    RMSNorm,
)
from ._maps import Moments, chi, moments, variance_map, variance_slope
from ._networks import Network
from ._pairs import correlation_map, covariance, one_minus_correlation_map
from ._phases import PhaseDiagram, phase_diagram
from ._profile import Profile
from ._simulate import Simulation, simulate
from ._stack import propagate

__all__ = [
    "Activation",
    "Attention",
    "AveragePool",
    "BatchNorm",
    "Conv",
    "Critical",
    "Dense",
    "DepthScales",
    "Dropout",
    "Embedding",
    "FixedPoints",
    "Flatten",
    "Gated",
    "Jacobian",
    "JacobianAtoms",
    "Kernels",
    "LayerNorm",
    "MaxPool",
    "Moments",
    "Network",
    "PhaseDiagram",
    "Profile",
    "RMSNorm",
    "Residual",
    "Simulation",
    "architecture",
    "chi",
    "correlation_map",
    "covariance",
    "critical",
    "depth_scales",
    "fixed_points",
    "gradient_correlation",
    "jacobian",
    "jacobian_atoms",
    "jacobian_density",
    "kernels",
    "moments",
    "one_minus_correlation_map",
    "phase_diagram",
    "propagate",
    "simulate",
    "slope_covariance",
    "variance_map",
    "variance_slope",
]
