"""One row a scheme, its writer above it."""
