"""Which architectures of transformers the recorder describes: writes docs/architectures.md.

    python tools/list_architectures.py                 all of them, half an hour on two cores
    python tools/list_architectures.py bert gpt2       those only, printed and not written

Of each model type with a base model, its default configuration, without the network.
"""

from __future__ import annotations

import copy
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import torch_architectures  # noqa: E402

from fanin import torch as init  # noqa: E402

PAGE = ROOT / "docs" / "architectures.md"
HEAD = """# Architectures that the recorder describes

`fanin.torch.record(lambda: Model(Config()))` for the base model of each model type of transformers
{transformers} with torch {torch}, from its default configuration, without the network; written by
`python tools/list_architectures.py`. Of {all} model types with a base model, {bare} have no default
configuration and {unbuilt} do not build on the meta device in transformers either. Of the
other {tried} the recorder describes **{described}** ({share:.1%}): every parameter and every
buffer by its name.

{failed}

Made small (2 layers, an eighth of the widths), they are filled by `init_` as their own code fills
them: mean, std, bounds, rows of zeros, constants and buffers; and `Plan.write` writes the same
bytes; but for six that their configuration leaves above 4e8 parameters, which are recorded only.
`pytest -m "long or not long" tests/frameworks/torch/test_battery.py`;
[checks.md](checks.md) says what came out last.

| model types | tensors |
|---|---|
"""


class Outcome(NamedTuple):
    kind: str
    tensors: int
    said: str
    """Why it is not described; "" if it is."""


def outcome(kind: str) -> Outcome | None:
    """What the recorder says of one model type; None where transformers cannot build it."""
    found = torch_architectures.default(kind)
    if found is None:
        return Outcome(kind, 0, "no default")
    model, configuration = found
    if not torch_architectures.builds(model, configuration):
        return None
    try:
        plan = init.record(lambda: model(copy.deepcopy(configuration)))
    except Exception as error:  # whatever its code does there
        return Outcome(kind, 0, f"{type(error).__name__}: {error}")
    return Outcome(kind, len(plan.tensors), "")


def page(outcomes: list[Outcome | None]) -> str:
    """The page as text."""
    tried = [each for each in outcomes if each is not None and each.said != "no default"]
    described = [each for each in tried if not each.said]
    failed = [each for each in tried if each.said]
    words = "\n".join(f"* `{each.kind}`: {each.said.splitlines()[0]}" for each in failed)
    head = HEAD.format(
        transformers=version("transformers"),
        torch=version("torch").partition("+")[0],
        all=len(outcomes),
        bare=sum(each is not None and each.said == "no default" for each in outcomes),
        unbuilt=outcomes.count(None),
        tried=len(tried),
        described=len(described),
        share=len(described) / len(tried),
        failed=f"Not described:\n\n{words}" if failed else "None is left out.",
    )
    return head + "".join(f"| `{each.kind}` | {each.tensors} |\n" for each in described)


def main() -> int:
    warnings.simplefilter("ignore")
    outcomes = []
    for kind in sys.argv[1:] or torch_architectures.kinds():
        start = time.perf_counter()
        found = outcome(kind)
        outcomes.append(found)
        said = "does not build" if found is None else found.said or f"{found.tensors} tensors"
        print(f"{kind:40} {time.perf_counter() - start:6.2f} s  {said}", flush=True)
    if not sys.argv[1:]:
        PAGE.write_text(page(outcomes), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
