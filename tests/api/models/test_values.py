"""Records of tensors: any part equals the whole, steps follow the mathematics, data come back."""

import json
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import pytest
from mpmath import mp

import fanin
from fanin._models.steps import STEPS
from fanin._models.value_data import (
    part_from_data,
    part_to_data,
    value_from_data,
    value_to_data,
)
from fanin._models.values import Before, Literal, Norm, Part, Step, Value, std_of
from fanin._models.writing import write

ROOT = fanin.Stream(7)


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]
    value: Value
    parts: tuple[Part, ...] = ()


PATTERN = Literal.of(np.arange(20, dtype=np.float32).reshape(4, 5))
CHAIN = (
    Step("log"),
    Step("add", PATTERN),
    Step("expm1"),
    Step("mul", Before(1)),
    Step("div", 3.0, swapped=True),
)
BUSY = Tensor(
    "busy",
    (4, 5),
    Value("uniform", {"low": 0.1, "high": 2.0}, CHAIN),
    (
        Part(((0, 4, 2), (1, 5, 1)), Value("normal", {"scale": 0.02})),
        Part(((1, 2, 1), (0, 5, 1)), Value("zeros")),
        Part(((3, 4, 1), (2, 5, 2)), Value("orthogonal", {"gain": 2.0, "layout": "oi"})),
    ),
)


def whole(tensor, dtype=np.float32):
    return write(tensor, ROOT, np.empty(tensor.shape, dtype))


@pytest.mark.parametrize(
    "index",
    [(slice(None), 2), 1, (slice(None, None, -1), slice(4, 0, -2)), (3, 4), slice(2, 2), ...],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16, np.float16])
def test_a_part_of_a_record_is_that_part_of_the_whole(index, dtype):
    full = whole(BUSY, dtype)
    want = np.asarray(full[index])
    got = write(BUSY, ROOT, np.empty(want.shape, dtype), index=index)
    assert got.tobytes() == np.ascontiguousarray(want).tobytes()


def test_every_run_of_a_record_is_that_run_of_the_whole():
    full = whole(BUSY).ravel()
    for start in range(21):
        for stop in range(start, 21):
            out = np.empty(stop - start, np.float32)
            write(BUSY, ROOT, out, index=fanin.flat[start:stop])
            assert (out == full[start:stop]).all()


def test_a_law_alone_is_the_call_of_the_face():
    tensor = Tensor("w", (30, 7), Value("truncated_normal", {"scale": 0.5, "low": -1.0}))
    want = fanin.truncated_normal((30, 7), scale=0.5, low=-1.0, seed=ROOT["w"])
    assert (whole(tensor) == want).all()


def test_parts_draw_from_numbered_children():
    want = fanin.normal((2, 4), scale=0.02, seed=ROOT["busy"][1])
    assert (whole(BUSY)[::2, 1:] == want).all()
    assert (whole(BUSY)[1] == 0).all()
    row = fanin.orthogonal((1, 2), gain=2.0, layout="oi", seed=ROOT["busy"][3])
    assert (whole(BUSY)[3, 2::2] == row[0]).all()


def test_half_types_hold_the_float32_chain_rounded_once():
    single = whole(BUSY)
    assert (whole(BUSY, ml_dtypes.bfloat16) == single.astype(ml_dtypes.bfloat16)).all()
    assert (whole(BUSY, np.float16) == single.astype(np.float16)).all()


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8", "float8_e4m3fn"])
def test_constants_and_literals_are_written_in_any_dtype(dtype):
    table = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    tensor = Tensor("t", (2, 3), Value("literal", {"value": Literal.of(table)}))
    assert (whole(tensor, np.dtype(dtype)) == table).all()
    assert (whole(Tensor("t", (2, 3), Value("ones")), np.dtype(dtype)) == np.ones(1, dtype)).all()


@pytest.mark.parametrize("name", ["exp", "log", "expm1", "log1p"])
def test_float32_steps_round_the_exact_function_almost_always(name):
    low, high = {"exp": (-80, 80), "log": (1e-30, 1e30)}.get(name, (-0.9, 80))
    x = np.concatenate([np.linspace(low, high, 300), [1e-20, 3e-9, 1e-4]]).astype(np.float32)
    got = STEPS[name](x)
    with mp.workdps(30):
        want = [getattr(mp, name)(mp.mpf(float(v))) for v in x]
        # float64 arithmetic errs by some 2^-50, so the rounded float32 is within half an ulp of
        # the truth but for that: 2^-24 (1 + 2^-20) of its size.
        assert all(abs(mp.mpf(float(g)) - w) <= abs(w) * mp.mpf(2) ** -24 * (1 + mp.mpf(2) ** -20)
                   for g, w in zip(got, want, strict=True))  # fmt: skip


@pytest.mark.parametrize("name", ["exp", "log", "expm1", "log1p"])
def test_steps_end_where_the_functions_end(name):
    x = np.array([0.0, np.inf, -np.inf, np.nan, -1.0, 800.0, -800.0], np.float64)
    with np.errstate(all="ignore"):
        got, want = STEPS[name](x), getattr(np, name)(x)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    np.testing.assert_allclose(got, want, rtol=1e-14)  # 50 ulp: the ends, not the accuracy


@pytest.mark.parametrize("power", [-1.7, -1.0, -0.5, 0.5, 2.0, 3.0, 5.0, -2.0, 0.0])
def test_powers_follow_numpy_for_any_sign(power):
    x = np.array([-2.0, -0.0, 0.0, 0.3, 7.0, np.inf], np.float64)
    with np.errstate(all="ignore"):
        want = np.power(x, power)
        got = STEPS["pow"](x, power)
        np.testing.assert_allclose(np.abs(got), np.abs(want), rtol=1e-14)
        np.testing.assert_array_equal(np.sign(got[np.abs(x) > 0]), np.sign(want[np.abs(x) > 0]))


def test_the_norm_of_another_tensor_is_taken_over_the_axes_that_are_not_kept():
    of = Norm("v", (3, 5, 7), Value("normal", {"scale": 2.0}), (2,))
    got = whole(Tensor("g", (1, 1, 7), Value("norm", {"of": of})))
    v = fanin.normal((3, 5, 7), scale=2.0, seed=ROOT["v"]).astype(np.float64)
    # 15 squares summed in float64 in another order: far below float32's half ulp, so one ulp.
    np.testing.assert_allclose(got[0, 0], np.sqrt((v**2).sum((0, 1))), rtol=2**-23)
    one = np.empty((1, 1), np.float32)
    tensor = Tensor("g", (1, 1, 7), Value("norm", {"of": of}))
    write(tensor, ROOT, one, index=(slice(None), slice(None), 4))
    assert one[0, 0] == got[0, 0, 4]


def test_values_and_parts_come_back_from_json():
    literals = {}
    data = value_to_data(BUSY.value, literals)
    parts = [part_to_data(part, literals) for part in BUSY.parts]
    kept = {key: literal.to_data() for key, literal in literals.items()}
    data, parts, kept = json.loads(json.dumps([data, parts, kept], allow_nan=False))
    back = {key: Literal.from_data(row) for key, row in kept.items()}
    assert value_from_data(data, back) == BUSY.value
    assert tuple(part_from_data(part, back) for part in parts) == BUSY.parts


def test_infinite_bounds_and_norms_come_back_from_json():
    of = Norm("v", (3, 5), Value("truncated_normal", {"low": -float("inf"), "high": 1.0}), (1,))
    value = Value("norm", {"of": of})
    data = json.loads(json.dumps(value_to_data(value, {}), allow_nan=False))
    assert value_from_data(data, {}) == value


def test_literals_are_equal_by_their_values():
    other = Literal(PATTERN.shape, PATTERN.dtype, PATTERN.digest, b"another compression")
    assert other == PATTERN
    assert Literal.of(np.zeros(3, np.float32)) != Literal.of(np.zeros(3, np.int32))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"scheme": "normal", "steps": [{"do": "tanh"}]}, "there is no step 'tanh'"),
        ({"scheme": "normal", "steps": [{"do": "add"}]}, "'add' needs an operand"),
        ({"scheme": "normal", "steps": [{"do": "exp", "by": 1}]}, "'exp' takes no operand"),
        ({"scheme": "normal", "steps": [{"do": "add", "before": 1}]}, "before step 2"),
        ({"scheme": "literal", "arguments": {"value": {"literal": "x"}}}, "no literal 'x'"),
    ],
)
def test_bad_data_of_a_value_are_refused(data, words):
    with pytest.raises(ValueError, match=words):
        value_from_data(data, {})


def test_a_literal_cannot_unpack_to_more_than_it_says():
    data = PATTERN.to_data() | {"shape": [2]}
    with pytest.raises(ValueError, match="8 bytes, its data has more"):
        Literal.from_data(data)
    with pytest.raises(ValueError, match="not base64"):
        Literal.from_data(PATTERN.to_data() | {"data": "eA=="[:3]})


def test_the_promised_spread_follows_linear_steps():
    halved = Value("uniform", {"low": -1.0, "high": 1.0}, (Step("mul", 0.5), Step("neg")))
    assert std_of((5,), halved) == pytest.approx(0.5 / np.sqrt(3))
    assert std_of((5,), Value("normal", {"scale": 0.1}, (Step("exp"),))) is None
    assert std_of((4, 5), Value("literal", {"value": PATTERN})) == pytest.approx(
        np.std(np.arange(20))
    )
