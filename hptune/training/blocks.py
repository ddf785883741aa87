"""A net's blocks, numbered from the input to the head: what is frozen, and where LR decays by depth.

The order is that in which a net registers its modules, which is that of its layers in every usual
net. Containers are opened, and so is what holds repeated blocks or little else than one container. A
ResNet's blocks are its stem, its residual blocks and its head; a ViT's are its embedding, its
encoder's layers and its head; an MLP's are its linear layers.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class Blocks:
    """The blocks of a net.

    What has no weight matrix, such as a normalisation, belongs to the block before it; parameters
    that stand beside modules, such as a position embedding, to the first one.

    Args:
        model: The net.
    """

    def __init__(self, model: nn.Module) -> None:
        found: list[list[str]] = []
        complete = True  # whether the next weight matrix begins a block
        for name, module in _pieces("", model, inside=False):
            weighs = any(parameter.ndim > 1 for parameter in module.parameters())
            if not found or (weighs and complete):
                found.append([])
                complete = False
            complete = complete or weighs
            found[-1].append(name)
        self._blocks = [tuple(names) for names in found] or [("",)]

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def names(self) -> list[str]:
        """Of each block the dotted name of its first module."""
        return [block[0] for block in self._blocks]

    def index(self, name: str) -> int:
        """Return the number of the block, from 0, that a module, parameter or buffer belongs to."""
        for number, block in enumerate(self._blocks):
            if any(name == own or name.startswith(f"{own}.") for own in block):
                return number
        return 0


def _pieces(path: str, parent: nn.Module, *, inside: bool) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules below one that are not opened, with their names.

    Args:
        path: Name of the parent, "" of the net.
        parent: What is opened.
        inside: Whether it lies in a container.
    """
    for name, child in parent.named_children():
        own = f"{path}.{name}".removeprefix(".")
        if isinstance(child, _CONTAINERS):
            yield from _pieces(own, child, inside=True)
        elif _repeats(child) or (not inside and _is_mostly_a_container(child)):
            yield from _pieces(own, child, inside=inside)
        elif [*child.parameters(), *child.buffers()]:
            yield own, child


def _repeats(module: nn.Module) -> bool:
    """Say whether a container in a module has several parts of one class, of several layers each."""
    for container in module.modules():
        if isinstance(container, _CONTAINERS):
            composed = [
                type(part)
                for part in container.children()
                if not isinstance(part, _CONTAINERS)
                and sum(parameter.ndim > 1 for parameter in part.parameters()) > 1
            ]
            if len(set(composed)) < len(composed):
                return True
    return False


def _is_mostly_a_container(module: nn.Module) -> bool:
    """Say whether one container has most of a module's parameters."""
    sizes = [_size(part) for part in module.modules() if isinstance(part, _CONTAINERS)]
    return 2 * max(sizes, default=0) > _size(module)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
