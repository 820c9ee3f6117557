"""The harness of the benches: turns, least times, ratios, and the checks of what was made."""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fanin._bench import cases, machine, mkl
from fanin._bench import peers as _peers
from fanin._bench import timing as _bench
from fanin._bench.contenders import Contender
from fanin._bench.laws import NORMAL, UNIFORM, TimedLaw, truncated_normal, uniform
from fanin._bench.mkl import mkl_fills
from fanin._bench.timing import Row, Timing, against, assert_moments, interleave, table, touched

FUNCTIONS = [real + name for real in ("vs", "vd", "vi")
             for name in ("RngGaussian", "RngUniform", "RngExponential", "RngLaplace")]  # fmt: skip
BENCH = Path(__file__).parents[3] / "bench"


class Clock:
    """A clock that only moves when a contender says how long it took."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.order: list[str] = []
        own = SimpleNamespace(perf_counter=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(_bench, "time", own)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def contender(self, name: str, durations: list[float], values: int = 1) -> Contender:
        """Takes the given seconds, one after the other."""
        left = iter(durations)

        def run() -> None:
            self.order.append(name)
            self.now += next(left)

        return Contender(name, "nothing", "1 thr", run, values)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_every_contender_has_its_turn_before_any_has_the_next(clock: Clock) -> None:
    contenders = [clock.contender(name, [1.0] * 4) for name in "abc"]
    interleave(contenders, rounds=4, checked=False)
    assert clock.order == list("abcbcacababc")


def test_the_least_time_of_each_is_kept(clock: Clock) -> None:
    slow = clock.contender("slow", [8.0, 4.0, 5.0])
    fast = clock.contender("fast", [2.0, 3.0, 1.0])
    timing = interleave([slow, fast], rounds=3, checked=False)
    assert timing.seconds == {slow.name: 4.0, fast.name: 1.0}


def test_a_slow_contender_stops_after_three_turns(clock: Clock) -> None:
    slow = clock.contender("slow", [9.0] * 6)
    fast = clock.contender("fast", [1.0] * 6)
    interleave([slow, fast], rounds=6, patience=10.0, checked=False)
    assert (clock.order.count("slow"), clock.order.count("fast")) == (3, 6)


def test_a_short_call_is_repeated_for_as_long_as_the_pause(clock: Clock) -> None:
    short = clock.contender("short", [3.0, 2.0, 1.0, 4.0, 5.0, 6.0])
    long = clock.contender("long", [7.0, 8.0])
    timing = interleave([short, long], rounds=2, rest=6.0, checked=False)
    assert clock.order == ["short"] * 3 + ["long"] * 2 + ["short"] * 2
    assert timing.seconds == {short.name: 1.0, long.name: 7.0}
    assert clock.now == 4 * 6.0 + 3 + 2 + 1 + 7 + 8 + 4 + 5


def test_two_contenders_of_one_name_are_refused(clock: Clock) -> None:
    with pytest.raises(ValueError, match="different names"):
        interleave([clock.contender("a", [1.0]), clock.contender("a", [1.0])], rounds=1)


def test_a_ratio_is_of_rates_and_against_the_fastest(clock: Clock) -> None:
    ours = clock.contender("fanin", [2.0], values=4_000_000_000)  # 2 G/s
    fast = replace(clock.contender("peer", [1.0], values=500_000_000), how="fast")  # 0.5 G/s
    slow = replace(clock.contender("peer", [1.0], values=250_000_000), how="slow")
    other = replace(clock.contender("peer", [1.0], values=999_000_000), what="something else")
    timing = interleave([ours, slow, fast, other], rounds=1, checked=False)
    [row] = against(timing, ours, "peer", 4.0, what="nothing")
    assert (row.ours, row.theirs, row.compared, row.verdict) == (2.0, 0.5, 4.0, "pass")
    assert row.against == fast.name
    assert against(timing, ours, "nobody") == []


@pytest.mark.parametrize(
    ("compared", "at_most", "verdict"),
    [
        (1.5, False, "pass"),
        (1.49, False, "falls short"),
        (1.5, True, "pass"),
        (1.51, True, "falls short"),
        (math.nan, False, "falls short"),
        (math.nan, True, "falls short"),
    ],
)
def test_a_verdict_follows_from_the_requirement(
    compared: float, at_most: bool, verdict: str
) -> None:
    row = Row("t", 1.0, 1.0, "G/s", "peer", compared, required=1.5, at_most=at_most)
    assert row.verdict == verdict
    assert row.as_dict()["verdict"] == verdict
    assert replace(row, required=None).verdict == ""


def test_the_table_has_a_line_per_row_and_aligned_columns() -> None:
    rows = [Row("a", 1.0, 2.0, "G/s", "peer", 0.5), Row("longer", 10.0, 2.0, "G/s", "p", 123.4)]
    head, rule, *lines = table(rows).splitlines()
    assert len(lines) == 2
    assert set(rule) == {"-"}
    assert {line.index("G/s") for line in lines} == {head.index("unit")}
    assert [_bench.figure(x) for x in (1234.5, 1.0, 0.012345)] == ["1234", "1.00", "0.0123"]


def drawn(count: int = 1 << 16) -> np.ndarray:
    return np.random.Generator(np.random.SFC64(3)).standard_normal(count)


def test_right_moments_are_accepted() -> None:
    assert_moments(drawn(), NORMAL, "right")


# 2^16 values: 7 standard errors are 7/256 = 0.028 (mean) and 7 sqrt(2)/256 = 0.039 (variance).
@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (drawn() * 1.04, "variance"),
        (drawn() * 0.96, "variance"),
        (drawn() + 0.05, "mean"),
        (np.where(np.arange(1 << 16) == 77, np.nan, drawn()), "mean"),
        (np.where(np.arange(1 << 16) < 1 << 13, 0.0, drawn()), "variance"),
    ],
    ids=["too wide", "too narrow", "shifted", "one value never written", "an eighth zero"],
)
def test_wrong_moments_are_refused(wrong: np.ndarray, what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        assert_moments(wrong, NORMAL, "wrong")


def test_a_contender_that_leaves_old_values_is_caught() -> None:
    out = drawn()

    def half() -> np.ndarray:
        out[: out.size // 2] = drawn(out.size // 2)
        return out

    lazy = Contender("fanin", "float64 normal", "half", half, out.size, NORMAL, out)
    with pytest.raises(AssertionError, match="half"):
        _bench.check(lazy)


def test_a_peer_with_wrong_moments_is_named_and_fanin_stops_the_bench() -> None:
    wrong = drawn() + 1.0
    peer = Contender("peer", "float64 normal", "biased", lambda: wrong, wrong.size, NORMAL)
    timing = interleave([peer], rounds=1)
    assert timing.best("peer") is None
    assert "mean" in timing.flaws[peer.name]
    with pytest.raises(AssertionError, match="mean"):
        interleave([replace(peer, peer="fanin")], rounds=1)


@pytest.mark.parametrize(
    ("low", "high"),
    [(-2.0, 2.0), (-3.0, 3.0), (0.0, math.inf), (1.0, 4.0), (5.0, math.inf), (-1.0, 2.0)],
)
def test_the_expected_moments_are_those_of_the_density(low: float, high: float) -> None:
    # Midpoint rule with 2e5 nodes of step at most 4.5e-5: relative error of order step^2 = 2e-9;
    # cutting infinity at low + 9 leaves out less than exp(-40). `NormalDist.cdf(-5)` is 2.9e-7 with
    # an absolute error of 1e-16, hence 4e-10 relative, times 27 (= mean^2) in the variance.
    nodes = 200_000
    end = min(high, low + 9.0)
    x = low + (np.arange(nodes) + 0.5) * (end - low) / nodes
    weight = np.exp(-0.5 * (x * x - low * low))
    weight /= weight.sum()
    mean = float((weight * x).sum())
    variance = float((weight * (x - mean) ** 2).sum())
    law = truncated_normal(low, high)
    assert law.mean == pytest.approx(mean, rel=0, abs=3e-8)
    assert law.variance == pytest.approx(variance, rel=0, abs=3e-8)


def test_the_moments_of_a_uniform() -> None:
    law = uniform(-3.0, 3.0)
    assert (law.mean, law.variance) == (0.0, 3.0)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("law", [NORMAL, UNIFORM], ids=["normal", "uniform"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_and_onemkl_fill_every_value_with_differing_parts(
    law: TimedLaw, dtype: type, threads: int
) -> None:
    out = np.empty(3 << 14, dtype)
    for one in [*_peers.numpy_fills(law, out, threads), *mkl_fills(law, out, threads)]:
        _bench.check(one)
        parts = np.array_split(out, threads)
        for i, part in enumerate(parts):
            for other in parts[:i]:
                # Independent parts of 2^14 values or more: |r| stays below 7/sqrt(2^14) = 0.055.
                assert abs(np.corrcoef(part, other)[0, 1]) < 0.055, one.name


def test_the_short_bench_has_a_row_per_law_and_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peers, "PEERS", {"NumPy": _peers.numpy_fills})
    report = cases.run(threads=1, megabytes=1, rounds=1)
    assert [row.title for row in report.rows] == [
        f"{case.name}, 1 thr"
        for case in cases.CASES.values()
        if case.shown and "NumPy" in case.peers
    ]
    assert all(row.against.startswith("NumPy") and row.ours > 0 for row in report.rows)
    assert report.text().startswith("what")


@pytest.mark.parametrize("case", cases.CASES.values(), ids=lambda case: case.name)
def test_fanin_draws_every_case_with_its_moments(case: cases.Case) -> None:
    _bench.check(case.contender("fanin", cases.Setting(threads=2, megabytes=1)))


@pytest.mark.parametrize("peer", ["NumPy", "oneMKL"])
def test_a_case_names_the_peers_that_offer_it(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only what a function would call counts, so that the peer need not be installed.
    monkeypatch.setattr(
        mkl, "mkl_library", lambda: SimpleNamespace(**dict.fromkeys(FUNCTIONS, print))
    )
    monkeypatch.setattr(mkl, "_mkl_stream", lambda *_: ctypes.c_void_p())
    for case in cases.CASES.values():
        out = touched(case.dtype, 1)[:64]
        assert (peer in case.peers) == bool(_peers.PEERS[peer](case.law, out, 1)), case.name


@pytest.mark.parametrize("name", ["threads", "megabytes", "rounds"])
def test_the_short_bench_refuses_less_than_one(name: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        cases.run(**{"threads": 1, "megabytes": 1, "rounds": 1, name: 0})


def test_the_fill_bench_writes_every_part_for_every_thread_count(tmp_path: Path) -> None:
    target = tmp_path / "fill.json"
    command = [sys.executable, str(BENCH / "bench_fill.py"), "--threads", "1", "2"]
    command += ["--megabytes", "1", "--rounds", "1", "--peers", "NumPy", "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(target.read_text())
    assert set(result["threads"]) == {"1", "2"}
    assert {"cpu", "isa", "versions", "stream"} <= set(result["machine"])
    titles = {row["title"] for row in result["threads"]["2"]["rows"]}
    for start in (
        "float32 normal, 2 thr",
        "float64 normal, 2 thr",
        "float32 uniform [0, 1), 2 thr",
        "float32 truncated [5, inf], 2 thr",
        "float32 normal fresh, 2 thr",
        "float16 normal, 2 thr",
    ):
        assert start in titles


def test_a_timing_without_the_peer_has_no_best() -> None:
    assert Timing().best("anybody") is None


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`bench/harness.py`, as the scripts beside it see it."""
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("harness")


def saved(made: str, rows: dict[str, float], threads: str = "1") -> dict[str, Any]:
    """A run of some parts, each with one row."""
    return {
        "bench": "fill",
        "made": made,
        "machine": {"class": "Maker, Model 7"},
        "threads": {
            threads: {"rows": [{"part": p, "ours": r} for p, r in rows.items()], "notes": [made]}
        },
    }


def test_saved_parts_replace_the_same_parts_of_their_class(
    harness: ModuleType, tmp_path: Path
) -> None:
    harness.save(saved("monday", {"normal": 1.0, "uniform": 2.0}), tmp_path)
    harness.save(saved("monday", {"normal": 3.0}, threads="2"), tmp_path)
    target = harness.save(saved("friday", {"normal": 4.0}), tmp_path)
    assert target == tmp_path / "maker-model-7" / "fill.json"
    merged = json.loads(target.read_text())
    found = {count: [(row["part"], row["ours"], row["made"]) for row in part["rows"]]
             for count, part in merged["threads"].items()}  # fmt: skip
    assert found == {
        "1": [("uniform", 2.0, "monday"), ("normal", 4.0, "friday")],
        "2": [("normal", 3.0, "monday")],
    }
    assert merged["threads"]["1"]["notes"] == ["monday", "friday"]


@pytest.mark.parametrize(
    ("maker", "flags", "expected"),
    [
        ("GenuineIntel", "avx512f avx512_vbmi2 vaes amx_tile", "Intel Sapphire Rapids"),
        ("GenuineIntel", "avx512f avx512_vbmi2 vaes", "Intel Ice Lake"),
        ("AuthenticAMD", "avx512f avx512_vbmi2 vaes", "AMD Zen 4"),
        ("AuthenticAMD", "avx2 vaes", "AMD Zen 3"),
        ("AuthenticAMD", "avx2", "EPYC 7"),
    ],
)
def test_a_class_of_machines_is_told_by_its_instructions(
    maker: str, flags: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"vendor_id": maker, "flags": flags, "model name": "EPYC 7"}
    monkeypatch.setattr(machine, "_cpu_facts", lambda: facts)
    assert machine.machine_class() == expected


def test_the_tables_show_classes_side_by_side_each_with_its_own_ratio(
    harness: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = importlib.import_module("tables")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    for name, method, ours in (("A", "ARS5 ICDF", 3.0), ("B", "SFMT19937 ICDF", 1.0)):
        peer = f"oneMKL float32 normal ({method}, 1 thr)"
        row = Row("float32 normal, 1 thr", ours, 2.0, "G/s", peer, ours / 2.0, required=1.0)
        facts = {"class": name, "cpu": "cpu", "cores": 2, "isa": "avx2", "versions": {"numpy": "2"}}
        harness.save(
            {
                "bench": "fill",
                "made": "monday",
                "machine": facts,
                "threads": {"1": {"rows": [{"part": "normal", **row.as_dict()}], "notes": []}},
            },
            tmp_path / "bench" / "results",
        )
    found = tables.measured(lambda bench: bench == "fill")
    assert [one.name for one in found] == ["A", "B"]
    assert tables.whole(found).splitlines()[-1] == (
        "| 1 | float32 normal, 1 thr | oneMKL float32 normal (1 thr) | G/s "
        "| 1.5 x (3 / 2); ≥ 1: pass | 0.5 x (1 / 2); ≥ 1: falls short |"
    )
    lines = [line for line in tables.short(found).splitlines() if line.startswith("| float32")]
    assert lines == [
        "| float32 normal | A | 3.0 / – | – | – | – | – | 1.5 / – | – |",
        "| float32 normal | B | 1.0 / – | – | – | – | – | 0.5 / – | – |",
    ]
