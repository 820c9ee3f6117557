"""The recorder: it sees every operation of aten, draws nothing, and keeps what tensors would hold.

Operations without a random source are computed for real on the CPU, also where the code asks for
the meta device; what is drawn, and what is made of it, is kept as a law with steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from fanin._models.values import Literal, Norm, Step, Value

from ._calls import as_meta, caller, is_view, named_arguments, on_cpu, site, target_of, to_meta
from ._chains import cast, constant_value, exact, is_plain, joined, scaled, with_caller
from ._contents import Cell, Contents, Geometry, draw_of, geometry_of
from ._memory import array_of
from ._operations import DRAWS, ELEMENTWISE, FACTORIES, LIKE, NORMS

__all__ = ["ADVICE", "CannotRecord", "Recorder"]

#: What to do about a tensor of torch.nn.utils that is computed from a weight.
ADVICE = (
    "initialise the module before you parametrise, normalise or prune it, or give init_ a rule for "
    "this tensor"
)


class CannotRecord(ValueError):
    """Code asks for something that a recorder cannot know without drawing."""


def _asks_for_values(name: str) -> CannotRecord:
    where = site()
    advice = f"; {ADVICE}" if where.startswith("torch.nn.utils") else ""
    return CannotRecord(
        f"{name}, called by {where}, asks for values of a tensor that is drawn later{advice}"
    )


class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """While entered, keeps what is written to tensors of the meta device and to known ones."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, Contents] = {}

    # ---- what is known ---------------------------------------------------------------------------

    def watch(self, tensor: torch.Tensor) -> None:
        """Record what is done to an existing tensor instead of doing it."""
        contents = self._contents(tensor, create=True)
        assert contents is not None
        if not tensor.is_meta and tensor.layout is torch.strided and contents.initial is None:
            size = tensor.untyped_storage().nbytes() // tensor.element_size()
            contents.initial = tensor.detach().as_strided((size,), (1,), 0)

    def _contents(self, tensor: torch.Tensor, create: bool = False) -> Contents | None:
        if tensor.layout is not torch.strided or tensor.is_nested:
            return None
        storage = tensor.untyped_storage()
        found = self._known.get(storage._cdata)
        if found is None and (create or tensor.is_meta):
            size = max(1, tensor.element_size())
            found = Contents(storage, storage.nbytes() // size, tensor.dtype)
            self._known[storage._cdata] = found
        return found

    def contents(self, tensor: torch.Tensor) -> Contents | None:
        """All that was written to a tensor's storage; None for memory that holds its values."""
        return self._contents(tensor)

    def read(self, tensor: torch.Tensor) -> Cell:
        """What a tensor holds."""
        contents = self._contents(tensor)
        if contents is None:
            return Cell(real=tensor)
        if contents.dtype != tensor.dtype:
            return Cell(opaque=f"memory of {contents.dtype} seen as {tensor.dtype}")
        return contents.read(geometry_of(tensor))

    def values(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        """The values of a tensor that a call of that name asks for, if they are known now.

        Raises
        ------
        CannotRecord
            They are drawn later.
        """
        with torch.device("cpu"):
            real = self._real(self.read(tensor), tensor)
        if real is None:
            raise _asks_for_values(name)
        return real

    def _write(self, tensor: torch.Tensor, cell: Cell) -> None:
        known = self._contents(tensor)
        if known is None:
            self.watch(tensor)
            known = self._contents(tensor)
            assert known is not None
            if known.initial is not None:
                known.initial = known.initial.clone()
        if known.dtype != tensor.dtype:
            cell = Cell(opaque=f"memory of {known.dtype} written as {tensor.dtype}")
            known.write(Geometry(0, (known.count,), (1,)), cell)
            return
        known.write(geometry_of(tensor), cell)

    def drawn(self, tensor: torch.Tensor, scheme: str, arguments: dict[str, Any]) -> None:
        """A law was asked for; called by fanin's own functions while this recorder is open."""
        cell = Cell(Value(scheme, arguments), leaf=object(), set_by=caller())
        self._write(tensor, cell)

    def _without_memory(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """An operation's outputs on the meta device."""
        try:
            return func(*tree_map(as_meta, args), **tree_map(as_meta, kwargs))
        except NotImplementedError:  # which torch's own code takes for an answer
            raise _asks_for_values(f"aten::{name}") from None

    # ---- every operation -------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        named = named_arguments(func, args, kwargs)
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
        if torch.Tag.nondeterministic_seeded in func.tags and name not in ("dropout",):
            return self._random(func, name, named, args, kwargs)
        if not tensors:
            return self._made(func, name, named, args, kwargs)
        if name in LIKE:
            return self._like(func, name, named, args, kwargs)
        if is_view(func):
            return func(*args, **kwargs)
        target = target_of(func, args, kwargs)
        if target is not None:
            return self._in_place(func, name, named, args, kwargs, target)
        if all(self._contents(tensor) is None for tensor in tensors):
            return func(*args, **on_cpu(kwargs))
        return self._out_of_place(func, name, named, args, kwargs, tensors)

    # ---- sources ---------------------------------------------------------------------------------

    def _random(self, func: Any, name: str, named: Any, args: Any, kwargs: Any) -> Any:
        target = target_of(func, args, kwargs)
        law = DRAWS.get(name)
        plain = law is not None and not any(
            isinstance(v, torch.Tensor) for k, v in named.items() if k not in ("self", "out")
        )
        if target is not None:
            out = target
        elif name in ("randint", "randperm", "rand", "randn", "normal") or "size" in named:
            if "size" in named:
                shape = tuple(named["size"])
            else:
                shape = (named["n"],) if "n" in named else tuple(named["self"].shape)
            dtype = kwargs.get("dtype") or (
                torch.int64 if name.startswith("randint") or name == "randperm"
                else torch.get_default_dtype()
            )  # fmt: skip
            out = torch.ops.aten.empty.memory_format(shape, dtype=dtype, device="meta")
        else:
            out = self._without_memory(func, name, args, kwargs)
        scheme, arguments = law(named) if law is not None and plain else ("", {})
        if scheme and (out.is_floating_point() or (out.is_complex() and scheme == "normal")):
            self._write(out, Cell(Value(scheme, arguments), leaf=object(), set_by=caller()))
        elif name == "normal" and law is not None and out.is_floating_point():
            cell = Cell(Value("normal", {"loc": 0.0, "scale": 1.0}), leaf=object(),
                        set_by=caller())  # fmt: skip
            mean, std = named.get("mean", 0.0), named.get("std", 1.0)
            steps = [("mul", std, False), ("add", mean, False)]
            self._write(out, self._stepped(cell, steps, tuple(out.shape), name))
        else:
            self._write(out, Cell(opaque=f"aten::{name}", set_by=caller()))
        return out

    def _made(self, func: Any, name: str, named: Any, args: Any, kwargs: Any) -> Any:
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "meta" or name not in FACTORIES:
            return func(*args, **on_cpu(kwargs))
        out = func(*args, **kwargs)
        if name == "full":
            self._fill(out, named["fill_value"])
        elif FACTORIES[name] is not None:
            self._fill(out, FACTORIES[name])
        return out

    def _like(self, func: Any, name: str, named: Any, args: Any, kwargs: Any) -> Any:
        out = func(*args, **kwargs)
        if out.is_meta:
            number = named.get("fill_value", LIKE[name])
            if number is not None:
                self._fill(out, number)
        return out

    def _fill(self, tensor: torch.Tensor, number: Any) -> None:
        if is_plain(number):
            self._write(tensor, Cell(constant_value(number), set_by=caller()))
        else:  # no float is it
            real = torch.full(tuple(tensor.shape), number, dtype=tensor.dtype, device="cpu")
            self._write(tensor, Cell(real=real, set_by=caller()))

    # ---- writes ----------------------------------------------------------------------------------

    def _in_place(
        self, func: Any, name: str, named: Any, args: Any, kwargs: Any, target: torch.Tensor
    ) -> Any:
        others = [
            t for t in tree_flatten((args, kwargs))[0]
            if isinstance(t, torch.Tensor) and t is not target
        ]  # fmt: skip
        known = self._contents(target) is not None
        if name == "set_" and target.is_meta and all(other.is_meta for other in others):
            return func(*args, **kwargs)  # the target has the other's storage from now on
        if not known and not any(self._contents(other) is not None for other in others):
            return func(*args, **kwargs)
        base = name.removesuffix("_")
        if base in ("zero", "fill"):
            number = 0.0 if base == "zero" else named["value"]
            if isinstance(number, torch.Tensor):
                number = self._number(number, name)
            self._fill(target, number)
        elif base == "copy":
            self._copy(named["src"], target)
        elif base in ELEMENTWISE and "out" not in kwargs:
            if not self._each_part(base, named, name, target):
                cell = self._elementwise(base, named, tuple(target.shape), name, target.dtype)
                self._write(target, cell)
        else:
            self._write(target, self._computed(func, name, args, kwargs, target))
        return target

    def _each_part(self, base: str, named: Any, name: str, target: torch.Tensor) -> bool:
        """An operation by numbers on all of a tensor that was written in parts, part by part."""
        contents = self._contents(target)
        where = geometry_of(target)
        if contents is None or where.count != contents.count or not where.is_run():
            return False
        if contents.dtype != target.dtype or not target.is_floating_point():
            return False
        numbers = not any(isinstance(v, torch.Tensor) for k, v in named.items() if k != "self")
        if not numbers or len(contents.writes) < 2 or not contents.read(where).opaque:
            return False
        steps = ELEMENTWISE[base](named)
        if steps is None:
            return False
        done = [(at, self._stepped(cell, steps, at.size, name)) for at, cell in contents.writes]
        contents.writes = done
        return True

    def _copy(self, source: torch.Tensor, target: torch.Tensor) -> None:
        cell = cast(self.read(source), source.dtype, target.dtype)
        if source.shape != target.shape and cell.constant is None:
            cell = self._broadcast(cell, source, target)
        if cell.real is not None:
            real = cell.real.expand(target.shape).to(target.dtype).contiguous()
            cell = Cell(real=real.clone() if real is cell.real else real)
        elif cell.opaque and tuple(source.shape) == tuple(target.shape):
            # Drawn in parts: each write of the source, at its own place, if both lie alike.
            contents, into = self._contents(source), self._contents(target)
            alike = contents is not None and contents.count == source.numel() == target.numel()
            alike = alike and source.dtype == target.dtype
            if alike and source.stride() == target.stride() and contents is not None:
                shift = target.storage_offset() - source.storage_offset()
                if into is None:
                    self.watch(target)
                    into = self._contents(target)
                assert into is not None
                for at, old in list(contents.writes):
                    into.write(Geometry(at.offset + int(shift), at.size, at.stride), old)
                return
        self._write(target, cell if cell.set_by else with_caller(cell))

    def _broadcast(self, cell: Cell, source: torch.Tensor, target: torch.Tensor) -> Cell:
        if cell.real is not None:
            return cell
        padded = (1,) * (target.dim() - source.dim()) + tuple(source.shape)
        if padded == tuple(target.shape):
            return cell
        return Cell(opaque="a random tensor that is copied to several places")

    def _computed(self, func: Any, name: str, args: Any, kwargs: Any, target: torch.Tensor) -> Cell:
        """The target of any other operation, computed for real if nothing random goes in."""
        held = self.read(target)
        if "out" in kwargs and kwargs["out"] is target:
            held = Cell(real=torch.empty(target.shape, dtype=target.dtype))
        real = self._real(held, target)
        if real is None:
            return Cell(opaque=f"aten::{name}", set_by=caller())
        real = real.clone()

        def replaced(value: Any) -> Any:
            if value is target:
                return real
            return self._real_of(value, name) if isinstance(value, torch.Tensor) else value

        try:
            func(*tree_map(replaced, args), **on_cpu(tree_map(replaced, kwargs)))
        except CannotRecord:
            return Cell(opaque=f"aten::{name}", set_by=caller())
        return Cell(real=real, set_by=caller())

    # ---- results ---------------------------------------------------------------------------------

    def _out_of_place(
        self, func: Any, name: str, named: Any, args: Any, kwargs: Any, tensors: Any
    ) -> Any:
        if name in ("_to_copy", "clone", "contiguous"):
            return self._cloned(func, args, kwargs)
        cells = [self.read(tensor) for tensor in tensors]
        if all(cell.constant is not None or cell.real is not None for cell in cells):
            try:
                return self._run_real(func, name, args, kwargs)
            except CannotRecord:
                pass
        outputs = func._schema.returns
        if not outputs or any("Tensor" not in str(r.type) for r in outputs):
            raise _asks_for_values(f"aten::{name}")
        out = self._without_memory(func, name, args, to_meta(kwargs))
        if isinstance(out, torch.Tensor):
            self._result(name, named, out, tensors)
        else:
            for one in out:
                self._write(one, Cell(opaque=f"aten::{name}", set_by=caller()))
        return out

    def _result(self, name: str, named: Any, out: torch.Tensor, tensors: Any) -> None:
        if name in ELEMENTWISE:
            self._write(out, self._elementwise(name, named, tuple(out.shape), name, out.dtype))
        elif name in ("cat", "stack"):
            axis, start = named.get("dim", 0) % max(1, out.dim()), 0
            for tensor in tensors:
                if not tensor.numel():
                    continue
                size = 1 if name == "stack" else tensor.shape[axis]
                view = out.narrow(axis, start, size)
                start += size
                self._copy(tensor.unsqueeze(axis) if name == "stack" else tensor, view)
        elif name in NORMS and named.get("ord", named.get("p", 2)) in (2, 2.0, None):
            self._write(out, self._norm(named, out))
        elif name == "_weight_norm_interface":
            self._write(out, Cell(opaque=f"aten::{name}", set_by=caller()))
        else:
            self._write(out, Cell(opaque=f"aten::{name}", set_by=caller()))

    def _norm(self, named: Any, out: torch.Tensor) -> Cell:
        source: torch.Tensor = named["self"]
        cell = self._operand(source)
        if not cell.is_random or cell.value is None:
            return Cell(opaque="aten::norm", set_by=caller())
        axes = named.get("dim")
        summed = range(source.dim()) if axes is None else [a % source.dim() for a in axes]
        kept = tuple(a for a in range(source.dim()) if a not in summed)
        of = Norm("", tuple(source.shape), cell.value, kept)
        leaf = (draw_of(cell.leaf), "norm")
        return Cell(Value("norm", {"of": of}), leaf=leaf, set_by=caller())

    def _operand(self, tensor: torch.Tensor) -> Cell:
        """What a tensor holds, for a step: those are computed in floats."""
        cell = self.read(tensor)
        if cell.is_random and not tensor.is_floating_point():
            return Cell(opaque=f"arithmetic on random numbers of {tensor.dtype}")
        return cell

    def _cloned(self, func: Any, args: Any, kwargs: Any) -> torch.Tensor:
        source = args[0]
        cell = self.read(source)
        dtype = kwargs.get("dtype") or source.dtype
        if cell.real is not None and cell.real.numel() <= 1 << 26:
            rest = {k: v for k, v in on_cpu(kwargs).items() if k != "memory_format"}
            made: torch.Tensor = func(cell.real, **rest)
            return made.clone() if made is cell.real else made
        out = torch.empty_strided(source.shape, source.stride(), dtype=dtype, device="meta")
        kept = kwargs.get("memory_format") in (None, torch.preserve_format)
        if not kept or not geometry_of(source).is_run():
            out = torch.empty(source.shape, dtype=dtype, device="meta")
        self._copy(source, out)
        return out

    def _elementwise(
        self, base: str, named: Any, shape: tuple[int, ...], name: str, dtype: torch.dtype
    ) -> Cell:
        """The cell after an elementwise operation, in place or not."""
        first = named["self"]
        if base == "pow" and not isinstance(first, torch.Tensor):
            exponent = self._operand(named["exponent"])
            return self._stepped(exponent, [("pow", first, True)], shape, name, dtype=dtype)
        scales_other = named.get("alpha", 1) != 1 and base != "rsub"
        if scales_other and isinstance(named["other"], torch.Tensor):
            with self:  # another operation
                named = {**named, "other": named["other"] * named["alpha"], "alpha": 1}
        steps = ELEMENTWISE[base](named)
        if steps is None:
            return Cell(opaque=f"aten::{name} with these arguments", set_by=caller())
        if first.is_complex():
            made = scaled(self.read(first), steps)
            if made is not None:
                return made
        return self._stepped(self._operand(first), steps, shape, name, first, dtype)

    def _stepped(
        self, cell: Cell, steps: list[tuple[str, Any, bool]], shape: tuple[int, ...], name: str,
        first: Any = None, dtype: torch.dtype | None = None,
    ) -> Cell:  # fmt: skip
        for operation, operand, swapped in steps:
            other = operand
            if isinstance(operand, torch.Tensor):
                held = self._operand(operand)
                if held.is_random:
                    cell = joined(cell, held, operation, swapped, shape, operand, name)
                    continue
                if held.constant is not None:
                    other = held.constant
                elif held.real is not None:
                    real = held.real
                    other = real.item() if real.numel() == 1 else real
                else:
                    return Cell(opaque=f"aten::{name} with {held.opaque}", set_by=caller())
            if cell.opaque:
                return Cell(opaque=cell.opaque, set_by=caller())
            if not cell.is_random:
                cell = exact(cell, operation, other, swapped, shape, dtype)
                continue
            if isinstance(first, torch.Tensor) and tuple(first.shape) != shape:
                return Cell(opaque=f"aten::{name}, which repeats a random tensor", set_by=caller())
            if isinstance(other, complex) or isinstance(other, torch.Tensor) and other.is_complex():
                return Cell(opaque=f"aten::{name} with complex numbers", set_by=caller())
            if isinstance(other, torch.Tensor):
                other = Literal.of(array_of(other.detach().contiguous()))
            elif other is not None:
                other = float(other)
            cell = cell.then(Step(operation, other, swapped))
        return Cell(cell.value, cell.real, cell.opaque, cell.leaf, caller())

    # ---- real values -----------------------------------------------------------------------------

    def _real(self, cell: Cell, like: torch.Tensor) -> torch.Tensor | None:
        if cell.real is not None:
            return cell.real
        if cell.constant is not None and like.numel() <= 1 << 26:
            return torch.full(tuple(like.shape), cell.constant, dtype=like.dtype)
        contents = self._contents(like)
        if contents is None:
            return like
        if contents.dtype != like.dtype:
            return None
        made = contents.materialised(geometry_of(like))
        return None if made is None else made.real

    def _real_of(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        if self._contents(tensor) is None:
            return tensor
        cell = self.read(tensor)
        real = self._real(cell, tensor)
        if real is None:
            raise CannotRecord(f"aten::{name} takes {cell.opaque or 'a tensor drawn later'}")
        return real if real.dtype == tensor.dtype else real.to(tensor.dtype)

    def _number(self, tensor: torch.Tensor, name: str) -> Any:
        return self._real_of(tensor, name).item()

    def _run_real(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        def replaced(value: Any) -> Any:
            return self._real_of(value, name) if isinstance(value, torch.Tensor) else value

        return func(*tree_map(replaced, args), **on_cpu(tree_map(replaced, kwargs)))
