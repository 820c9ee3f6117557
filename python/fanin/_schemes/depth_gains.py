"""Gains that keep very deep residual networks stable: Fixup, T-Fixup, DeepNorm."""

from __future__ import annotations

import math
from typing import NamedTuple

from fanin._floating_point import steady
from fanin._functions import power
from fanin._public import public

from .accepts import COUNT, at_least, one_of

T_FIXUP_PARTS = one_of("encoder", "decoder")


@public("fanin")
class DeepNormGains(NamedTuple):
    """Gains of DeepNorm; None for a stack that the model does not have.

    Attributes
    ----------
    encoder_alpha, decoder_alpha : float or None
        Factor of the skip connection: ``LayerNorm(alpha * x + f(x))``.
    encoder_beta, decoder_beta : float or None
        Gain of the value, output and feed-forward projections.
    """

    encoder_alpha: float | None
    encoder_beta: float | None
    decoder_alpha: float | None
    decoder_beta: float | None


@steady
def fixup_gain(n_branches: int, branch_depth: int = 2) -> float:
    """Gain of the layers inside a residual branch under Fixup.

    L**(-1 / (2 m - 2)), L = n_branches, m = branch_depth      (Zhang et al. 2019, section 3)

    Parameters
    ----------
    n_branches : int, >= 1
        Residual branches of the network, L.
    branch_depth : int, >= 2, default 2
        Weight layers in a branch, m. The last of them starts at zero.

    Returns
    -------
    float
        Factor on top of He initialisation.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or no integer.

    Examples
    --------
    >>> import fanin
    >>> round(fanin.fixup_gain(16), 12)
    0.25
    """
    branches = COUNT.read("n_branches", n_branches)
    depth = at_least(2).read("branch_depth", branch_depth)
    return float(power(branches, -1.0 / (2 * depth - 2)))


@steady
def t_fixup_gain(n_layers: int, part: str = "encoder") -> float:
    """Gain of the value, output and feed-forward projections under T-Fixup.

    Encoder 0.67 N**(-1/4), decoder (9 N)**(-1/4), N = n_layers      (Huang et al. 2020)

    Parameters
    ----------
    n_layers : int, >= 1
        Blocks of the stack, N.
    part : {"encoder", "decoder"}, default "encoder"
        The stack that the projection belongs to.

    Returns
    -------
    float
        Factor on top of Glorot (Xavier) initialisation.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fanin
    >>> f"{fanin.t_fixup_gain(6):.6f} {fanin.t_fixup_gain(6, 'decoder'):.6f}"
    '0.428092 0.368894'
    """
    layers = COUNT.read("n_layers", n_layers)
    if T_FIXUP_PARTS.read("part", part) == "encoder":
        return 0.67 / _fourth_root(layers)
    return 1.0 / _fourth_root(9 * layers)


@steady
def deepnorm_gains(encoder_layers: int = 0, decoder_layers: int = 0) -> DeepNormGains:
    """Gains of DeepNorm for a model with an encoder, a decoder or both.

    One stack of N: alpha = (2 N)**(1/4), beta = (8 N)**(-1/4). Encoder of N and decoder of M:
    encoder alpha = 0.81 (N**4 M)**(1/16), beta = 0.87 (N**4 M)**(-1/16); decoder
    alpha = (3 M)**(1/4), beta = (12 M)**(-1/4)      (Wang et al. 2022, figure 2)

    Parameters
    ----------
    encoder_layers, decoder_layers : int, >= 0, default 0
        Blocks of the encoder, N, and of the decoder, M; not both 0.

    Returns
    -------
    DeepNormGains
        ``(encoder_alpha, encoder_beta, decoder_alpha, decoder_beta)``, floats or None.

    Raises
    ------
    ValueError, TypeError
        If both are 0, one is negative or no integer.

    Examples
    --------
    >>> import fanin
    >>> gains = fanin.deepnorm_gains(encoder_layers=12)
    >>> f"{gains.encoder_alpha:.6f} {gains.encoder_beta:.6f}"
    '2.213364 0.319472'
    """
    encoder = at_least(0).read("encoder_layers", encoder_layers)
    decoder = at_least(0).read("decoder_layers", decoder_layers)
    if not encoder and not decoder:
        raise ValueError("a model needs encoder_layers or decoder_layers, both are 0")
    if not decoder:
        return DeepNormGains(_fourth_root(2 * encoder), one_stack_beta(encoder), None, None)
    if not encoder:
        return DeepNormGains(None, None, _fourth_root(2 * decoder), one_stack_beta(decoder))
    joint = _fourth_root(_fourth_root(encoder**4 * decoder))
    return DeepNormGains(
        0.81 * joint,
        0.87 / joint,
        _fourth_root(3 * decoder),
        1.0 / _fourth_root(12 * decoder),
    )


def one_stack_beta(layers: int) -> float:
    """Beta of DeepNorm for a model of one stack."""
    return 1.0 / _fourth_root(8 * layers)


def _fourth_root(number: float) -> float:
    return math.sqrt(math.sqrt(number))
