"""The files in configs/clusters and the commands of docs/clusters.md, as far as they need no cluster."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import yaml

from hptune.cli import COMMANDS, group

ROOT = Path(__file__).parents[1]
FILES = ROOT / "configs" / "clusters"
BATCH = FILES / "slurm.sbatch"
JOB, VOLUME = yaml.safe_load_all((FILES / "kuberay.yaml").read_text())
SERVICE = configparser.ConfigParser(strict=False, interpolation=None)
SERVICE.optionxform = str  # type: ignore[assignment,method-assign]
SERVICE.read(FILES / "hptune.service")
PAGE = (ROOT / "docs" / "clusters.md").read_text()
COMMANDS_SHOWN = [
    JOB["spec"]["entrypoint"],
    SERVICE["Service"]["ExecStart"],
    "hptune " + re.findall(r"^#   sbatch .*\.sbatch (.*)", BATCH.read_text(), re.MULTILINE)[0],
    *re.findall(r"^hptune .*", PAGE, re.MULTILINE),
]


@pytest.mark.parametrize("line", COMMANDS_SHOWN)
def test_a_command_is_one_that_hptune_takes(line: str):
    program, name, *words = shlex.split(line.split(" #")[0])
    assert Path(program).name == "hptune" and name in COMMANDS
    command = group.get_command(click.Context(group), name)
    assert command is not None
    command.make_context(name, [word.replace("$", "") for word in words])  # which refuses others


def test_the_manifest_is_a_ray_job_whose_head_keeps_the_runs():
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    cluster = JOB["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    (mount,) = head["containers"][0]["volumeMounts"]
    out = shlex.split(JOB["spec"]["entrypoint"])[-1]
    assert out.startswith(mount["mountPath"])
    claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in head["volumes"]}
    assert claims[mount["name"]] == VOLUME["metadata"]["name"]
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    images = {spec["containers"][0]["image"] for spec in (head, workers["template"]["spec"])}
    assert len(images) == 1
    assert isinstance(cluster["rayVersion"], str)


def test_the_service_starts_again_what_was_killed_but_not_what_cannot_run():
    assert SERVICE["Service"]["Restart"] == "on-failure"
    assert SERVICE["Service"]["RestartPreventExitStatus"].split() == ["1", "2"]


@pytest.mark.parametrize("path", sorted(FILES.glob("*.sbatch")), ids=lambda path: path.name)
def test_a_script_is_one_that_bash_and_shellcheck_read(path: Path):
    subprocess.run(["bash", "-n", str(path)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(path)], check=True)


# What SLURM and Ray do, as far as the script sees it.
STAND_INS = {
    "scontrol": 'if [[ $1 == show ]]; then printf "one\\ntwo\\n"; else echo "$@" >"$HERE/requeued"; fi',
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "hostname": "echo 10.0.0.1 10.0.0.2",
    "ray": 'echo "$@" >>"$HERE/ray"',
    "python": "echo 2",
    "hptune": """trap "sleep 0.5; exit 130" USR1
      echo "$@" >"$HERE/hptune"
      for _ in $(seq 100); do sleep 0.1; done""",
}


@pytest.fixture
def started(tmp_path: Path) -> subprocess.Popen[bytes]:
    """The batch script at work on two nodes, with stand-ins for the programs that it calls."""
    for name, body in STAND_INS.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/usr/bin/env bash\n{body}\n")
        program.chmod(0o755)
    variables = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HERE": str(tmp_path),
        "SLURM_JOB_NODELIST": "one,two", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7",
        "SLURM_CPUS_PER_TASK": "8",
    }  # fmt: skip
    words = ["bash", str(BATCH), "run", "mine.yaml", "--out", "/shared/mine"]
    process = subprocess.Popen(words, env=os.environ | variables)
    end = time.monotonic() + 20
    while not (tmp_path / "hptune").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    return process


def test_the_batch_script_hands_the_signal_on_and_queues_the_job_again(
    started: subprocess.Popen[bytes], tmp_path: Path
):
    started.send_signal(signal.SIGUSR1)
    assert started.wait(20) == 130
    assert (tmp_path / "requeued").read_text().split() == ["requeue", "7"]
    assert (tmp_path / "hptune").read_text().split() == [
        "run", "mine.yaml", "--out", "/shared/mine", "--executor", "ray",
    ]  # fmt: skip
    calls = (tmp_path / "ray").read_text().splitlines()
    (head,) = [call for call in calls if "--head" in call]
    (other,) = [call for call in calls if "--address" in call]
    assert "--node-ip-address=10.0.0.1 --port=20007" in head
    assert "--address=10.0.0.1:20007" in other


@pytest.mark.slow
def test_the_batch_script_runs_on_a_real_ray_of_one_node(tmp_path: Path):
    pytest.importorskip("ray")
    for name in ("scontrol", "srun"):
        program = tmp_path / name
        program.write_text(f"#!/usr/bin/env bash\n{STAND_INS[name]}\n")
        program.chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}", "HERE": str(tmp_path),
        "SLURM_JOB_NODELIST": "one", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_CPUS_PER_TASK": "1",
    }  # fmt: skip
    words = ["sweep", "lr", "--values", "0.01,0.02", "--set", "training.epochs=3"]
    words += ["--set", "hyper_parameters.lr=0.01"]
    process = subprocess.Popen(
        ["bash", str(BATCH), *words, "--device", "cpu", "--out", str(tmp_path / "run")],
        env=os.environ | variables, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.wait(120) == 0
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # SLURM ends what the script leaves at work
    assert len((tmp_path / "run" / "results.csv").read_text().splitlines()) == 3
