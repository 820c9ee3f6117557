"""Advice for networks: variances layer by layer, as signals and gradients ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fanin._types import Floats

from ._findings import findings
from ._gradient import Gradient
from ._layer import demands, passed, swept
from ._layers import Attention, Conv, Dense, Residual
from ._networks import Network
from ._positions import Pairs
from ._profile import Profile
from ._recommendation import Recommendation
from ._state import Passage, State

#: Choices of weights in turn where positions share a gradient unequally: the first finds out how,
#: and only slopes that depend on q make it change afterwards.
_SWEEPS = 4


def for_network(network: Network, objective: str, bias_var: float) -> Recommendation:
    """Variances for the dense and convolutional layers of a network, front to back."""
    blocks = sum(isinstance(layer, Residual) for layer in network.layers)
    start, _ = network.start(1.0, None)
    behind = network.pairs_behind
    ahead: list[Floats] | None = None
    for _ in range(_SWEEPS if start.mapped and objective != "forward" else 1):
        made, variances = _rebuilt(
            network.layers, objective, bias_var, start, behind, blocks, ahead
        )
        passages = passed(made, start, behind)
        end = Gradient(np.ones_like(passages[-1].after.q) if passages else np.ones(()))
        ahead = [g.q for g in (*swept(passages, end)[0], end)][1:]
    advised = Network(made, width=network.width, image=network.image)
    profile = advised.propagate()
    notes, warnings = _network_words(objective, bias_var, variances, made, profile)
    weights = np.array(variances)
    return Recommendation(
        scheme="orthogonal" if objective == "isometry" else "variance_scaling",
        weight_var=weights,
        bias_var=bias_var,
        gain=np.sqrt(weights),
        mode="fan_in",
        profile=profile,
        reasons=tuple(notes),
        warnings=(*warnings, *findings(profile)),
    )


def _network_words(
    objective: str,
    bias_var: float,
    variances: Sequence[float],
    layers: Sequence[Any],
    profile: Profile,
) -> tuple[list[str], list[str]]:
    """Reasons, and what to beware of."""
    reasons = {
        "forward": "Every dense or convolutional layer puts out variance 1.",
        "backward": "Every dense or convolutional layer keeps the gradient of the one before it.",
    }
    shared = "Weights are the geometric mean of what signals and gradients ask for."
    notes, warnings = [reasons.get(objective, shared)], []
    if objective in ("critical", "isometry"):
        notes.append(
            f"A network of different layers has no one edge of chaos: {objective!r} chooses "
            "variances as 'both' does" + (", for orthogonal weights." if objective == "isometry"
                                          else ".")
        )  # fmt: skip
    at = [i for i, layer in enumerate(layers) if isinstance(layer, Residual)]
    if at:
        growth = math.prod(float(profile.q[i + 1] / profile.q[i]) for i in at)
        notes.append(
            f"{len(at)} residual branches of weight {len(at)}**-0.5 multiply q by {growth:.4g} "
            "altogether."
        )
    if _has_attention(layers):
        warnings.append(
            "Attention keeps the variances it has: what they do depends on how tokens correlate."
        )
    if not variances:
        warnings.append("There are no dense or convolutional layers: nothing is recommended.")
    elif bias_var >= 1 and objective != "backward":
        warnings.append(
            f"bias_var {bias_var:g} alone makes variance 1 or more: no weights are left."
        )
    return notes, warnings


def _has_attention(layers: Sequence[Any]) -> bool:
    return any(
        isinstance(layer, Attention)
        or (isinstance(layer, Residual) and _has_attention([*layer.projection, *layer.layers]))
        for layer in layers
    )


def _rebuilt(
    layers: Sequence[Any],
    objective: str,
    bias_var: float,
    state: State,
    pairs: Pairs,
    blocks: int,
    ahead: Sequence[Floats] | None = None,
) -> tuple[list[Any], list[float]]:
    """The layers with new weights, front to back; `pairs` are those wanted behind the last, and
    `ahead` the gradients behind each layer, which count by how positions share them."""
    made: list[Any] = []
    variances: list[float] = []
    since: list[Passage] = []  # of the layers behind the last weights
    wanted = demands(layers, pairs, state.image, state.mapped)
    state = state.selected(wanted[0])
    for i, (layer, behind) in enumerate(zip(layers, wanted[1:], strict=True)):
        if isinstance(layer, Dense | Conv):
            unit = replace(layer, weight_var=1.0, bias_var=0.0, mode="fan_in")
            passage = unit.through(state, behind)
            after = passage.after
            forward = (1 - min(bias_var, 1.0)) / float(after.over_positions(after.q))
            given = np.ones_like(after.q) if ahead is None else ahead[i] / np.mean(ahead[i])
            [gradient, *_], _ = swept([*since, passage], Gradient(given))
            backward = 1 / float(np.mean(gradient.q))
            both = float(np.sqrt(forward * backward))
            chosen = {"forward": forward, "backward": backward}.get(objective, both)
            layer = replace(unit, weight_var=chosen, bias_var=bias_var)
            variances.append(chosen)
            since = []
            passage = layer.through(state, behind)
        elif isinstance(layer, Residual):
            skip, first = _rebuilt(layer.projection, objective, bias_var, state, behind, 0)
            inner, more = _rebuilt(layer.layers, objective, bias_var, state, behind, 0)
            branch = layer.branch / float(np.sqrt(blocks)) if blocks else layer.branch
            layer = replace(layer, layers=inner, branch=branch, projection=skip)
            variances += first + more
            passage = layer.through(state, behind)
            since.append(passage)
        else:
            passage = layer.through(state, behind)
            since.append(passage)
        state = passage.after
        made.append(layer)
    return made, variances
