"""Whole files on disk: complete under their name, or not there at all.

A file is written beside its target under a temporary name: the data first, the header last (eight
zero bytes stand in its place until then), then fsync, rename, and fsync of the folder. A process
that dies on the way leaves the old file as it was and a ``.tmp`` that no reader takes for a whole
file; the next write to the same target removes it. Nothing larger than a few pieces of
``PIECE_BYTES`` is ever in memory: worker threads each generate a piece and write it.
"""

from __future__ import annotations

from ._npy import write_npy
from ._records import Entry, Tensor
from ._safetensors import read_safetensors_header, write_safetensors

__all__ = ["Entry", "Tensor", "read_safetensors_header", "write_npy", "write_safetensors"]
