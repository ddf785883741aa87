"""Parts of a net that are frozen: for the whole run, or until they are released one by one.

What is frozen gets no gradient, no weight decay and no state of the optimizer, and its running
averages stay: the modules that keep buffers are in evaluation mode. Dropout stays as it is.

Source: Howard and Ruder 2018, "Universal Language Model Fine-tuning", section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from torch import Tensor, nn

from hptune.errors import InputError, did_you_mean
from hptune.task import Freeze
from hptune.training.blocks import Blocks

_MARK = "_hptune_frozen"  # on modules that stay in evaluation mode


@dataclass
class Part:
    """What is frozen of a block: parameters that would be trained, and modules with buffers."""

    block: str
    parameters: list[nn.Parameter] = field(default_factory=list)
    modules: list[nn.Module] = field(default_factory=list)

    def freeze(self, frozen: bool = True) -> None:
        """Freeze the part, or let it train."""
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
        for module in self.modules:
            setattr(module, _MARK, frozen)
            module.training = not frozen


def train_mode(model: nn.Module) -> nn.Module:
    """Put a net into training mode, all but what is frozen of it."""
    model.train()
    for module in model.modules():
        if is_frozen(module):
            module.training = False
    return model


def is_frozen(module: nn.Module) -> bool:
    """Say whether a module's buffers are frozen."""
    return bool(getattr(module, _MARK, False))


def parts(model: nn.Module, freeze: Freeze) -> list[Part]:
    """Return what is to be frozen of a net, a part a block, from the input to the head.

    Raises:
        InputError: There is no such part, nothing would be left to train, or there are fewer blocks
            than times to release some.
    """
    blocks = Blocks(model)
    names = _named(model, blocks, freeze.what)
    found: dict[int, Part] = {}

    def part(name: str) -> Part:
        at = blocks.index(name)
        return found.setdefault(at, Part(blocks.names[at]))

    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in own.items():
        if name in names:
            part(name).parameters.append(parameter)
    for name, module in model.named_modules():
        if next(module.buffers(recurse=False), None) is not None:
            inside = [f"{name}.{each}".removeprefix(".") for each, _ in module.named_parameters()]
            if name in names or (inside and names.issuperset(inside)):
                part(name).modules.append(module)
    if names.issuperset(own):
        raise InputError(
            f"model.freeze: {_shown(freeze.what)}; must leave something to train; freeze -1, say, "
            "which is all but the head"
        )
    if found and len(freeze.release) > len(found):
        raise InputError(
            f"model.unfreeze: {list(freeze.release)}; must be no more times than there are frozen "
            f"blocks, which are {len(found)}; leave some out"
        )
    return [found[at] for at in sorted(found)]


class Releases:
    """The blocks of a net that begin to train in the course of a run, those next to the head first.

    As many begin at each of the times. Before the first `turn` all of the net can train.

    Args:
        model: The net, all of it to be trained in the end.
        freeze: What is frozen, and when it is released; None for nothing.
        iterations: Length of the run.

    Attributes:
        first: First iteration that a parameter trains in, of those that are released.
    """

    def __init__(self, model: nn.Module, freeze: Freeze | None, iterations: int) -> None:
        times = freeze.release if freeze is not None else ()
        held = parts(model, freeze)[::-1] if freeze is not None and times else []
        self._held = [
            (int(times[at * len(times) // len(held)] * iterations), part)
            for at, part in enumerate(held)
        ]
        self.first: dict[Tensor, int] = {p: at for at, part in self._held for p in part.parameters}

    def turns(self, begin: int) -> set[int]:
        """Return the iterations before which other parameters begin to train, `begin` among them."""
        return {begin, *(at for at, _ in self._held)} if self._held else set()

    def turn(self, iteration: int) -> None:
        """Let what trains from an iteration on train, and freeze what is held longer."""
        for at, part in self._held:
            part.freeze(iteration < at)


def _named(model: nn.Module, blocks: Blocks, what: int | tuple[str, ...]) -> set[str]:
    """Return the names of the parameters and modules that are frozen, those within others included."""
    names = [name for name, _ in model.named_modules() if name]
    parameters = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    if isinstance(what, int):
        count = what if what >= 0 else len(blocks) + what
        if not 0 <= count < len(blocks):
            listed = ", ".join(blocks.names)
            raise InputError(
                f"model.freeze: {what}; must leave one of the {len(blocks)} blocks, which are "
                f"{listed}; freeze fewer"
            )
        return {name for name in (*names, *parameters) if count and blocks.index(name) < count}
    frozen: set[str] = set()
    state = {*parameters, *(name for name, _ in model.named_buffers())}
    for pattern in what:
        hits = {name for name in (*names, *parameters) if fnmatchcase(name, pattern)}
        within = {name for name in (*names, *state) if hits.intersection(_lineage(name))}
        if not within & state:
            some = ", ".join(name for name, _ in model.named_children()) or "none"
            raise InputError(
                f"model.freeze: {pattern!r}; must match parts of the model, of which the outermost are "
                f"{some}; " + did_you_mean(pattern, (*names, *parameters), "correct it")
            )
        frozen |= within
    return frozen


def _lineage(name: str) -> Iterator[str]:
    """Yield a dotted name and those that it lies in."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _shown(what: int | tuple[str, ...]) -> str:
    return str(what if isinstance(what, int) else list(what))
