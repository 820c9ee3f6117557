"""`record`: which law a model's own code gives to each of its tensors, without drawing one."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from fanin._models.plan import Plan
from fanin._models.tensors import PlanTensor
from fanin._models.values import Literal, Norm, Part, Step, Value

from . import _hooks
from ._contents import Cell, Contents, Geometry, apart, box_of, draw_of, geometry_of, literal_of
from ._fills import decides_itself
from ._flat import flat_runs
from ._memory import dtype_of, foreign
from ._names import NamedTensor, named_tensors, within
from ._recorder import ADVICE, CannotRecord, Recorder
from ._shards import is_distributed
from ._standing_in import FLAG, flags_cleared, is_transformers, stand_ins

__all__ = ["record", "recorded"]

#: Elements of the largest tensor whose values are looked at.
_READ = 1 << 26
_INDEPENDENT = ("normal", "uniform", "truncated_normal", "zeros", "ones", "constant")
#: Held while stand-ins are in a module's places, where another thread would take them for its own.
_standing_in = threading.RLock()


def record(
    module_or_factory: nn.Module | Callable[[], nn.Module],
    how: Callable[[nn.Module], object] | Plan | None = None,
) -> Plan:
    """The law that the model's own code gives to each parameter and buffer; nothing is drawn.

    Parameters
    ----------
    module_or_factory : Module or callable
        A callable builds the model; it is called on the meta device, and construction is part of
        the record. A transformers model is built again from its configuration. Of any other module
        `how` alone is recorded; the module is left as it is. Each tensor has a law and a name: what
        the code copies from another drawn tensor has its law, and its own values.
    how : callable, optional
        Called with the module. None: transformers' ``initialize_weights`` if the module has it
        and its constructor has not run it, else ``reset_parameters`` of every submodule, inner
        ones first, ``initialize_weights`` of models of transformers among them (of what a factory
        has built: nothing more). A Plan is returned as it is.

    Returns
    -------
    fanin.Plan
        One tensor for each parameter and buffer, tied ones once. It needs no torch to be printed,
        saved, loaded or written.

    Raises
    ------
    ValueError
        A tensor that nothing wrote, or an operation that a record has no words for; the message
        names the module, the tensor and the operation.

    >>> import torch
    >>> from fanin import torch as init
    >>> plan = init.record(lambda: torch.nn.Linear(4, 3))
    >>> [(tensor.name, tensor.scheme) for tensor in plan.tensors]
    [('weight', 'uniform'), ('bias', 'uniform')]
    """
    plan, unknown = recorded(module_or_factory, how)
    if unknown:
        raise next(iter(unknown.values()))
    return plan


def recorded(module_or_factory: Any, how: Any = None) -> tuple[Plan, dict[str, CannotRecord]]:
    """The Plan of what could be recorded, and why the other tensors could not."""
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None:
        raise ValueError("a FakeTensorMode is open, and its tensors have no memory: leave it first")
    if isinstance(how, Plan):
        return how, {}
    if how is not None and not callable(how):
        raise TypeError(f"how is a callable that takes the module, or a Plan, got {how!r}")
    if not isinstance(module_or_factory, nn.Module):
        if not callable(module_or_factory):
            raise TypeError(
                "record takes a module or a callable that builds one, got "
                f"{type(module_or_factory).__name__}"
            )
        return _of_factory(module_or_factory, how)
    _, module = within(module_or_factory)
    if is_transformers(module) and _takes(type(module), module.config):
        rebuilt = _of_factory(lambda: _rebuilt(module), how)
        return _with_dtypes(rebuilt[0], module), rebuilt[1]
    return _of_module(module_or_factory, how)


def _takes(function: Callable[..., object], *arguments: object) -> bool:
    """Whether a call with these arguments alone is one, as far as a signature tells."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a function of C, whose signature nobody knows
        pass
    return True


def _rebuilt(module: nn.Module) -> nn.Module:
    config = copy.deepcopy(module.config)
    made: nn.Module = type(module)(config)
    return made


def _with_dtypes(plan: Plan, module: nn.Module) -> Plan:
    """The plan with the dtypes of the module itself."""
    have = {}
    for row in named_tensors(module):
        for name in () if foreign(row.tensor) else (row.name, *row.tied):
            have[name] = dtype_of(row.tensor.dtype).name
    tensors: tuple[Any, ...] = plan.tensors
    named = tuple(replace(t, dtype=have.get(t.name, t.dtype)) for t in tensors)
    return replace(plan, tensors=named)


def _of_factory(factory: Any, how: Any) -> tuple[Plan, dict[str, CannotRecord]]:
    recorder = Recorder()
    with _recording_into(recorder):
        module = factory()
        if not isinstance(module, nn.Module):
            raise TypeError(f"the factory built no module but {type(module).__name__}")
        done = how is None and _is_initialised(module)
        with torch.no_grad(), flags_cleared(module):
            if how is not None:
                how(module)
            elif hasattr(module, "initialize_weights") and not done:
                _call(module, "initialize_weights")
    return _described(module, recorder, {})


def _of_module(module: nn.Module, how: Any) -> tuple[Plan, dict[str, CannotRecord]]:
    """The record of `how` alone, run on tensors without memory that stand in for the module's."""
    recorder = Recorder()
    list(named_tensors(module))  # it refuses what has no shape
    if next(flat_runs(module), None) is not None:
        raise ValueError(
            "FSDP1 has flattened the parameters of the module: record the model before it is "
            "wrapped, plan = record(factory), and give how=plan"
        )
    scripted = [m for m in module.modules() if isinstance(m, torch.jit.ScriptModule)]
    if scripted:
        raise ValueError(
            f"nothing can stand in for the tensors of {scripted[0].original_name}, which torch.jit "
            "has compiled: record the model before that, plan = record(model), and give how=plan"
        )
    failed: dict[int, CannotRecord] = {}
    with _standing_in, stand_ins(module) as (originals, ties):
        with _recording_into(recorder), torch.no_grad():
            if how is None:
                _reset(module, failed)
            else:
                how(module)
        for group, name, stand_in, first in ties:
            if group.get(name) is stand_in:
                group[name] = first
        return _described(module, recorder, originals, failed)


class _RealData(TorchFunctionMode):  # type: ignore[misc]
    """Tensors of given values keep them, where torch.device("meta") would drop them."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func == torch.Tensor.data.__set__ and args[0].is_meta and not args[1].is_meta:
            # `p.data = values` would put memory of the CPU in place of none: p keeps its own.
            if args[0].shape == args[1].shape and args[0].dtype == args[1].dtype:
                with torch.no_grad():
                    return args[0].copy_(args[1])
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor, torch.scalar_tensor):
            kwargs = {**kwargs, "device": "cpu"}
        if func in _TO_NUMBERS and args[0].is_meta:
            real = self.recorder.values(args[0].detach(), f"Tensor.{func.__name__}")
            return func(real, *args[1:], **kwargs)
        return func(*args, **kwargs)


#: Calls that take values out of torch without a word to the dispatcher.
_TO_NUMBERS = (torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__)


@contextmanager
def _recording_into(recorder: Recorder) -> Iterator[None]:
    """New tensors on meta, and everything that is done to tensors told to the recorder."""
    with torch.device("meta"), _RealData(recorder), _hooks.swapped(recorder=recorder), recorder:
        yield


def _is_initialised(module: nn.Module) -> bool:
    """Whether a transformers model's constructor has run its initialisation to the end.

    It ties weights after that: run again on tied ones, it would draw the head over what the
    embedding holds, the padding's row of zeros too.
    """
    return bool(vars(module).get(FLAG, False))


def _call(module: nn.Module, name: str) -> None:
    method: Any = getattr(module, name)
    method()


def _reset(module: nn.Module, failed: dict[int, CannotRecord]) -> None:
    """Every submodule's own initialisation, inner ones first; what cannot go on is in `failed`."""

    def visit(one: nn.Module, inside: bool = False) -> None:
        names = ["reset_parameters", "_reset_parameters"]
        if is_transformers(one):
            names, inside = ["initialize_weights"], True  # of all in it that has not done its own
        elif inside:
            names = []
        for child in one.children():
            visit(child, inside)
        name = next((name for name in names if callable(getattr(one, name, None))), None)
        if name is None:
            return
        try:
            if not _takes(getattr(one, name)):
                raise CannotRecord(
                    f"its {name} asks for arguments: give how= a callable of the module that "
                    "calls it"
                )
            _call(one, name)
        except CannotRecord as error:
            # What it would have done to the modules in it is as unknown.
            for inner in one.modules():
                failed.setdefault(id(inner), error)

    visit(module)


# ---- from contents to plan -----------------------------------------------------------------------


def _described(
    module: nn.Module,
    recorder: Recorder,
    originals: dict[int, torch.Tensor],
    failed: dict[int, CannotRecord] | None = None,
) -> tuple[Plan, dict[str, CannotRecord]]:
    rows = list(named_tensors(module))
    shared = _shared(rows, originals)
    leaves: dict[object, NamedTensor] = {}
    for row in rows:
        contents = recorder.contents(row.tensor)
        if contents is not None and len(contents.writes) == 1 and contents.writes[0][1].is_random:
            leaves.setdefault(contents.writes[0][1].leaf, row)
    tensors: list[Any] = []
    unknown: dict[str, CannotRecord] = {}
    for row in rows:
        try:
            if row.name in shared:
                raise CannotRecord(
                    f"it shows memory of {shared[row.name]}, and only one of them can have a law"
                )
            if id(row.module) in (failed or {}):
                raise (failed or {})[id(row.module)]
            value, parts, set_by = _describe(row, recorder, originals.get(id(row.tensor)), leaves)
        except CannotRecord as error:
            where = f"{row.name} of {type(row.module).__name__}"
            words = str(error)
            advice = f"; {ADVICE}" if _is_of_utils(row.module) and ADVICE not in words else ""
            unknown[row.name] = CannotRecord(f"cannot record {where}: {words}{advice}")
            continue
        tensors.append(
            PlanTensor(
                name=row.name,
                shape=tuple(row.tensor.shape),
                dtype=dtype_of(row.tensor.dtype).name,
                scheme=value.scheme,
                arguments=value.arguments,
                steps=value.steps,
                parts=parts,
                is_buffer=row.is_buffer,
                is_stored=row.is_stored,
                tied=row.tied,
                set_by=set_by,
            )
        )
    name = type(module).__name__.removeprefix("FSDP") or type(module).__name__
    return Plan(name, tuple(tensors)), unknown


def _is_of_utils(module: nn.Module) -> bool:
    """Whether torch.nn.utils has put a parametrisation, a norm or a mask there."""
    holders = [module, *module._forward_pre_hooks.values()]
    return any(type(holder).__module__.startswith("torch.nn.utils") for holder in holders)


def _shared(rows: list[NamedTensor], originals: dict[int, torch.Tensor]) -> dict[str, str]:
    """Names of tensors that show memory of an earlier one, each with that one's name."""
    seen: dict[int, list[tuple[torch.Tensor, str]]] = {}
    found: dict[str, str] = {}
    for row in rows:
        tensor = originals.get(id(row.tensor), row.tensor)
        if decides_itself(tensor) or is_distributed(tensor) or foreign(tensor):
            continue
        if not tensor.numel():
            continue
        before = seen.setdefault(tensor.untyped_storage()._cdata, [])
        for other, name in before:
            alike = other.dtype == tensor.dtype
            if not (alike and apart(geometry_of(other), geometry_of(tensor))):
                found[row.name] = name
                break
        before.append((tensor, row.name))
    return found


def _describe(
    row: NamedTensor,
    recorder: Recorder,
    original: torch.Tensor | None,
    leaves: dict[object, NamedTensor],
) -> tuple[Value, tuple[Part, ...], str]:
    """A tensor's value, its parts, and who set it."""
    why = foreign(row.tensor if original is None else original)
    if why:
        raise CannotRecord(f"it is {why}")
    contents = recorder.contents(row.tensor)
    if contents is None:
        return literal_of(row.tensor), (), f"{type(row.module).__name__}.__init__"
    if not row.tensor.numel():
        return Value("zeros"), (), ""
    where = geometry_of(row.tensor)
    if contents.dtype != row.tensor.dtype:
        raise CannotRecord(f"it is memory of {contents.dtype} seen as {row.tensor.dtype}")
    if not contents.writes:
        return _unwritten(row, original)
    last, cell = contents.writes[-1]
    if _covers(last, where, contents) and (cell.constant is not None):
        assert cell.value is not None
        return cell.value, (), cell.set_by
    made = contents.materialised(where)
    if made is not None and made.real is not None:
        return literal_of(made.real), (), made.set_by
    return _with_parts(row, contents, where, original, leaves)


def _covers(at: Geometry, where: Geometry, contents: Contents) -> bool:
    return at.dense() == where.dense() or (at.count == contents.count and at.is_run())


def _unwritten(
    row: NamedTensor, original: torch.Tensor | None
) -> tuple[Value, tuple[Part, ...], str]:
    """What a tensor that no recorded code wrote holds: its own values, where they say enough."""
    if original is None or original.is_meta:
        raise CannotRecord("no code that was recorded writes to it, and it has no memory to read")
    local: Any = original
    if hasattr(original, "to_local"):
        local = original.to_local()
    if local.numel() <= _READ and _looks_unwritten(local):
        raise CannotRecord(
            "nobody has written to it: its memory holds subnormal numbers; give how= the "
            "code that initialises it, or record a factory"
        )
    value = literal_of(local.detach().cpu()) if local.numel() <= _READ else Value("literal")
    if value.scheme != "literal" or _is_one_number(local):
        return value, (), ""
    if row.is_buffer and local is original and "value" in value.arguments:
        return value, (), ""
    raise CannotRecord(
        "no code that was recorded writes to it, and its values differ; give how= the code that "
        "initialises it, or record a factory"
    )


def _looks_unwritten(tensor: torch.Tensor) -> bool:
    """Whether it holds what nobody means, as memory does that was used before: zeros are meant, and
    so are small numbers of dtypes with a short range."""
    if tensor.dtype not in (torch.float32, torch.float64, torch.bfloat16):
        return False
    size = tensor.detach().abs()
    return bool(((size > 0) & (size < torch.finfo(tensor.dtype).tiny)).any())


def _is_one_number(tensor: torch.Tensor) -> bool:
    """Whether all values are equal, though no float is what they are."""
    return bool(tensor.numel() and (tensor == tensor.reshape(-1)[0]).all())


def _with_parts(
    row: NamedTensor,
    contents: Contents,
    where: Geometry,
    original: torch.Tensor | None,
    leaves: dict[object, NamedTensor],
) -> tuple[Value, tuple[Part, ...], str]:
    shape = tuple(row.tensor.shape)
    writes = contents.writes
    draws = [draw_of(cell.leaf) for _, cell in writes if cell.is_random]
    if len(draws) != len(set(draws)):
        raise CannotRecord("one draw stands at several places of it")
    base: Value | None = None
    set_by = writes[-1][1].set_by
    first, cell = writes[0]
    if _covers(first, where, contents):
        base = _value(cell, row, leaves, first, where)
        set_by = cell.set_by
        writes = writes[1:]
    contiguous = _contiguous(shape)
    if writes and where.stride != contiguous and row.tensor.numel() > 1:
        raise CannotRecord("it is written in parts and does not lie in C order")
    parts = []
    counted = 0
    for at, cell in writes:
        box = box_of(Geometry(at.offset - where.offset, at.size, at.stride), shape)
        if box is None:
            raise CannotRecord(f"a view of strides {at.stride} is written, which is no box of it")
        part = Part(box, Value("zeros"))
        counted += at.count
        parts.append(replace(part, value=_part_value(cell, row, leaves, at, part, contents, where)))
    if base is None:
        base = Value("zeros")
        if not _tiled([part.box for part in parts], shape, counted):
            base = _unwritten(row, original)[0]
    return base, tuple(parts), set_by


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _tiled(boxes: list[Any], shape: tuple[int, ...], counted: int) -> bool:
    """Whether the boxes cover the whole shape."""
    total = 1
    for size in shape:
        total *= size
    if counted < total or total > 1 << 28:
        return counted >= total
    covered = torch.zeros(shape, dtype=torch.bool)
    for box in boxes:
        covered[tuple(slice(*along) for along in box)] = True
    return bool(covered.all())


def _value(
    cell: Cell, row: NamedTensor, leaves: dict[object, NamedTensor], at: Geometry, where: Geometry
) -> Value:
    """The value of a cell that covers the tensor."""
    if cell.opaque:
        raise CannotRecord(f"{cell.opaque} has no description as a law and elementwise steps")
    if cell.real is not None:
        shape = tuple(row.tensor.shape)
        if tuple(cell.real.shape) != shape:
            raise CannotRecord("its values were written through a view of another shape")
        return literal_of(cell.real)
    assert cell.value is not None
    value = cell.value
    if value.scheme == "norm":
        assert isinstance(cell.leaf, tuple)
        source = leaves.get(cell.leaf[0])
        if source is None:
            raise CannotRecord("it is the norm of a tensor that is no parameter")
        of = value.arguments["of"]
        assert isinstance(of, Norm)
        return Value("norm", {"of": _norm_of(of, source, tuple(row.tensor.shape))}, value.steps)
    if value.scheme not in _INDEPENDENT and at.size != where.size:
        flat = at.size[:1] == where.size[:1] and value.scheme == "orthogonal"
        if not flat:
            raise CannotRecord(f"{value.scheme} is written through a view of another shape")
    if any(isinstance(s.operand, Literal) for s in value.steps) and at.size != where.size:
        raise CannotRecord("a pattern is added through a view of another shape")
    return value


def _norm_of(of: Norm, source: NamedTensor, shape: tuple[int, ...]) -> Norm:
    """The norm in the axes of the tensor itself: it may have been taken of a flatter view."""
    full = tuple(source.tensor.shape)
    if of.shape == full:
        return replace(of, name=source.name)
    if len(shape) != len(full) or of.value.scheme not in _INDEPENDENT:
        raise CannotRecord(f"it is a norm of a view {of.shape} of {source.name}")
    kept = tuple(axis for axis, size in enumerate(shape) if size != 1 or full[axis] == 1)
    return Norm(source.name, full, of.value, kept)


def _part_value(
    cell: Cell,
    row: NamedTensor,
    leaves: dict[object, NamedTensor],
    at: Geometry,
    part: Part,
    contents: Contents,
    where: Geometry,
) -> Value:
    """The value of a cell that covers a box, in the box's shape."""
    if cell.real is not None:
        flat = torch.empty(contents.count, dtype=row.tensor.dtype)
        flat.as_strided(at.size, at.stride, at.offset).copy_(cell.real)
        whole = flat.as_strided(where.size, where.stride, where.offset)
        return literal_of(whole[tuple(slice(*along) for along in part.box)])
    if cell.opaque:
        raise CannotRecord(f"{cell.opaque} has no description as a law and elementwise steps")
    assert cell.value is not None
    value = cell.value
    sizes = part.shape
    steps = []
    for step in value.steps:
        if isinstance(step.operand, Literal):
            if step.operand.shape != at.size:
                raise CannotRecord("a pattern is added to a part of it")
            array = step.operand.array().reshape(sizes)
            step = Step(step.operation, Literal.of(array), step.swapped)
        steps.append(step)
    arguments = dict(value.arguments)
    if value.scheme not in _INDEPENDENT:
        ones = [axis for axis, size in enumerate(sizes) if size == 1]
        kept = tuple(size for size in sizes if size != 1)
        if value.scheme != "orthogonal" or kept != tuple(s for s in at.size if s != 1):
            raise CannotRecord(f"{value.scheme} is written to a part of it")
        leading = tuple(axis for axis in ones if axis < len(sizes) - len(at.size))
        if leading:
            arguments["batch_axes"] = leading
    return Value(value.scheme, arguments, tuple(steps))
