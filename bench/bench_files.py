"""Whole models to files: 1.07e9 bfloat16 weights in the shapes of a Llama, and what they cost.

python bench/bench_files.py --threads 2 --save

`tmpfs` (in /dev/shm) is compared with building the same list in torch and saving it with
safetensors, each to a new file; `ready` (in /dev/shm) and `disk` (in the folder of TMPDIR) with
writing a ready buffer of the same size in the same pieces, with the same reservation, fsync and
rename: left to the kernel until the fsync, or with the disk told of each piece; the faster counts.
`memory`, `plan` and `config` are processes of their own: the peak of resident memory while 7.1e9
parameters are written, above that after import; the time and the peak of the plan of a Llama with
406e9 parameters and of one of its shards, and of the same plan from a config.json by transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from bench_models import LAW, STD, llama_shapes
from harness import main, timed

import fanin
from fanin import _core
from fanin._bench import peers as _peers
from fanin._bench.peers import Contender
from fanin._bench.timing import Report, Row, against, assert_moments

PIECE = 4 << 20
MEGABYTE = 1 << 20


def plan() -> fanin.Plan:
    """The list of `bench_models` as a plan."""
    return fanin.Plan(
        "llama-shaped",
        tuple(
            fanin.PlanTensor(name, shape, "normal", {"scale": STD})
            for name, shape in llama_shapes().items()
        ),
    )


@contextmanager
def folder(parent: str | None) -> Iterator[Path]:
    """A new folder, removed at the end."""
    made = tempfile.mkdtemp(dir=parent, prefix="fanin-bench-")
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


class Written:
    """A file that is removed when it is dropped, after the clock has stopped."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __del__(self) -> None:
        self._path.unlink(missing_ok=True)


def own(path: Path, what: str, threads: int, *, fresh: bool) -> Contender:
    """Our file, new in each call if `fresh`, else replaced; its first tensor is checked once."""
    model = plan()

    def run() -> Any:
        model.write(path, seed=0, dtype="bfloat16", threads=threads)
        return Written(path) if fresh else None

    made = run()
    _, entries = fanin.files.read_safetensors_header(path)
    entry = next(iter(entries.values()))
    values = np.memmap(path, ml_dtypes.bfloat16, "r", entry.start, entry.shape)
    assert_moments(np.array(values), LAW, "fanin's file")
    del made, values
    return Contender("fanin", what, f"{threads} thr", run, model.parameters)


def tmpfs(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Beside torch, which builds the list in memory and saves it."""
    if not _peers.installed("torch") or "torch" not in choice.peers:
        return
    import torch
    from safetensors.torch import save_file

    what = "Llama-shaped file, 1.07e9 bfloat16, tmpfs"
    with folder("/dev/shm") as place:

        def theirs() -> Any:
            torch.set_num_threads(threads)
            made = {
                name: torch.empty(shape, dtype=torch.bfloat16).normal_(0.0, STD)
                for name, shape in llama_shapes().items()
            }
            save_file(made, place / "theirs.safetensors")
            return Written(place / "theirs.safetensors")

        ours = own(place / "ours.safetensors", what, threads, fresh=True)
        torch_one = Contender("torch", f"{what}, save_file", f"{threads} thr", theirs, ours.values)
        timing = timed(report, choice, [ours, torch_one], checked=False)
        report.rows += against(timing, ours, "torch", 10.0 if threads == 2 else None)


def ready_in_tmpfs(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Beside a ready buffer there."""
    beside_buffer(report, choice, threads, "tmpfs", "/dev/shm")


def beside_buffer(
    report: Report, choice: argparse.Namespace, threads: int, where: str, parent: str | None
) -> None:
    """Beside a ready buffer of the same size; tmpfs reserves nothing, as our writer there."""
    what = f"Llama-shaped file, 1.07e9 bfloat16, {where}"
    with folder(parent) as place:
        ours = own(place / "ours.safetensors", what, threads, fresh=False)
        ours.run()
        size = (place / "ours.safetensors").stat().st_size
        ready = np.fromfile(place / "ours.safetensors", np.uint8)
        path, hidden = place / "ready", place / ".ready.tmp"

        def write(told: bool) -> Any:
            with open(hidden, "wb") as file:
                if parent is None:
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    os.ftruncate(file.fileno(), size)

                def piece(start: int) -> None:
                    count = os.pwrite(file.fileno(), ready[start : start + PIECE].data, start)
                    if told:
                        _core.start_writing(file.fileno(), start, count)

                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(piece, range(0, size, PIECE)))
                os.fsync(file.fileno())
            os.replace(hidden, path)
            return None

        buffers = [
            Contender("ready buffer", f"{what}{how}", f"{threads} thr", partial(write, told),
                      ours.values)
            for how, told in (("", False), (", disk told", True))
        ]  # fmt: skip
        timing = timed(report, choice, [ours, *buffers], checked=False)
        best = timing.best("ready buffer")
        assert best is not None
        rates = [size / timing.seconds[name] / 1e9 for name in (ours.name, best)]
        ratio = rates[0] / rates[1]
        report.rows.append(Row(f"{what}, {threads} thr", *rates, "GB/s", best, ratio, "of it", 0.9))


def disk(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """On a disk, where the rate of a ready buffer is the limit."""
    beside_buffer(report, choice, threads, "disk", None)


START = """
import json, sys, time
import fanin

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10

fanin.Plan
before, begin = peak(), time.perf_counter()
"""
PLANNED = f"""{START}
plan = fanin.Plan.from_config(sys.argv[1])
plan.check("bfloat16")
print(json.dumps([plan.parameters, time.perf_counter() - begin, peak() - before]))
"""
CHILD = f"""{START}
plan = fanin.Plan.for_model("llama-7b", **json.loads(sys.argv[2]))
planned = time.perf_counter() - begin
plan.nbytes
only = json.loads(sys.argv[3])
size = plan.write(sys.argv[1], seed=0, dtype="bfloat16", threads=int(sys.argv[4]), **only)
print(json.dumps([plan.parameters, planned, time.perf_counter() - begin, peak() - before, size]))
"""


def child(place: Path, sizes: dict[str, int], options: dict[str, Any], threads: int) -> list[Any]:
    """Write a model in a process of its own: parameters, seconds of plan and all, peak, bytes."""
    words = [str(place / "model"), json.dumps(sizes), json.dumps(options), str(threads)]
    return parsed(CHILD, words)


def parsed(code: str, words: list[str]) -> list[Any]:
    """The JSON that a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], check=True, capture_output=True, text=True
    )
    result: list[Any] = json.loads(done.stdout)
    return result


def memory(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """The peak of resident memory while 7.1e9 parameters are written."""
    allowed = 64 * threads + 64
    with folder(None) as place:
        count, _, seconds, peak, size = child(place, {"layers": 34}, {"shard_size": "5GB"}, threads)
    title = f"memory to write {count / 1e9:.1f}e9 bfloat16 ({size / 1e9:.1f} GB in {seconds:.0f} s)"
    used = peak / MEGABYTE
    report.rows.append(
        Row(title, used, allowed, "MiB", "64 MiB a thread and 64", used / allowed, "of it", 1.0,
            at_most=True)
    )  # fmt: skip


def large_plan(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """The plan of Llama 3.1 405B, and its last shard alone."""
    sizes = {"layers": 126, "width": 16384, "inner": 53248, "heads": 128, "key_heads": 8,
             "vocabulary": 128256}  # fmt: skip
    with folder(None) as place:
        options = {"shard_size": "5GB", "only": 100}
        count, planned, seconds, peak, size = child(place, sizes, options, threads)
    what = f"one shard ({size / 1e9:.1f} GB) of {count / 1e9:.0f}e9 parameters"
    used = peak / MEGABYTE
    title = f"plan of {count / 1e9:.0f}e9 parameters"
    report.rows += bounded(title, planned, f"memory of {what}", used)


def bounded(title: str, seconds: float, of_memory: str, used: float) -> list[Row]:
    """The rows of a time and a memory below 10 s and 2 GiB."""
    return [
        Row(title, seconds, 10.0, "s", "10 s", seconds / 10, "of it", 1.0, at_most=True),
        Row(of_memory, used, 2048.0, "MiB", "2 GiB", used / 2048, "of it", 1.0, at_most=True),
    ]


CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16384,
    "intermediate_size": 53248, "num_hidden_layers": 126, "num_attention_heads": 128,
    "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
}  # fmt: skip


def config(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """The same plan from its config.json, which torch and transformers read, their import with
    it."""
    if not _peers.installed("torch"):
        return
    with folder(None) as place:
        (place / "config.json").write_text(json.dumps(CONFIG))
        count, seconds, peak = parsed(PLANNED, [str(place)])
    what = f"plan of {count / 1e9:.0f}e9 parameters from config.json, transformers imported"
    report.rows += bounded(what, seconds, f"memory of the {what}", peak / MEGABYTE)


if __name__ == "__main__":
    raise SystemExit(
        main(
            "files",
            __doc__ or "",
            {
                "tmpfs": tmpfs,
                "ready": ready_in_tmpfs,
                "disk": disk,
                "memory": memory,
                "plan": large_plan,
                "config": config,
            },
        )
    )
