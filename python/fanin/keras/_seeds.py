"""What a Keras initializer's `seed` stands for: one stream a call."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np

import fanin

_KEYED = fanin.Stream(0).__reduce__()[0]  # the function that pickle makes a Stream with


@keras.saving.register_keras_serializable(package="fanin")
class StreamSeed:
    """A :class:`fanin.Stream` that counts its calls: call n draws from its child number n.

    Parameters
    ----------
    key : Stream, or str
        Its key in 32 hexadecimal digits, as `get_config` gives it.

    Examples
    --------
    >>> import fanin, fanin.keras
    >>> seed = fanin.keras.StreamSeed(fanin.Stream(0))
    >>> [seed.next_stream() == fanin.Stream(0)[n] for n in range(2)]
    [True, True]
    """

    def __init__(self, key: str | fanin.Stream) -> None:
        stream = key if isinstance(key, fanin.Stream) else _KEYED(bytes.fromhex(key)[::-1])
        self.stream: fanin.Stream = stream
        self.calls = 0

    def next_stream(self) -> fanin.Stream:
        """The stream of the next call."""
        self.calls += 1
        return self.stream[self.calls - 1]

    def get_config(self) -> dict[str, Any]:
        """The stream's key; a count is not kept."""
        return {"key": f"{self.stream.key:032x}"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StreamSeed:
        """A seed that begins with call 0."""
        return cls(**config)


StreamSeed.__module__ = "fanin.keras"


class _LiveConfig(dict[str, Any]):
    """The configuration of a StreamSeed that remembers it, so that a clone made from it in this
    process goes on counting: the projections of an attention layer are clones of one
    initializer."""

    def __init__(self, seed: StreamSeed) -> None:
        super().__init__(keras.saving.serialize_keras_object(seed))
        self.seed = seed


def read_seed(seed: Any) -> Any:
    """An int, a SeedGenerator or a StreamSeed for whatever Keras or fanin takes as a seed."""
    if isinstance(seed, (fanin.Stream, fanin.Generator)):
        return StreamSeed(seed if isinstance(seed, fanin.Stream) else seed.spawn(1)[0].stream)
    if isinstance(seed, _LiveConfig):
        return seed.seed
    if isinstance(seed, dict):
        return keras.saving.deserialize_keras_object(seed)
    if seed is None:
        return random.randint(1, int(1e9))  # as Keras draws it; keras.utils.set_random_seed sets it
    if isinstance(seed, (StreamSeed, keras.random.SeedGenerator)):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(
            "`seed` argument should be an instance of `keras.random.SeedGenerator()` or an "
            f"integer, or a fanin.Stream or fanin.Generator. Received: seed={seed}"
        )
    fanin.Stream(seed)  # refuses what is out of range
    return seed


def seed_config(given: Any, seed: Any) -> Any:
    """What `get_config` says of a seed, `given` to the constructor and read as `seed`."""
    if isinstance(seed, StreamSeed):
        return _LiveConfig(seed)
    return None if given is None else keras.saving.serialize_keras_object(seed)


def next_stream(seed: Any) -> fanin.Stream:
    """The stream of one call: an int's is always the same, the others give a new one."""
    if isinstance(seed, int):
        return fanin.Stream(seed)
    if isinstance(seed, StreamSeed):
        return seed.next_stream()
    words = np.asarray(keras.ops.convert_to_numpy(seed.next())).astype(np.uint64)
    return fanin.Stream(int(words[0]))[int(words[1])]
