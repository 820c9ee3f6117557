"""Propagation of variance, correlation and gradients through deep nets (mean field).

Everything is a variance (second moment): `weight_var` is sigma_w^2 = fan * Var(W), `bias_var`
sigma_b^2, `q` the second moment of a pre-activation, `c` a correlation of the pre-activations of
two inputs. Functions broadcast as NumPy's ufuncs do.
"""

from fanin._activations.activation import Activation

# Apply and Solved are no names for users: they stand here because pickles name them.
from ._apply import Apply as Apply
from ._architectures import architecture
from ._critical import Critical, critical, half_stable
from ._density import JacobianAtoms, jacobian_atoms, jacobian_density
from ._finite_width import WidthCorrection, width_correction
from ._fixed_points import DepthScales, FixedPoints, depth_scales, fixed_points
from ._fixed_points import Solved as Solved
from ._jacobian import Jacobian, jacobian
from ._kernels import Kernels, gradient_correlation, kernels, slope_covariance
from ._layers import (
    GRU,
    LSTM,
    RNN,
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
from ._rates import CoordinateCheck, LayerRate, coordinate_check, mup_rates
from ._residual_jacobian import (
    ResidualJacobian,
    residual_jacobian,
    residual_jacobian_density,
)
from ._shaping import ShapedActivation, dks, leaky_tat, tat
from ._simulate import Simulation, simulate
from ._singular import largest_singular_value
from ._stack import propagate
from ._units import born_dead

__all__ = [
    "Activation",
    "Attention",
    "AveragePool",
    "BatchNorm",
    "Conv",
    "CoordinateCheck",
    "Critical",
    "Dense",
    "DepthScales",
    "Dropout",
    "Embedding",
    "FixedPoints",
    "GRU",
    "Flatten",
    "Gated",
    "Jacobian",
    "JacobianAtoms",
    "Kernels",
    "LSTM",
    "LayerNorm",
    "LayerRate",
    "MaxPool",
    "Moments",
    "Network",
    "PhaseDiagram",
    "Profile",
    "RMSNorm",
    "RNN",
    "Residual",
    "ResidualJacobian",
    "ShapedActivation",
    "Simulation",
    "WidthCorrection",
    "architecture",
    "born_dead",
    "chi",
    "coordinate_check",
    "correlation_map",
    "covariance",
    "critical",
    "depth_scales",
    "dks",
    "fixed_points",
    "gradient_correlation",
    "half_stable",
    "jacobian",
    "jacobian_atoms",
    "jacobian_density",
    "kernels",
    "largest_singular_value",
    "leaky_tat",
    "moments",
    "mup_rates",
    "one_minus_correlation_map",
    "phase_diagram",
    "propagate",
    "residual_jacobian",
    "residual_jacobian_density",
    "simulate",
    "slope_covariance",
    "tat",
    "variance_map",
    "variance_slope",
    "width_correction",
]
