"""Gated cells in time, as units drawn at infinite width.

The pre-activations of a unit's gates are independent normal processes, whose covariances at one
step follow from the products of outputs at the steps before: so units are drawn step by step. A
gradient goes back likewise, with a normal process of its own that does not depend on them.
"""

from __future__ import annotations

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
    """A normal process, one time after another: its values so far and its covariances."""

    def __init__(self, stream: Stream, times: int, units: int) -> None:
        self._stream, self._units = stream, units
        self._lower = np.zeros((times, times))
        self._free = np.zeros((times, units))
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
        drawn = normal((self._units,), seed=self._stream[n], dtype="float64")
        # Sample covariances are those of the law.
        before = self._free[:n]
        fresh = np.asarray(drawn) - (before @ drawn / self._units) @ before
        self._free[n] = fresh / np.sqrt(float(fresh @ fresh) / self._units)
        self._count += 1
        return np.asarray(lower[n, : n + 1] @ self._free[: n + 1])


class Program(Protocol):
    """What a cell does with its gates; states and gates are arrays of units."""

    gates: int
    candidates: tuple[int, ...]  # gates that are odd in the output
    of_input: tuple[int, ...]  # those that see x
    of_hidden: tuple[int, ...]  # those that see h

    def start(self) -> list[Floats]: ...

    def step(self, state: list[Floats], gates: list[Floats]) -> tuple[list[Floats], Floats]:
        """The next state, and the output."""

    def back(
        self, before: list[Floats], gates: list[Floats], after: list[Floats],
        carried: list[Floats], of_output: Floats,
    ) -> tuple[list[Floats], list[Floats]]:  # fmt: skip
        """Gradients of the state before and of the gates."""


@dataclass
class Units:
    """The run of all units: `products` of outputs, of (sequence, step) pairs, and by step of the
    first sequence states and gates. `apart` is E (h - h')^2/2."""

    products: Floats
    apart: Floats
    states: list[list[Floats]]
    gates: list[list[Floats]]


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
        processes = [_Process(stream[k], 2 * steps, _UNITS // 2) for k in range(program.gates)]
        order: list[int] = []  # of (sequence, step) as sequence * steps + step
        products = np.zeros((2 * steps, 2 * steps))
        outputs = np.zeros((2 * steps, _UNITS))
        state = [program.start(), program.start()]
        states, drawn = [state[0]], []
        apart = np.zeros(steps)
        for t in range(steps):
            for sequence in range(2):
                at = sequence * steps + t
                order.append(at)
                rows = np.array(order)
                past = np.where(rows % steps > 0, products[at - 1, rows - 1], 0.0)
                past = past if t else np.zeros(len(rows))
                gates = [
                    process.next(w * seen[at, rows] + u * past + b)
                    for process, w, u, b in zip(
                        processes, self.of_input, self.of_hidden, self.of_bias, strict=True
                    )
                ]
                for k, half in enumerate(gates):
                    sign = -1.0 if k in program.candidates else 1.0
                    gates[k] = np.concatenate([half, sign * half])
                state[sequence], outputs[at] = program.step(state[sequence], gates)
                products[at, rows] = products[rows, at] = outputs[rows] @ outputs[at] / _UNITS
                if sequence == 0:
                    drawn.append(gates)
                    states.append(state[0])
            difference = outputs[t] - outputs[steps + t]
            apart[t] = 0.5 * float(difference @ difference) / _UNITS
        return Units(products, apart, states, drawn)

    def back(self, units: Units, loss: Floats) -> tuple[Floats, Floats]:
        """Products of the gates' gradients at every two steps, summed over the gates that see x
        and over those that see h, the latter with all gates of one variance."""
        steps, program = len(loss), self.program
        process = _Process(Stream(_SEED)["gradient"], steps, _UNITS)
        total = np.zeros((2, steps, steps))
        found: dict[int, list[Floats]] = {}
        carried = [np.zeros(_UNITS) for _ in program.start()]
        scale = max(self.of_hidden)
        for t in reversed(range(steps)):
            later = np.arange(steps - 1, t - 1, -1)
            row = loss[t, later].copy()
            if t < steps - 1:
                row[later < steps - 1] += scale * total[1, t + 1, later[later < steps - 1] + 1]
            ahead = process.next(row)
            carried, found[t] = program.back(
                units.states[t], units.gates[t], units.states[t + 1], carried, ahead
            )
            for which, gates in enumerate((program.of_input, program.of_hidden)):
                for s in map(int, later):
                    both = (found[t][k] * found[s][k] for k in gates)
                    total[which, t, s] += sum(float(x.sum()) for x in both) / _UNITS
                total[which, later, t] = total[which, t, later]
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

    def _opened(self, gates: list[Floats]) -> list[Floats]:
        i, f, g, o = gates
        found = (_SIGMOID(i), _SIGMOID(f + self._forget_bias), _TANH(g), _SIGMOID(o))
        return [np.asarray(x) for x in found]

    def step(self, state: list[Floats], gates: list[Floats]) -> tuple[list[Floats], Floats]:
        i, f, g, o = self._opened(gates)
        cell = f * state[0] + i * g
        return [cell], o * np.asarray(_TANH(cell))

    def back(
        self, before: list[Floats], gates: list[Floats], after: list[Floats],
        carried: list[Floats], of_output: Floats,
    ) -> tuple[list[Floats], list[Floats]]:  # fmt: skip
        i, f, g, o = self._opened(gates)
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

    @staticmethod
    def _opened(gates: list[Floats]) -> tuple[Floats, Floats, Floats]:
        r, z, of_x, of_h = gates
        reset, update = np.asarray(_SIGMOID(r)), np.asarray(_SIGMOID(z))
        return reset, update, np.asarray(_TANH(of_x + reset * of_h))

    def step(self, state: list[Floats], gates: list[Floats]) -> tuple[list[Floats], Floats]:
        _, update, candidate = self._opened(gates)
        hidden = (1 - update) * candidate + update * state[0]
        return [hidden], hidden

    def back(
        self, before: list[Floats], gates: list[Floats], after: list[Floats],
        carried: list[Floats], of_output: Floats,
    ) -> tuple[list[Floats], list[Floats]]:  # fmt: skip
        reset, update, candidate = self._opened(gates)
        total = carried[0] + of_output
        bent = total * (1 - update) * (1 - candidate * candidate)
        return [total * update], [
            bent * gates[3] * reset * (1 - reset),
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
