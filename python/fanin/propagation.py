"""Propagation of variance, correlation and gradients through deep nets (mean field).

Everything is a variance (second moment): `weight_var` is sigma_w^2 = fan * Var(W), `bias_var`
sigma_b^2, `q` the second moment of a pre-activation, `c` a correlation of the pre-activations of
two inputs. Functions broadcast as NumPy's ufuncs do.
"""

from ._activations import Activation
from ._propagation_maps import Moments, chi, moments, variance_map, variance_slope

__all__ = [
    "Activation",
    "Moments",
    "chi",
    "moments",
    "variance_map",
    "variance_slope",
]
