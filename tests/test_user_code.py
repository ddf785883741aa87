"""The user's own modules are found, and take the place of no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hptune.errors import InputError
from hptune.user_code import find


def test_a_module_of_the_folder_shadows_nothing_that_is_imported_later(tmp_path: Path):
    (tmp_path / "my_net.py").write_text("value = 3\n")
    (tmp_path / "colorsys.py").write_text("raise SystemExit('shadowed')\n")
    code = (
        "import sys; sys.path.remove('') if '' in sys.path else None\n"
        "from hptune.user_code import find\n"
        "print(find('my_net:value', 'model.name')); import colorsys; print(colorsys.rgb_to_hsv)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0 and done.stdout.startswith("3\n"), done.stderr


def test_a_module_named_as_one_of_pythons_is_refused(tmp_path: Path, monkeypatch):
    (tmp_path / "random.py").write_text("class Net: pass\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"random\.py has the name of a module that is imported"):
        find("random:Net", "model.name")
    assert sys.modules["random"].__file__ != str(tmp_path / "random.py")
