"""What MkDocs needs beside the pages: the reference, generated, and links that lead out of docs/."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import hptune
from hptune.config.schema import Experiment
from hptune.results.evidence import Candidate, Comparison, FinalRun, Model, RangeTest
from hptune.results.paths import RunPaths
from hptune.results.records import Curve, Decision, Trial, TrialResult
from hptune.results.tables import curve_text, decisions_text, results_text

COMMANDS = """# Every command and option

::: mkdocs-click
    :module: hptune.cli
    :command: group
    :prog_name: hptune
    :depth: 1
    :style: plain
    :list_subcommands: true
"""
WORDS = {"array": "list", "object": "keys with values", "string": "text", "integer": "whole number"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated."""
    pages = {"commands": COMMANDS, "config": keys(), "python": python(), "files": contracts()}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Name the files that links out of docs/ lead to: the site has no such pages."""
    if page.file.generated_by:
        return markdown
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", markdown)


def python() -> str:
    """Return the page of the public names, and of what their functions return."""
    results = "hptune.api.results"
    return "\n\n".join(["# Python", *(f"::: hptune.{n}" for n in hptune.__all__), f"::: {results}"])


def keys() -> str:
    """Return the page of all keys of a config, from the schema."""
    schema = Experiment.model_json_schema()
    tables: dict[str, list[Sequence[str]]] = {}
    for key, *cells in _rows(schema, schema["$defs"]):
        section = key.rpartition(".")[0] or "At the top"
        tables.setdefault(section, []).append((f"`{key}`", *cells))
    sections = [
        f"## {name}\n\n{_table(('key', 'takes', 'default', 'what it is'), rows)}"
        for name, rows in tables.items()
    ]
    return "\n\n".join(["# Every key of a config", *sections])


def contracts() -> str:
    """Return the page of the files of a run directory, from the code that writes them."""
    nothing = np.empty(0)
    curve = Curve(*[nothing] * 7, {"accuracy": nothing}, nothing)
    headers = {
        "results.csv, a row a trial": results_text([]),
        "decisions.csv, a row a decision": decisions_text([]),
        "curves/ID.csv, a row an iteration": curve_text(curve),
    }
    files = re.findall(r'path / "(.+)"  # (.+)', inspect.getsource(RunPaths))
    tables = [
        f"## {title}\n\n{', '.join(f'`{column}`' for column in text.strip().split(','))}"
        for title, text in headers.items()
    ]
    records = (Trial, TrialResult, Curve, Decision)
    evidence = (Comparison, Candidate, RangeTest, FinalRun, Model)
    return "\n\n".join(
        [
            "# Files of a run",
            "What each is for stands in [the commands](../commands.md#the-run-directory). Columns of "
            "swept keys follow `weight_decay`; other metrics stand in the place of `accuracy`.",
            _table(("file", "holds"), ((f"`{name}`", what) for name, what in files)),
            *tables,
            "## The records that they hold",
            *(f"::: {own.__module__}.{own.__name__}" for own in (*records, *evidence, RunPaths)),
        ]
    )


def _rows(
    section: dict[str, Any], sections: dict[str, Any], at: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, what it takes, default and description of each key of a section."""
    for name, key in section["properties"].items():
        if "$ref" in key:
            yield from _rows(_section(key, sections), sections, f"{at}{name}.")
        else:
            default = json.dumps(key.get("default", {}))  # which is YAML, too
            yield at + name, _takes(key, sections), f"`{default}`", key["description"]


def _section(key: dict[str, Any], sections: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = sections[key["$ref"].rpartition("/")[2]]
    return found


def _takes(key: dict[str, Any], sections: dict[str, Any]) -> str:
    """Say in words what a key takes, by its JSON schema."""
    if "anyOf" in key:
        return " or ".join(_takes(each, sections) for each in key["anyOf"])
    if "$ref" in key:
        return f"keys {', '.join(_section(key, sections)['properties'])}"
    if "enum" in key:
        return ", ".join(f"`{value}`" for value in key["enum"])
    if "const" in key:
        return f"`{key['const']}`"
    if "prefixItems" in key:
        first = _takes(key["prefixItems"][0], sections)
        return f"list of {len(key['prefixItems'])} {first}s"
    kind = key.get("type", "anything")
    of = f" of {_takes(key['items'], sections)}" if "items" in key else ""
    return WORDS.get(kind, kind) + of


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines
    )
