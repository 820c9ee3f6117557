"""oneMKL's vector statistics library (`pip install mkl`), through ctypes."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.metadata
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .contenders import Array, Contender, filling, parts, together
from .laws import TimedLaw

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
_GAUSSIAN = {"BOXMULLER": 0, "BOXMULLER2": 1, "ICDF": 2}
_STANDARD = {"STD": 0}
_ICDF = {"ICDF": 0}
_PREFIX: dict[str, tuple[str, Any]] = {
    "float32": ("vs", ctypes.c_float),
    "float64": ("vd", ctypes.c_double),
    "int32": ("vi", ctypes.c_int),
    "complex64": ("vs", ctypes.c_float),
}
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


def _call_of(law: TimedLaw) -> tuple[str, dict[str, int], float, float] | None:
    """The function's name, its methods and its two parameters."""
    return {
        "normal": ("RngGaussian", _GAUSSIAN, 0.0, 1.0),
        "complex normal": ("RngGaussian", _GAUSSIAN, 0.0, math.sqrt(0.5)),
        "uniform": ("RngUniform", _STANDARD, law.low, law.high),
        "integers": ("RngUniform", _STANDARD, law.low, law.high),
        "exponential": ("RngExponential", _ICDF, 0.0, 1.0),
        "laplace": ("RngLaplace", _ICDF, 0.0, 1.0),
    }.get(law.kind)


def mkl_fills(law: TimedLaw, out: Array, threads: int) -> list[Contender]:
    """`vsRng...`, `vdRng...`, `viRng...` through ctypes: every generator with every method.

    Two threads are two Python threads (ctypes releases the GIL), each on its own part with its own
    stream. The caller times all of them and takes the fastest.
    """
    library = mkl_library()
    named = _call_of(law)
    if library is None or named is None or out.dtype.name not in _PREFIX:
        return []
    prefix, number = _PREFIX[out.dtype.name]
    name, methods, *parameters = named
    function = getattr(library, prefix + name)
    first, second = (number(int(x) if number is ctypes.c_int else x) for x in parameters)

    def task(part: Array, method: int, stream: ctypes.c_void_p) -> Callable[[], object]:
        address = ctypes.c_void_p(part.ctypes.data)
        count = ctypes.c_int(part.nbytes // ctypes.sizeof(number))

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
