"""Rules: patterns, first match, and what is refused."""

import pytest

import fanin
from fanin._schemes.rules import Rule, Rules

NAMES = ["wte.weight", "h.0.attn.weight", "h.0.attn.bias", "h.10.attn.weight"]


def test_the_first_rule_that_matches_wins():
    rules = Rules([("h.0.*", "zeros"), ("*.weight", "he_normal", {"gain": 2.0}), ("*", "ones")])
    schemes = [rules.match(name).scheme for name in NAMES]
    assert schemes == ["he_normal", "zeros", "zeros", "he_normal"]
    assert rules.match("wte.weight").arguments == {"gain": 2.0}
    assert Rules({"h.*": "zeros"}).match("wte.weight") is None


def test_a_mapping_is_the_sequence_of_its_items():
    given = {"*.weight": ("normal", {"scale": 0.02}), "*": "zeros"}
    assert (
        Rules(given).rules == Rules([("*.weight", "normal", {"scale": 0.02}), ("*", "zeros")]).rules
    )
    assert Rules(Rules(given)).rules == Rules(given).rules
    assert len(Rules(None)) == 0


def test_patterns_are_case_sensitive_and_cover_the_whole_name():
    rules = Rules({"attn": "zeros", "WTE*": "zeros", "h.?.attn.bias": "ones"})
    assert rules.match("h.0.attn.weight") is None
    assert rules.match("wte.weight") is None
    assert rules.match("h.0.attn.bias") == Rule("h.?.attn.bias", "ones")


def test_a_callable_is_a_scheme():
    assert Rules({"*": fanin.he_uniform}).match("w").scheme is fanin.he_uniform


def test_a_rule_without_a_match_names_the_closest_names():
    rules = Rules({"*.weight": "zeros", "h.*.attn.biass": "zeros"})
    with pytest.raises(ValueError, match=r"'h.\*.attn.biass' matches none of the 4 names") as error:
        rules.check(NAMES)
    assert "h.0.attn.bias" in str(error.value)
    Rules({"*.bias": "zeros"}).check(NAMES)


@pytest.mark.parametrize(
    ("rules", "kind", "words"),
    [
        ("*", TypeError, "a mapping from pattern to scheme"),
        (5, TypeError, "a mapping from pattern to scheme"),
        (["*"], TypeError, "a rule is"),
        ([(1, "zeros")], TypeError, "pattern is a str"),
        ({"*": "he_norml"}, ValueError, "did you mean he_normal"),
        ({"*": 3}, TypeError, "a name or a callable"),
        ({"*": ("zeros", 3)}, TypeError, "a mapping from names"),
        ({"*": ("he_normal", {"slope": 3})}, TypeError, "it is called he_normal"),
    ],
)
def test_other_rules_are_refused(rules, kind, words):
    with pytest.raises(kind, match=words):
        Rules(rules)
