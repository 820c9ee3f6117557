"""Propagation of variance, correlation and gradients through deep nets (mean field).

Everything is a variance (second moment): `weight_var` is sigma_w^2 = fan * Var(W), `bias_var`
sigma_b^2, `q` the second moment of a pre-activation, `c` a correlation of the pre-activations of
two inputs. Functions broadcast as NumPy's ufuncs do.
"""

from fanin._activations.activation import Activation

from ._critical import Critical, critical
from ._density import jacobian_density
from ._fixed_points import DepthScales, FixedPoints, depth_scales, fixed_points

# Apply and Solved are no names for users: they stand here because pickles name them.
from ._fixed_points import Solved as Solved
from ._jacobian import Jacobian, jacobian
from ._layers import Apply as Apply
from ._layers import (
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    LayerNorm,
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
    "FixedPoints",
    "Flatten",
    "Jacobian",
    "LayerNorm",
    "Moments",
    "Network",
    "PhaseDiagram",
    "Profile",
    "RMSNorm",
    "Residual",
    "Simulation",
    "chi",
    "correlation_map",
    "covariance",
    "critical",
    "depth_scales",
    "fixed_points",
    "jacobian",
    "jacobian_density",
    "moments",
    "one_minus_correlation_map",
    "phase_diagram",
    "propagate",
    "simulate",
    "variance_map",
    "variance_slope",
]
