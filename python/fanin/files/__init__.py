"""Whole files on disk: complete under their name, or not there at all."""

from ._pieces import Entry, Tensor, read_safetensors_header, write_npy, write_safetensors

__all__ = ["Entry", "Tensor", "read_safetensors_header", "write_npy", "write_safetensors"]
