"""YAML as people write it: 1e-3 is a number, a key stands once, and what is written reads back."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from hptune.errors import InputError, one_line

_FLOAT = "tag:yaml.org,2002:float"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
# YAML 1.1 wants a dot and a sign in the exponent; people write 1e-3.
_EXPONENT = re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$")
# YAML 1.1's rules for plain scalars but dates: no key takes one, and 2024-01-02 is a fine name.
_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in known if tag != _TIMESTAMP]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _first in "-+.0123456789":
    _RESOLVERS.setdefault(_first, []).append((_FLOAT, _EXPONENT))


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key that stands twice, where SafeLoader takes the last."""

    yaml_implicit_resolvers = _RESOLVERS

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key is a list or a mapping", problem_mark=key.start_mark
                )
            if (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


class Word(str):
    """A plain on, off, yes or no, which YAML takes for a truth value and people for a name, too."""

    @property
    def truth(self) -> bool:
        """What YAML takes it for."""
        return self.lower() in ("on", "yes")


class _WordLoader(_Loader):
    """Leaves open what the words for truth are."""


def _word_or_truth(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Word | bool:
    text = str(node.value)
    return text.lower() == "true" if text.lower() in ("true", "false") else Word(text)


_WordLoader.add_constructor("tag:yaml.org,2002:bool", _word_or_truth)


class _Dumper(yaml.SafeDumper):
    """Quotes text that `_Loader` would take for a number, and escapes line breaks."""

    yaml_implicit_resolvers = _RESOLVERS

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if set(text) & set("\n\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(tuple, yaml.representer.SafeRepresenter.represent_list)


def parse(text: str, where: str, *, words: bool = False) -> Any:
    """Return the value that a YAML text holds.

    Args:
        text: A document, or the value of an option.
        where: File or option, for the message.
        words: Whether to leave open, as a `Word`, what on, off, yes and no are.

    Raises:
        InputError: It is not YAML.
    """
    try:
        return yaml.load(text, Loader=_WordLoader if words else _Loader)
    # A ValueError comes of an explicit tag, such as !!int x.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or one_line(error)
        raise InputError(f"{where}: {problem}{line}; must be valid YAML; correct it") from None


def write(values: Any) -> str:
    """Return plain values as YAML that `parse` reads back to the same."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def write_line(value: Any) -> str:
    """Return a plain value as YAML in one line, as it stands behind a key."""
    text = yaml.dump(
        [value], Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=math.inf
    )
    return text.strip()[1:-1]
