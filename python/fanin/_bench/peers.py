"""How `fanin bench` calls each peer: the way the peer's own documentation says, threads stated.

Every function here returns a list of `Contender`: something that can be timed again and again.
A peer that is not installed, or that has no such law or dtype, gives an empty list. All that can
be set up beforehand (streams, generators, tensors over the buffer, compilation) is set up before
the clock starts. Frameworks are imported inside the functions only.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Law:
    """A distribution in standard form, with the two moments that every bench asserts.

    `kind` is "normal", "uniform" or "truncated_normal"; `low` and `high` are its bounds.
    """

    kind: str
    low: float
    high: float
    mean: float
    variance: float

    @property
    def label(self) -> str:
        """The name in a table: "normal", "uniform [0, 1)", "truncated [-2, 2]"."""
        if self.kind == "normal":
            return "normal"
        if self.kind == "uniform":
            return f"uniform [{self.low:g}, {self.high:g})"
        return f"truncated [{self.low:g}, {self.high:g}]"


def uniform(low: float = 0.0, high: float = 1.0) -> Law:
    """U[low, high): mean (low + high) / 2, variance (high - low)^2 / 12."""
    return Law("uniform", low, high, (low + high) / 2, (high - low) * (high - low) / 12)


def truncated_normal(low: float, high: float) -> Law:
    """Unit normal cut to [low, high]; moments by Johnson, Kotz and Balakrishnan 1994, 13.10.1.

    With Z = Phi(high) - Phi(low): mean = (phi(low) - phi(high)) / Z and
    variance = 1 + (low phi(low) - high phi(high)) / Z - mean^2.
    """
    unit = NormalDist()

    def density(x: float) -> float:
        return 0.0 if abs(x) == inf else unit.pdf(x)

    def edge(x: float) -> float:
        return 0.0 if abs(x) == inf else x * unit.pdf(x)

    def below(x: float) -> float:
        return (0.0 if x < 0 else 1.0) if abs(x) == inf else unit.cdf(x)

    # On the positive side the mirrored tail keeps the digits that 1 - small would lose.
    mass = below(-low) - below(-high) if low > 0 else below(high) - below(low)
    mean = (density(low) - density(high)) / mass
    variance = 1.0 + (edge(low) - edge(high)) / mass - mean * mean
    return Law("truncated_normal", low, high, mean, variance)


NORMAL = Law("normal", -inf, inf, 0.0, 1.0)
UNIFORM = uniform()


@dataclass(frozen=True)
class Contender:
    """One thing to be timed.

    Attributes
    ----------
    peer : str
        Who: "fanin", "NumPy", "oneMKL", "torch", "JAX", "Keras", or the name of a limit.
    what : str
        What is made, for example "float32 normal".
    how : str
        Method and threads.
    run : callable
        One timed call. Returns the array that it made or wrote, so that it can be checked.
    values : int
        Values that one call makes.
    law : Law or None
        What the values must look like; None if they are not random (store limits).
    buffer : array or None
        The caller's memory that `run` writes; None if every call makes a new array.
    """

    peer: str
    what: str
    how: str
    run: Callable[[], Any]
    values: int
    law: Law | None = None
    buffer: Array | None = None

    @property
    def name(self) -> str:
        """Unique within one table."""
        return f"{self.peer} {self.what} ({self.how})"


def filling(peer: str, how: str, run: Callable[[], Any], law: Law, out: Array) -> Contender:
    """The contender whose `run` fills `out` with `law`."""
    return Contender(peer, f"{out.dtype.name} {law.label}", how, run, out.size, law, out)


def making(peer: str, how: str, run: Callable[[], Any], law: Law, like: Array) -> Contender:
    """The contender whose `run` returns a new array with the shape and dtype of `like`."""
    return Contender(peer, f"{like.dtype.name} {law.label}", how, run, like.size, law)


def installed(module: str) -> bool:
    """Whether `module` can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


@functools.cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay alive, so that no contender pays for starting them."""
    return ThreadPoolExecutor(threads)


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Run the calls at the same time, one Python thread each (the peers release the GIL)."""
    if len(calls) == 1:
        calls[0]()
        return
    for future in [pool(len(calls)).submit(call) for call in calls]:
        future.result()


def parts(out: Array, threads: int) -> list[Array]:
    """`out` (1-D) cut into `threads` contiguous views of nearly equal length."""
    return np.array_split(out, threads)


# --- fanin ------------------------------------------------------------------------------------


def fanin_fill(law: Law, out: Array, threads: int) -> Contender:
    """`fanin.normal`, `random` or `uniform`, `truncated_normal` into `out`."""
    import fanin

    shape = out.shape

    def run() -> Any:
        if law.kind == "normal":
            return fanin.normal(shape, seed=0, out=out, threads=threads)
        if law == UNIFORM:
            return fanin.random(shape, seed=0, out=out, threads=threads)
        if law.kind == "uniform":
            return fanin.uniform(shape, law.low, law.high, seed=0, out=out, threads=threads)
        return fanin.truncated_normal(
            shape, 0.0, 1.0, law.low, law.high, seed=0, out=out, threads=threads
        )

    return filling("fanin", f"{threads} thr", run, law, out)


# --- NumPy ------------------------------------------------------------------------------------


def numpy_fills(law: Law, out: Array, threads: int) -> list[Contender]:
    """`Generator(SFC64)`, one generator (spawned seeds) and one Python thread per part of `out`."""
    if out.dtype not in (np.float32, np.float64) or law not in (NORMAL, UNIFORM):
        return []
    dtype: Any = out.dtype.type

    def task(part: Array, seed: np.random.SeedSequence) -> Callable[[], object]:
        generator = np.random.Generator(np.random.SFC64(seed))
        draw = generator.standard_normal if law == NORMAL else generator.random
        return lambda: draw(out=part, dtype=dtype)

    seeds = np.random.SeedSequence(0).spawn(threads)
    tasks = [task(part, seed) for part, seed in zip(parts(out, threads), seeds, strict=True)]

    def run() -> Array:
        together(tasks)
        return out

    return [filling("NumPy", f"SFC64, {threads} thr", run, law, out)]


# --- oneMKL VSL -------------------------------------------------------------------------------

# Numbers of the C interface (mkl_vsl_defines.h): VSL_BRNG_X is a multiple of 2^20.
_BRNG_STEP = 1 << 20
MKL_GENERATORS = {
    "MCG31": 1 * _BRNG_STEP,
    "MRG32K3A": 3 * _BRNG_STEP,
    "MCG59": 4 * _BRNG_STEP,
    "MT19937": 8 * _BRNG_STEP,
    "MT2203": 9 * _BRNG_STEP,
    "SFMT19937": 13 * _BRNG_STEP,
    "ARS5": 15 * _BRNG_STEP,
    "PHILOX4X32X10": 16 * _BRNG_STEP,
}
MKL_GAUSSIAN_METHODS = {"BOXMULLER": 0, "BOXMULLER2": 1, "ICDF": 2}
MKL_UNIFORM_METHODS = {"STD": 0}
_MKL_SEED = 1
# Far enough for any number of timed calls (each uses fewer than 2^31 words), and well inside
# every generator's period (the shortest that can skip: MCG59 with 2^57, MCG31 is one thread only).
_MKL_SKIP = 1 << 40
_MKL_SEQUENTIAL = 1


@functools.cache
def mkl_library() -> ctypes.CDLL | None:
    """The dynamic library `libmkl_rt` of the PyPI package `mkl`, of the system, or None."""
    candidates: list[str] = []
    try:
        files = importlib.metadata.files("mkl") or []
        candidates += [str(f.locate()) for f in files if "mkl_rt" in f.name]
    except importlib.metadata.PackageNotFoundError:
        pass
    candidates += [str(path) for path in sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))]
    found = ctypes.util.find_library("mkl_rt")
    candidates += [found] if found else []
    for candidate in candidates:
        try:
            library = ctypes.CDLL(candidate)
        except OSError:
            continue
        # VSL starts no threads of its own; the sequential layer keeps a second OpenMP runtime out.
        library.MKL_Set_Threading_Layer(_MKL_SEQUENTIAL)
        return library
    return None


def mkl_version() -> str:
    """The version line that oneMKL prints of itself (it names the instruction set it chose)."""
    library = mkl_library()
    if library is None:
        return ""
    text = ctypes.create_string_buffer(256)
    library.MKL_Get_Version_String(text, len(text))
    return text.value.decode(errors="replace").strip()


def _mkl_stream(library: ctypes.CDLL, generator: str, worker: int) -> ctypes.c_void_p | None:
    """The stream of one worker: skipped ahead from the others', or the next MT2203 of its set."""
    number = MKL_GENERATORS[generator]
    number += worker if generator == "MT2203" else 0
    stream = ctypes.c_void_p()
    if library.vslNewStream(ctypes.byref(stream), number, ctypes.c_uint(_MKL_SEED)) != 0:
        return None
    if generator != "MT2203" and worker > 0:
        skip = ctypes.c_longlong(worker * _MKL_SKIP)
        if generator == "MCG31" or library.vslSkipAheadStream(stream, skip) != 0:
            return None
    return stream


def mkl_fills(law: Law, out: Array, threads: int) -> list[Contender]:
    """`vsRng...`/`vdRng...` through ctypes: every generator with every method of the law.

    Two threads are two Python threads (ctypes releases the GIL), each on its own part with its own
    stream. The caller times all of them and takes the fastest.
    """
    library = mkl_library()
    if library is None or law not in (NORMAL, UNIFORM):
        return []
    real: type[ctypes.c_float] | type[ctypes.c_double]
    if out.dtype == np.float32:
        prefix, real = "vs", ctypes.c_float
    elif out.dtype == np.float64:
        prefix, real = "vd", ctypes.c_double
    else:
        return []
    methods = MKL_GAUSSIAN_METHODS if law == NORMAL else MKL_UNIFORM_METHODS
    function = getattr(library, prefix + ("RngGaussian" if law == NORMAL else "RngUniform"))
    first, second = real(0.0), real(1.0)  # mean and sigma, or the two bounds

    def task(part: Array, method: int, stream: ctypes.c_void_p) -> Callable[[], object]:
        address = ctypes.c_void_p(part.ctypes.data)
        count = ctypes.c_int(part.size)

        def call() -> None:
            status = function(ctypes.c_int(method), stream, count, address, first, second)
            if status != 0:
                raise RuntimeError(f"oneMKL VSL returned status {status}")

        return call

    def contender(generator: str, method: str) -> Contender | None:
        streams = [_mkl_stream(library, generator, worker) for worker in range(threads)]
        tasks = [
            task(part, methods[method], stream)
            for part, stream in zip(parts(out, threads), streams, strict=True)
            if stream is not None
        ]
        if len(tasks) < threads:
            return None

        def run() -> Array:
            together(tasks)
            return out

        return filling("oneMKL", f"{generator} {method}, {threads} thr", run, law, out)

    every = [contender(generator, method) for generator in MKL_GENERATORS for method in methods]
    return [one for one in every if one is not None]


# --- torch ------------------------------------------------------------------------------------


def torch_view(out: Array) -> Any:
    """A torch tensor over the memory of `out` (bfloat16 too)."""
    import torch

    if out.dtype.name == "bfloat16":
        return torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(out)


def torch_fills(law: Law, out: Array, threads: int) -> list[Contender]:
    """`tensor.normal_()`, `tensor.uniform_()`, `torch.nn.init.trunc_normal_`, in place."""
    if not installed("torch"):
        return []
    import torch

    tensor = torch_view(out)
    torch.manual_seed(0)

    def run() -> Array:
        torch.set_num_threads(threads)
        if law.kind == "normal":
            tensor.normal_()
        elif law.kind == "uniform":
            tensor.uniform_(law.low, law.high)
        else:
            torch.nn.init.trunc_normal_(tensor, 0.0, 1.0, law.low, law.high)
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


def jax_fills(law: Law, out: Array, threads: int) -> list[Contender]:
    """Jitted `jax.random.normal`, `uniform`, `truncated_normal`; a new array every time.

    JAX arrays cannot be written in place.
    """
    if not installed("jax"):
        return []
    import jax

    shape, dtype = out.shape, out.dtype.name
    if dtype == "float64":
        return []

    @jax.jit  # type: ignore[untyped-decorator, unused-ignore]
    def draw(key: Any) -> Any:
        if law.kind == "normal":
            return jax.random.normal(key, shape, dtype)
        if law.kind == "uniform":
            return jax.random.uniform(key, shape, dtype, law.low, law.high)
        return jax.random.truncated_normal(key, law.low, law.high, shape, dtype)

    pool_size = start_xla(threads)
    key = jax.random.key(0)
    draw(key).block_until_ready()  # compiles

    def run() -> Any:
        return draw(key).block_until_ready()

    return [making("JAX", f"jit, {pool_size} thr", run, law, out)]


def keras_fills(law: Law, out: Array, threads: int) -> list[Contender]:
    """`keras.random.normal`, `uniform`, `truncated_normal` (+-2 only) on the backend installed."""
    if not installed("keras"):
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


PEERS: dict[str, Callable[[Law, Array, int], list[Contender]]] = {
    "NumPy": numpy_fills,
    "oneMKL": mkl_fills,
    "torch": torch_fills,
    "JAX": jax_fills,
    "Keras": keras_fills,
}


def versions(
    modules: Iterable[str] = ("numpy", "torch", "jax", "keras", "mkl", "scipy", "neural-tangents"),
) -> dict[str, str]:
    """Installed versions of the peers' distributions, by name; the absent ones are left out."""
    found = {}
    for module in modules:
        try:
            found[module] = importlib.metadata.version(module)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
