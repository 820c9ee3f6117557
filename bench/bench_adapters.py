"""fanin.keras, fanin.jax and fanin.dask beside what they replace, each ratio in one run.

    python bench/bench_adapters.py --save

Each backend of Keras is a process of its own; the slowest of fanin is compared with the fastest of
Keras. The contenders of a process take turns (A, B, A, B, ...) and each keeps its least time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KERAS_SHAPE, JAX_SIZE, DASK_SIZE, MATRIX = (4096, 4096), 50_000_000, 100_000_000, 4096
MOST_EXCESS = 64.0  # MiB
PEERS = {
    "keras HeNormal": "Keras on its fastest backend",
    "keras TruncatedNormal": "Keras on its fastest backend",
    "jax truncated_normal": "jax.nn.initializers",
    "dask normal": "dask.array.random",
    "dask orthogonal, 4 column chunks": "one call of fanin.orthogonal",
}
REQUIRED = {
    "keras HeNormal": 5.0,
    "keras TruncatedNormal": 5.0,
    "jax truncated_normal": 10.0,
    "dask normal": 5.0,
    "dask orthogonal, 4 column chunks": 1 / 1.3,
}


def least(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The least time of each, in seconds, one turn after the other; the first turn is not timed."""
    seconds = dict.fromkeys(contenders, float("inf"))
    for turn in range(rounds + 1):
        for name, call in contenders.items():
            start = time.perf_counter()
            made = call()
            if turn:
                seconds[name] = min(seconds[name], time.perf_counter() - start)
            del made
    return seconds


def excess(call: Callable[[], Any], nbytes: int) -> float:
    """Bytes that a call takes at its peak beyond its result, as the system counts them."""
    call()  # what the framework loads at its first call is none of the values' memory
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    before = resident("VmRSS")
    made = call()
    grown = resident("VmHWM") - before - nbytes
    del made
    return max(0.0, grown)


def resident(what: str) -> int:
    """Bytes of memory that the process has (VmRSS) or has had at its peak (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if what in line) * 1024


def keras(rounds: int) -> dict[str, Any]:
    """Of the backend that the environment names."""
    import keras

    import fanin.keras

    def ready(init: Any) -> Callable[[], Any]:
        def run() -> Any:
            made = init(KERAS_SHAPE)
            return made.block_until_ready() if hasattr(made, "block_until_ready") else made

        return run

    found = {}
    for name in ("HeNormal", "TruncatedNormal"):
        ours = ready(getattr(fanin.keras, name)(seed=1))
        if name == "HeNormal":
            found["excess MiB"] = excess(ours, 4 * KERAS_SHAPE[0] * KERAS_SHAPE[1]) / 2**20
        theirs = ready(getattr(keras.initializers, name)(seed=1))
        found[name] = least({"fanin": ours, "theirs": theirs}, rounds)
    layers = [keras.layers.Dense(KERAS_SHAPE[1]) for _ in range(2)]
    model = keras.Sequential([keras.Input((KERAS_SHAPE[0],)), *layers])
    new_value = 4 * KERAS_SHAPE[0] * KERAS_SHAPE[1]  # of one variable; JAX's arrays never change
    found["init_ excess MiB"] = excess(lambda: fanin.keras.init_(model, 1), new_value) / 2**20
    return found


def jax(rounds: int) -> dict[str, Any]:
    """The initializer outside jit, and JAX's own."""
    import jax

    import fanin.jax

    key = jax.random.key(1)

    def of(module: Any) -> Callable[[], Any]:
        init = module.truncated_normal(1.0)
        return lambda: init(key, (JAX_SIZE,)).block_until_ready()

    ours = of(fanin.jax)
    more = excess(ours, 4 * JAX_SIZE) / 2**20
    return {
        "excess MiB": more,
        "truncated_normal": least({"fanin": ours, "theirs": of(jax.nn.initializers)}, rounds),
    }


def dask(rounds: int) -> dict[str, Any]:
    """The threaded scheduler with 2 workers."""
    import dask
    import dask.array as da

    import fanin.dask

    chunk = 1 << 22  # 16 MiB of float32

    def total(array: Any) -> Any:
        # Every chunk is made and dropped: what is timed is the drawing.
        return array.map_blocks(lambda x: x[:1], chunks=((1,) * array.npartitions,)).compute()

    dask.config.set(scheduler="threads", num_workers=2)
    ours = fanin.dask.normal(DASK_SIZE, seed=1, chunks=chunk)
    theirs = da.random.default_rng(1).normal(size=DASK_SIZE, chunks=chunk)
    single = theirs.astype("float32")  # NumPy draws float64 only
    matrix = fanin.dask.orthogonal((MATRIX, MATRIX), seed=1, chunks=MATRIX // 4)
    return {
        "excess MiB": distributed(ours, 4 * chunk) / 2**20,
        "normal": least({"fanin": lambda: total(ours), "theirs": lambda: total(single)}, rounds),
        "orthogonal": least(
            {
                "fanin": matrix.compute,
                "theirs": lambda: fanin.orthogonal((MATRIX, MATRIX), seed=1, threads=2),
            },
            max(1, rounds // 2),
        ),
    }


def distributed(array: Any, chunk: int) -> float:
    """Bytes that a worker of two takes at its peak beyond its chunk, of `chunk` bytes."""
    from dask.distributed import Client, LocalCluster

    def start() -> int:
        Path("/proc/self/clear_refs").write_text("5")
        return resident("VmRSS")

    def peak() -> int:
        return resident("VmHWM")

    sums = array.map_blocks(lambda x: x.sum(keepdims=True), chunks=((1,) * array.npartitions,))
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.compute(sums).result()  # what is loaded at the first task is none of the values'
        before = client.run(start)
        client.compute(sums).result()
        after = client.run(peak)
    return float(max(0, *(after[worker] - before[worker] - chunk for worker in before)))


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {"keras": keras, "jax": jax, "dask": dask}


def measure(part: str, rounds: int, **environment: str) -> dict[str, Any]:
    """A part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--rounds", str(rounds)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--part", choices=list(PARTS))
    options.add_argument("--rounds", type=int, default=8)
    options.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    options.add_argument("--json", type=Path)
    options.add_argument("--save", action="store_true")
    chosen = options.parse_args()
    if chosen.part:
        print(json.dumps(PARTS[chosen.part](chosen.rounds)))
        return
    rows: list[tuple[str, float, float]] = []
    raw: dict[str, Any] = {}
    if "keras" in chosen.only:
        backends = {
            name: measure("keras", chosen.rounds, KERAS_BACKEND=name, TF_CPP_MIN_LOG_LEVEL="3")
            for name in ("torch", "jax", "tensorflow")
        }
        raw["keras"] = backends
        for name in ("HeNormal", "TruncatedNormal"):
            ours = max(found[name]["fanin"] for found in backends.values())
            theirs = min(found[name]["theirs"] for found in backends.values())
            rows.append((f"keras {name}", ours, theirs))
    if "jax" in chosen.only:
        raw["jax"] = measure("jax", chosen.rounds)
        pair = raw["jax"]["truncated_normal"]
        rows.append(("jax truncated_normal", pair["fanin"], pair["theirs"]))
    if "dask" in chosen.only:
        raw["dask"] = measure("dask", chosen.rounds)
        for name, title in (
            ("normal", "dask normal"),
            ("orthogonal", "dask orthogonal, 4 column chunks"),
        ):
            pair = raw["dask"][name]
            rows.append((title, pair["fanin"], pair["theirs"]))
    memory = [(f"keras HeNormal on {backend}", found["excess MiB"])
              for backend, found in raw.get("keras", {}).items()]  # fmt: skip
    memory += [(f"keras init_ on {backend}", found["init_ excess MiB"])
               for backend, found in raw.get("keras", {}).items()]  # fmt: skip
    memory += [("jax truncated_normal", raw["jax"]["excess MiB"])] if "jax" in raw else []
    memory += [("dask normal, a worker of 2", raw["dask"]["excess MiB"])] if "dask" in raw else []
    for title, found in memory:
        print(f"{title:<34} {found:8.2f} MiB beyond the result, of {MOST_EXCESS:.0f}")
    for title, ours, theirs in rows:
        ratio = theirs / ours
        verdict = "pass" if ratio >= REQUIRED[title] else "falls short"
        print(
            f"{title:<34} {ours:8.3f} s {theirs:8.3f} s   {ratio:6.2f} x of {REQUIRED[title]:.2f}"
            f"  {verdict}"
        )
    if chosen.json or chosen.save:
        from harness import save

        from fanin._bench.machine import machine

        table = [
            {
                "title": title, "against": PEERS[title], "unit": "s",
                "ours": ours, "theirs": theirs,
                "compared": theirs / ours, "measure": "x", "required": REQUIRED[title],
                "at_most": False,
                "verdict": "pass" if theirs / ours >= REQUIRED[title] else "falls short",
            }
            for title, ours, theirs in rows
        ] + [
            {
                "title": f"{title}, memory beyond the result", "against": "64 MiB", "unit": "MiB",
                "ours": found, "theirs": MOST_EXCESS, "compared": found / MOST_EXCESS,
                "measure": "of it", "required": 1.0, "at_most": True,
                "verdict": "pass" if found <= MOST_EXCESS else "falls short",
            }
            for title, found in memory
        ]  # fmt: skip
        result = {
            "bench": "adapters",
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "threads": {"2": {"rows": table}},
            "raw": raw,
        }
        if chosen.json:
            chosen.json.write_text(json.dumps(result, indent=1) + "\n")
        if chosen.save:
            save(result)


if __name__ == "__main__":
    main()
