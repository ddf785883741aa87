"""Run directories on file systems that lack locks, renaming or room."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hptune.errors import HptuneError, InputError
from hptune.results.atomic import write_atomic
from hptune.results.run_dir import RunDir


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks, as NFS without its service for them."""

    def flock(file: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_file_stands_for_the_lock_where_there_is_none(without_locks: None, tmp_path: Path):
    refused = pytest.raises(InputError, match=r"in use by another hptune.*remove .*\.lock")
    with RunDir.open(tmp_path), refused:
        RunDir.open(tmp_path)
    RunDir.open(tmp_path).close()


KILLED = """
import errno, fcntl, os, pathlib, sys
def flock(file, operation):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
from hptune.results.run_dir import RunDir
run_dir = RunDir.open(pathlib.Path(sys.argv[1]))
os.kill(os.getpid(), 9)
"""


def test_a_lock_of_a_killed_process_holds_nobody_up_on_its_own_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    held = tmp_path / ".lock.held"
    assert held.exists()

    def flock(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    kept = held.read_text()
    RunDir.open(tmp_path).close()
    # One of another machine may still be at work there.
    held.write_text(kept.replace(socket.gethostname(), "another-machine"))
    with pytest.raises(InputError, match="if none runs anywhere, remove"):
        RunDir.open(tmp_path)


def test_storage_that_cannot_replace_a_file_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def replace(self: Path, other: Path) -> Path:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(HptuneError, match="object storage is none of"):
        write_atomic(tmp_path / "results.csv", "trial")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.access("/", os.W_OK) or not shutil.which("mount"), reason="needs root")
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        write_atomic(small / "curve.csv", "whole")
        with pytest.raises(HptuneError, match="the disk is full; what was finished is safe"):
            write_atomic(small / "curve.csv", b"x" * 2**20)
        assert [path.name for path in small.iterdir()] == ["curve.csv"]
        assert (small / "curve.csv").read_text() == "whole"
    finally:
        subprocess.run(["umount", str(small)], check=True)
