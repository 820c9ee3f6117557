"""What follows from the rows of the table of schemes: laws, signatures, parts, refusals, texts."""

import doctest
import inspect
import math
import pickle

import ml_dtypes
import numpy as np
import pytest
from scipy import stats

import fanin
from fanin import Layout, Stream

ROWS = fanin.schemes()
RANDOM = [name for name, row in ROWS.items() if row.needs_seed]
DETERMINISTIC = [name for name, row in ROWS.items() if not row.needs_seed]
COMMON = ["seed", "dtype", "layout", "gain", "out", "index", "threads"]
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]

# The law of each row's example, worked out from the papers and not from the table: the name of
# the law, its spread (std, for "uniform" the half width), for "cut" also the cutoff in sigmas.
# Examples are dense (256, 128) where nothing else is said: n = 256, m = 128.
ORACLE = {
    "variance_scaling": ("truncated", math.sqrt(2 / 128)),
    "glorot_normal": ("truncated", math.sqrt(2 / 384)),
    "glorot_uniform": ("uniform", math.sqrt(6 / 384)),
    "he_normal": ("truncated", math.sqrt(2 / 256)),
    "he_uniform": ("uniform", math.sqrt(6 / 256)),
    "lecun_normal": ("truncated", math.sqrt(1 / 256)),
    "lecun_uniform": ("uniform", math.sqrt(3 / 256)),
    "torch_linear_default": ("uniform", 1 / 16),
    "gpt2": ("normal", 0.02),
    "gpt2_residual": ("normal", 0.02 / math.sqrt(24)),
    "cutoff_normal": ("cut", 0.02, 3.0),
    "small_init": ("normal", math.sqrt(2 / (5 * 256))),
    "wang_init": ("normal", 2 / (12 * math.sqrt(128))),
    "depth_scaled": ("normal", 0.02 / math.sqrt(8)),
    "mitchell": ("cut", 1 / math.sqrt(2 * 256 * 4), 3.0),
    "fixup": ("normal", math.sqrt(2 / 256) / 4),
    "t_fixup": ("uniform", math.sqrt(6 / 384) * 0.67 * 6**-0.25),
    "deepnorm": ("normal", math.sqrt(2 / 384) * 96**-0.25),
    "mup": ("normal", 0.02 / 2),
    "mup_variance_scaling": ("truncated", math.sqrt(1 / 64) / 2),
    "spectral_mup": ("normal", math.sqrt(1 / 2) / 16),
    "unit_normal": ("normal", 1.0),
    "siren_first": ("uniform", 1 / 2),  # shape (2, 256)
    "siren_hidden": ("uniform", math.sqrt(6 / 256) / 30),
    "irnn_input": ("normal", 0.001),
    "torch_embedding_default": ("normal", 1.0),
    "torch_rnn_default": ("uniform", 1 / 8),
    "torch_attention_default": ("uniform", math.sqrt(6 / 256)),  # shape (192, 64), "oi"
    "keras_dense_default": ("uniform", math.sqrt(6 / 384)),
    "keras_embedding_default": ("uniform", 0.05),
    "flax_dense_default": ("truncated", math.sqrt(1 / 256)),
    "flax_embedding_default": ("normal", math.sqrt(1 / 128)),
    "transformers_default": ("normal", 0.02),
    "vit_default": ("truncated", 0.02),
    "vit_mlp_bias": ("normal", 1e-6),
}


def frozen_law(law, spread, cutoff=2.0):
    """The scipy law: "truncated" has the std `spread` after the cut, "cut" before it."""
    if law == "normal":
        return stats.norm(scale=spread)
    if law == "uniform":
        return stats.uniform(-spread, 2 * spread)
    cut = stats.truncnorm(-cutoff, cutoff)
    return stats.truncnorm(
        -cutoff, cutoff, scale=spread / cut.std() if law == "truncated" else spread
    )


def call(name, **keywords):
    """The row's example, with other keywords."""
    keywords = {**ROWS[name].example, **keywords}
    if ROWS[name].needs_seed:
        keywords.setdefault("seed", Stream(0)[name])
    return getattr(fanin, name)(**keywords)


def test_every_random_row_with_a_law_has_an_oracle():
    assert set(ORACLE) == {name for name in RANDOM if ROWS[name].law is not None}


@pytest.mark.parametrize("name", ORACLE)
def test_values_follow_the_law_of_the_row(name):
    law = frozen_law(*ORACLE[name])
    draws = [call(name, seed=Stream(7)[name][k], dtype=np.float64).ravel() for k in range(16)]
    values = np.concatenate(draws)
    count = values.size
    std, kurtosis = law.std(), float(law.stats("k")) + 3.0
    # s.e. of the mean is std / sqrt(N); of the std, relative, sqrt((kurtosis - 1) / (4 N)).
    # Five of them: one false alarm in 1.7e6 for a seed that was not chosen.
    assert abs(values.mean()) < 5 * std / math.sqrt(count)
    assert abs(values.std() / std - 1) < 5 * math.sqrt((kurtosis - 1) / (4 * count))
    low, high = law.support()
    assert values.min() >= low
    assert values.max() <= high
    # P(sqrt(N) D > x) -> 2 exp(-2 x**2), 7.5e-6 at 2.5 (Kolmogorov 1933).
    distance = stats.kstest(values, law.cdf).statistic
    assert distance < 2.5 / math.sqrt(count)


@pytest.mark.parametrize("name", ORACLE)
def test_expected_std_is_that_of_the_law(name):
    expected = ROWS[name].expected_std(**ROWS[name].example)
    # A few roundings of float64; truncated_normal_std is good to 1e-15.
    assert expected == pytest.approx(frozen_law(*ORACLE[name]).std(), rel=1e-13)
    assert ROWS[name].expected_std(**ROWS[name].example, gain=2.0) == 2 * expected


# ---------------------------------------------------------------------------------------------
# Contracts of every row


@pytest.mark.parametrize("name", ROWS)
def test_the_function_looks_like_a_function_of_the_package(name):
    function = getattr(fanin, name)
    assert inspect.isfunction(function)
    assert (function.__name__, function.__qualname__, function.__module__) == (name, name, "fanin")
    assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize("name", ROWS)
def test_keywords_are_the_same_in_the_same_order(name):
    parameters = inspect.signature(getattr(fanin, name)).parameters
    names = list(parameters)
    own = [parameter.name for parameter in ROWS[name].parameters]
    assert names == ["shape", *own, *COMMON]
    assert all(parameters[word].kind is inspect.Parameter.KEYWORD_ONLY for word in COMMON)
    defaults = [parameters[word].default for word in COMMON]
    seed = inspect.Parameter.empty if ROWS[name].needs_seed else None
    assert defaults == [seed, None, "io", 1.0, None, None, None]


@pytest.mark.parametrize("name", ROWS)
def test_the_docstring_has_all_parts_and_its_example_runs(name):
    text = getattr(fanin, name).__doc__
    for part in ("Parameters", "Returns", "Raises", "Examples", ROWS[name].formula):
        assert part in text
    assert ROWS[name].source in text
    for parameter in inspect.signature(getattr(fanin, name)).parameters:
        assert f"\n{parameter} : " in text
    runner = doctest.DocTestRunner()
    result = runner.run(doctest.DocTestParser().get_doctest(text, {}, name, None, 0))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", RANDOM)
def test_forgetting_the_seed_is_a_type_error_that_says_so(name):
    with pytest.raises(TypeError, match=rf"{name}\(\) needs seed="):
        getattr(fanin, name)(**ROWS[name].example)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_deterministic_scheme_ignores_the_seed(name):
    for seed in (None, 0, Stream(1), fanin.default_rng(2)):
        assert np.array_equal(call(name, seed=seed), call(name))


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_decides_the_values(name):
    first, again, other = (call(name, seed=seed) for seed in (3, Stream(3), 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ROWS)
def test_gain_multiplies_every_value(name):
    # Doubling is exact in binary, so the doubled scheme has exactly the doubled values.
    gain = ROWS[name].example.get("gain", 1.0)
    assert np.array_equal(call(name, gain=2 * gain), 2 * call(name))
    assert np.array_equal(call(name, gain=0.0), np.zeros_like(call(name)))


HOLD_A_GAIN = {"he_normal", "he_uniform", "fixup", "siren_hidden", "icnr"}


@pytest.mark.parametrize("name", [name for name in ROWS if name not in HOLD_A_GAIN])
def test_a_gain_may_be_named_after_an_activation(name):
    named = call(name, gain="tanh")
    assert np.array_equal(named, call(name, gain=float(fanin.gain("tanh"))))
    if np.any(named):
        assert not np.array_equal(named, call(name, gain=1.0))


@pytest.mark.parametrize("name", sorted(HOLD_A_GAIN))
def test_a_name_as_gain_is_refused_where_the_scheme_holds_one_already(name):
    out = np.full_like(call(name), 7.0)
    with pytest.raises(ValueError, match="holds the gain of .* already .* leave gain out"):
        call(name, gain="relu", out=out)
    assert (out == 7.0).all()
    with pytest.raises(ValueError, match="holds the gain of"):
        ROWS[name].expected_std(**{"layout": "io", **ROWS[name].example}, gain="relu")
    assert call(name, gain=2.0).any()  # a number stays a factor on top


def test_icnr_of_a_base_without_a_gain_takes_a_name():
    assert fanin.icnr((3, 3, 16, 32), base="lecun_normal", gain="relu", seed=0).any()
    held = fanin.get("he_uniform", gain=1.0)
    with pytest.raises(ValueError, match="holds the gain of relu"):
        fanin.icnr((3, 3, 16, 32), base=held, gain="relu", seed=0)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("gain", [-1.0, math.nan, math.inf, -math.inf])
def test_a_gain_that_is_no_factor_is_refused_and_nothing_is_written(name, gain):
    out = np.full_like(call(name), 7.0)
    with pytest.raises(ValueError, match="gain must be finite and >= 0"):
        call(name, gain=gain, out=out)
    assert (out == 7.0).all()


@pytest.mark.parametrize("gain", [None, (1.0,), 1j, b"relu", True])
def test_a_gain_of_another_type_is_refused(gain):
    with pytest.raises(TypeError, match="gain must be a number"):
        fanin.he_normal((4, 4), seed=0, gain=gain)


FLOAT_PARAMETERS = [
    pytest.param(name, parameter.name, id=f"{name}-{parameter.name}")
    for name, row in ROWS.items()
    for parameter in row.parameters
    if parameter.accepts.words.startswith("float")
]
COUNT_PARAMETERS = [
    pytest.param(name, parameter.name, id=f"{name}-{parameter.name}")
    for name, row in ROWS.items()
    for parameter in row.parameters
    if parameter.accepts.words.startswith("int, >=")
]


@pytest.mark.parametrize(("name", "parameter"), FLOAT_PARAMETERS)
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_real_parameter_out_of_range_is_refused(name, parameter, value):
    with pytest.raises(ValueError, match=parameter):
        call(name, **{parameter: value})


@pytest.mark.parametrize(("name", "parameter"), COUNT_PARAMETERS)
def test_a_count_out_of_range_or_not_whole_is_refused(name, parameter):
    with pytest.raises(ValueError, match=f"{parameter} must be at least"):
        call(name, **{parameter: -1})
    for value in (2.0, "2", True):
        with pytest.raises(TypeError, match=f"{parameter} must be an integer"):
            call(name, **{parameter: value})


@pytest.mark.parametrize("name", ROWS)
def test_wrong_arguments_are_type_errors_that_show_the_signature(name):
    for arguments, keywords in [((), {"colour": 1}), ((1,) * 9, {})]:
        with pytest.raises(TypeError, match=rf"{name}\(\) .*it is called {name}\(shape, "):
            getattr(fanin, name)((4, 4), *arguments, seed=0, **keywords)


def test_a_refused_call_leaves_the_generator_where_it_was():
    refused, fresh = fanin.default_rng(5), fanin.default_rng(5)
    for keywords in ({"gain": -1.0}, {"layout": "xy"}, {"colour": 1}, {"dtype": "int32"}):
        with pytest.raises((TypeError, ValueError)):
            fanin.he_normal((4, 4), seed=refused, **keywords)
    with pytest.raises(ValueError, match="no fan"):
        fanin.he_normal((4,), seed=refused)
    assert np.array_equal(
        fanin.he_normal((4, 4), seed=refused), fanin.he_normal((4, 4), seed=fresh)
    )


# ---------------------------------------------------------------------------------------------
# Parts: index=, out=, dtype, threads

# Sparse choices cost the columns that are touched, so its huge matrix has short columns.
# A part of a batch costs the matrices touched. The kernel of conv_orthogonal is one object.
HUGE_SHAPES = {
    "constant": (2**59, 3),
    "sparse": (64, 2**55),
    "orthogonal": (2**52, 16, 16),
    "delta_orthogonal": (2**27, 2**28, 4, 8),
    "looks_linear": (2**52, 16, 16),
    "recurrent_orthogonal": (2**50, 16, 64),
    "scaled_orthogonal": (2**52, 16, 16),
    "ppo_orthogonal": (2**52, 16, 16),
}
HUGE_KEYWORDS = {
    name: {"layout": Layout(batch_axes=0)}
    for name in HUGE_SHAPES
    if name.endswith(("orthogonal", "linear")) and name != "delta_orthogonal"
}
REAL_ROWS = [name for name, row in ROWS.items() if row.default_dtype == "float32"]
PART_ROWS = [name for name in REAL_ROWS if name != "conv_orthogonal"]


def huge_call(name, **keywords):
    """The row's example on a shape of at least 2**60 elements."""
    axes = np.size(ROWS[name].example["shape"])
    shapes = {1: (2**60,), 2: (2**30, 2**30), 3: (4, 2**29, 2**29), 4: (4, 4, 2**28, 2**28)}
    keywords = {**HUGE_KEYWORDS.get(name, {}), **keywords}
    return call(name, shape=HUGE_SHAPES.get(name, shapes[axes]), **keywords)


def huge_part(name):
    """Indices that meet the middle of the huge shape: few on every axis."""
    axes = np.size(ROWS[name].example["shape"])
    shapes = {1: (2**60,), 2: (2**30, 2**30), 3: (4, 2**29, 2**29), 4: (4, 4, 2**28, 2**28)}
    shape = HUGE_SHAPES.get(name, shapes[axes])
    return shape, tuple(slice(size // 2 - 1, size // 2 + 3) for size in shape)


@pytest.mark.parametrize("name", PART_ROWS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_part_of_2_to_the_60_elements_is_the_same_by_box_and_by_run(name, dtype):
    shape, box = huge_part(name)
    part = huge_call(name, dtype=dtype, index=box)
    assert part.dtype == dtype
    # The rows of the box are runs of the flattened array; each must hold the same values.
    ranges = [range(size)[piece] for size, piece in zip(shape, box, strict=True)]
    assert part.shape == tuple(map(len, ranges))
    for position in np.ndindex(part.shape[:-1]):
        start = 0
        for axis, size in enumerate(shape):
            start = start * size + ranges[axis][position[axis] if axis < len(position) else 0]
        run = fanin.flat[start : start + part.shape[-1]]
        assert np.array_equal(huge_call(name, dtype=dtype, index=run), part[position])
    corner = huge_call(name, dtype=dtype, index=tuple(piece.start for piece in box))
    assert corner == part[(0,) * part.ndim]
    assert np.ndim(corner) == 0


@pytest.mark.parametrize("name", ROWS)
def test_a_part_is_that_part_of_the_full_weight(name):
    example = {**ROWS[name].example}
    example.pop("index", None)
    random_seed = {"seed": Stream(1)[name]} if ROWS[name].needs_seed else {}
    function = fanin.get(name, **example, **random_seed)
    full = function()
    rng = np.random.default_rng(0)
    pieces = [slice(None), slice(1, None, 3), slice(None, None, -2), slice(-3, -1), 0, -1]
    for _ in range(20):
        index = tuple(pieces[rng.integers(len(pieces))] for _ in range(rng.integers(full.ndim + 1)))
        if rng.integers(2):
            index = (*index[:1], Ellipsis, *index[1:])
        assert np.array_equal(function(index=index), full[index])
    for start, stop in np.sort(rng.integers(full.size + 1, size=(10, 2)), axis=1).tolist():
        run = fanin.flat[start:stop]
        assert np.array_equal(function(index=run), full.reshape(-1)[start:stop])


@pytest.mark.parametrize("name", ROWS)
def test_out_receives_the_values_and_is_returned(name):
    expected = call(name)
    backing = np.full((*expected.shape, 3), 9.0, expected.dtype)
    out = backing[..., 1]  # strided
    assert call(name, out=out) is out
    assert np.array_equal(out, expected)
    assert (backing[..., ::2] == 9.0).all()


@pytest.mark.parametrize("name", ROWS)
def test_threads_do_not_change_the_values(name):
    assert np.array_equal(call(name, threads=1), call(name, threads=3))


@pytest.mark.parametrize("name", ROWS)
def test_an_empty_shape_gives_an_empty_array(name):
    shape = tuple(0 for _ in np.atleast_1d(ROWS[name].example["shape"]))
    keywords = {"shape": shape, "index": None}
    if name == "constant":
        keywords["value"] = 1.0
    assert call(name, **keywords).shape == shape


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", [name for name in ORACLE if ORACLE[name][0] == "normal"])
def test_normal_laws_have_a_complex_form_of_the_same_variance(name, dtype):
    values = call(name, dtype=dtype).ravel()
    assert values.dtype == dtype
    # |z|**2 / std**2 is exponential with mean 1 and standard deviation 1.
    ratio = (np.abs(values.astype(np.complex128)) ** 2).mean() / ORACLE[name][1] ** 2
    assert abs(ratio - 1) < 5 / math.sqrt(values.size)


# ---------------------------------------------------------------------------------------------
# Numbers of the documents that the library began with


@pytest.mark.parametrize(
    ("shape", "limit"), [((10, 64), 0.284747), ((64, 32), 0.25), ((32, 1), 0.426401)]
)
def test_glorot_uniform_has_the_published_limits(shape, limit):
    expected = math.sqrt(6 / sum(shape))
    assert expected == pytest.approx(limit, abs=5e-7)
    # 4096 networks' worth of values come within 1e-3 of both ends and never past them: the
    # chance that none of N >= 131072 uniform values lies in a margin of 5e-4 of the range is
    # (1 - 5e-4)**131072 = 3e-29.
    values = np.concatenate(
        [fanin.glorot_uniform(shape, seed=Stream(0)[k], dtype=np.float64) for k in range(4096)]
    )
    assert -expected <= values.min() < -expected * 0.999
    assert expected * 0.999 < values.max() <= expected


@pytest.mark.parametrize(
    ("shape", "std", "largest"),
    [
        ((10, 64), 0.447214, 1.016827),
        ((64, 32), 0.176777, 0.401936),
        ((32, 1), 0.25, 0.568424),
    ],
)
def test_he_normal_has_the_published_std_and_largest_value(shape, std, largest):
    expected = math.sqrt(2 / shape[0])
    assert expected == pytest.approx(std, abs=5e-7)
    draws = [fanin.he_normal(shape, seed=Stream(0)[k], dtype=np.float64) for k in range(4096)]
    values = np.concatenate(draws).ravel()
    # The kurtosis of the normal cut at two sigma is below 3: sqrt(1 / (2 N)) bounds the s.e.
    assert abs(values.std() / expected - 1) < 5 / math.sqrt(2 * values.size)
    bound = 2 * expected / 0.8796256610342398
    assert bound == pytest.approx(largest, abs=5e-7)
    # At its two ends the cut normal has the density 2 phi(2) / 0.9545 = 0.113 per sigma, so N
    # values have on average 0.113 * 0.002 N within 1e-3 of an end: 29 or more, none by exp(-29).
    assert bound * 0.999 < np.abs(values).max() <= bound * (1 + 1e-15)


def test_the_uniform_limits_that_widespread_formulas_have_wrong():
    he = np.abs(fanin.he_uniform((1000, 1000), seed=0, dtype=np.float64)).max()
    assert 0.0774597 * 0.9999 < he <= math.sqrt(6 / 1000)
    lecun = np.abs(fanin.lecun_uniform((10, 100_000), seed=0, dtype=np.float64)).max()
    assert 0.547723 * 0.9999 < lecun <= math.sqrt(3 / 10)
    torch = np.abs(fanin.torch_linear_default((10, 100_000), seed=0, dtype=np.float64)).max()
    assert 0.316228 * 0.9999 < torch <= math.sqrt(1 / 10)
    for function in (fanin.he_uniform, fanin.lecun_uniform):
        assert "A widespread formula" in function.__doc__


def test_named_schemes_are_variance_scaling():
    rows = [("he", 2.0, "fan_in"), ("lecun", 1.0, "fan_in"), ("glorot", 1.0, "fan_avg")]
    for name, scale, mode in rows:
        for law in ("normal", "uniform"):
            named = getattr(fanin, f"{name}_{law}")((40, 30), seed=1, dtype=np.float64)
            distribution = "truncated_normal" if law == "normal" else law
            general = fanin.variance_scaling(
                (40, 30), scale, mode, distribution, seed=1, dtype=np.float64
            )
            assert np.array_equal(named, general)


@pytest.mark.parametrize(
    ("mode", "fan"),
    [
        ("fan_in", 40),
        ("fan_out", 90),
        ("fan_avg", 65),
        ("fan_geo", 60),
        ("fan_geo_avg", 60),
    ],
)
def test_variance_scaling_divides_by_the_fan_of_its_mode(mode, fan):
    for distribution in ("truncated_normal", "normal", "untruncated_normal", "uniform"):
        expected = ROWS["variance_scaling"].expected_std(
            (40, 90), scale=3.0, mode=mode, distribution=distribution
        )
        assert expected == pytest.approx(math.sqrt(3.0 / fan), rel=1e-14)
    values = fanin.variance_scaling((40, 90), 3.0, mode, "normal", seed=2, dtype=np.float64)
    assert abs(values.std() / math.sqrt(3.0 / fan) - 1) < 5 / math.sqrt(2 * values.size)


def test_normal_and_untruncated_normal_are_one_law():
    one, other = (
        fanin.variance_scaling((9, 9), distribution=law, seed=0)
        for law in ("normal", "untruncated_normal")
    )
    assert np.array_equal(one, other)
    assert np.abs(fanin.variance_scaling((99, 99), distribution="normal", seed=0)).max() > (
        3 / math.sqrt(99)
    )


def test_variance_scaling_refuses_words_that_it_does_not_know():
    with pytest.raises(ValueError, match="mode 'fan_sum' is not one of 'fan_in', 'fan_out'"):
        fanin.variance_scaling((2, 2), mode="fan_sum", seed=0)
    with pytest.raises(ValueError, match="distribution 'cauchy' is not one of"):
        fanin.variance_scaling((2, 2), distribution="cauchy", seed=0)


def test_fans_come_from_the_layout():
    # 16 -> 32 channels, kernel 3 x 3, in 4 groups: n = 36 in every reading.
    expected = math.sqrt(2 / 36)
    std = fanin.schemes()["he_normal"].expected_std
    assert std((3, 3, 4, 32), layout="io") == expected
    assert std((32, 4, 3, 3), layout="oi") == expected
    assert std((16, 8, 3, 3), layout=Layout("oi", transposed=True, groups=4)) == expected
    assert std((8, 36, 5), layout=Layout("io", batch_axes=0)) == expected
    oi = fanin.he_normal((5, 300), seed=0, layout="oi")
    assert np.array_equal(oi, fanin.he_normal((300, 5), seed=0).reshape(5, 300))


# ---------------------------------------------------------------------------------------------
# The listing


def test_schemes_lists_every_scheme_with_formula_and_source():
    text = str(fanin.schemes())
    for name, row in fanin.schemes().items():
        assert row.name == name
        assert name in text
        assert row.formula in text
        assert row.source in text
        assert getattr(fanin, name).__name__ == name


def test_the_listing_is_a_copy():
    fanin.schemes().clear()
    assert "he_normal" in fanin.schemes()


def test_get_gives_a_configured_scheme():
    init = fanin.get("gpt2_residual", n_layers=12, dtype=np.float64)
    expected = fanin.gpt2_residual((8, 8), 12, seed=3, dtype=np.float64)
    assert np.array_equal(init((8, 8), seed=3), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(init))((8, 8), seed=3), expected)


def test_get_refuses_names_and_keywords_that_do_not_exist():
    with pytest.raises(
        ValueError,
        match=r"there is no scheme 'he_norm'; did you mean 'he_normal'\? There are bilinear",
    ):
        fanin.get("he_norm")
    with pytest.raises(TypeError, match=r"gpt2\(\) got an unexpected keyword argument 'layers'"):
        fanin.get("gpt2", layers=3)
    with pytest.raises(TypeError, match="name of a scheme must be a str"):
        fanin.get(3)
