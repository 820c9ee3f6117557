"""What errors suggest: the nearest name, and our call for a name of another framework.

A framework's name is never drawn: it carries a convention (docs/decisions/0005), so the answer is
the call that has that law. Nothing here imports a framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect

__all__ = [
    "FOREIGN",
    "closest",
    "did_you_mean",
    "folded",
    "foreign_call",
    "module_of",
    "named_type",
    "of_one_number",
    "short",
]

#: Similarity below which a name is no misspelling of another.
_ALIKE = 0.7
_LONGEST = 60


def _same(framework: str, *schemes: str, layout: str = "") -> dict[str, dict[str, str]]:
    """Schemes that are named alike there, by their folded names."""
    return {
        folded(name): {framework: f"fanin.{name}(shape, {layout}seed=seed)"} for name in schemes
    }


def folded(name: str) -> str:
    """A name without case, underscores, dashes and spaces: HeNormal, he_normal and he-normal."""
    return "".join(name.lower().replace("-", "_").replace(" ", "_").split("_"))


_OI = 'layout="oi", seed=seed)'

#: Names of initialisers elsewhere, folded: framework -> the call here that has the same law. The
#: calls run with shape, kernel, seed and the numbers mean, std, a, b, value and sparsity.
FOREIGN: Mapping[str, Mapping[str, str]] = {
    **_same("Keras", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform"),
    **_same("Keras", "lecun_normal", "lecun_uniform", "variance_scaling"),
    "xavieruniform": {
        "torch": f"fanin.glorot_uniform(shape, {_OI}",
        "JAX": "fanin.glorot_uniform(shape, seed=seed)",
    },
    "xaviernormal": {
        "torch": f'fanin.variance_scaling(shape, 1.0, "fan_avg", "normal", {_OI}',
        "JAX": "fanin.glorot_normal(shape, seed=seed)",
    },
    "kaiminguniform": {
        "torch": f"fanin.he_uniform(shape, {_OI}",
        "JAX": "fanin.he_uniform(shape, seed=seed)",
    },
    "kaimingnormal": {
        "torch": f'fanin.variance_scaling(shape, 2.0, "fan_in", "normal", {_OI}',
        "JAX": "fanin.he_normal(shape, seed=seed)",
    },
    "orthogonal": {
        "torch": f"fanin.orthogonal(shape, {_OI}",
        "Keras": "fanin.orthogonal(shape, seed=seed)",
    },
    "orthogonalinitializer": {"Keras": "fanin.orthogonal(shape, seed=seed)"},
    "deltaorthogonal": {"JAX": "fanin.delta_orthogonal(kernel, seed=seed)"},
    "truncnormal": {
        "torch": "fanin.truncated_normal(shape, mean, std, (a - mean) / std, (b - mean) / std, "
        "seed=seed)"
    },
    "truncatednormal": {"Keras": "fanin.truncated_normal(shape, 0.0, 0.05, seed=seed)"},
    "randomnormal": {"Keras": "fanin.normal(shape, 0.0, 0.05, seed=seed)"},
    "randomuniform": {"Keras": "fanin.uniform(shape, -0.05, 0.05, seed=seed)"},
    "normal": {"torch": "fanin.normal(shape, mean, std, seed=seed)"},
    "uniform": {"torch": "fanin.uniform(shape, a, b, seed=seed)"},
    "sparse": {"torch": "fanin.sparse(shape, sparsity, std, seed=seed)"},  # of each input
    "eye": {"torch": "fanin.eye(shape)"},
    "dirac": {"torch": 'fanin.dirac(kernel, layout="oi")'},
    "identity": {"Keras": "fanin.identity(shape)"},
    "identityinitializer": {"Keras": "fanin.identity(shape)"},
    "constant": {"torch": "fanin.constant(shape, value)"},
    "zeros": {"torch": "fanin.zeros(shape)"},
    "zero": {"Keras": "fanin.zeros(shape)"},
    "ones": {"torch": "fanin.ones(shape)"},
    "one": {"Keras": "fanin.ones(shape)"},
}


def foreign_call(name: str) -> str | None:
    """For a framework's name of an initialiser, whose it is and the call here."""
    calls = FOREIGN.get(folded(name))
    if calls is None:
        return None
    return "; ".join(f"{framework}'s is {call}" for framework, call in calls.items())


def closest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant: the same but for case and underscores, or misspelt."""
    by_folded = {folded(known): known for known in names}
    if folded(name) in by_folded:
        return by_folded[folded(name)]
    from difflib import get_close_matches  # only for an error

    found = get_close_matches(folded(name), by_folded, n=1, cutoff=_ALIKE)
    return by_folded[found[0]] if found else None


def did_you_mean(name: Any, names: Iterable[str]) -> str:
    """``; did you mean 'relu'?``, for the end of an error, or nothing."""
    found = closest(name, names) if isinstance(name, str) else None
    return f"; did you mean {found!r}?" if found else ""


#: Keywords of NumPy, torch, Keras and JAX -> ours.
_KEYWORDS = {
    "size": "shape", "sizes": "shape", "mean": "loc", "std": "scale", "stddev": "scale", "a": "low",
    "sigma": "scale", "minval": "low", "b": "high", "maxval": "high", "key": "seed",
    "rng": "seed", "rngs": "seed", "generator": "seed", "random_state": "seed",
}  # fmt: skip


def meant_keyword(name: str, known: Iterable[str]) -> str:
    """`did_you_mean` of a keyword that a function with the keywords `known` does not have."""
    known = list(known)
    if _KEYWORDS.get(name) in known:
        return f"; did you mean {_KEYWORDS[name]!r}?"
    return did_you_mean(name, known)


def unknown_keyword(function: str, signature: inspect.Signature, name: str) -> TypeError:
    """Python's error for a keyword that a function does not have, and what was probably meant."""
    known = signature.parameters
    bare = [p.replace(annotation=p.empty) for p in known.values()]
    called = signature.replace(parameters=bare, return_annotation=signature.empty)
    return TypeError(
        f"{function}() got an unexpected keyword argument {name!r}; it is called "
        f"{function}{called}{meant_keyword(name, known)}"
    )


#: What has no counterpart here because nothing is global, folded.
_GLOBAL_STATE = {"seed", "manualseed", "setseed", "setrandomseed", "randomstate", "initialseed"}


def no_attribute(name: str, names: Iterable[str]) -> str:
    """The text of the AttributeError of the package itself."""
    text = f"module 'fanin' has no attribute {name!r}"
    if name.startswith("_"):
        return text
    if folded(name) in _GLOBAL_STATE:
        return f"{text}: there is no global state, every call takes seed=, as fanin.Stream(0)[name]"
    calls = foreign_call(name)
    if calls is not None:
        in_place = f"; in place: fanin.torch.{name}" if name.endswith("_") else ""
        return f"{text}, a name carries its convention: {calls}{in_place}"
    return text + did_you_mean(name, names)


def needs_seed(function: str) -> TypeError:
    """The error for a seed that is missing or None."""
    return TypeError(
        f"{function}() needs seed=, an int, a fanin.Stream or a fanin.Generator: there is "
        'no hidden random state. One child per tensor: seed=stream["layer1.weight"]'
    )


def not_a_seed(seed: Any) -> TypeError:
    """The error for a seed that is no int, Stream or Generator of fanin."""
    kind = named_type(seed)
    advice = "for several words of entropy or a name use fanin.Stream(seed)[name]"
    if kind.startswith("jax"):
        advice = "a key's splits are names here, fanin.Stream(0)[name]; fanin.jax takes keys"
    elif kind == "torch.Generator":
        advice = (
            "take its number, generator.initial_seed(), and a name for each tensor, "
            "fanin.Stream(number)[name]"
        )
    elif is_array(seed):
        advice = "one number, as int(array[0]), or fanin.Stream(seed)[name]"
    elif kind.startswith("numpy.random") or kind.startswith("numpy.") and "rng" in kind.lower():
        advice = "it has a state, and its values depend on who drew before: fanin.Stream(0)[name]"
    words = "seed must be an int, a fanin.Stream or a fanin.Generator"
    return TypeError(f"{words}, got {short(seed)}; {advice}")


def not_a_shape(shape: Any) -> TypeError:
    """The error for something that is no int and no sequence of ints, where a shape is due."""
    advice = ""
    if shape is None:
        advice = ": the shape comes first, as in normal((3, 4), 0.0, 1.0, seed=0)"
    elif isinstance(shape, float):
        advice = (
            ": it is an int or a tuple of ints, as (3, 4); outside of methods the shape comes first"
        )
    elif isinstance(shape, (Set, Mapping)):
        advice = ": its sizes have no order"
    elif is_array(shape):
        shape = f"a {named_type(shape)} of shape {tuple(shape.shape)}"
        advice = ": give its shape, and out= to fill it, as in normal(w.shape, seed=0, out=w)"
    elif hasattr(shape, "parameters"):
        shape = f"a {named_type(shape)}"
        advice = ": a module has many tensors, each with a shape and a name of its own"
    words = "expected a sequence of integers or a single integer"
    return TypeError(f"{words}, got '{shape}'{advice}")


def is_array(value: Any) -> bool:
    """Whether it is an array or a tensor of any library, with at least one axis."""
    sizes = getattr(value, "shape", None)
    return isinstance(sizes, tuple) and len(sizes) > 0


def of_one_number(dtype: Any, low: Any, high: Any) -> str:
    """What is wrong with bounds between which a dtype has no number."""
    return (
        f"low {low} and high {high} round to one number of {dtype.name}, so that [low, high) is "
        "empty there; take a wider dtype, or low == high for that number"
    )


def short(value: Any) -> str:
    """The repr of a value in one line of bounded length."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # the object's own repr fails, or an int has too many digits
        text = f"<{named_type(value)}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def module_of(kind: type) -> str:
    """The package of a type; "" for the few, as arrays of ctypes, that say none."""
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def named_type(value: Any) -> str:
    """The type of an object with its package, as torch.Tensor and jax.Array are known."""
    kind = value if isinstance(value, type) else type(value)
    package = module_of(kind)
    return kind.__qualname__ if package in ("", "builtins") else f"{package}.{kind.__qualname__}"
