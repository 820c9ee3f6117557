"""A scheme: one row, and everything that follows from it.

A :class:`Scheme` states a law and its spread (or how to write the values), its parameters, its
formula and its source; signature, checks and errors are made from them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fanin._arrays.shapes import as_shape
from fanin._checks import non_negative
from fanin._hints import meant_keyword, short
from fanin._public import public

from .accepts import REQUIRED, Parameter
from .fans import LayoutLike, ShapeLike, as_layout
from .laws import Law
from .weight import Weight

__all__ = ["Scheme", "SchemeFunction"]


class SchemeFunction(Protocol):
    """The type of ``fanin.he_normal`` and of every other scheme.

    Signatures are made of its keywords and their defaults.
    """

    __name__: str

    def __call__(
        self,
        shape: ShapeLike,
        *parameters: Any,
        seed: Any = ...,
        dtype: Any = None,
        layout: LayoutLike = "io",
        gain: float | str = 1.0,
        out: Any = None,
        index: Any = None,
        threads: int | None = None,
        **named_parameters: Any,
    ) -> Any: ...


_COMMON = tuple(
    parameter.replace(annotation=inspect.Parameter.empty)
    for parameter in inspect.signature(SchemeFunction.__call__).parameters.values()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
)


@public("fanin")
@dataclass(frozen=True)
class Scheme:
    """One row of the table of schemes.

    Attributes
    ----------
    name : str
        Name of the public function.
    summary, formula, source : str
        One sentence, the formula (n = fan_in, m = fan_out) and where it comes from.
    example : dict
        Arguments of a typical call: ``shape`` and the parameters without a default.
    law : Law or callable, optional
        The law of independent values, or ``law(**parameters)`` where parameters choose it; goes
        with `spread`. Other schemes have `write`.
    spread : callable, optional
        ``spread(weight, **parameters)``: the std of a normal law, the half width of the uniform.
    write : callable, optional
        ``write(weight, **parameters)`` writes the values of a scheme without `law`.
    std : callable, optional
        ``std(weight, **parameters)`` of a scheme without `law`, before `gain`, where it is known.
    parameters : tuple of Parameter
        The scheme's own parameters, in order.
    keyword_only : bool
        Whether the parameters are given by name only.
    gain_of : str or callable
        The activation whose gain the formula holds already (``gain_of(**parameters)`` where
        parameters decide), or ""; with one, `gain` cannot name another.
    default_dtype : str
        The dtype of the values if neither `dtype` nor `out` says.
    needs_seed : bool
        False for deterministic schemes, which accept a seed and ignore it.
    notes : str
        Paragraphs for the docstring's Notes.
    printed : str
        What the docstring's example prints, for a deterministic scheme.
    """

    name: str
    summary: str
    formula: str
    source: str
    example: Mapping[str, Any]
    law: Law | Callable[..., Law] | None = None
    spread: Callable[..., float] | None = None
    write: Callable[..., Any] | None = None
    std: Callable[..., float] | None = None
    parameters: tuple[Parameter, ...] = ()
    keyword_only: bool = False
    gain_of: str | Callable[..., str] = ""
    default_dtype: str = "float32"
    needs_seed: bool = True
    notes: str = ""
    printed: str = ""
    own_signature: inspect.Signature = field(init=False, repr=False)
    signature: inspect.Signature = field(init=False, repr=False)

    def __post_init__(self) -> None:
        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        kind = inspect.Parameter.KEYWORD_ONLY if self.keyword_only else positional
        own = [inspect.Parameter(p.name, kind, default=p.default) for p in self.parameters]
        seed = _COMMON[0].replace(default=REQUIRED if self.needs_seed else None)
        shape = inspect.Parameter("shape", positional)
        full = inspect.Signature([shape, *own, seed, *_COMMON[1:]])
        object.__setattr__(self, "own_signature", inspect.Signature(own))
        object.__setattr__(self, "signature", full)

    def read(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """The scheme's own parameters, complete and checked."""
        if not (self.parameters or arguments or named):
            return {}
        try:
            bound = self.own_signature.bind(*arguments, **named)
        except TypeError as error:
            raise self.call_error(error, named) from None
        bound.apply_defaults()
        return {p.name: p.accepts.read(p.name, bound.arguments[p.name]) for p in self.parameters}

    def call_error(self, error: TypeError, named: Mapping[str, Any]) -> TypeError:
        """A TypeError that shows how the scheme is called."""
        known = self.signature.parameters
        unknown = [name for name in named if name not in known]
        advice = meant_keyword(unknown[0], known) if unknown else ""
        return TypeError(f"{self.name}() {error}; it is called {self.name}{self.signature}{advice}")

    def read_gain(self, gain: Any, parameters: Mapping[str, Any]) -> float:
        """A gain given as a number or by the name of an activation."""
        if isinstance(gain, str):
            from fanin._activations.gains import gain as gain_of_activation

            value = gain_of_activation(gain)
            held = self.gain_of if isinstance(self.gain_of, str) else self.gain_of(**parameters)
            if held:
                raise ValueError(
                    f"{self.name} holds the gain of {held} already and gain={gain!r} would "
                    f"multiply its values by another {value:.6g}: leave gain out, or take "
                    f"variance_scaling, whose variance is 1 / fan, with gain={gain!r}"
                )
            return non_negative(f"the gain of {gain!r}", value)
        if callable(gain) or hasattr(gain, "derivative"):
            raise TypeError(
                f"gain must be a number or the name of an activation, got {short(gain)}: "
                "give gain=fanin.gain(activation)"
            )
        return non_negative("gain", gain)

    def law_and_spread(
        self, weight: Weight, parameters: Mapping[str, Any]
    ) -> tuple[Law, float] | None:
        """The law of this call and its spread with gain; None for a scheme without law."""
        if self.law is None or self.spread is None:
            return None
        law = self.law if isinstance(self.law, Law) else self.law(**parameters)
        spread = weight.gain * self.spread(weight, **parameters)
        return law, non_negative(f"gain * spread of {self.name}", spread)

    def fill(self, weight: Weight, parameters: Mapping[str, Any]) -> Any:
        """Write the values and return the result."""
        drawn = self.law_and_spread(weight, parameters)
        if drawn is not None:
            law, spread = drawn
            return law.write(weight, spread)
        assert self.write is not None, "a row has either a spread or its own way to write"
        return self.write(weight, **parameters)

    def common_draw(
        self, shape: ShapeLike, layout: LayoutLike, gain: Any, *arguments: Any, **named: Any
    ) -> tuple[str, tuple[float, ...]]:
        """The core's law of a call, and its parameters; for a scheme that has a law."""
        parameters = self.read(arguments, named)
        weight = Weight(as_shape(shape), as_layout(layout), self.read_gain(gain, parameters))
        drawn = self.law_and_spread(weight, parameters)
        assert drawn is not None
        law, spread = drawn
        return law.name, law.numbers(spread)

    def expected_std(
        self, shape: ShapeLike, *, layout: LayoutLike = "io", gain: float | str = 1.0, **named: Any
    ) -> float | None:
        """Standard deviation that the formula promises; None where it promises none."""
        parameters = self.read((), named)
        weight = Weight(as_shape(shape), as_layout(layout), self.read_gain(gain, parameters))
        drawn = self.law_and_spread(weight, parameters)
        if drawn is not None:
            law, spread = drawn
            return spread * law.unit_std
        return None if self.std is None else weight.gain * self.std(weight, **parameters)
