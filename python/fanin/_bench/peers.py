"""How `fanin bench` calls each peer: the way the peer's own documentation says, threads stated.

Every function here returns a list of `Contender`: something that can be timed again and again.
A peer that is not installed, or that has no such law or dtype, gives an empty list. All that can
be set up beforehand (streams, generators, tensors over the buffer, compilation) is set up before
the clock starts. Frameworks are imported inside the functions only.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .contenders import Array, Contender, filling, installed, making, parts, together
from .laws import UNIFORM, TimedLaw
from .mkl import mkl_fills

# --- fanin ------------------------------------------------------------------------------------


def fanin_fill(law: TimedLaw, out: Array, threads: int) -> Contender:
    """The function or the Generator's method of that law, into `out` (bytes are made)."""
    import fanin

    shape = out.shape
    options: Any = {"seed": 0, "out": out, "threads": threads}
    rng = fanin.default_rng(0)

    def by_method(draw: Callable[[], Any]) -> Callable[[], Any]:
        """Methods of a Generator take the threads of the process."""

        def run() -> Any:
            fanin.runtime.set_threads(threads)
            try:
                return draw()
            finally:
                fanin.runtime.set_threads(None)

        return run

    draws: dict[str, Callable[[], Any]] = {
        "normal": lambda: fanin.normal(shape, **options),
        "complex normal": lambda: fanin.normal(shape, **options),
        "uniform": lambda: fanin.uniform(shape, law.low, law.high, **options),
        "truncated_normal": lambda: fanin.truncated_normal(
            shape, 0.0, 1.0, law.low, law.high, **options
        ),
        "exponential": by_method(lambda: rng.standard_exponential(out=out, dtype=out.dtype)),
        "laplace": by_method(lambda: rng.laplace(out=out, dtype=out.dtype)),
        "integers": by_method(
            lambda: rng.integers(int(law.low), int(law.high), dtype=out.dtype, out=out)
        ),
        "rademacher": by_method(lambda: rng.rademacher(out=out, dtype=out.dtype)),
        "bytes": by_method(lambda: rng.bytes(out.size)),
    }
    run = (lambda: fanin.random(shape, **options)) if law == UNIFORM else draws[law.kind]
    kind = making if law.kind == "bytes" else filling
    return kind("fanin", f"{threads} thr", run, law, out)


# --- NumPy ------------------------------------------------------------------------------------


def _numpy_draw(
    law: TimedLaw, generator: np.random.Generator, out: Array
) -> Callable[[], object] | None:
    """Filling `out`: in place where NumPy can, else by a temporary that is copied."""
    dtype: Any = out.dtype.type
    real = out.dtype in (np.float32, np.float64)
    scale = np.float32(np.sqrt(0.5))

    def copied(make: Callable[[], Any]) -> Callable[[], object]:
        return lambda: np.copyto(out, make())

    def complex_normal() -> None:
        numbers = out.view(out.real.dtype)
        generator.standard_normal(out=numbers, dtype=numbers.dtype.type)
        np.multiply(numbers, scale, out=numbers)

    if law.kind == "normal" and real:
        return lambda: generator.standard_normal(out=out, dtype=dtype)
    if law == UNIFORM and real:
        return lambda: generator.random(out=out, dtype=dtype)
    if law.kind == "exponential" and real:
        return lambda: generator.standard_exponential(out=out, dtype=dtype)
    if law.kind == "laplace" and dtype is np.float64:
        return copied(lambda: generator.laplace(size=out.size))
    if law.kind == "integers":
        low, high = int(law.low), int(law.high)
        return copied(lambda: generator.integers(low, high, out.size, dtype))
    if law.kind == "rademacher":
        return copied(lambda: 2 * generator.integers(0, 2, out.size, np.int8) - 1)
    return complex_normal if law.kind == "complex normal" else None


def numpy_fills(law: TimedLaw, out: Array, threads: int) -> list[Contender]:
    """`Generator(SFC64)`, one generator (spawned seeds) and one Python thread per part of `out`."""
    seeds = np.random.SeedSequence(0).spawn(threads)
    generators = [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]
    if law.kind == "bytes":
        one = generators[0]
        return [making("NumPy", "SFC64, 1 thr", lambda: one.bytes(out.size), law, out)]
    tasks = [
        task
        for generator, part in zip(generators, parts(out, threads), strict=True)
        if (task := _numpy_draw(law, generator, part)) is not None
    ]

    def run() -> Array:
        together(tasks)
        return out

    return [filling("NumPy", f"SFC64, {threads} thr", run, law, out)] if tasks else []


# --- randompack -------------------------------------------------------------------------------


def randompack_fills(law: TimedLaw, out: Array, threads: int) -> list[Contender]:
    """Its default engine, one (by spawn key) and one Python thread per part of `out`."""
    if not installed("randompack"):
        return []
    import randompack

    def generator(key: int) -> Any:
        made = randompack.Rng()
        made.seed(0, spawn_key=[key])
        return made

    def task(rng: Any, part: Array) -> Callable[[], object] | None:
        if part.dtype in (np.float32, np.float64):
            if law.kind == "normal":
                return lambda: rng.normal(out=part)
            if law.kind == "uniform":
                return lambda: rng.unif(a=law.low, b=law.high, out=part)
            if law.kind == "exponential":
                return lambda: rng.exp(out=part)
        if law.kind == "integers" and part.dtype in (np.int32, np.int64):
            return lambda: rng.int(a=int(law.low), b=int(law.high) - 1, out=part)
        return None

    if law.kind == "bytes":
        one = generator(0)
        return [making("randompack", "1 thr", lambda: one.raw(out.size), law, out)]
    tasks = [
        made
        for key, part in enumerate(parts(out, threads))
        if (made := task(generator(key), part)) is not None
    ]

    def run() -> Array:
        together(tasks)
        return out

    return [filling("randompack", f"{threads} thr", run, law, out)] if tasks else []


# --- torch ------------------------------------------------------------------------------------


def torch_view(out: Array) -> Any:
    """A torch tensor over the memory of `out` (bfloat16 too)."""
    import torch

    if out.dtype.name == "bfloat16":
        return torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(out)


def torch_fills(law: TimedLaw, out: Array, threads: int) -> list[Contender]:
    """`normal_()`, `uniform_()`, `exponential_()`, `random_()`, `trunc_normal_`, in place."""
    if not installed("torch"):
        return []
    import torch

    tensor = torch_view(out)
    torch.manual_seed(0)
    draws: dict[str, Callable[[], object]] = {
        "normal": lambda: tensor.normal_(),
        "complex normal": lambda: tensor.normal_(),
        "uniform": lambda: tensor.uniform_(law.low, law.high),
        "truncated_normal": lambda: torch.nn.init.trunc_normal_(
            tensor, 0.0, 1.0, law.low, law.high
        ),
        "exponential": lambda: tensor.exponential_(),
        "integers": lambda: tensor.random_(int(law.low), int(law.high)),
    }
    draw = draws.get(law.kind)
    if draw is None:
        return []

    def run() -> Array:
        torch.set_num_threads(threads)
        draw()
        return out

    return [filling("torch", f"{threads} thr", run, law, out)]


# --- JAX and Keras ----------------------------------------------------------------------------


def start_xla(threads: int) -> int:
    """Let XLA make its thread pool while this process may use only `threads` cores.

    XLA sizes the pool once, when it first computes; a later call changes nothing. Returns the
    pool's size, counted in the kernel's list of this process's threads (0 where there is none).
    """
    import jax

    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(allowed)[:threads])
        try:
            jax.numpy.zeros(1).block_until_ready()
        finally:
            os.sched_setaffinity(0, allowed)
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("tf_XLAEigen")


def jax_fills(law: TimedLaw, out: Array, threads: int) -> list[Contender]:
    """The jitted functions of `jax.random`; a new array every time.

    JAX arrays cannot be written in place.
    """
    if not installed("jax") or out.dtype.name in ("float64", "int64", "complex128"):
        return []
    import jax

    shape, dtype = out.shape, out.dtype.name
    draws: dict[str, Callable[[Any], Any]] = {
        "normal": lambda key: jax.random.normal(key, shape, dtype),
        "complex normal": lambda key: jax.random.normal(key, shape, dtype),
        "uniform": lambda key: jax.random.uniform(key, shape, dtype, law.low, law.high),
        "truncated_normal": lambda key: jax.random.truncated_normal(
            key, law.low, law.high, shape, dtype
        ),
        "exponential": lambda key: jax.random.exponential(key, shape, dtype),
        "laplace": lambda key: jax.random.laplace(key, shape, dtype),
        "integers": lambda key: jax.random.randint(key, shape, int(law.low), int(law.high), dtype),
        "rademacher": lambda key: jax.random.rademacher(key, shape, dtype),
        "bytes": lambda key: jax.random.bits(key, shape, "uint8"),
    }
    draw: Any = jax.jit(draws[law.kind])
    pool_size = start_xla(threads)
    key = jax.random.key(0)
    draw(key).block_until_ready()  # compiles

    def run() -> Any:
        return draw(key).block_until_ready()

    return [making("JAX", f"jit, {pool_size} thr", run, law, out)]


def keras_fills(law: TimedLaw, out: Array, threads: int) -> list[Contender]:
    """`keras.random.normal`, `uniform`, `truncated_normal` (+-2 only) on the backend installed."""
    if not installed("keras") or law.kind not in ("normal", "uniform", "truncated_normal"):
        return []
    if law.kind == "truncated_normal" and (law.low, law.high) != (-2.0, 2.0):
        return []
    backends = [name for name in ("jax", "torch") if installed(name)]
    if not backends:
        return []
    os.environ.setdefault("KERAS_BACKEND", backends[0])
    import keras

    backend = keras.backend.backend()
    shape, dtype = out.shape, out.dtype.name
    if dtype == "float64" and backend == "jax":
        return []
    if backend == "torch":
        import torch

        torch.set_num_threads(threads)
    pool_size = start_xla(threads) if backend == "jax" else threads
    seed = keras.random.SeedGenerator(0)

    def run() -> Any:
        if law.kind == "normal":
            made = keras.random.normal(shape, dtype=dtype, seed=seed)
        elif law.kind == "uniform":
            made = keras.random.uniform(shape, law.low, law.high, dtype=dtype, seed=seed)
        else:
            made = keras.random.truncated_normal(shape, dtype=dtype, seed=seed)
        wait = getattr(made, "block_until_ready", None)
        return wait() if wait else made

    return [making("Keras", f"on {backend}, {pool_size} thr", run, law, out)]


PEERS: dict[str, Callable[[TimedLaw, Array, int], list[Contender]]] = {
    "NumPy": numpy_fills,
    "randompack": randompack_fills,
    "oneMKL": mkl_fills,
    "torch": torch_fills,
    "JAX": jax_fills,
    "Keras": keras_fills,
}


def versions(
    modules: Iterable[str] = (
        "numpy",
        "torch",
        "jax",
        "keras",
        "mkl",
        "randompack",
        "scipy",
        "neural-tangents",
    ),
) -> dict[str, str]:
    """Installed versions of the peers' distributions, by name; the absent ones are left out."""
    found = {}
    for module in modules:
        try:
            found[module] = importlib.metadata.version(module)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
