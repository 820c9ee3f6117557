"""`init_`: every parameter and buffer of a module, by its name, from the record of its own code."""

from __future__ import annotations

import fnmatch
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

import fanin
from fanin._models.plan import Plan
from fanin._models.tensors import PlanTensor
from fanin._schemes.rules import Rule, Rules, RulesLike

from ._fills import fill_recorded, fill_run, is_fillable, is_kind, try_rule, write_rule
from ._flat import Run, flat_runs
from ._memory import foreign
from ._names import NamedTensor, check_module, named_tensors
from ._recording import recorded
from ._shards import check_sharded, is_distributed

__all__ = ["InitReport", "init_"]


@dataclass(frozen=True)
class InitReport:
    """What `init_` did, by names; ``str()`` of it is a table.

    Attributes
    ----------
    filled : tuple of str
        Parameters and buffers that were filled.
    tied : tuple of str
        Further names of those.
    loaded : tuple of str
        Left alone: they carry ``_is_hf_initialized``, as loaded weights do.
    frozen : tuple of str
        Left alone: they need no gradient, and the record says nothing of them.
    skipped : tuple of str
        Left alone: quantised or integer parameters, names outside `only`, and what could not be
        recorded.
    seconds : float
        How long it took, the record included.
    """

    filled: tuple[str, ...]
    tied: tuple[str, ...]
    loaded: tuple[str, ...]
    frozen: tuple[str, ...]
    skipped: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        rows = []
        for kind in ("filled", "tied", "loaded", "frozen", "skipped"):
            names = getattr(self, kind)
            some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            rows.append(f"{kind:8} {len(names):6}  {some}".rstrip())
        return "\n".join([*rows, f"seconds  {self.seconds:6.2f}"])


InitReport.__module__ = "fanin.torch"  # where users import it


class _Task(NamedTuple):
    """One tensor to fill, whole, or a run of it in a flat parameter."""

    tensor: torch.Tensor
    record: PlanTensor | None
    rule: Rule | None
    name: str
    shape: tuple[int, ...]
    start: int | None
    """Where the run begins; None: the whole tensor."""


def init_(
    module: nn.Module,
    rules: RulesLike = None,
    seed: Any = 0,
    how: Callable[[nn.Module], object] | Plan | None = None,
    only: str | Sequence[str] | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
) -> InitReport:
    """Fill every parameter and buffer of a module in place, each by its name.

    Parameters
    ----------
    module : Module
        On any device, sharded or not (DTensor, FSDP2; FSDP1 with a Plan recorded before wrapping):
        each process fills what it holds and sends nothing. Meta tensors need ``to_empty`` first.
    rules : mapping or sequence, optional
        ``(pattern, scheme, arguments)`` over the record; the first that matches any of a
        tensor's names wins. Schemes by name
        read weights in torch's order (layout "oi") unless the arguments say otherwise. Each is
        tried on an empty part first. Integer tensors keep their record.
    seed : int, Stream or Generator
        Tensor ``name`` draws from ``Stream(seed)[name]``, so it changes with nothing else.
    how : callable or Plan, optional
        As in `record`: the code whose laws are taken, or the record itself. None is the
        ``reset_parameters`` of each module (of transformers, the model's own code). What no such
        code writes has the law of the memory that is there, if that is one number, which after
        ``to_empty`` says nothing: for such a model give ``how=record(factory)``.
    only : str or sequence of str, optional
        Patterns of the names to fill; all others are left alone.
    progress : bool or callable, optional
        True: a line on stderr; a callable is given (bytes done, bytes in all).

    Returns
    -------
    InitReport

    Raises
    ------
    TypeError, ValueError
        A tensor on meta, a rule, a pattern or a Plan that matches nothing, a scheme that refuses
        its arguments or the dtype, shapes that are not the record's, a module that FSDP2 has
        gathered; before anything is written.

    >>> import torch
    >>> from fanin import torch as init
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))
    >>> done = init.init_(model, {"0.bias": "zeros"}, seed=1)
    >>> done.filled
    ('0.weight', '0.bias', '1.weight', '1.bias')
    """
    started = time.perf_counter()
    check_module(module, "init_")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise TypeError(f"progress is a bool or a callable, got {progress!r}")
    check_sharded(module)
    rules = Rules(rules)
    plan, unknown = recorded(module, how)
    runs = list(flat_runs(module))
    rows = _outside(runs, named_tensors(module))
    names = [n for row in rows for n in (row.name, *row.tied)] + [run.name for run in runs]
    rules.check(names)
    if isinstance(how, Plan):
        _check_plan(plan, names)
    patterns = _patterns(only, names)
    root = _root(seed)

    report: dict[str, list[str]] = {k: [] for k in ("tied", "loaded", "frozen", "skipped")}
    tasks = _tasks(rows, runs, _Source(plan, rules), patterns, report)
    total = sum(_nbytes(task.tensor) for task in tasks)
    with _Telling(progress, total) as tell, torch.no_grad():
        for task in tasks:
            _fill(task, root)
            tell(_nbytes(task.tensor))
    report["tied"] += [
        n for task in tasks if task.record is not None for n in task.record.tied if n in names
    ]
    _tie_again(module, plan, rows)
    filled = tuple(dict.fromkeys(task.name for task in tasks))
    said = {*filled, *(name for names in report.values() for name in names)}
    report["skipped"] += [name for name in unknown if name not in said]
    kinds = {kind: tuple(dict.fromkeys(found)) for kind, found in report.items()}
    return InitReport(filled, seconds=time.perf_counter() - started, **kinds)


class _Source:
    """What fills a tensor: its row of the record and the rule that says otherwise."""

    def __init__(self, plan: Plan, rules: Rules) -> None:
        tensors: tuple[PlanTensor, ...] = plan.tensors
        self._rows = {name: tensor for tensor in tensors for name in (tensor.name, *tensor.tied)}
        self._rules = rules

    def of(self, *names: str) -> tuple[PlanTensor | None, Rule | None]:
        """For a tensor of these names."""
        record = next((self._rows[name] for name in names if name in self._rows), None)
        known = () if record is None else (record.name, *record.tied)
        return record, self._rules.match(*known, *names)


def _outside(runs: Sequence[Run], rows: Iterable[NamedTensor]) -> list[NamedTensor]:
    """The tensors that lie in no flat parameter, and are none."""
    inside = {run.name for run in runs}
    return [
        row for row in rows
        if row.name not in inside and not any(run.flat is row.tensor for run in runs)
    ]  # fmt: skip


def _tasks(
    rows: Sequence[NamedTensor],
    runs: Sequence[Run],
    source: _Source,
    patterns: tuple[str, ...] | None,
    report: dict[str, list[str]],
) -> list[_Task]:
    """What is to be filled, checked; names that are left alone go into the report."""
    tasks = []
    for row in rows:
        record, rule = source.of(row.name, *row.tied)
        if not (row.tensor.is_floating_point() or row.tensor.is_complex()):
            rule = None  # as counters and masks, which "*" is not meant for
        kind = _left_alone(row, record, rule, patterns)
        if kind:
            report[kind].append(row.name)
        else:
            tasks.append(_task(row, record, rule))
    for run in runs:
        record, rule = source.of(run.name)
        if record is None and rule is None or not _wanted((run.name,), patterns):
            report["skipped"].append(run.name)
        else:
            tasks.append(_run_task(run, record, rule))
    for task in tasks:
        _check(task)
    return tasks


def _root(seed: Any) -> fanin.Stream:
    if isinstance(seed, fanin.Generator):
        child: fanin.Stream = seed.spawn(1)[0].stream
        return child
    return seed if isinstance(seed, fanin.Stream) else fanin.Stream(seed)


def _patterns(only: str | Sequence[str] | None, names: Iterable[str]) -> tuple[str, ...] | None:
    if only is None:
        return None
    if not isinstance(only, Iterable):
        raise TypeError(f"only is a pattern or a sequence of patterns, got {only!r}")
    patterns = (only,) if isinstance(only, str) else tuple(only)
    Rules([(pattern, "zeros") for pattern in patterns]).check(names)
    return patterns


def _check_plan(plan: Plan, names: Sequence[str]) -> None:
    """Refuse a plan of another model."""
    tensors: tuple[PlanTensor, ...] = plan.tensors
    known = {name for tensor in tensors for name in (tensor.name, *tensor.tied)}
    if names and known and known.isdisjoint(names):
        raise ValueError(
            f"the plan has none of the {len(names)} names of the module: it has "
            f"{tensors[0].name}, the module {names[0]}"
        )


def _wanted(names: Iterable[str], patterns: tuple[str, ...] | None) -> bool:
    return patterns is None or any(fnmatch.fnmatchcase(n, p) for n in names for p in patterns)


def _left_alone(
    row: NamedTensor,
    record: PlanTensor | None,
    rule: Rule | None,
    patterns: tuple[str, ...] | None,
) -> str:
    """Why a tensor is not filled, as a field of the report; "" if it is."""
    if getattr(row.tensor, "_is_hf_initialized", False):
        return "loaded"
    if not _wanted((row.name, *row.tied), patterns) or foreign(row.tensor):
        return "skipped"
    tensor = row.tensor
    if record is None and rule is None:
        return "skipped" if row.is_buffer or tensor.requires_grad else "frozen"
    floats = tensor.is_floating_point() or tensor.is_complex()
    if not row.is_buffer and not (floats and is_kind(tensor, "normal")):
        return "skipped"
    return ""


def _task(row: NamedTensor, record: PlanTensor | None, rule: Rule | None) -> _Task:
    shape = tuple(row.tensor.shape)
    if row.tensor.is_meta:
        raise ValueError(
            f"{row.name} is on the meta device and has no memory; call "
            'module.to_empty(device="cpu") first, then init_'
        )
    _check_shape(row.name, shape, record)
    _check_memory(row)
    name = record.name if record is not None else row.name
    return _Task(row.tensor, record, rule, name, shape, None)


def _run_task(run: Run, record: PlanTensor | None, rule: Rule | None) -> _Task:
    _check_shape(run.name, run.shape, record)
    name = record.name if record is not None else run.name
    return _Task(run.view(), record, rule, name, run.shape, run.start)


def _check_shape(name: str, shape: tuple[int, ...], record: PlanTensor | None) -> None:
    if record is not None and record.shape != shape:
        raise ValueError(f"{name} has shape {shape}, its record {record.shape}")


def _check_memory(row: NamedTensor) -> None:
    """Refuse, before anything is written, a parameter that cannot be."""
    if row.is_buffer or is_distributed(row.tensor):
        return
    try:
        fillable = is_fillable(row.tensor, "normal")
    except RuntimeError as error:
        raise ValueError(f"{row.name}: {error}") from None
    if not fillable:
        raise ValueError(
            f"{row.name} cannot be written: it was made in inference mode, or it is a view that "
            "shows some memory several times; give the module a parameter of its own memory"
        )


def _check(task: _Task) -> None:
    """Have the scheme of a rule look at the shape, before anything is written."""
    if task.rule is None:
        return
    try:
        try_rule(task.rule, task.shape, task.tensor.dtype)
    except (TypeError, ValueError) as error:
        hint = ""
        if isinstance(error, TypeError) and not isinstance(task.rule.scheme, str):
            hint = "; a rule's callable is called as fanin.normal is: (shape, seed=, out=, index=)"
        raise type(error)(f"the rule {task.rule.pattern!r} on {task.name}: {error}{hint}") from None


def _fill(task: _Task, root: fanin.Stream) -> None:
    if task.rule is not None:
        write_rule(task.rule, task.shape, root[task.name], task.tensor, start=task.start)
    elif task.record is not None and task.start is not None:
        fill_run(task.tensor, task.record, root, task.start)
    elif task.record is not None:
        fill_recorded(task.tensor, task.record, root)


def _nbytes(tensor: torch.Tensor) -> int:
    return int(tensor.numel() * tensor.element_size())


class _Telling:
    """Tells of the progress, and ends the line."""

    def __init__(self, progress: Any, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __enter__(self) -> Callable[[int], None]:
        return self.add

    def add(self, nbytes: int) -> None:
        self.done += nbytes
        if self.progress is True:
            part = self.done / max(1, self.total)
            sys.stderr.write(f"\rinit_ {part:4.0%} of {self.total / 1e9:.2f} GB")
        elif callable(self.progress):
            self.progress(self.done, self.total)

    def __exit__(self, *exception: object) -> None:
        if self.progress is True:
            sys.stderr.write("\n")


def _tie_again(module: nn.Module, plan: Plan, rows: list[NamedTensor]) -> None:
    """Restore ties that to_empty has undone; the values are equal already.

    By ``tie_weights()`` where there is one; else the first name's tensor takes the place of the
    others, unless something shards them and holds them by itself.
    """
    tensors: tuple[Any, ...] = plan.tensors
    tied = {name: tensor.name for tensor in tensors for name in tensor.tied}
    untied = [row for row in rows if row.name in tied]
    tie = getattr(module, "tie_weights", None)
    if untied and callable(tie):
        tie()
        return
    first = {row.name: row.tensor for row in rows}
    for row in untied:
        one = first.get(tied[row.name])
        if one is None or is_distributed(one) or is_distributed(row.tensor):
            continue
        if (one.shape, one.dtype, one.device) == (
            row.tensor.shape, row.tensor.dtype, row.tensor.device
        ):  # fmt: skip
            _put(module, row.tensor, one)


def _put(root: nn.Module, old: torch.Tensor, new: torch.Tensor) -> None:
    """One tensor in every place of another."""
    for module in root.modules():
        groups: list[dict[str, Any]] = [module._parameters, module._buffers]
        for group in groups:
            for name, tensor in group.items():
                if tensor is old:
                    group[name] = new
