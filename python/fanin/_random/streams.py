"""Streams: which sequence of words. Seeds and names become 128-bit keys; a stream has no state."""

from __future__ import annotations

import numbers
import operator
from typing import Any, SupportsIndex

from fanin import _core
from fanin._public import public

_NAME, _NUMBER, _SPAWN = 1, 2, 3  # the tags of core/stream.hpp
_SEED_LIMIT = 1 << 128
_NUMBER_LIMIT = 1 << 64


def _integer(value: Any, what: str) -> int:
    """`value` as a Python int; bool, float and the rest are refused."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{what} must be an int, a fanin.Stream or a fanin.Generator, got {value!r}; "
            "for several words of entropy or a name use fanin.Stream(seed)[name]"
            if what == "seed"
            else f"{what}, got {value!r}"
        )
    return operator.index(value)


@public("fanin")
class Stream:
    """An unlimited sequence of random words, named by a seed and a path of names.

    Give every tensor a stream of its own: two tensors drawn with the same seed share their words.

    >>> import fanin
    >>> s = fanin.Stream(0)
    >>> weight = fanin.he_normal((64, 32), seed=s["layers.0.weight"])
    >>> gate = fanin.he_normal((64, 32), seed=s["layers.0.gate"])
    >>> bool((weight == gate).any())
    False

    Parameters
    ----------
    seed : int
        0 .. 2**128 - 1. The key is a bijection of the seed, so two seeds never share a stream.

    Notes
    -----
    ``stream[name]`` is a child: a str by its UTF-8 bytes as they are (the NFC and NFD forms of a
    name differ), or an int 0 .. 2**64 - 1. ``s["1"]``, ``s[1]``, ``s["a"]["b"]`` and ``s["ab"]``
    all differ.

    Raises
    ------
    TypeError
        For a bool, a float, a str or a sequence as seed; for another type of name.
    ValueError
        For a seed or number out of range, or an empty name.
    """

    __slots__ = ("_key",)
    _key: bytes

    def __init__(self, seed: SupportsIndex) -> None:
        value = _integer(seed, "seed")
        if not 0 <= value < _SEED_LIMIT:
            raise ValueError(f"expected a seed in 0 .. 2**128 - 1, got {value}")
        self._key = _core.seed_key(value)

    @classmethod
    def _from_key(cls, key: bytes) -> Stream:
        stream = object.__new__(cls)
        stream._key = key
        return stream

    @property
    def key(self) -> int:
        """The 128-bit key of the words (docs/contract.md)."""
        return int.from_bytes(self._key, "little")

    def __getitem__(self, name: str | SupportsIndex) -> Stream:
        if isinstance(name, str):
            if not name:
                raise ValueError("a stream's child needs a name of at least one character, got ''")
            return Stream._from_key(_core.fold(self._key, _NAME, name.encode("utf-8")))
        number = _integer(name, "a stream's child is named by a str or an int 0 .. 2**64 - 1")
        if not 0 <= number < _NUMBER_LIMIT:
            raise ValueError(f"the number of a stream's child is in 0 .. 2**64 - 1, got {number}")
        return Stream._from_key(_core.fold(self._key, _NUMBER, number.to_bytes(8, "little")))

    def _spawned(self, number: int) -> Stream:
        """Child `number` of a generator on this stream: never equal to a named or numbered
        child."""
        return Stream._from_key(_core.fold(self._key, _SPAWN, number.to_bytes(8, "little")))

    # Without these, Python would offer iteration and `in` through __getitem__, without end.
    __iter__ = None
    __contains__ = None

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Stream) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<fanin.Stream key=0x{self.key:032x}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Stream._from_key, (self._key,))


class Spawner:
    """What may stand for a seed and gives a child of its stream: a Generator."""

    def _next_child(self) -> Stream:
        raise NotImplementedError
