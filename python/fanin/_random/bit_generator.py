"""BitGenerator: a stream's words for numpy.random, whose distributions then draw from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import BitGenerator as NumpyBitGenerator
from numpy.random.bit_generator import ISpawnableSeedSequence

from fanin import _core
from fanin._public import public

from .seeds import as_stream
from .streams import Stream

if TYPE_CHECKING:
    from .generator import Generator

_NAME = "fanin.BitGenerator"
_WORD_LIMIT = 1 << 62  # so that as many words as anyone can draw are left after it
_ID_LIMIT = 1 << 64


class _StreamSeeds(ISpawnableSeedSequence):
    """What NumPy calls a seed sequence: a stream, and how many children it has had."""

    def __init__(self, stream: Stream, spawned: int = 0) -> None:
        self.stream = stream
        self.spawned = spawned

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The first words of a child of its own, so that they are nobody else's."""
        size = np.dtype(dtype).itemsize
        if np.dtype(dtype) not in (np.dtype(np.uint32), np.dtype(np.uint64)):
            raise ValueError(f"only uint32 and uint64 words are made, got {np.dtype(dtype)}")
        tiles = -(-n_words * size // 128)
        words = _core.words(self.stream["generate_state"]._key, 0, 0, tiles)
        return words.astype("<u4").view(f"<u{size}")[:n_words].astype(dtype)

    def spawn(self, n_children: int) -> list[_StreamSeeds]:
        """Sequences on the next spawned children of the stream."""
        first, self.spawned = self.spawned, self.spawned + n_children
        return [_StreamSeeds(self.stream._spawned(first + i)) for i in range(n_children)]


@public("fanin")
class BitGenerator(NumpyBitGenerator):
    """A fanin stream as a bit generator of `numpy.random`: all of NumPy's distributions on it.

    The words are those of the stream in order: ``next_uint32`` takes the next word,
    ``next_uint64``, ``random_raw`` and ``next_double`` the next two, the low half first. NumPy's
    distributions then decide how many they take.

    Parameters
    ----------
    seed : int, Stream or Generator
        As everywhere in fanin; a Generator gives its next child.

    Attributes
    ----------
    state : dict
        Key of the stream, id (the number of jumps) and number of the next word; may be set.

    Raises
    ------
    TypeError, ValueError
        For another seed, as `fanin.Stream`.

    >>> import numpy as np
    >>> import fanin
    >>> rng = np.random.Generator(fanin.BitGenerator(0))
    >>> rng.poisson(4.0, size=3).shape
    (3,)
    >>> bool((rng.random(2) == fanin.random(5, seed=0, dtype="float64")[-2:]).all())
    False
    >>> fresh = np.random.Generator(fanin.BitGenerator(0))
    >>> bool((fresh.random(5) == fanin.random(5, seed=0, dtype="float64")).all())
    True
    """

    def __init__(self, seed: int | Stream | Generator | _StreamSeeds) -> None:
        seeds = seed if isinstance(seed, _StreamSeeds) else _StreamSeeds(as_stream(seed))
        super().__init__(seeds)  # type: ignore[arg-type]  # NumPy's stub knows SeedSequence only
        self._seeds = seeds
        self._words = _core.bit_generator(self.capsule)
        self._seek(seeds.stream._key, 0, 0)

    def _seek(self, key: bytes, id: int, word: int) -> None:
        self._key, self._id = key, id
        _core.bit_generator_seek(self._words, key, id, word)

    @property
    def stream(self) -> Stream:
        """The stream of the words."""
        return Stream._from_key(self._key)

    @property
    def state(self) -> dict[str, Any]:
        """Name of the class, key of the stream, id (jumps) and number of the next word."""
        with self.lock:
            return {
                "bit_generator": _NAME,
                "state": {
                    "key": int.from_bytes(self._key, "little"),
                    "id": self._id,
                    "word": _core.bit_generator_tell(self._words),
                },
            }

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        if not isinstance(value, Mapping):
            raise TypeError(f"state must be a dict, got {type(value).__name__}")
        if value.get("bit_generator") != _NAME:
            raise ValueError(
                f"state must be that of a {_NAME}, got one of {value.get('bit_generator')!r}"
            )
        inner = value["state"]
        key, id, word = int(inner["key"]), int(inner["id"]), int(inner["word"])
        if not (0 <= key < 1 << 128 and 0 <= id < _ID_LIMIT and 0 <= word <= _WORD_LIMIT):
            raise ValueError(
                f"state needs a key below 2**128, an id below 2**64 and a word up to 2**62, "
                f"got {dict(inner)}"
            )
        with self.lock:
            self._seek(key.to_bytes(16, "little"), id, word)

    def jumped(self, jumps: int = 1) -> BitGenerator:
        """A new one, at the same word after `jumps` times 2**66 words: the next id of the counter,
        which no draw of this one can reach."""
        count = int(jumps)
        state = self.state
        state["state"]["id"] += count
        if count < 0 or state["state"]["id"] >= _ID_LIMIT:
            raise ValueError(f"jumps must lead to an id in 0 .. 2**64 - 1, got {jumps}")
        other = type(self)(self._seeds)
        other.state = state
        return other

    def spawn(self, n_children: int) -> list[BitGenerator]:
        """`n_children` new ones, on the streams that `Generator.spawn` gives its children."""
        if n_children < 0:
            raise ValueError(f"n_children must be at least 0, got {n_children}")
        with self.lock:
            seeds = self._seeds.spawn(n_children)
        return [type(self)(seed) for seed in seeds]

    def __getstate__(self) -> Any:
        return self.state, self._seeds.spawned

    def __setstate__(self, state: Any) -> None:
        self.state, self._seeds.spawned = state

    def __reduce__(self) -> Any:
        return type(self), (self._seeds.stream,), self.__getstate__()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BitGenerator):
            return NotImplemented
        return bool(self.__getstate__() == other.__getstate__())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{_NAME} on {self.stream!r}, word {self.state['state']['word']}>"
