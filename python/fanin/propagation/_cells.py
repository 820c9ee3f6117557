"""Gated cells in time, as units drawn at infinite width.

The pre-activations of a unit's gates are independent normal processes, whose covariances at one
step follow from the products of outputs at the steps before: so units are drawn step by step. A
gradient goes back likewise, with a normal process of its own that does not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fanin._activations.activation import as_activation
from fanin._random.stateless import normal
from fanin._random.streams import Stream
from fanin._types import Floats

#: Units; in the second half of them candidates have the other sign, so that odd moments vanish.
_UNITS = 1 << 15
_SEED = 0
_SIGMOID, _TANH = as_activation("sigmoid"), as_activation("tanh")


class _Process:
    """Normal processes of one law, one time after another: their values so far, (processes, units)
    at a time, and their covariances."""

    def __init__(self, streams: Sequence[Stream], times: int, units: int) -> None:
        self._lower = np.zeros((times, times))
        self._free = np.stack([_whitened(stream, times, units) for stream in streams])
        self._count = 0

    def next(self, row: Floats) -> Floats:
        """Values at one more time, of these covariances with those before and itself."""
        n, lower = self._count, self._lower
        for j in range(n):
            rest = row[j] - lower[n, :j] @ lower[j, :j]
            lower[n, j] = rest / lower[j, j] if lower[j, j] > 0 else 0.0
        own = max(float(row[n] - lower[n, :n] @ lower[n, :n]), 0.0)
        # What cannot be told from rounding is nothing: two times with the same values.
        lower[n, n] = np.sqrt(own) if own > 1e-12 * row[n] else 0.0
        self._count += 1
        return np.asarray(lower[n, : n + 1] @ self._free[:, : n + 1])


def _whitened(stream: Stream, times: int, units: int) -> Floats:
    """Normal values whose sample covariances are those of the law: each less what it has of those
    before, all at once."""
    drawn = np.empty((times, units))
    for n in range(times):
        drawn[n] = normal((units,), seed=stream[n], dtype="float64")
    return np.linalg.solve(np.linalg.cholesky(drawn @ drawn.T / units), drawn)


class Program(Protocol):
    """What a cell does with its gates; states and gates are arrays of units."""

    gates: int
    candidates: tuple[int, ...]  # gates that are odd in the output
    of_input: tuple[int, ...]  # those that see x
    of_hidden: tuple[int, ...]  # those that see h

    def start(self) -> list[Floats]: ...

    def opened(self, gates: list[Floats]) -> list[Floats]:
        """What the others take from the gates' pre-activations."""

    def step(self, state: list[Floats], opened: list[Floats]) -> tuple[list[Floats], Floats]:
        """The next state, and the output."""

    def back(
        self, before: list[Floats], opened: list[Floats], after: list[Floats],
        carried: list[Floats], of_output: Floats,
    ) -> tuple[list[Floats], list[Floats]]:  # fmt: skip
        """Gradients of the state before and of the gates."""


@dataclass
class Units:
    """The run of all units: `products` of outputs, of (sequence, step) pairs, and by step of the
    first sequence states and opened gates. `apart` is E (h - h')^2/2."""

    products: Floats
    apart: Floats
    states: list[list[Floats]]
    opened: list[list[Floats]]


@dataclass(frozen=True)
class GatedCell:
    """Variances of every gate's weights of x, of h and of its bias, and the program.

    matrices  how many W, and U, there are
    """

    program: Program
    of_input: tuple[float, ...]
    of_hidden: tuple[float, ...]
    of_bias: tuple[float, ...]
    matrices: int

    def forward(self, same: Floats, cross: Floats) -> Units:
        steps, program = len(same), self.program
        seen = np.block([[same, cross], [cross.T, same]])
        stream = Stream(_SEED)["cells"]
        laws: dict[tuple[float, ...], list[int]] = {}
        for k, law in enumerate(zip(self.of_input, self.of_hidden, self.of_bias, strict=True)):
            laws.setdefault(law, []).append(k)
        processes = {
            law: _Process([stream[k] for k in gates], 2 * steps, _UNITS // 2)
            for law, gates in laws.items()
        }
        # By (sequence, step) as sequence * steps + step; outputs in the order of time.
        order: list[int] = []
        products = np.zeros((2 * steps, 2 * steps))
        outputs = np.zeros((2 * steps, _UNITS))
        state = [program.start(), program.start()]
        states, opened = [state[0]], []
        apart = np.zeros(steps)
        for t in range(steps):
            for sequence in range(2):
                at = sequence * steps + t
                order.append(at)
                rows = np.array(order)
                past = np.where(rows % steps > 0, products[at - 1, rows - 1], 0.0)
                past = past if t else np.zeros(len(rows))
                gates = [np.empty(0)] * program.gates
                for (w, u, b), process in processes.items():
                    drawn = process.next(w * seen[at, rows] + u * past + b)
                    for k, half in zip(laws[w, u, b], drawn, strict=True):
                        sign = -1.0 if k in program.candidates else 1.0
                        gates[k] = np.concatenate([half, sign * half])
                found = program.opened(gates)
                state[sequence], output = program.step(state[sequence], found)
                outputs[len(order) - 1] = output
                both = outputs[: len(order)] @ output / _UNITS
                products[at, rows] = products[rows, at] = both
                if sequence == 0:
                    opened.append(found)
                    states.append(state[0])
            difference = outputs[2 * t] - outputs[2 * t + 1]
            apart[t] = 0.5 * float(difference @ difference) / _UNITS
        return Units(products, apart, states, opened)

    def back(self, units: Units, loss: Floats) -> tuple[Floats, Floats]:
        """Products of the gates' gradients at every two steps, summed over the gates that see x
        and over those that see h, the latter with all gates of one variance."""
        steps, program = len(loss), self.program
        process = _Process([Stream(_SEED)["gradient"]], steps, _UNITS)
        total = np.zeros((2, steps, steps))
        found = np.zeros((program.gates, steps, _UNITS))
        carried = [np.zeros(_UNITS) for _ in program.start()]
        scale = max(self.of_hidden)
        for t in reversed(range(steps)):
            later = np.arange(steps - 1, t - 1, -1)
            row = loss[t, later].copy()
            if t < steps - 1:
                row[later < steps - 1] += scale * total[1, t + 1, later[later < steps - 1] + 1]
            [ahead] = process.next(row)
            carried, found[:, t] = program.back(
                units.states[t], units.opened[t], units.states[t + 1], carried, ahead
            )
            both = np.stack([gate[t:] @ gate[t] for gate in found]) / _UNITS
            for which, gates in enumerate((program.of_input, program.of_hidden)):
                total[which, t, t:] = total[which, t:, t] = both[list(gates)].sum(axis=0)
        return total[0], total[1]


class _Lstm:
    gates = 4
    candidates: tuple[int, ...] = (2,)
    of_input: tuple[int, ...] = (0, 1, 2, 3)
    of_hidden: tuple[int, ...] = (0, 1, 2, 3)

    def __init__(self, forget_bias: float) -> None:
        self._forget_bias = forget_bias

    def start(self) -> list[Floats]:
        return [np.zeros(_UNITS)]

    def opened(self, gates: list[Floats]) -> list[Floats]:
        i, f, g, o = gates
        i, f, o = _SIGMOID(np.stack([i, f + self._forget_bias, o]))
        return [i, f, np.asarray(_TANH(g)), o]

    def step(self, state: list[Floats], opened: list[Floats]) -> tuple[list[Floats], Floats]:
        i, f, g, o = opened
        cell = f * state[0] + i * g
        return [cell], o * np.asarray(_TANH(cell))

    def back(
        self, before: list[Floats], opened: list[Floats], after: list[Floats],
        carried: list[Floats], of_output: Floats,
    ) -> tuple[list[Floats], list[Floats]]:  # fmt: skip
        i, f, g, o = opened
        bent = np.asarray(_TANH(after[0]))
        of_cell = carried[0] + of_output * o * (1 - bent * bent)
        return [of_cell * f], [
            of_cell * g * i * (1 - i),
            of_cell * before[0] * f * (1 - f),
            of_cell * i * (1 - g * g),
            of_output * bent * o * (1 - o),
        ]


class _Gru:
    gates = 4  # reset, update, and the candidate's part of x and of h
    candidates: tuple[int, ...] = (2, 3)
    of_input: tuple[int, ...] = (0, 1, 2)
    of_hidden: tuple[int, ...] = (0, 1, 3)

    def start(self) -> list[Floats]:
        return [np.zeros(_UNITS)]

    def opened(self, gates: list[Floats]) -> list[Floats]:
        r, z, of_x, of_h = gates
        reset, update = _SIGMOID(np.stack([r, z]))
        return [reset, update, np.asarray(_TANH(of_x + reset * of_h)), of_h]

    def step(self, state: list[Floats], opened: list[Floats]) -> tuple[list[Floats], Floats]:
        _, update, candidate, _ = opened
        hidden = (1 - update) * candidate + update * state[0]
        return [hidden], hidden

    def back(
        self, before: list[Floats], opened: list[Floats], after: list[Floats],
        carried: list[Floats], of_output: Floats,
    ) -> tuple[list[Floats], list[Floats]]:  # fmt: skip
        reset, update, candidate, of_h = opened
        total = carried[0] + of_output
        bent = total * (1 - update) * (1 - candidate * candidate)
        return [total * update], [
            bent * of_h * reset * (1 - reset),
            total * (before[0] - candidate) * update * (1 - update),
            bent,
            bent * reset,
        ]


def lstm_cell(weight: float, recurrent: float, bias: float, forget_bias: float) -> GatedCell:
    return GatedCell(_Lstm(forget_bias), (weight,) * 4, (recurrent,) * 4, (bias,) * 4, matrices=4)


def gru_cell(weight: float, recurrent: float, bias: float) -> GatedCell:
    return GatedCell(
        _Gru(),
        (weight, weight, weight, 0.0),
        (recurrent, recurrent, 0.0, recurrent),
        (bias, bias, bias / 2, bias / 2),
        matrices=3,
    )
