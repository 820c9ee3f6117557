# The compiled module, by hand; tests/contract/test_stub.py compares it with the module.
# A key is 16 bytes, little-endian (docs/contract.md).
# element: 0 float32, 1 float64, 2 float16, 3 bfloat16.
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

STREAM: str

def isa() -> str: ...
def isas() -> list[str]: ...
def threads() -> int: ...
def set_threads(threads: int) -> None: ...
def build_config() -> dict[str, Any]: ...
def seed_key(seed: int) -> bytes: ...
def fold(key: bytes, tag: int, payload: bytes) -> bytes: ...
def words(key: bytes, id: int, first_tile: int, tiles: int) -> NDArray[np.uint32]: ...
def fill(
    law: str,
    arguments: Sequence[float],
    element: int,
    complex: bool,
    key: bytes,
    id: int,
    array: NDArray[Any],
    first: int,
    steps: tuple[int, ...] | None,
    threads: int,
    fresh: bool,
) -> None: ...
def fill_each(
    law: str,
    columns: Sequence[NDArray[np.float64]],
    begin: int,
    element: int,
    complex: bool,
    key: bytes,
    id: int,
    array: NDArray[Any],
    first: int,
    steps: tuple[int, ...] | None,
    threads: int,
) -> None: ...
def check_each(law: str, columns: Sequence[NDArray[np.float64]], element: int) -> None: ...
def fill_integers(
    low: int,
    span: int,
    element: int,
    key: bytes,
    id: int,
    array: NDArray[Any],
    first: int,
    fresh: bool,
) -> None: ...
def fill_signs(
    element: int, key: bytes, id: int, array: NDArray[Any], first: int, fresh: bool
) -> None: ...
def fill_integers_each(
    low: NDArray[Any],
    high: NDArray[Any],
    element: int,
    key: bytes,
    id: int,
    array: NDArray[Any],
    first: int,
) -> None: ...
def draw_at(
    law: str,
    numbers: Any,
    element: int,
    word_of: Callable[[Any], int | bytes],
    generator: Any,
    address: int,
    count: int,
) -> bool: ...

class Door:
    def __init__(
        self,
        dtypes: dict[Any, tuple[np.dtype[Any], int, type]],
        stream: type,
        spawner: type,
        as_stream: Callable[[Any], Any],
        view: Callable[[Any], NDArray[Any] | None],
        touched: Callable[[Any], None],
    ) -> None: ...
    def draw(
        self,
        law: str,
        numbers: Any,
        shape: Any,
        seed: Any,
        dtype: Any,
        out: Any,
        index: Any,
        threads: Any,
    ) -> Any: ...
    def draw_known(
        self,
        known: Callable[..., tuple[str, Any]],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        layout: Any,
        gain: Any,
        shape: Any,
        seed: Any,
        dtype: Any,
        out: Any,
        index: Any,
        threads: Any,
    ) -> Any: ...

class Cursor:
    def __init__(self, numpy: Any, lock: Any, door: Door) -> None: ...
    def seek(self, key: bytes, id: int, word: int) -> None: ...
    def state(self) -> tuple[bytes, int, int]: ...
    def take(self, tiles: int) -> tuple[bytes, int, int]: ...
    def bytes(self, length: int) -> bytes: ...
    def draw(self, law: str, numbers: Any, size: Any, dtype: Any, out: Any) -> Any: ...

def from_dlpack(
    capsule: Any, dtype_of: Callable[[str], np.dtype[Any]], writable: bool
) -> NDArray[Any]: ...
def lent(
    owner: Any,
    address: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
) -> NDArray[Any]: ...
def start_writing(descriptor: int, start: int, count: int) -> None: ...
def gemm(
    a: NDArray[Any],
    b: NDArray[Any],
    out: NDArray[Any],
    transpose_a: bool = False,
    transpose_b: bool = False,
    threads: int = 0,
) -> None: ...
def qr(a: NDArray[Any], q: NDArray[Any], r: NDArray[Any] | None, threads: int = 0) -> None: ...
def haar(
    key: bytes,
    ids: NDArray[np.uint64],
    rows: int,
    columns: int,
    first: int,
    last: int,
    determinant: int,
    gain: float,
    out: NDArray[Any],
    threads: int = 0,
    progress: Callable[[int, int], object] | None = None,
    turned: bool = False,
) -> None: ...
def truncated_normal_std(low: float, high: float) -> float: ...
def math_log(x: ArrayLike) -> NDArray[np.float64]: ...
def math_exp(x: ArrayLike) -> NDArray[np.float64]: ...
def activation_rows() -> list[dict[str, Any]]: ...
def activation(name: str, parameters: Sequence[float]) -> Any: ...
def custom_activation(
    values: Any, kinks: Sequence[float], unit: float, precision: float
) -> Any: ...
def activation_values(handle: Any, x: NDArray[np.float64]) -> NDArray[np.float64]: ...
def activation_moments(
    handle: Any, q: NDArray[np.float64], which: Sequence[int], threads: int
) -> NDArray[np.float64]: ...
def propagated_variances(
    handle: Any,
    q: NDArray[np.float64],
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    factor: NDArray[np.float64],
    start: bool,
    threads: int,
) -> NDArray[np.float64]: ...
def activation_pairs(
    handle: Any,
    q1: NDArray[np.float64],
    q2: NDArray[np.float64],
    x: NDArray[np.float64],
    missing: bool,
    wanted: Sequence[bool],
    threads: int,
) -> NDArray[np.float64]: ...
def pair_kernels(
    handle: Any,
    start: NDArray[np.float64],
    q1: NDArray[np.float64],
    q2: NDArray[np.float64],
    image: tuple[int, int],
    kernel: tuple[int, int],
    zero: bool,
    full: bool,
    weight_var: float,
    bias_var: float,
    same: int,
) -> NDArray[np.float64]: ...
def fixed_variances(
    handle: Any, weight_var: NDArray[np.float64], bias_var: NDArray[np.float64], threads: int
) -> NDArray[np.float64]: ...
def fixed_correlations(
    handle: Any,
    q: NDArray[np.float64],
    weight_var: NDArray[np.float64],
    noise: NDArray[np.float64],
    threads: int,
) -> NDArray[np.float64]: ...
def activation_error(handle: Any, q: float) -> float: ...
def math_pow(x: ArrayLike, y: ArrayLike) -> Any: ...
def math_upper_tail(x: ArrayLike) -> Any: ...
def simulate(
    method: str,
    weights: str,
    activation: Any,
    widths: Sequence[int],
    inputs: int,
    weight_var: float,
    bias_var: float,
    start: Sequence[float],
    key: bytes,
    networks: int,
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def environment_is_default() -> bool: ...

class DefaultEnvironment:
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...

class _Debug:
    @staticmethod
    def block(key: bytes, number: int, id: int, rounds: int = 7) -> list[int]: ...
    @staticmethod
    def set_isa(name: str) -> None: ...
    @staticmethod
    def set_stream_bytes(bytes: int) -> None: ...
    @staticmethod
    def functions() -> list[str]: ...
    @staticmethod
    def apply(name: str, x: NDArray[Any]) -> NDArray[Any]: ...
    @staticmethod
    def laws() -> list[str]: ...
    @staticmethod
    def to_half(x: NDArray[np.float32], dtype: str) -> NDArray[np.uint16]: ...
    @staticmethod
    def contraction(a: float, b: float, c: float, /) -> float: ...
    @staticmethod
    def truncated_plan(low: float, high: float, single: bool) -> tuple[str, list[float]]: ...
    @staticmethod
    def scaled(bits: int, low: int, span: int) -> int: ...
    @staticmethod
    def stream_store(array: NDArray[Any], threads: int) -> None: ...
    @staticmethod
    def plain_store(array: NDArray[Any], threads: int) -> None: ...
    @staticmethod
    def first_touch(nbytes: int, threads: int) -> NDArray[Any]: ...

debug: _Debug
