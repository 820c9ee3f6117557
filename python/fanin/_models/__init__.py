"""Which tensors a model has, and the plan that writes them."""
