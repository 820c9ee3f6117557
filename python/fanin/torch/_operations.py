"""The operations of aten that a recorder describes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["DRAWS", "ELEMENTWISE", "FACTORIES", "LIKE", "NORMS"]

#: New tensors of one value: the value, or None for memory that is not written.
FACTORIES: Mapping[str, float | None] = {
    "empty": None,
    "empty_strided": None,
    "empty_permuted": None,
    "zeros": 0.0,
    "ones": 1.0,
    "full": math.nan,
}
#: New tensors as large as another.
LIKE: Mapping[str, float | None] = {
    "empty_like": None,
    "new_empty": None,
    "new_empty_strided": None,
    "zeros_like": 0.0,
    "new_zeros": 0.0,
    "ones_like": 1.0,
    "new_ones": 1.0,
    "full_like": math.nan,
    "new_full": math.nan,
}


def _normal(args: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    return "normal", {"loc": float(args.get("mean", 0.0)), "scale": float(args.get("std", 1.0))}


def _uniform(args: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    return "uniform", {"low": float(args.get("from", 0.0)), "high": float(args.get("to", 1.0))}


def _standard_normal(args: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    return "normal", {"loc": 0.0, "scale": 1.0}


def _standard_uniform(args: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    return "uniform", {"low": 0.0, "high": 1.0}


#: Random operations and their laws, by the arguments of the schema.
DRAWS: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, dict[str, float]]]] = {
    "normal_": _normal,
    "normal": _normal,
    "uniform_": _uniform,
    "randn": _standard_normal,
    "randn_like": _standard_normal,
    "rand": _standard_uniform,
    "rand_like": _standard_uniform,
}

#: 2-norms along axes.
NORMS = ("linalg_vector_norm", "norm")


def _binary(operation: str) -> Callable[[Mapping[str, Any]], list[tuple[str, Any, bool]]]:
    def steps(args: Mapping[str, Any]) -> list[tuple[str, Any, bool]]:
        other = args["other"]
        alpha = args.get("alpha", 1)
        if alpha != 1:
            other = other * alpha
        return [(operation, other, False)]

    return steps


def _div(args: Mapping[str, Any]) -> list[tuple[str, Any, bool]] | None:
    return None if args.get("rounding_mode") else [("div", args["other"], False)]


def _rsub(args: Mapping[str, Any]) -> list[tuple[str, Any, bool]]:
    alpha = args.get("alpha", 1)
    scaled = [("mul", alpha, False)] if alpha != 1 else []
    return [*scaled, ("sub", args["other"], True)]


def _softplus(args: Mapping[str, Any]) -> list[tuple[str, Any, bool]] | None:
    # Beyond its threshold of 20 it is the identity, as these steps are to the last bit of float32.
    beta = args.get("beta", 1)
    if args.get("threshold", 20) != 20:
        return None
    made: list[tuple[str, Any, bool]] = [("exp", None, False), ("log1p", None, False)]
    return made if beta == 1 else [("mul", beta, False), *made, ("div", beta, False)]


def _clamp(args: Mapping[str, Any]) -> list[tuple[str, Any, bool]]:
    made: list[tuple[str, Any, bool]] = []
    if args.get("min") is not None:
        made.append(("at_least", args["min"], False))
    if args.get("max") is not None:
        made.append(("at_most", args["max"], False))
    return made


def _unary(*operations: str) -> Callable[[Mapping[str, Any]], list[tuple[str, Any, bool]]]:
    return lambda args: [(operation, None, False) for operation in operations]


#: Elementwise operations by their schema's name without a last underscore: (step, operand, whether
#: the operand comes first) for the argument "self"; None for arguments that no steps are.
ELEMENTWISE: Mapping[str, Callable[[Mapping[str, Any]], list[tuple[str, Any, bool]] | None]] = {
    "add": _binary("add"),
    "sub": _binary("sub"),
    "mul": _binary("mul"),
    "div": _div,
    "true_divide": _div,
    "rsub": _rsub,
    "neg": _unary("neg"),
    "abs": _unary("abs"),
    "exp": _unary("exp"),
    "log": _unary("log"),
    "expm1": _unary("expm1"),
    "log1p": _unary("log1p"),
    "sqrt": _unary("sqrt"),
    "rsqrt": lambda args: [("pow", -0.5, False)],
    "reciprocal": lambda args: [("div", 1.0, True)],
    "square": lambda args: [("pow", 2.0, False)],
    "pow": lambda args: [("pow", args["exponent"], False)],
    "clamp": _clamp,
    "clamp_min": lambda args: [("at_least", args["min"], False)],
    "clamp_max": lambda args: [("at_most", args["max"], False)],
    "exp2": lambda args: [("pow", 2.0, True)],
    "sigmoid": lambda args: [
        ("neg", None, False),
        ("exp", None, False),
        ("add", 1.0, False),
        ("div", 1.0, True),
    ],
    "softplus": _softplus,
}
