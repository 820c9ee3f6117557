"""The commands `init`, `plan` and `verify`: whole models on disk."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

import fanin
from fanin._models import catalogue, plan_table
from fanin._models.dtypes import resolved
from fanin._models.measuring import Measured, measure
from fanin._models.plan import Plan
from fanin._models.plan_data import canonical, tensor_to_data
from fanin._models.plan_file import read_json
from fanin._models.storing import FILES
from fanin.files import _shards

from . import _tables
from ._console import console, progress
from ._options import (
    DTypeOption,
    ForceOption,
    JsonOption,
    QuietOption,
    ThreadsOption,
    check_seed,
    refuse_existing,
)

__all__ = ["register"]

INTERRUPTED = 130

#: Larger models are not read again for the table: `fanin verify` compares every byte.
_MEASURED_UP_TO = 4_000_000_000

#: A number of a shard: as many digits as the names of a million shards have.
_SHARD_NUMBER = re.compile("[0-9]{1,6}")

#: Endings of other formats: such a name is a slip, not a folder.
_OTHER_FORMATS = (".pt", ".pth", ".bin", ".ckpt", ".h5", ".npz", ".gguf", ".onnx", ".msgpack")

SourceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A name of `fanin init --list`, a config.json of transformers, a plan (.toml, .json) "
        "or a .safetensors file to take names and shapes from.",
    ),
]
SizeOption = Annotated[
    list[str] | None,
    typer.Option("--size", metavar="NAME=INT", help="Another size of a named model: layers=2."),
]


OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="A name ending in .safetensors or .npy is a file, any other a folder "
        "(default: MODEL.safetensors).",
    ),
]
ModelSeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="INT", help="Which weights, 0 to 2^128 - 1 (default: the plan's, 0)."
    ),
]
ShardSizeOption = Annotated[
    str | None,
    typer.Option(
        "--shard-size", metavar="SIZE", help="The most bytes of a file of a folder: 5GB, 5GiB."
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Keep the files of an earlier run that are whole.")
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        "--only", metavar="NUMBERS", help="Shards to write, as 1,4-6: for several writers at once."
    ),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="One line per tensor: layers not grouped.")
]
ListOption = Annotated[bool, typer.Option("--list", help="List the architectures and leave.")]


def init(
    model: SourceArgument = None,
    out: OutOption = None,
    dtype: DTypeOption = None,
    seed: ModelSeedOption = None,
    size: SizeOption = None,
    shard_size: ShardSizeOption = None,
    resume: ResumeOption = False,
    only: OnlyOption = None,
    force: ForceOption = False,
    threads: ThreadsOption = None,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    show_list: ListOption = False,
) -> None:
    """Write a freshly initialised model, straight to disk.

    Names and shapes are those of transformers, the scheme is the published one. Every tensor has
    its own stream, `fanin.Stream(seed)[name]`; the bytes depend on plan, dtype and seed only.

    Each file appears complete or not at all. The table shows the standard deviation that each
    scheme asks for, and the one of the bytes in the file, which are read again.
    """
    if show_list:
        _show_models(model, as_json)
        return
    plan = _plan_of(model, size)
    check_seed(seed)
    seed = seed if seed is not None else plan.seed or 0
    path = out or Path(f"{model if model in catalogue.MODELS else 'model'}.safetensors")
    is_file = _is_file(path, shard_size, only)
    numbers = None if only is None else _numbers(only)
    replaced = is_file and path.is_file()
    if not force and not resume and is_file:
        refuse_existing(path)

    begin = time.perf_counter()
    with (
        _ends_in_words(is_file),
        progress(f"writing {path.name}", quiet=quiet or as_json) as report,
    ):
        written = plan.write(
            path, seed=seed, dtype=dtype, shard_size=shard_size, resume=resume, only=numbers,
            threads=threads, progress=report, replace=force,
        )  # fmt: skip
    seconds = time.perf_counter() - begin
    named = dtype or plan.dtype or "float32"
    part = plan if numbers is None else _part(plan, path, numbers)
    if as_json:
        facts = {
            "path": os.fspath(path), "model": plan.model, "parameters": part.parameters,
            "tensors": len(part.tensors), "bytes": written, "seconds": round(seconds, 6),
            "seed": str(seed), "dtype": named, "stream": fanin.STREAM,
        }  # fmt: skip
        print(json.dumps(facts))
    elif not quiet:
        screen = console()
        if path.suffix != ".npy" and only is None and written <= _MEASURED_UP_TO:
            measured = _measured(path, threads)
            screen.print(_tables.tensors(plan.tensors, measured, grouped=not verbose))
        print(
            f"\n{path}: {plan.model}, {named}, seed {seed}, stream {fanin.STREAM}"
            f"{' (replaced)' if replaced else ''}"
        )
        totals = _tables.totals(
            numbers=part.parameters, count=len(part.tensors), size=written, seconds=seconds,
            resumed=resume,
        )  # fmt: skip
        screen.print(totals)


def _show_models(model: str | None, as_json: bool) -> None:
    """The architectures that have a name."""
    if model is not None:
        raise typer.BadParameter(f"--list names every model; `fanin plan {model}` shows one")
    models = catalogue.MODELS.values()
    if not as_json:
        console().print(_tables.models(models))
        return
    rows = {
        each.name: {
            "parameters": catalogue.parameters(each.tensors()), "architecture": each.architecture,
            "scheme": each.scheme, "source": each.source, "sizes": dict(each.sizes),
        }
        for each in models
    }  # fmt: skip
    print(canonical(rows))


def _part(plan: Plan, path: Path, numbers: Sequence[int]) -> Plan:
    """What stands in the shards of these numbers; without an index there is one file."""
    if not (path / _shards.INDEX).exists():
        return plan
    shard_of = _shards.read_index(path / _shards.INDEX)
    names = _shards.names(len(set(shard_of.values())))
    chosen = {names[number - 1] for number in numbers}
    return replace(plan, tensors=tuple(t for t in plan.tensors if shard_of[t.name] in chosen))


def _is_file(path: Path, shard_size: str | None, only: str | None) -> bool:
    """Whether the name is that of a file and not of a folder; options that do not fit it."""
    is_file = path.suffix in FILES
    if path.suffix in _OTHER_FORMATS:
        raise typer.BadParameter(
            f"--out {path}: the name must end in {' or '.join(FILES)}, or be that of a folder"
        )
    if is_file and (shard_size is not None or only is not None):
        raise typer.BadParameter("--shard-size and --only are for folders: --out FOLDER")
    if shard_size is not None:
        try:
            _shards.as_size(shard_size)
        except (ValueError, OverflowError) as error:
            raise typer.BadParameter(f"--shard-size: {error}") from None
    return is_file


@contextmanager
def _ends_in_words(is_file: bool) -> Iterator[None]:
    """What is left where the writing ends early, and what --force would do."""
    try:
        yield
    except KeyboardInterrupt:
        left = "nothing half is left"
        if not is_file:
            left += "; whole files stay, and --resume goes on from there"
        print(f"fanin: interrupted: {left}", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except FileExistsError as error:
        text = str(error.strerror)
        if text == os.strerror(errno.EEXIST):
            text += "; --force replaces what has the same name"
        raise FileExistsError(error.errno, text, error.filename) from None


def plan(
    model: SourceArgument = None,
    size: SizeOption = None,
    dtype: DTypeOption = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Write the plan to a .toml or .json file."),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Check only: the exit status says it.")
    ] = False,
) -> None:
    """Show which tensors a model has and what law each holds; nothing is drawn or written.

    The whole plan is checked as `fanin init` would: shapes, laws, dtypes, bytes.
    """
    found = _plan_of(model, size)
    total = found.check(dtype)
    if dtype is not None:
        found = _with_dtype(found, dtype)
    if save is not None:
        if save.suffix not in (".toml", ".json"):
            raise typer.BadParameter(f"--save {save}: the name must end in .toml or .json")
        found.save(save, replace=force)
    if quiet:
        return
    if as_json:
        rows = [tensor_to_data(tensor, {}) for tensor in found.tensors]
        print(canonical({
            "model": found.model, "parameters": found.parameters, "bytes": total, "tensors": rows,
        }))  # fmt: skip
        return
    console().print(_tables.plan(found))
    print(f"\n{plan_table.totals(found.model, found.tensors, total)}")


def verify(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A .safetensors file, or a folder of them.")
    ],
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing: the exit status says it.")
    ] = False,
) -> None:
    """Generate a file again from its own metadata, and compare every byte.

    Exit status 0 if all bytes are the same; 1 if not, with the first tensor and element that
    differ, or if a file of the folder is missing.
    """
    with progress(f"verifying {path.name}", quiet=quiet or as_json) as report:
        result = fanin.verify(path, threads=threads, progress=report)
    if as_json:
        first = result.first_difference
        facts: dict[str, Any] = {
            "ok": result.ok,
            "tensors": len(result.tensors),
            "first_difference": None if first is None else vars(first),
            "missing": result.missing,
            "by_hash": result.by_hash,
        }
        print(json.dumps(facts))
    elif not quiet:
        print(f"{path}: {'ok' if result.ok else 'NOT ok'}")
        print(result)
    if not result.ok:
        raise typer.Exit(1)


def _plan_of(model: str | None, size: Iterable[str] | None) -> Plan:
    """The plan that an argument names."""
    if model is None:
        raise typer.BadParameter("which model? `fanin init --list` names them all")
    sizes = {}
    for text in size or ():
        name, equals, value = text.partition("=")
        if not equals or not value.isascii() or not value.isdigit():
            raise typer.BadParameter(f"--size {text}: it is NAME=INT, as in layers=2")
        sizes[name] = int(value)
    kind = os.path.splitext(model)[1]
    if sizes and (kind or os.path.isdir(model)):
        raise typer.BadParameter("--size is for the models that `fanin init --list` names")
    if kind == ".toml":
        return Plan.from_file(model)
    if kind == ".json" and model.endswith(_shards.INDEX):
        return Plan.like(model)
    if kind == ".json":
        keys = read_json(model).keys()
        is_plan = "tensors" in keys or ("model" in keys and "model_type" not in keys)
        return Plan.from_file(model) if is_plan else Plan.from_config(model)
    if kind == ".safetensors":
        return Plan.like(model)
    if os.path.isdir(model) and model not in catalogue.MODELS:
        return Plan.from_config(model)
    try:
        return Plan.for_model(model, **sizes)
    except ValueError as error:
        files = "; files are .toml, .json or .safetensors" if kind else ""
        raise typer.BadParameter(f"{error}{files}") from None


def _with_dtype(plan: Plan, dtype: str) -> Plan:
    """The plan as it is written in a dtype."""
    tensors = tuple(
        replace(tensor, dtype=resolved(tensor.dtype, plan.dtype, dtype)) for tensor in plan.tensors
    )
    return replace(plan, tensors=tensors)


def _numbers(text: str) -> list[int]:
    """Numbers of shards: 1,4-6."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = [end.strip() for end in ((first, last) if dash else (first, first))]
        if not all(_SHARD_NUMBER.fullmatch(end) for end in ends) or int(ends[0]) > int(ends[1]):
            raise typer.BadParameter(f"--only {text}: it is numbers and ranges, as 1,4-6")
        numbers += range(int(ends[0]), int(ends[1]) + 1)
    return numbers


def _measured(path: Path, threads: int | None) -> dict[str, Measured]:
    """The tensors of a file, or of every shard of a folder."""
    files = [path]
    if path.suffix != ".safetensors":
        names = [n for n in os.listdir(path) if _shards.is_of_a_model(n) and n != _shards.INDEX]
        files = [path / name for name in sorted(names)]
    measured: dict[str, Measured] = {}
    with progress(f"measuring {path.name}", quiet=False) as report:
        for file in files:
            measured |= measure(file, threads=threads, progress=report)
    return measured


def register(app: typer.Typer) -> None:
    """Add the commands to `fanin`."""
    for command in (init, plan, verify):
        app.command()(command)
