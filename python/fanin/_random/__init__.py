"""Words, and the laws drawn from them."""
