"""What identifies a task: its trials are reused only by a task of the same model, code and data.

Code of libraries counts by its name, the user's own by what it says: every source file that it
lies in or that such a file imports, and what functions hold besides (closures, defaults, globals).
A script and a notebook count by the functions and classes that the task uses, so that a change of
another line of it keeps its trials.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader, Subset, TensorDataset

from hptune.user_code import SCRIPT, is_library, read_source, shown_name

_ADDRESS = re.compile(r" ?(at )?0x[0-9a-f]+")
_CHUNK = 1 << 22  # elements that are hashed at once, so that no tensor is copied whole
_DEEPEST = 60  # levels of objects within objects
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_WRAPPERS = (
    functools.partial,
    functools.partialmethod,
    functools.cached_property,
    type(functools.cache(len)),
    MethodType,
    staticmethod,
    classmethod,
    property,
)
_WRAPPED = ("__func__", "__self__", "__wrapped__", "func", "fget", "args", "keywords")
_OF_EVERY_MODULE = frozenset(vars(nn.Module())) | {"training"}


class _Empty:
    """What every class has."""


_OF_EVERY_CLASS = {*vars(_Empty), "__annotations__", "__dataclass_fields__", "_abc_impl"}


@dataclass(frozen=True)
class Fingerprint:
    """What a task is, in short."""

    structure: str  # digest of all but the initial weights: model, code and data
    weights: str  # digest of the initial weights
    # The user's source files, by their paths below the working folder, else by the names of their
    # modules, each with a digest.
    code: Mapping[str, str]

    def __str__(self) -> str:
        """Return twelve hexadecimal digits."""
        return _digest([self.structure, self.weights])[:12]


def fingerprint(model: nn.Module, parts: Sequence[Any], data: Any) -> Fingerprint:
    """Identify a task; the same in every process, on every machine.

    Args:
        model: Fresh, made under a fixed seed.
        parts: Functions and objects that the trials use: model factory, step, metrics.
        data: Digests and settings of the data, in plain values.
    """
    reader = _Reader()
    structure = _digest([reader.structure(model), reader.read(parts), reader.read(data)])
    modules = [f"{name} {digest}" for name, digest in sorted(reader.modules.items())]
    code = {shown_name(name): digest[:12] for name, digest in sorted(reader.modules.items())}
    if reader.script:
        code[shown_name(SCRIPT)] = _digest(reader.script)[:12]
    return Fingerprint(_digest([structure, *modules]), digest_of_weights(model), code)


def digest_of_weights(model: nn.Module) -> str:
    """Return a digest of a model's parameters and buffers."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, Tensor):
            _take_in(value, digest)
    return digest.hexdigest()


def digest_of_targets(sources: Sequence[Any]) -> str:
    """Return a digest of what splits ask for: runs of the same one were judged by the same examples.

    "" where the targets are not to be had without reading all examples. What the inputs are made
    of does not count, so that two ways to prepare them can be compared.
    """
    digest = hashlib.blake2b(digest_size=8)
    for source in sources:
        targets = None if source is None else getattr(source, "targets", None)
        if isinstance(targets, Tensor | np.ndarray):
            _take_in(torch.as_tensor(targets), digest)
        elif source is not None:
            return ""
    return digest.hexdigest()


def changed_code(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of source files that said something else before."""
    return sorted(name for name in now if before.get(name, now[name]) != now[name])


class _Reader:
    """Describes objects by digests, and gathers the user's modules on the way."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}  # the user's that have a source, with the digest of it
        self.script: list[str] = []  # what is used of a script or notebook
        # By id, with the object itself, so that no other object gets that id.
        self._known: dict[int, tuple[Any, str]] = {}
        self._path: list[int] = []  # what is being described, outermost first

    def structure(self, model: nn.Module) -> str:
        """Describe a model without the values of its weights."""
        for name, value in model.state_dict(keep_vars=True).items():
            if isinstance(value, Tensor):
                shape = "lazy" if is_lazy(value) else tuple(value.shape)
                text = f"{name} {shape} {value.dtype} {value.requires_grad}"
                self._known[id(value)] = (value, _digest([text]))
        parts: list[Any] = list(model.state_dict(keep_vars=True).values())
        for name, module in model.named_modules():
            own = {k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE}
            if "_orig_mod" in dict(module.named_children()):  # torch.compile's own, of one process
                own = {}
            parts += [name, type(module), own]
        return self.read(parts)

    def read(self, item: Any) -> str:
        """Describe any object by a digest that is the same in the next process."""
        if type(item) in _PLAIN:
            return f"{type(item).__name__} {item!r}"
        if id(item) in self._path:
            return f"within itself, {len(self._path) - self._path.index(id(item))} levels up"
        if len(self._path) >= _DEEPEST:
            return type(item).__qualname__
        if id(item) not in self._known:
            self._path.append(id(item))
            digest = _digest([type(item).__qualname__, *self._parts(item)])
            self._path.pop()
            self._known[id(item)] = (item, digest)
        return self._known[id(item)][1]

    def _parts(self, item: Any) -> Iterator[str]:
        """Yield what there is to say of an object, in an order that does not depend on hashes."""
        if isinstance(item, FunctionType):
            yield from self._function(item)
        elif isinstance(item, type):
            yield from self._class(item)
        elif isinstance(item, CodeType):
            yield item.co_code.hex() + item.co_exceptiontable.hex()
            yield f"{item.co_names} {item.co_varnames} {item.co_freevars} {item.co_flags}"
            first = item.co_firstlineno if "__firstlineno__" in item.co_names else None
            yield from (self.read(value) for value in item.co_consts if value != first)
        elif isinstance(item, ModuleType):
            self._take_in_module(item.__name__)
            yield item.__name__
        elif isinstance(item, nn.Module):
            yield self.structure(item)
            yield digest_of_weights(item)
        elif isinstance(item, Tensor | np.ndarray):
            digest = hashlib.blake2b(digest_size=16)
            _take_in(item, digest)
            yield digest.hexdigest()
        elif isinstance(item, Mapping):
            yield from sorted(f"{self.read(key)}: {self.read(item[key])}" for key in item)
        elif isinstance(item, set | frozenset):
            yield from sorted(map(self.read, item))
        elif isinstance(item, list | tuple):
            yield from map(self.read, item)
        else:
            yield from map(self.read, self._of_object(item))

    def _of_object(self, item: Any) -> list[Any]:
        """Return what makes up an object of no kind that has its own description."""
        if isinstance(item, _WRAPPERS):
            return [getattr(item, name, None) for name in _WRAPPED]
        if isinstance(item, DataLoader):
            return [item.dataset, item.batch_size, item.drop_last]
        if isinstance(item, TensorDataset):
            return list(item.tensors)
        if isinstance(item, Subset):
            return [item.dataset, list(item.indices)]
        if isinstance(item, PurePath):  # where something lies is another matter on every machine
            return [item.name if item.is_absolute() else item.as_posix()]
        if inspect.isroutine(item):  # of C
            return [getattr(item, "__module__", None), getattr(item, "__qualname__", None)]
        if is_dataclass(item):
            return [type(item), {f.name: getattr(item, f.name, None) for f in fields(item)}]
        if not is_library(type(item).__module__):
            return [type(item), getattr(item, "__dict__", None)]
        try:
            return [type(item).__module__, _ADDRESS.sub("", repr(item))]
        except Exception:  # repr is anybody's code
            return [type(item).__module__]

    def _function(self, function: FunctionType) -> Iterator[str]:
        code, module = function.__code__, function.__globals__.get("__name__", "")
        yield f"{module} {function.__qualname__}"
        cells = zip(code.co_freevars, function.__closure__ or (), strict=False)
        yield self.read({name: cell.cell_contents for name, cell in cells if _is_filled(cell)})
        if is_library(module):
            return
        self._take_in_module(module)
        yield self.read(code)
        if module == SCRIPT:
            self.script.append(self.read(code))
        names = [name for name in _names(code) if name in function.__globals__]
        yield self.read({name: function.__globals__[name] for name in names})
        yield self.read([function.__defaults__, function.__kwdefaults__, vars(function)])

    def _class(self, cls: type) -> Iterator[str]:
        yield f"{cls.__module__} {cls.__qualname__}"
        if not is_library(cls.__module__):
            self._take_in_module(cls.__module__)
            yield self.read(cls.__bases__)
            yield self.read({k: v for k, v in vars(cls).items() if k not in _OF_EVERY_CLASS})

    def _take_in_module(self, name: str) -> None:
        """Take in a module of the user, and those of the user that it imports."""
        # Of a script counts what is used of it: it also says how to train, and how often.
        if name == SCRIPT or name in self.modules:
            return
        found = read_source(name)
        if found is not None:
            self.modules[name], imports = found
            for other in imports:
                self._take_in_module(other)


def _names(code: CodeType) -> list[str]:
    """Return the global names and attributes that a function uses, those within it included."""
    inner = [value for value in code.co_consts if isinstance(value, CodeType)]
    return sorted({*code.co_names, *(name for one in inner for name in _names(one))})


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # of a name that is bound later
        return False


def _take_in(item: Tensor | np.ndarray[Any, Any], digest: Any) -> None:
    """Hash shape, type and values of a tensor, piece by piece, or of an array."""
    if isinstance(item, np.ndarray):
        if item.dtype.kind in "biufc":
            digest.update(f"{item.dtype.str} {item.shape}".encode())
            digest.update(np.ascontiguousarray(item).data)
        else:
            digest.update(repr(item.tolist()).encode())
        return
    digest.update(f"{item.dtype} {'lazy' if is_lazy(item) else tuple(item.shape)}".encode())
    if is_lazy(item) or item.is_meta:
        return
    values = item.detach()
    flat = (values if values.layout is torch.strided else values.to_dense()).reshape(-1)
    for piece in torch.split(flat, _CHUNK):
        whole = piece.resolve_conj().resolve_neg().cpu().contiguous()
        digest.update(whole.view(torch.uint8).numpy().data)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
