"""In what the experiments of runs differ, and whether they were judged by the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hptune.report.read import RunRecord

Settings = Mapping[str, Any]
"""The keys of an experiment by their paths, "model.args.hidden"."""

# What the values of the final run say, what the search cost, and where things are.
_TOLD_ELSEWHERE = (
    *("name", "seed", "task", "procedure", "search", "hyper_parameters", "execution"),
    *("optimizer.name", "policy.name", "training.epochs", "data.args.content"),
    *("data.path", "data.root", "data.workers", "data.cache", "data.storage", "data.download"),
)
# What decides which examples there are to judge by, where their digest is not known.
_EXAMPLES = ("name", "path", "target", "kind", "split_seed", "validation", "test", "args.content")
_LOSS = ("loss", "training.label_smoothing")


def settings_of(record: RunRecord) -> Settings:
    """Return the keys of a run's experiment; none where it cannot be read."""
    import yaml

    try:
        loaded = yaml.safe_load(record.experiment)
    except (yaml.YAMLError, ValueError):
        return {}
    return _flat(loaded) if isinstance(loaded, dict) else {}


def differing(settings: Sequence[Settings]) -> list[str]:
    """Return the keys in which some of the experiments differ, and which no other column tells."""
    known = [one for one in settings if one]
    keys = dict.fromkeys(key for one in known for key in one)
    return [
        key
        for key in keys
        if not any(key == told or key.startswith(f"{told}.") for told in _TOLD_ELSEWHERE)
        and len({repr(one.get(key)) for one in known}) > 1
    ]


def other_measure(
    first: RunRecord, second: RunRecord, ours: Settings, theirs: Settings, column: str
) -> str:
    """Say why the scores of two runs do not measure the same; "" where they do."""
    judged = [record.manifest.get("judged_by") for record in (first, second)]
    if all(judged):
        if judged[0] != judged[1]:
            return (
                "other data: it was judged by other examples, or their targets are scaled otherwise"
            )
    else:
        for name in (f"data.{name}" for name in _EXAMPLES):
            if ours.get(name) != theirs.get(name):
                return f"other data: {name} is {theirs.get(name)}, not {ours.get(name)}"
    for name in _LOSS if column.endswith("_loss") else ():
        if ours.get(name) != theirs.get(name):
            return f"another loss: {name} is {theirs.get(name)}, not {ours.get(name)}"
    return ""


def _flat(section: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in section.items():
        found |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return found
