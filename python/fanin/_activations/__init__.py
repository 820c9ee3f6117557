"""Activations, their Gaussian moments and gains."""
