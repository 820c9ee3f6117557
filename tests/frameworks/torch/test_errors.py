"""Wrong calls of fanin.torch and of torch.nn.init: the same errors, word for word."""

from __future__ import annotations

import inspect
import math
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import init as theirs

import fanin
from fanin import torch as init

NAN, INF = math.nan, math.inf
HUGE = 10**400
NO_NUMBERS = ("x", None, 1j, [0], torch.zeros(2), torch.tensor(0.0, requires_grad=True), np.ones(1))


class Subclass(torch.Tensor):
    """Nothing of its own."""


def inference(size: int) -> torch.Tensor:
    with torch.inference_mode():
        return torch.zeros(4, 4)[:size]


def view_without_gradient() -> torch.Tensor:
    leaf = torch.zeros(6, 8, requires_grad=True)
    with torch.no_grad():
        return leaf[:4]


def zeros(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.zeros(shape or (4, 4), dtype=dtype)


#: Tensors that torch refuses, and some that it takes, with whatever function.
TENSORS: dict[str, Any] = {
    "matrix": lambda: torch.zeros(4, 4),
    "scalar": lambda: torch.zeros(()),
    "vector": lambda: torch.zeros(4),
    "three axes": lambda: torch.zeros(4, 4, 3),
    "six axes": lambda: torch.zeros(2, 2, 1, 1, 1, 1),
    "float16": lambda: zeros(torch.float16),
    "int64": lambda: zeros(torch.int64),
    "int64, three axes": lambda: zeros(torch.int64, 4, 4, 3),
    "uint16": lambda: zeros(torch.uint16),
    "bool": lambda: zeros(torch.bool),
    "bool, three axes": lambda: zeros(torch.bool, 4, 4, 3),
    "complex64": lambda: zeros(torch.complex64),
    "complex64, three axes": lambda: zeros(torch.complex64, 4, 4, 3),
    "complex32": lambda: zeros(torch.complex32),
    "float8_e8m0fnu": lambda: zeros(torch.float8_e8m0fnu),
    "sparse": lambda: torch.eye(4).to_sparse(),
    "sparse rows": lambda: torch.eye(4).to_sparse_csr(),
    "sparse, three axes": lambda: torch.zeros(4, 4, 3).to_sparse(),
    "expanded": lambda: torch.zeros(4, 1).expand(4, 4),
    "expanded rows": lambda: torch.zeros(1, 4).expand(4, 4),
    "expanded number": lambda: torch.zeros(()).expand(4, 4),
    "expanded vector": lambda: torch.zeros(1).expand(4),
    "expanded, three axes": lambda: torch.zeros(4, 1, 3).expand(4, 4, 3),
    "expanded bfloat16": lambda: zeros(torch.bfloat16, 4, 1).expand(4, 4),
    "expanded int64": lambda: zeros(torch.int64, 4, 1).expand(4, 4),
    "expanded complex64": lambda: zeros(torch.complex64, 4, 1).expand(4, 4),
    "expanded leaf": lambda: torch.zeros(4, 1).expand(4, 4).requires_grad_(),
    "expanded without elements": lambda: torch.zeros(1, 0).expand(4, 0),
    "expanded of one": lambda: torch.zeros(1, 1).expand(1, 1),
    "leaf": lambda: torch.zeros(4, 4, requires_grad=True),
    "view of a leaf": lambda: torch.zeros(6, 8, requires_grad=True)[:4],
    "view of a leaf, made without gradient": view_without_gradient,
    "no leaf": lambda: torch.zeros(4, 4, requires_grad=True) * 1,
    "one of two views": lambda: (torch.zeros(6, 8, requires_grad=True) * 1).split(3)[0],
    "of inference": lambda: inference(4),
    "view of one of inference": lambda: inference(2),
    "no rows": lambda: torch.zeros(0, 4),
    "no columns": lambda: torch.zeros(4, 0),
    "no elements, one axis": lambda: torch.zeros(0),
    "no elements, three axes": lambda: torch.zeros(4, 0, 3),
    "no elements, int64": lambda: zeros(torch.int64, 0, 4),
    "no elements, complex64": lambda: zeros(torch.complex64, 0, 4),
    "meta": lambda: torch.zeros(4, 4, device="meta"),
    "meta vector": lambda: torch.zeros(4, device="meta"),
    "meta, three axes": lambda: torch.zeros(4, 4, 3, device="meta"),
    "meta int64": lambda: torch.zeros(4, 4, device="meta", dtype=torch.int64),
    "meta expanded": lambda: torch.zeros(4, 1, device="meta").expand(4, 4),
    "mkldnn": lambda: torch.zeros(4, 4).to_mkldnn(),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "zero tensor": lambda: torch._efficientzerotensor(4, 4),
    "lazy conjugate": lambda: zeros(torch.complex64).conj(),
    "real part": lambda: zeros(torch.complex64).real,
    "subclass": lambda: torch.zeros(4, 4).as_subclass(Subclass),
    "uninitialised parameter": torch.nn.UninitializedParameter,
    "uninitialised buffer": torch.nn.parameter.UninitializedBuffer,
    "None": lambda: None,
    "list": lambda: [[1.0]],
    "array": lambda: np.zeros((4, 4), np.float32),
}

#: The functions, with the arguments of a right call.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "uniform_": (), "normal_": (), "trunc_normal_": (), "constant_": (0.5,), "ones_": (),
    "zeros_": (), "eye_": (), "dirac_": (), "xavier_uniform_": (), "xavier_normal_": (),
    "kaiming_uniform_": (), "kaiming_normal_": (), "orthogonal_": (), "sparse_": (0.5,),
}  # fmt: skip

KAIMING = [
    *[(slope,) for slope in (NAN, INF, -1, 1e200, True, HUGE, torch.tensor(1.0), *NO_NUMBERS)],
    (0, "fan_avg"), (0, "FAN_OUT"), (0, None), (0, 3), (0, "fan_in", "gelo"), (0, "fan_in", None),
    (0, "fan_in", 3), (0, "fan_in", ["relu"]), (0, "fan_in", "RELU"), ("x", "fan_in", "relu"),
    (0, "fan_avg", "gelo"),
]  # fmt: skip
GAINS = [
    (gain,) for gain in (-1, 0, NAN, INF, 1e39, 1e308, HUGE, True, torch.tensor(2.0), *NO_NUMBERS)
]
#: Arguments, right and wrong.
ARGUMENTS: dict[str, list[tuple[Any, ...]]] = {
    "uniform_": [
        (2, 1), (1, 1), (NAN, 1), (0, NAN), (-INF, INF), (0, INF), (-3e38, 3e38), (0, 1e39),
        (1e39, 2e39), (0, 7e4), (HUGE, 1), (True, 2), (torch.tensor(0.0), torch.tensor(1)),
        (np.int64(0), np.float32(1)), *[(bad, 1) for bad in NO_NUMBERS],
        *[(0, bad) for bad in NO_NUMBERS],
    ],
    "normal_": [
        (0, -1), (0, NAN), (NAN, 1), (0, INF), (0, -INF), (INF, 1), (0, 0), (0, -0.0), (1e39, 1),
        (0, 1e39), (1e300, 1e300), (HUGE, 1), (True, True), (torch.tensor(0.0), torch.tensor(1)),
        *[(bad, 1) for bad in NO_NUMBERS], *[(0, bad) for bad in NO_NUMBERS],
    ],
    "trunc_normal_": [
        (0, 0), (0, -1), (0, NAN), (NAN, 1), (0, INF), (INF, 1), (0, 1, 2, -2), (0, 1, 1, 1),
        (0, 1, 3, -3), (0, 1, NAN, 1), (0, 1, -1, NAN), (0, 1, -INF, INF), (0, 1, -INF, 1),
        (0, 1, 5, 6), (0, 1e39), (0, 1, -1e39, 1e39), (0, 1, 1e38, 3e38), (HUGE,),
        (torch.tensor(0.0), torch.tensor(1.0)), *[(bad,) for bad in ("x", None, 1j)],
        *[(0, bad) for bad in ("x", None, 1j)], *[(0, 1, bad, 1) for bad in ("x", None, 1j)],
    ],
    "constant_": [
        (value,) for value in (NAN, INF, 1e39, HUGE, True, 300, -1, torch.tensor(2.0), *NO_NUMBERS)
    ],
    "dirac_": [
        (groups,) for groups in (2, 3, 4, 0, -1, 1.0, 1.5, NAN, True, torch.tensor(2), "x", None)
    ],
    "xavier_uniform_": GAINS,
    "xavier_normal_": GAINS,
    "kaiming_uniform_": KAIMING,
    "kaiming_normal_": KAIMING,
    "orthogonal_": [*GAINS, (torch.ones(4, 1),)],
    "sparse_": [
        (-0.5,), (1.5,), (-0.1,), (0,), (1,), (NAN,), (INF,), (True,), (HUGE,), (0.5, -1), (),
        (0.5, NAN), (0.5, INF), (0.5, 0), (torch.tensor(0.5), torch.tensor(1.0)),
        *[(bad,) for bad in ("x", None, 1j)], *[(0.5, bad) for bad in NO_NUMBERS],
    ],
}  # fmt: skip
#: What arguments are tried on beside a matrix.
OTHERS = ("vector", "three axes", "no rows", "int64", "complex64", "float16", "meta", "expanded")


def said(module: Any, name: str, make: Any, arguments: Any, **generator: Any) -> tuple[str, str]:
    """What becomes of a call: the error and its words, or what it returned."""
    tensor = make()
    try:
        made = getattr(module, name)(tensor, *arguments, **generator)
    except Exception as error:
        return type(error).__name__, str(error)
    return "returned", "the tensor" if made is tensor else repr(made)


def compared(name: str, make: Any, arguments: Any) -> None:
    there = said(theirs, name, make, arguments)
    if "geqrf_cpu" in there[1]:  # torch's QR takes no half precision, fanin's does
        assert said(init, name, make, arguments) in [("returned", "the tensor"), there]
    else:
        assert said(init, name, make, arguments) == there, arguments


@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore")
def test_a_tensor_is_refused_in_torchs_words(name: str, kind: str) -> None:
    compared(name, TENSORS[kind], FUNCTIONS[name])


@pytest.mark.parametrize("kind", ["matrix", *OTHERS])
@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.filterwarnings("ignore")
def test_arguments_are_refused_in_torchs_words(name: str, kind: str) -> None:
    for arguments in ARGUMENTS[name]:
        compared(name, TENSORS[kind], arguments)


#: What draws, with the arguments of a right call.
DRAWING = {name: given for name, given in FUNCTIONS.items() if "generator" in
           inspect.signature(getattr(init, name)).parameters}  # fmt: skip


@pytest.mark.parametrize("generator", [5, "x", object(), np.random.default_rng(0)], ids=repr)
@pytest.mark.parametrize("kind", ["matrix", "vector", "int64", "no rows", "meta", "complex64"])
@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_generator_is_refused_with_torchs_error(name, kind, generator):
    here, there = (
        said(module, name, TENSORS[kind], DRAWING[name], generator=generator)
        for module in (init, theirs)
    )
    ours = "generator must be a torch.Generator, a fanin.Stream, a fanin.Generator or None"
    assert here == there or (here[0] == there[0] == "TypeError" and here[1].startswith(ours))


@pytest.mark.parametrize("name", ["uniform_", "normal_", "trunc_normal_", "xavier_normal_"])
def test_a_stream_does_not_hide_what_torch_says(name):
    wrong = {"uniform_": (2, 1), "normal_": (0, -1), "trunc_normal_": (0, 0),
             "xavier_normal_": (NAN,)}[name]  # fmt: skip
    for generator in (fanin.Stream(0), fanin.default_rng(0)):
        assert said(init, name, TENSORS["matrix"], wrong, generator=generator) == said(
            theirs, name, TENSORS["matrix"], wrong
        )


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_what_torch_draws_follows_the_stream_too():
    def made(seed):
        tensor = init.normal_(zeros(torch.complex32), generator=fanin.Stream(seed)["w"])
        return tensor.view(torch.int32)

    state = torch.get_rng_state()
    assert torch.equal(made(1), made(1)) and not torch.equal(made(1), made(2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", DRAWING)
def test_windows_that_overlap_are_refused_before_anything_is_drawn(name):
    state = torch.get_rng_state()
    for views in (lambda: torch.zeros(10).unfold(0, 4, 2),
                  lambda: torch.zeros(10, dtype=torch.bfloat16).as_strided((4, 4), (1, 1)),
                  lambda: torch.zeros(10).as_strided((4, 4), (2, 1))):  # fmt: skip
        view = views()
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            getattr(init, name)(view, *DRAWING[name])
        assert not view.any() and torch.equal(torch.get_rng_state(), state)
    apart = torch.zeros(8).as_strided((3, 2), (2, 3))  # 0 3, 2 5, 4 7: none twice
    assert getattr(init, name)(apart, *DRAWING[name]).any()


@pytest.mark.parametrize("name", DRAWING)
def test_memory_that_was_freed_is_no_crash(name):
    freed = torch.zeros(4, 4)
    freed.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match=r"\(4, 4\) has no memory: its storage has been freed"):
        getattr(init, name)(freed, *DRAWING[name])


@pytest.mark.parametrize("name", DRAWING)
def test_lazy_marks_do_not_change_values(name):
    want = getattr(init, name)(torch.zeros(6, 4), *DRAWING[name], generator=fanin.Stream(1))
    imaginary = torch.zeros(6, 4, dtype=torch.complex64).conj().imag
    assert imaginary.is_neg()
    for marked in (torch._neg_view(torch.zeros(6, 4)), imaginary):
        made = getattr(init, name)(marked, *DRAWING[name], generator=fanin.Stream(1))
        assert made is marked and torch.equal(made, want)
    if name == "normal_":
        plain, marked = zeros(torch.complex64), zeros(torch.complex64).conj()
        for tensor in (plain, marked):
            init.normal_(tensor, generator=fanin.Stream(1))
        assert torch.equal(marked.resolve_conj(), plain)


def test_tensors_of_inference_are_filled_inside_of_it():
    with torch.inference_mode():
        made = init.normal_(torch.zeros(6, 4), generator=fanin.Stream(1))
    assert torch.equal(made, init.normal_(torch.zeros(6, 4), generator=fanin.Stream(1)))


def test_a_first_draw_within_inference_mode_spoils_no_later_one():
    made = []

    def first():
        with torch.inference_mode():
            init.normal_(torch.zeros(4))
        made.append(init.normal_(torch.zeros(4)))

    thread = threading.Thread(target=first)  # what a thread draws into is made at its first draw
    thread.start()
    thread.join()
    assert made and made[0].all()
