"""What a call of a scheme asks for."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

from fanin._modes import divisor

from .fans import Axes, Fans, Layout, fans_of


@dataclass(eq=False, repr=False)
class Weight:
    """The weight of one call: its full shape, how to read it, its words and where they go."""

    shape: tuple[int, ...]
    layout: Layout
    gain: float = 1.0
    seed: Any = None
    dtype: Any = None
    out: Any = None
    index: Any = None
    threads: int | None = None

    @functools.cached_property
    def fans(self) -> Fans:
        """Fans of the full shape."""
        return fans_of(self.shape, self.layout)

    @property
    def fan_in(self) -> int:
        """Inputs per output."""
        return self.fans.fan_in

    @property
    def fan_out(self) -> int:
        """Outputs per input."""
        return self.fans.fan_out

    def fan(self, mode: str) -> float:
        """The denominator that `mode` names: fan_in, fan_out, fan_avg or fan_geo(_avg)."""
        return divisor(mode, self.fan_in, self.fan_out)

    def single_axes(self, least_kernel_axes: int, most_kernel_axes: int) -> Axes:
        """The axes, if there is one of inputs, one of outputs and a fit number of the kernel."""
        axes = self.layout.axes(self.shape)
        if len(axes.inputs) != 1 or len(axes.outputs) != 1:
            raise ValueError(
                f"this scheme needs one input and one output axis; of shape {self.shape} the "
                f"layout names the axes {axes.inputs} and {axes.outputs}"
            )
        if not least_kernel_axes <= len(axes.kernel) <= most_kernel_axes:
            raise ValueError(
                f"shape {self.shape} has {len(axes.kernel)} kernel axes, this scheme takes "
                f"{least_kernel_axes} to {most_kernel_axes}; batch axes are named by "
                "fanin.Layout(batch_axes=...)"
            )
        _ = self.fans  # refuses channels that the groups do not divide
        return axes

    def in_groups(self, groups: int | None) -> Weight:
        """The same weight in `groups` groups; TypeError if the layout has groups of its own."""
        if groups is None:
            return self
        if self.layout.groups != 1:
            raise TypeError("give groups= or a Layout with groups, not both")
        return replace(self, layout=replace(self.layout, groups=groups))

    def gate_size(self, gates: int) -> int:
        """Length of one gate's slice of the last axis."""
        if not self.shape or self.shape[-1] % gates:
            raise ValueError(
                f"the last axis must hold {gates} gates of equal size, got shape {self.shape}"
            )
        return self.shape[-1] // gates
