"""The pages as a site: built without a warning, whole, readable by all, and nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browsing import open_page, violations

import hptune
from hptune.cli import COMMANDS
from hptune.config.schema import Experiment
from hptune.results.tables import decisions_text, results_text

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason='needs MkDocs: pip install "hptune[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def text(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text())


def test_the_reference_has_every_command_key_column_and_public_name(site: Path):
    commands = (site / "reference/commands.html").read_text()
    assert all(f'id="hptune-{name}"' in commands for name in COMMANDS)
    assert "--from-snapshot" in commands
    keys = text(site / "reference/config.html")
    assert all(name in keys for name in Experiment.model_fields)
    for key in ("data.unreadable", "procedure.batch_size.lr_scaling", "hyper_parameters.lr_min"):
        assert key in keys
    python = (site / "reference/python.html").read_text()
    assert all(f'id="hptune.{name}"' in python for name in hptune.__all__)
    files = text(site / "reference/files.html")
    for table in (results_text([]), decisions_text([])):
        assert all(column in files for column in table.strip().split(","))


def test_links_out_of_the_pages_are_named_and_lead_nowhere(site: Path):
    page = (site / "reproduction.html").read_text()
    assert "<code>scripts/reproduction/README.md</code>" in page and 'href="../' not in page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["index", "how-to", "judgement", "reference/files"])
def test_accessible_and_from_this_folder_alone(browser: Any, site: Path, page: str, scheme: str):
    open_page(browser, site / f"{page}.html", scheme=scheme)
    assert browser.get_log("browser") == []
    assert violations(browser) == []


def test_wheel_and_sdist_are_sound_and_the_wheel_is_whole(tmp_path: Path):
    pytest.importorskip("build", reason="needs build")
    pytest.importorskip("twine", reason="needs twine")
    source, dist, venv = tmp_path / "source", tmp_path / "dist", tmp_path / "venv"
    # A clone of what is tracked: building leaves folders behind.
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/images")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    made = ["-m", "build", "--no-isolation", "--outdir", str(dist), str(source)]
    subprocess.run([sys.executable, *made], check=True, capture_output=True)
    wheel, sdist = next(dist.glob("*.whl")), next(dist.glob("*.tar.gz"))
    checked = [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)]
    subprocess.run(checked, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [venv / "bin/python", "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], check=True)
    # What hptune depends on is that of this environment, hptune itself is the wheel.
    here = next(p for p in sys.path if p.endswith("site-packages"))
    env = {**os.environ, "PYTHONPATH": here}
    (venv / "empty").mkdir()

    def out(*words: str) -> str:
        return subprocess.check_output(words, cwd=venv / "empty", env=env, text=True)

    shown = out(str(venv / "bin/hptune"), "--help")
    assert all(name in shown for name in COMMANDS)
    home = Path(
        out(str(venv / "bin/python"), "-c", "import hptune; print(hptune.__path__[0])").strip()
    )
    assert venv in home.parents
    tracked = {name for name in names if name.startswith("hptune/")}
    assert tracked <= {str(p.relative_to(home.parent)) for p in home.rglob("*")}
