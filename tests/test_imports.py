"""Imports point down, and what never needs torch never imports it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "hptune"
EVERYWHERE = {"checked", "errors", "explain", "losses", "section", "stages", "step", "user_code"}
ALL = {
    "analysis",
    "config",
    "console",
    "data",
    "landscape",
    "models",
    "policies",
    "prediction",
    "procedure",
    "report",
    "results",
    "step",
    "task",
    "trackers",
    "training",
    "trials",
}
ALLOWED = {
    "cli": ALL,
    # Beside the shell: the same commands as functions.
    "api": ALL | {"fingerprint", "own_loop"},
    "console": {"report", "results"},
    "procedure": {"trials", "training", "analysis", "policies", "step", "task", "results"},
    "own_loop": {"analysis", "policies", "step", "task", "training", "results"},
    # Outside hptune there is no experiment but the file.
    "own_loop.outside": {"config", "training", "results"},
    "own_loop.trial": {"training", "results"},
    "huggingface": {"own_loop"},
    "lightning": {"own_loop"},
    "procedure.session": {
        "config",
        "fingerprint",
        "own_loop",
        "trials",
        "training",
        "analysis",
        "policies",
        "step",
        "task",
        "results",
    },
    # What was trained, put together again without its data.
    "prediction": {
        "config",
        "data",
        "fingerprint",
        "models",
        "step",
        "task",
        "training",
        "results",
    },
    "trials": {"training", "policies", "task", "results"},
    "config": {"data", "fingerprint", "models", "policies", "step", "task", "results"},
    "config.loop": {"fingerprint", "own_loop", "task", "results"},
    # Seeds what a model may draw its weights with.
    "config.build": {"data", "fingerprint", "models", "step", "task", "training"},
    # Draws a model's initial weights.
    "config.model": {"models", "training"},
    "config.named": {"data", "task", "training"},
    "landscape": {"training", "step", "task", "results"},
    "training": {"policies", "step", "task", "results"},
    "analysis": {"results"},
    "report": {"analysis", "results"},
    "data": {"step", "task"},
    "models": {"task"},
    "policies": set(),
    "results": set(),
    "schedulers": {"policies"},
    "trackers": {"results"},
    "losses": set(),
    "step": {"losses"},
    "fingerprint": {"step", "task"},
    "task": {"step"},
    "checked": set(),
    "errors": set(),
    "explain": set(),
    "section": set(),
    "stages": set(),
    "user_code": set(),
}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "hptune":
                found |= {f"hptune.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("hptune.")}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    own = name.split(".")[0]
    if own in ("__init__", "__main__"):
        return
    units = [unit for unit in ALLOWED if name == unit or name.startswith(f"{unit}.")]
    allowed = ALLOWED[max(units, key=len)] | {own} | EVERYWHERE
    assert {part_of(module) for module in imports_of(path)} <= allowed


WITHOUT_TORCH = """
import sys, importlib
for name in {names!r}:
    importlib.import_module(name)
heavy = ["torch", "pandas", "sklearn", "torchvision", "matplotlib", "jinja2", "rich"]
print([name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize(
    "names",
    [
        ["hptune", "hptune.cli", "hptune.policies"],
        ["hptune.results.run_dir", "hptune.results.tables", "hptune.config.load"],
        ["hptune.analysis.lr_range", "hptune.analysis.fitting", "hptune.analysis.ranking"],
        ["hptune.report.read", "hptune.report.views", "hptune.report.page", "hptune.cli.report"],
        ["hptune.report.figures", "hptune.report.plots"],
        [
            "hptune.cli.show",
            "hptune.cli.policies",
            "hptune.cli.diagnose",
            "hptune.console.terminal",
        ],
    ],
)
def test_modules_that_read_import_nothing_heavy(names: list[str]):
    code = WITHOUT_TORCH.format(names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_tables_of_a_run_are_shown_without_numpy_and_pydantic():
    code = (
        "import sys, hptune.cli.show, hptune.console.terminal, hptune.results.run_dir; "
        "print([name for name in ('numpy', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_does_not_import_torchs_compiler(optimizer: str, tmp_path: Path):
    code = (
        "import sys; from hptune.cli import run; "
        f"assert 0 == run(['train', '--lr', '0.01', '--epochs', '1', '--jobs', '1', '--quiet', '--out', "
        f"{str(tmp_path)!r}, '--set', 'optimizer.name={optimizer}']); "
        "print('torch._dynamo' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split()[-1] == "False", done.stderr
