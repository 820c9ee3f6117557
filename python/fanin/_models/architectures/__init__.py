"""Architectures: the tensors of each, by sizes or by the config.json of transformers."""
