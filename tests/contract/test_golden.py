"""The golden file: hashes that every instruction set and machine must reproduce."""

from __future__ import annotations

import golden_cases as golden
import pytest

import fanin

CASES = list(golden.cases())
ROWS = golden.recorded()
FUNCTIONS = list(dict.fromkeys(case.function for case in CASES))


def test_the_file_has_the_streams_name_and_every_case_once():
    text = golden.path().read_text("utf-8").splitlines()
    assert text[0].startswith(f"# Golden hashes of the stream {fanin.STREAM};")
    names = [line.rsplit(" ", 2)[0] for line in text if not line.startswith("#")]
    assert len(names) == len(set(names))
    assert {case.name for case in CASES} <= set(names)


def test_the_keys_of_streams_are_those_of_the_file():
    text = golden.path().read_text("utf-8").splitlines()
    assert set(golden.keys()) == {line for line in text if line.startswith("# key ")}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_first_values_have_the_golden_hashes_on_every_isa(isa, function):
    differing = [
        case.name
        for case in CASES
        if case.function == function and golden.short_hash(case) != ROWS[case.name][0]
    ]
    assert not differing


@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_values_have_the_golden_hashes(function):
    differing = [
        case.name
        for case in CASES
        if case.function == function and golden.full_hash(case) != ROWS[case.name][1]
    ]
    assert not differing


def test_hashes_of_different_cases_differ():
    # But for the deterministic schemes, whose examples may be equal, and laws without rounding.
    for rows in (
        {n: h for n, h in ROWS.items() if n.startswith(law)} for law in ("normal ", "words")
    ):
        assert len({full for _, full in rows.values()}) == len(rows)
