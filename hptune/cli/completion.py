"""What the shell completes: files by their kind, run directories, keys of the config, policies.

`_HPTUNE_COMPLETE=bash_source hptune` prints the script for bash; zsh and fish likewise. Nothing
here may import torch: the shell waits for it at every TAB.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
)

from hptune.stages import procedure

Items = list[CompletionItem[str]]
Complete = Callable[[click.Context, click.Parameter, str], Items]

# Folders are looked through no further: who has a million images there waits for no TAB.
DEPTH, ENTRIES, ALL_ENTRIES, MOST = 4, 500, 10_000, 100
SWEPT = {
    **{
        (s.aliases[0] if s.aliases and "_" not in s.aliases[0] else s.name): s.summary
        for s in procedure()
        if s.summary
    },
    "lr": "maximum learning rate",
    "dropout": "rate of the model's dropout layers",
}
# As click's, but that names of files are quoted, and that no space follows half a key.
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' completion response type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \
%(complete_var)s=bash_complete $1)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            path) compopt -o filenames; COMPREPLY+=("$value") ;;
            *) [[ $value == *[=.] ]] && compopt -o nospace; COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local -a described halves response
    local type key descr
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete %(prog_name)s)}")
    for type key descr in ${response}; do
        if [[ $type == dir ]]; then
            _path_files -/
        elif [[ $type == file ]]; then
            _path_files -f
        elif [[ $key == *[=.] ]]; then
            halves+=("$key")
        else
            described+=("${key//:/\\\\:}:${descr#_}")
        fi
    done
    [[ -n $described ]] && _describe -V unsorted described -U
    [[ -n $halves ]] && compadd -U -S '' -V unsorted -a halves
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class _Bash(BashComplete):
    """Bash, which takes = for the end of a word."""

    source_template = _BASH
    _before = ""  # of the word that is completed: what bash takes for words of their own

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        if incomplete == "=":
            args, incomplete = [*args, "="], ""
        if len(args) > 2 and args[-1] == "=" and args[-3] == "--set":
            self._before = f"{args[-2]}="
            args = args[:-2]
        return args, self._before + incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        value = item.value.removeprefix(self._before)
        return f"{'path' if item.is_path else item.type},{value}"


class _Zsh(ZshComplete):
    """Zsh."""

    source_template = _ZSH


def register() -> None:
    """Let click know of what differs from its own shells."""
    add_completion_class(_Bash)
    add_completion_class(_Zsh)


def files(*suffixes: str) -> Complete:
    """Return what completes files of some kinds, in folders below too."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        found = (path for path in _below(incomplete) if path.endswith(suffixes))
        return _paths(found) or [CompletionItem(incomplete, type="file")]

    return complete


def run_dirs(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the run directories that are there, else any folder."""
    end = "/experiment.yaml"
    found = (path.removesuffix(end) for path in _below(incomplete) if path.endswith(end))
    return _paths(found) or [CompletionItem(incomplete, type="dir")]


def words(*known: str) -> Complete:
    """Return what completes some words."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        return [CompletionItem(word) for word in known if word.startswith(incomplete)]

    return complete


def stages(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the last of several stages with commas between them."""

    before, comma, last = incomplete.rpartition(",")
    names = [
        name for name in (stage.name for stage in procedure()) if name not in before.split(",")
    ]
    return [CompletionItem(before + comma + n) for n in names if n.startswith(last)]


def policies(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the learning-rate policies."""
    from hptune.policies import POLICIES

    return [CompletionItem(name) for name in POLICIES if name.startswith(incomplete)]


def sweep_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete what can be swept: the named hyper-parameters, then any key."""
    named = [CompletionItem(k, help=h) for k, h in SWEPT.items() if k.startswith(incomplete)]
    return named if named else _next_keys(incomplete, end="")


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete KEY.PATH=VALUE: section by section, and the values where they are few."""
    key, equals, value = incomplete.partition("=")
    if not equals:
        return _next_keys(incomplete, end="=")
    _, choices = _keys().get(key, ("", ()))
    return [CompletionItem(f"{key}={c}") for c in choices if c.startswith(value)]


def _next_keys(incomplete: str, end: str) -> Items:
    """Return the keys, those of a section only where it is begun."""
    items: dict[str, CompletionItem[str]] = {}
    for path, (text, _) in _keys().items():
        if not path.startswith(incomplete):
            continue
        head, dot, _ = path[len(incomplete) :].partition(".")
        value = incomplete + head + (dot or end)
        items.setdefault(value, CompletionItem(value, help=None if dot else text))
    return list(items.values())


def _keys() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return every key of the config with its description and its values where they are few."""
    from hptune.config.schema import Experiment
    from hptune.policies import POLICIES

    keys: dict[str, tuple[str, tuple[str, ...]]] = {}

    def add(model: Any, prefix: str) -> None:
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                add(inner, f"{prefix}{name}.")
            elif get_origin(inner) is dict:
                keys[f"{prefix}{name}."] = (field.description or "", ())
            else:
                keys[prefix + name] = (field.description or "", _choices(inner))

    add(Experiment, "")
    keys["policy.name"] = (keys["policy.name"][0], tuple(POLICIES))
    return keys


def _choices(annotation: Any) -> tuple[str, ...]:
    """Return the values of a Literal or of a truth value, alone or beside null."""
    if annotation is bool:
        return ("true", "false")
    if get_origin(annotation) is Literal:
        return tuple(str(value) for value in get_args(annotation))
    inner = [arg for arg in get_args(annotation) if arg is not type(None)]
    if len(inner) == 1 and len(get_args(annotation)) == 2:
        return (*_choices(inner[0]), "null") if _choices(inner[0]) else ()
    return ()


def _paths(found: Iterable[str]) -> Items:
    paths = sorted(set(found))[:MOST]
    return [CompletionItem(path, is_path=True) for path in paths]


def _below(incomplete: str) -> Iterator[str]:
    """Yield the files whose paths begin as typed, some folders deep, hidden ones left out."""
    folder, slash, begun = incomplete.rpartition("/")
    yield from _files(folder + slash, begun, DEPTH, iter(range(ALL_ENTRIES)))


def _files(folder: str, begun: str, depth: int, left: Iterator[int]) -> Iterator[str]:
    """Yield the files in a folder, "" or with a slash at its end, and in those below.

    Args:
        folder: Where.
        begun: How their names begin.
        depth: Of the folders to look into.
        left: Goes on as long as there may be further entries.
    """
    try:
        with os.scandir(folder or ".") as entries:
            seen = [entry for entry, _ in zip(islice(entries, ENTRIES), left, strict=False)]
    except OSError:
        return
    for entry in seen:
        hidden = entry.name.startswith(".") and not begun.startswith(".")
        if hidden or not entry.name.startswith(begun):
            continue
        if not entry.is_dir():
            yield folder + entry.name
        elif depth > 1:
            yield from _files(f"{folder}{entry.name}/", "", depth - 1, left)
