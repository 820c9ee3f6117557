"""BitGenerator: a stream's words for numpy.random, whose distributions then draw from them."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import BitGenerator as NumpyBitGenerator
from numpy.random import Generator as NumpyGenerator
from numpy.random.bit_generator import ISpawnableSeedSequence

from fanin import _core
from fanin._checks import as_count, as_integer
from fanin._public import public

from .doors import DOOR
from .seeds import Seed, as_stream, entropy_stream
from .stateless import random
from .streams import Stream

_NAME = "fanin.BitGenerator"
_MOST_CHILDREN = 1 << 20  # of one call: 6 kB each
_WORD_LIMIT = 1 << 63  # so that every address of every dtype fits 63 bits
_ID_LIMIT = 1 << 64


class StreamSeeds(ISpawnableSeedSequence):
    """What NumPy calls a seed sequence: a stream, and how many children it has had."""

    def __init__(self, stream: Stream, n_children_spawned: int = 0) -> None:
        self.stream = stream
        self.n_children_spawned = n_children_spawned
        self._counting = threading.Lock()

    @property
    def entropy(self) -> int:
        """The key of the stream."""
        return self.stream.key

    @property
    def spawn_key(self) -> tuple[int, ...]:
        """Empty: the key of a child holds the whole path to it."""
        return ()

    @property
    def pool(self) -> np.ndarray[Any, Any]:
        """The key in words of 32 bits, the lowest first."""
        return np.frombuffer(self.stream._key, "<u4").astype(np.uint32)

    @property
    def pool_size(self) -> int:
        """4: the key has 128 bits."""
        return len(self.pool)

    @property
    def state(self) -> dict[str, Any]:
        """What a SeedSequence says of itself."""
        names = ("entropy", "spawn_key", "pool_size", "n_children_spawned")
        return {name: getattr(self, name) for name in names}

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The first words of a child of its own, so that they are nobody else's."""
        size = np.dtype(dtype).itemsize
        if np.dtype(dtype) not in (np.dtype(np.uint32), np.dtype(np.uint64)):
            raise ValueError(f"only uint32 and uint64 words are made, got {np.dtype(dtype)}")
        tiles = -(-n_words * size // 128)
        words = _core.words(self.stream["generate_state"]._key, 0, 0, tiles)
        return words.astype("<u4").view(f"<u{size}")[:n_words].astype(dtype)

    def spawn(self, n_children: int) -> list[StreamSeeds]:
        """Sequences on the next spawned children of the stream."""
        count = as_count(as_integer(n_children, "n_children"), "n_children", 0, most=math.inf)
        if count > _MOST_CHILDREN:
            raise ValueError(
                f"spawn makes at most {_MOST_CHILDREN} children at a time, got {n_children}; "
                "Stream(seed)[number] makes one of any number"
            )
        with self._counting:
            first = self.n_children_spawned
            self.n_children_spawned += count
        return [StreamSeeds(self.stream._spawned(first + i)) for i in range(count)]

    def __reduce__(self) -> Any:
        return BitGenerator._seeds, (self.stream, self.n_children_spawned)

    def __repr__(self) -> str:
        return f"<seeds of {self.stream!r}, {self.n_children_spawned} children spawned>"


@public("fanin")
class BitGenerator(NumpyBitGenerator):
    """A fanin stream as a bit generator of `numpy.random`: all of NumPy's distributions on it.

    The words are those of the stream in order: ``next_uint32`` takes the next word,
    ``next_uint64``, ``random_raw`` and ``next_double`` the next two, the low half first. NumPy's
    distributions then decide how many they take.

    Parameters
    ----------
    seed : int, Stream, Generator or None
        As everywhere in fanin; a Generator gives its next child. None takes 128 bits of entropy
        from the operating system.

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

    def __init__(self, seed: Seed | StreamSeeds | None = None) -> None:
        if not isinstance(seed, StreamSeeds):
            seed = StreamSeeds(entropy_stream() if seed is None else as_stream(seed))
        super().__init__(seed)  # type: ignore[arg-type]  # NumPy's stub knows SeedSequence only
        self.seeds = seed
        self.cursor = _core.Cursor(self.capsule, self.lock, DOOR)
        self.cursor.seek(seed.stream._key, 0, 0)

    @property
    def stream(self) -> Stream:
        """The stream of the words."""
        return Stream._from_key(self.cursor.state()[0])

    @property
    def state(self) -> dict[str, Any]:
        """Name of the class, key of the stream, id (jumps) and number of the next word."""
        key, id, word = self.cursor.state()
        return {
            "bit_generator": _NAME,
            "state": {"key": int.from_bytes(key, "little"), "id": id, "word": word},
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
        key, id, word = (as_integer(inner[n], f"state's {n}") for n in ("key", "id", "word"))
        if not (0 <= key < 1 << 128 and 0 <= id < _ID_LIMIT and 0 <= word <= _WORD_LIMIT):
            raise ValueError(
                f"state needs a key below 2**128, an id below 2**64 and a word up to 2**63, "
                f"got {dict(inner)}"
            )
        with self.lock:
            self.cursor.seek(key.to_bytes(16, "little"), id, word)

    def advance(self, delta: int) -> BitGenerator:
        """Moves on (or back, if negative) as `delta` values of `random_raw` do: two words each.

        Raises
        ------
        TypeError
            If delta is no integer.
        ValueError
            If it leads before word 0 or beyond word 2**63. Nothing moves then.

        >>> import fanin
        >>> there, then = fanin.BitGenerator(0), fanin.BitGenerator(0).advance(10)
        >>> bool(there.random_raw(11)[-1] == then.random_raw())
        True
        """
        words = 2 * as_integer(delta, "delta")
        with self.lock:
            key, id, word = self.cursor.state()
            if not 0 <= word + words <= _WORD_LIMIT:
                raise ValueError(
                    f"delta must lead to a word in 0 .. 2**63, got {delta} at word {word}"
                )
            self.cursor.seek(key, id, word + words)
        return self

    def jumped(self, jumps: int = 1) -> BitGenerator:
        """A new one, at the same word after `jumps` times 2**66 words: the next id of the counter,
        which no draw of this one can reach."""
        count = as_integer(jumps, "jumps")
        state = self.state
        state["state"]["id"] += count
        if count < 0 or state["state"]["id"] >= _ID_LIMIT:
            raise ValueError(f"jumps must lead to an id in 0 .. 2**64 - 1, got {jumps}")
        other = type(self)(self.seeds)
        other.state = state
        return other

    def spawn(self, n_children: int) -> list[BitGenerator]:
        """`n_children` new ones, on the streams that `Generator.spawn` gives its children."""
        return [type(self)(seed) for seed in self.seeds.spawn(n_children)]

    def __reduce__(self) -> Any:
        seeds = self.seeds
        return type(self), (StreamSeeds(seeds.stream, seeds.n_children_spawned),), self.state

    @classmethod
    def _seeds(cls, stream: Stream, n_children_spawned: int) -> StreamSeeds:
        """What pickles name, in a public class."""
        return StreamSeeds(stream, n_children_spawned)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __repr__(self) -> str:
        return f"<{_NAME} on {self.stream!r}, word {self.state['state']['word']}>"


def _numpys(seed: BitGenerator | StreamSeeds | None = None) -> NumpyGenerator:
    return NumpyGenerator(seed if isinstance(seed, BitGenerator) else BitGenerator(seed))


# dask asks the package of a bit generator for this: with one, a child of its seed_seq, or nothing.
random.default_rng = _numpys  # type: ignore[attr-defined]
