"""One random array in three ways of chunks, and a matrix made by columns: always the same values.

Run ``python examples/dask_chunks.py``; it needs dask.
"""

from __future__ import annotations

import numpy as np

import fanin.dask


def main() -> None:
    """Compare chunks; check a matrix that no task held whole."""
    made = [
        fanin.dask.normal((2000, 3000), seed=0, chunks=chunks).compute()
        for chunks in ("auto", (500, 3000), (333, 777))
    ]
    equal = all(np.array_equal(made[0], other) for other in made)
    print("three ways of chunks, the same values:", equal)

    q = fanin.dask.orthogonal((1024, 512), seed=0, chunks=128, dtype="float64")
    error = abs((q.T @ q).compute() - np.eye(512)).max()
    print("columns made by four tasks are orthonormal to 1e-12:", bool(error < 1e-12))


if __name__ == "__main__":
    main()
