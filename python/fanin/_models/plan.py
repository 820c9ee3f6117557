"""A plan: which tensor holds which law, and the files that it is written to."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fanin._hints import short
from fanin._public import public
from fanin._random.seeds import as_stream, check_seed
from fanin._random.streams import Stream
from fanin._schemes.rules import Rules, RulesLike
from fanin._types import Progress
from fanin.files import _shards
from fanin.files._replacing import replacing

from . import catalogue, configs
from .checking import check_tensor, check_total
from .checkpoints import tensors_like
from .dtypes import WRITTEN, as_dtype_name, resolved
from .plan_data import checked_seed
from .plan_file import Contents, read_json, read_plan_file, write_json, write_toml
from .plan_table import table
from .reporting import shown
from .storing import (
    FILES,
    Resolved,
    config_text,
    npy_store,
    safetensors_store,
    seed_text,
    write_jobs,
)
from .tensors import PlanTensor

__all__ = ["Plan"]


@public("fanin")
@dataclass(frozen=True)
class Plan:
    """The tensors of a model and the law of each; nothing is drawn until it is written.

    Tensor ``name`` holds ``fanin.<scheme>(shape, **arguments, seed=fanin.Stream(seed)[name])``,
    then its steps and parts, whatever else the plan holds. Plans come from a file, a published
    model, a checkpoint or a config.json, or from ``fanin.torch.record``; ``print`` shows a table.

    Attributes
    ----------
    model : str
        The model's name.
    tensors : tuple of PlanTensor
        In the order of the network.
    seed : int, optional
        The seed where `write` names none.
    dtype : str, optional
        Of the tensors that have none of their own; None: float32.
    config : mapping, optional
        The entries of the config.json that goes into the folder.

    Examples
    --------
    >>> import fanin
    >>> plan = fanin.Plan.for_model("gpt2", layers=1, width=64, vocabulary=100, positions=16)
    >>> plan.tensors[0].name, plan.tensors[0].shape
    ('transformer.wte.weight', (100, 64))
    >>> plan.parameters, plan.nbytes
    (57536, 230144)
    """

    model: str
    tensors: tuple[PlanTensor, ...]
    seed: int | None = None
    dtype: str | None = None
    config: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", tuple(self.tensors))
        object.__setattr__(self, "seed", checked_seed(self.seed))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", as_dtype_name(self.dtype))
        names: set[str] = set()
        for tensor in self.tensors:
            if tensor.name in names:
                raise ValueError(f"two tensors are named {tensor.name!r}")
            names.add(tensor.name)

    def __hash__(self) -> int:
        return hash((self.model, self.tensors, self.seed, self.dtype))

    # Where plans come from ---------------------------------------------------------------------

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Plan:
        """The plan of a .toml or .json file (docs/plans.md has the entries).

        Raises
        ------
        ValueError
            Names the line, and what is wrong there.
        """
        return cls(*read_plan_file(path))

    @classmethod
    def for_model(cls, name: str, **sizes: Any) -> Plan:
        """A published architecture with its published schemes; `sizes` replace published ones.

        Raises
        ------
        ValueError
            There is no such model or size; the text names those that there are.
        """
        model = catalogue.find(name)
        return cls(name, model.tensors(**sizes), config=model.config(**sizes))

    @classmethod
    def like(cls, path: str | os.PathLike[str], rules: RulesLike = None) -> Plan:
        """The names, shapes and dtypes of a checkpoint: a .safetensors file, a folder, an index.

        A file of `write` states its own laws. Of any other, matrices get N(0, 0.02**2), weights
        of one axis ones, all else and every integer zeros; `rules` come first.
        """
        model, tensors = tensors_like(path)
        return cls(model, tensors).with_rules(rules)

    @classmethod
    def from_config(cls, path: str | os.PathLike[str]) -> Plan:
        """The plan of a config.json of transformers, with transformers' laws.

        With torch and transformers any architecture, by the model's own code on the meta device;
        without them GPT-2, Llama, Mistral, Qwen2, BERT, ViT and ResNet. Names and shapes are those
        of the class's ``state_dict()``, tied ones once. Nothing is downloaded, no code of the
        folder is run.
        """
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise TypeError(
                "from_config takes the path of a config.json or of its folder, got "
                f"{short(path)}; config.save_pretrained(folder) writes one"
            )
        target = os.fsdecode(path)
        if os.path.isdir(target):
            target = os.path.join(target, "config.json")
        config = read_json(target)
        try:
            if configs.has_transformers():
                model, tensors = configs.from_transformers(config)
            else:
                model, tensors = configs.from_catalogue(config)
        except ValueError as error:
            raise ValueError(f"{target!r}: {error}") from error
        stored = tuple(tensor for tensor in tensors if tensor.is_stored)
        return cls(model, stored, config=config)

    def with_rules(self, rules: RulesLike) -> Plan:
        """The plan with other laws for the names that match; the first match wins.

        Parameters
        ----------
        rules : mapping or sequence
            ``{"*.weight": ("orthogonal", {"gain": 1.4, "layout": "oi"})}`` or
            ``[(pattern, scheme, arguments), ...]``, patterns as in `fnmatch`.

        Raises
        ------
        ValueError
            A pattern that matches no tensor, or a scheme that there is not.
        """
        read = Rules(rules)
        read.check(tensor.name for tensor in self.tensors)
        tensors = []
        for tensor in self.tensors:
            rule = read.match(tensor.name)
            if rule is not None:
                if not isinstance(rule.scheme, str):
                    raise TypeError(f"a plan's scheme is a name, got {rule.scheme!r}")
                tensor = replace(
                    tensor, scheme=rule.scheme, arguments=rule.arguments, steps=(), parts=()
                )
            tensors.append(tensor)
        return replace(self, tensors=tuple(tensors))

    # What it says ------------------------------------------------------------------------------

    @property
    def parameters(self) -> int:
        """How many numbers are trained; a tied tensor counts once, a buffer not at all."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors if not tensor.is_buffer)

    @property
    def nbytes(self) -> int:
        """Bytes of all stored tensors in their own dtypes."""
        return self._nbytes(None)

    def _nbytes(self, dtype: str | None) -> int:
        root = Stream(0)
        return sum(
            Resolved(tensor, resolved(tensor.dtype, self.dtype, dtype), root).nbytes
            for tensor in self.tensors
            if tensor.is_stored
        )

    def check(self, dtype: str | None = None) -> int:
        """Check every tensor as `write` does, before it writes anything; return the bytes."""
        wanted = None if dtype is None else as_dtype_name(dtype, WRITTEN)
        return check_total(
            [
                check_tensor(tensor, self.dtype, wanted)
                for tensor in self.tensors
                if tensor.is_stored
            ]
        )

    def __str__(self) -> str:
        return table(self.model, self.tensors, self.dtype, self.nbytes)

    def __repr__(self) -> str:
        counts = f"{len(self.tensors)} tensors, {self.parameters:,} parameters"
        return f"<fanin.Plan {self.model}: {counts}>"

    # Where it goes -----------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, replace: bool = True) -> None:
        """Write the plan, every tensor by itself, to a .toml or .json file that needs no torch."""
        target = os.fspath(path)
        kind = os.path.splitext(target)[1]
        if kind not in (".toml", ".json"):
            raise ValueError(f"{target!r}: the name of a plan file ends in .toml or .json")
        contents = Contents(
            self.model, self.tensors, self.seed, self.dtype,
            None if self.config is None else dict(self.config),
        )  # fmt: skip
        text = write_toml(contents) if kind == ".toml" else write_json(contents)
        with replacing(target, replace=replace) as file:
            file.write(text, 0)
            file.commit()

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        seed: Any = None,
        dtype: Any = None,
        shard_size: int | str | None = None,
        resume: bool = False,
        only: int | Iterable[int] | None = None,
        threads: int | None = None,
        progress: bool | Progress | None = None,
        replace: bool = True,
    ) -> int:
        """Draw every tensor and write it, in bounded memory and all or nothing for each file.

        Parameters
        ----------
        path : str or path
            A name ending in .safetensors, or .npy for a plan of one tensor, is a file; any other
            is a folder, which gets model.safetensors or shards with their index, and config.json
            where there is none.
        seed : int, Stream or Generator
            Tensor ``name`` draws from ``Stream(seed)[name]``. Default: the plan's own.
        dtype : str or dtype, optional
            float64, float32, float16, bfloat16, float8_e4m3fn or float8_e5m2, for every tensor of
            floats; overflow is that of ml_dtypes. None: each tensor its own, else the plan's,
            else float32.
        shard_size : int or str, optional
            The most bytes of a shard, as "5GB" (10^9) or "5GiB"; a larger tensor has a shard of
            its own. None: one file.
        resume : bool
            Keep the files of an earlier run that are whole: each is generated again and compared.
            One of another plan, seed or dtype is a ValueError.
        only : int or iterable of int, optional
            Numbers of the shards to write, from 1, as in their names. Several processes, also on
            several machines, write disjoint ones; each writes the same index.
        threads : int, optional
            No bit depends on it. Default: ``fanin.runtime.threads()``.
        progress : bool or callable, optional
            True shows a line on the standard error; ``progress(done, total)`` gets bytes.
        replace : bool
            False: what exists is a FileExistsError, and stays.

        Returns
        -------
        int
            Bytes of the files written, or found whole.

        Raises
        ------
        ValueError, TypeError
            The plan or an argument is not right: nothing has been written.
        OSError
            The disk refuses; the file of that name is as it was before.
        """
        target = os.fsdecode(path)
        wanted = None if dtype is None else as_dtype_name(dtype, WRITTEN)
        if seed is None:
            seed = self.seed
        if seed is None:
            raise TypeError("write() needs seed=, an int 0 .. 2**128 - 1: there is no hidden state")
        check_seed(seed)
        is_file = target.endswith(FILES)
        if is_file and (shard_size is not None or only is not None):
            raise ValueError(f"{target!r} is one file: shard_size and only are for folders")
        most = None if shard_size is None else _shards.as_size(shard_size)
        stored = [tensor for tensor in self.tensors if tensor.is_stored]
        if target.endswith(".npy") and len(stored) != 1:
            raise ValueError(f"a .npy file holds one tensor, the plan has {len(stored)}")
        self.check(wanted)
        if is_file and not replace and not resume and os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)

        dtypes = [resolved(tensor.dtype, self.dtype, wanted) for tensor in stored]
        lengths = [Resolved(t, d, Stream(0)).nbytes for t, d in zip(stored, dtypes, strict=True)]
        shards = _shards.cut(lengths, most)
        chosen = None if only is None else _numbers(only, len(shards))
        root = as_stream(seed)
        tensors = [
            Resolved(tensor, dtype, root if tensor.seed is None else Stream(tensor.seed))
            for tensor, dtype in zip(stored, dtypes, strict=True)
        ]
        if target.endswith(".npy"):
            store = npy_store(tensors[0])
        else:
            config = None if self.config is None or is_file else config_text(self.config, wanted)
            files = [[tensors[number] for number in shard] for shard in shards]
            store = safetensors_store(files, seed_text(root, seed), self.model, config)
        with shown(progress, f"writing {os.path.basename(target)}") as report:
            return write_jobs(
                target, store, is_folder=not is_file, only=chosen,
                resume=resume, replace=replace, threads=threads, progress=report,
            )  # fmt: skip


def _numbers(only: int | Iterable[int], count: int) -> list[int]:
    """The chosen shards, counted from 0."""
    numbers: list[int] = []
    for number in only if isinstance(only, Iterable) else [only]:
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise TypeError(f"only= takes numbers of shards, got {number!r}")
        if not 1 <= number <= count:
            raise ValueError(f"there is no shard {number}: the plan makes 1 to {count}")
        numbers.append(int(number) - 1)
    return numbers
