"""Calls with sizes of any kind, in a process whose memory is limited (test_huge_sizes.py).

Sizes are tiny or huge, so that a call either costs nothing or must be refused before it allocates;
what returns neither way within `SECONDS`, or grows the process, ends the run with the call's name.
"""

from __future__ import annotations

import resource
import signal
import sys
import warnings

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import fanin
from fanin import files, linalg
from fanin import propagation as p

SECONDS = 5  # of processor time, of which no call needs a tenth
ROOM = 3 << 29  # address space beyond what is there: less than any huge result
GROWTH = 48 << 20  # resident: tables of activations, threads' buffers

REFUSED = (ValueError, TypeError, MemoryError, OverflowError, IndexError, NotADirectoryError)
LEAKS = ("incompatible function arguments", "too large to convert", "vector::", "std::bad")
TINY = (0, 1, 2, 3, 4)
HUGE = (
    2**31 - 1,
    2**31,
    2**32 + 1,
    2**40,
    2**61 + 5,
    2**62,
    2**63 - 1,
    2**63,
    2**64,
    2**64 + 1,
    2**70,
)
size = st.sampled_from(TINY * 2 + HUGE + (-1, -(2**63)))
shapes = st.lists(size, min_size=1, max_size=5).map(tuple)
part = st.sampled_from(
    [None, None, 0, (), ..., slice(0, 2), (..., -1), fanin.flat[:2], fanin.flat[5:]]
)
layout = st.sampled_from(["io", "oi", fanin.Layout("oi", groups=2)])
activation = st.sampled_from(["relu", "tanh", "gelu"])
generator = fanin.default_rng(0)


def fill(array, start):
    array[...] = 0


def drawn(data):
    """One public function and its arguments, sizes among them."""
    some = data.draw
    weight = {"weight_var": 1.5}
    doors = {
        "law": lambda: (
            some(
                st.sampled_from([fanin.random, fanin.normal, fanin.uniform, fanin.truncated_normal])
            ),
            (some(shapes),),
            {"seed": 0, "index": some(part)},
        ),
        "law of arrays": lambda: (
            some(st.sampled_from([fanin.normal, fanin.uniform])),
            (some(shapes), np.zeros((3, 1)), np.ones(1)),
            {"seed": 0, "index": some(part)},
        ),
        "get": lambda: (
            fanin.get("variance_scaling", layout=some(layout)),
            (some(shapes),),
            {"seed": 0},
        ),
        "fans": lambda: (fanin.fans, (some(shapes), some(layout)), {}),
        "generator": lambda: (
            getattr(
                generator,
                some(
                    st.sampled_from(
                        [
                            "random",
                            "normal",
                            "uniform",
                            "standard_normal",
                            "truncated_normal",
                            "exponential",
                            "laplace",
                            "rademacher",
                        ]
                    )
                ),
            ),
            (),
            {"size": some(shapes)},
        ),
        "integers": lambda: (
            generator.integers,
            (0, some(st.one_of(size, st.just([3, 4])))),
            {"size": some(shapes), "dtype": "uint64"},
        ),
        "bytes": lambda: (generator.bytes, (some(size),), {}),
        "spawn": lambda: (
            some(
                st.sampled_from(
                    [
                        generator.spawn,
                        fanin.BitGenerator(0).spawn,
                        fanin.BitGenerator(0).seed_seq.spawn,
                    ]
                )
            ),
            (some(size),),
            {},
        ),
        "advance": lambda: (fanin.BitGenerator(0).advance, (some(size),), {}),
        "words": lambda: (fanin.BitGenerator(0).random_raw, (some(size),), {}),
        "child": lambda: (fanin.Stream(0).__getitem__, (some(size),), {}),
        "propagate": lambda: (p.propagate, (some(activation), some(size)), weight),
        "widths": lambda: (
            p.propagate,
            (some(activation), some(st.sampled_from((2, 3)))),
            {**weight, "widths": some(st.lists(size, min_size=2, max_size=5))},
        ),
        "simulate": lambda: (
            p.simulate,
            (some(activation), some(size), some(st.one_of(size, st.lists(size, max_size=4)))),
            {
                **weight,
                "inputs": some(size),
                "networks": some(size),
                "seed": 0,
                "weights": some(st.sampled_from(["gaussian", "orthogonal"])),
                "method": some(st.sampled_from(["weights", "exact"])),
            },
        ),
        "jacobian": lambda: (
            p.jacobian,
            (some(activation), some(size)),
            {
                "weights": some(st.sampled_from(["gaussian", "orthogonal"])),
                "widths": some(st.none() | st.lists(size, min_size=2, max_size=4)),
            },
        ),
        "report": lambda: (fanin.diagnose.report, ("tanh", some(size)), {"width": some(size)}),
        "recommend": lambda: (fanin.recommend, ("relu",), {"depth": some(size)}),
        "depth gains": lambda: (
            some(st.sampled_from([fanin.deepnorm_gains, fanin.fixup_gain])),
            (some(size), some(size)),
            {},
        ),
        "symmetry": lambda: (
            fanin.diagnose.symmetry,
            (np.ones((2, 2)),),
            {"steps": some(st.sampled_from((0, 1, 3, -1)))},
        ),
        "chain_gradient": lambda: (fanin.diagnose.chain_gradient, (1.0,), {"depth": some(size)}),
        "qr": lambda: (
            some(st.sampled_from([linalg.qr, linalg.orthonormalize])),
            (stretched(some(shapes)),),
            {},
        ),
        "write_npy": lambda: (
            files.write_npy,
            ("/dev/null/nowhere", "float32", some(shapes), fill),
            {},
        ),
        "threads": lambda: (fanin.normal, (3,), {"seed": 0, "threads": some(size)}),
    }

    def scheme():
        row = fanin.schemes()[some(st.sampled_from(sorted(fanin.schemes())))]
        named = {k: v for k, v in row.example.items() if k not in ("shape", "index", "layout")}
        for parameter in row.parameters:
            if parameter.accepts.words.startswith("int") and some(st.booleans()):
                named[parameter.name] = some(size)
        named |= {"seed": 0, "index": some(part), "layout": some(layout)}
        return getattr(fanin, row.name), (some(shapes),), named

    def network():
        layers = [
            p.Dense(some(size)),
            "relu",
            some(st.builds(p.Conv, size, st.sampled_from([(3, 3), (2**40, 2**40), (0, 1)]))),
            p.Attention(some(size)),
            p.AveragePool(some(size)),
            p.Dense(),
        ]
        image = some(st.none() | st.lists(size, min_size=1, max_size=2).map(tuple))
        made = p.Network(layers[some(st.integers(0, 5)) :], width=some(size), image=image)
        return made.propagate, (), {"c0": some(st.sampled_from([None, 0.5]))}

    doors["scheme"], doors["network"] = scheme, network
    many = ["law", "scheme", "scheme", "scheme"] * 6  # there are sixty of them
    return doors[some(st.sampled_from(sorted(doors) + many))]()


def stretched(shape):
    """An array of any shape in the memory of one number."""
    return np.broadcast_to(np.float32(0), shape)


def late(signum, frame):
    raise TimeoutError(f"more than {SECONDS} s of processor time")


def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@settings(
    max_examples=int(sys.argv[1]) if len(sys.argv) > 1 else 1000,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def calls(data):
    before, text = resident(), ""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        function, arguments, named = drawn(data)
        text = f"{getattr(function, '__qualname__', function)}{arguments} {named}"
        print(text, file=sys.stderr, flush=True)
        function(*arguments, **named)
    except REFUSED as error:
        assert not any(words in str(error) for words in LEAKS), f"{error}: {text}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown = resident() - before
    assert grown < GROWTH, f"{grown} bytes more: {text}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, late)
    fanin.normal((1 << 17,), seed=0)
    for name in ("relu", "tanh", "gelu"):
        p.propagate(name, 3, weight_var=[0.5, 1.5], c0=0.5)
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (240, 240))  # for what hears no signal
    calls()
    print("done")
