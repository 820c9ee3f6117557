"""Rules: name patterns and the schemes for what they match; the first match wins."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fanin._hints import foreign_call, short
from fanin._random.stateless import normal, random, truncated_normal, uniform

from .registry import schemes

__all__ = ["DRAWS", "Rule", "Rules", "RulesLike"]

#: The laws that are no rows of the table of schemes, by the names of the face.
DRAWS: Mapping[str, Callable[..., Any]] = {
    "normal": normal,
    "random": random,
    "truncated_normal": truncated_normal,
    "uniform": uniform,
}

RulesLike: TypeAlias = "Rules | Mapping[str, Any] | Sequence[Any] | None"


@dataclass(frozen=True)
class Rule:
    """What the tensors whose names match a pattern hold.

    Attributes
    ----------
    pattern : str
        As in `fnmatch`: ``*`` any characters, dots too, ``?`` one, ``[...]`` one of these.
    scheme : str or callable
        A name of `fanin.schemes()`, or "normal", "uniform", "truncated_normal", "random"; or a
        function that is called as those are: ``scheme(shape, seed=, dtype=, out=, index=, ...)``.
    arguments : mapping
        The scheme's keywords.
    """

    pattern: str
    scheme: str | Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, name: str) -> bool:
        """Whether the whole name matches, case included."""
        return fnmatch.fnmatchcase(name, self.pattern)


class Rules:
    """An ordered list of rules.

    Parameters
    ----------
    rules : mapping or sequence, optional
        ``{pattern: scheme}`` or ``{pattern: (scheme, arguments)}``, in order; or a sequence of
        ``(pattern, scheme)``, ``(pattern, scheme, arguments)`` and `Rule`.

    Raises
    ------
    TypeError, ValueError
        A rule of another form, or a scheme that does not exist.
    """

    def __init__(self, rules: RulesLike = None) -> None:
        if rules is None:
            rows: list[Any] = []
        elif isinstance(rules, Rules):
            rows = list(rules.rules)
        elif isinstance(rules, Mapping):
            rows = [
                (pattern, *(given if isinstance(given, (tuple, list)) else (given,)))
                for pattern, given in rules.items()
            ]
        elif isinstance(rules, Sequence) and not isinstance(rules, (str, bytes)):
            rows = list(rules)
        else:
            raise TypeError(
                "rules are a mapping from pattern to scheme or a sequence of (pattern, scheme, "
                f"arguments), got {type(rules).__name__}"
            )
        self.rules: tuple[Rule, ...] = tuple(_as_rule(row) for row in rows)

    def __len__(self) -> int:
        return len(self.rules)

    def match(self, *names: str) -> Rule | None:
        """The first rule whose pattern matches one of a tensor's names, or None."""
        return next((rule for rule in self.rules if any(map(rule.matches, names))), None)

    def check(self, names: Iterable[str]) -> None:
        """Refuse rules that match none of `names`.

        Raises
        ------
        ValueError
            Names the first such pattern and the names nearest to it.
        """
        known = list(names)
        for rule in self.rules:
            if not any(rule.matches(name) for name in known):
                near = difflib.get_close_matches(rule.pattern, known, n=3, cutoff=0.3)
                hint = f"; the closest are {', '.join(near)}" if near else ""
                raise ValueError(
                    f"the rule {rule.pattern!r} matches none of the {len(known)} names{hint}"
                )


def _as_rule(row: Any) -> Rule:
    if isinstance(row, Rule):
        rule = row
    elif isinstance(row, (tuple, list)) and len(row) in (2, 3):
        rule = Rule(*row)
    else:
        raise TypeError(
            f"a rule is (pattern, scheme) or (pattern, scheme, arguments), got {short(row)}"
        )
    if not isinstance(rule.pattern, str):
        raise TypeError(f"a rule's pattern is a str, got {rule.pattern!r}")
    if not isinstance(rule.arguments, Mapping) or not all(
        isinstance(name, str) for name in rule.arguments
    ):
        raise TypeError(
            f"the arguments of the rule {rule.pattern!r} are a mapping from names to values, got "
            f"{rule.arguments!r}"
        )
    if isinstance(rule.scheme, str):
        _check_scheme(rule)
    elif not callable(rule.scheme):
        raise TypeError(
            f"the scheme of the rule {rule.pattern!r} is a name or a callable, got {rule.scheme!r}"
        )
    return rule


def _check_scheme(rule: Rule) -> None:
    """ValueError for an unknown scheme, TypeError for keywords that it does not have."""
    assert isinstance(rule.scheme, str)
    if rule.scheme in DRAWS:
        return
    rows = schemes()
    row = rows.get(rule.scheme)
    if row is None:
        known = [*DRAWS, *rows]
        elsewhere = foreign_call(rule.scheme)
        near = difflib.get_close_matches(rule.scheme, known, n=3)
        hint = f", did you mean {' or '.join(near)}?" if near else ""
        if elsewhere is not None:
            hint = f", a name carries its convention: {elsewhere}"
        raise ValueError(f"the rule {rule.pattern!r}: there is no scheme {rule.scheme!r}{hint}")
    try:
        row.signature.bind_partial(**rule.arguments)
    except TypeError as error:
        explained = row.call_error(error, rule.arguments)
        raise TypeError(f"the rule {rule.pattern!r}: {explained}") from None
