"""Runs what needs a GPU, the most valuable first, each part with a time limit of its own.

Usage: scripts/gpu_day [--minutes 9] [--only c,d] [--device cuda] [--out scripts/gpu/results]
                       [--again] [--tiny] [--pack]

Every part's result is written when it ends: OUT/DEVICE.json has for each part the device, torch, seconds,
how it ended, what it measured and its last lines, OUT/DEVICE.txt all that was printed. A part that is done,
there or in scripts/gpu/results, is not run again; one that was broken off or failed is. --minutes starts no
part that has no time left, and cuts the last one short. --tiny rehearses all of it on a CPU, in minutes.

A machine without a network needs what --pack lays beside it, in an ignored folder of the checkout:
`.device/` with CIFAR-10 and the wheels of what its Python lacks (pydantic). On such a machine:

    python3 scripts/gpu_day --minutes 9 --out $OUT        (with `.device` in what is carried)

The data are decoded before the clock starts.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scripts.gpu.parts import PARTS, Part

ROOT = Path(__file__).resolve().parents[2]
CARRIED = ROOT / ".device"
RESULTS = ROOT / "scripts" / "gpu" / "results"
WORK = ROOT / "runs" / "gpu"
ARCHIVE = "cifar10-jpeg.tar.xz"
NEEDED = ("pydantic", "click", "rich", "torchmetrics", "jinja2", "filelock", "sklearn", "pandas")
PYTHONS = ("3.12", "3.11")  # of machines that are lent
LEAST = 10.0  # seconds: a part with less left is not begun
LAST_LINES = 12


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(
        prog="scripts/gpu_day",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", default=",".join(part.name for part in PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--pack", action="store_true")
    args = parser.parse_args()
    known = {part.name: part for part in PARTS}
    wanted = [name.strip() for name in args.only.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"--only: {unknown[0]!r}; must be of {', '.join(known)}")
    if args.pack:
        pack()
        return
    install_carried()
    lay_out_data()
    device = args.device if not args.tiny else "cpu"
    facts = facts_of(device)
    name = f"{facts['name']}-tiny" if args.tiny else str(facts["name"])
    args.out.mkdir(parents=True, exist_ok=True)
    state = args.out / f"{name}.json"
    done = {**_read(RESULTS / state.name), **_read(state)}
    deadline = time.monotonic() + 60 * args.minutes
    for part in (known[name] for name in wanted):
        left = deadline - time.monotonic()
        if not args.again and done.get(part.name, {}).get("ended") == "done":
            print(f"{part.name}  {part.title}: done before", flush=True)
        elif left < LEAST:
            print(
                f"{part.name}  {part.title}: no time left; the same command goes on here",
                flush=True,
            )
        else:
            result = run(part, device, min(part.seconds, left), tiny=args.tiny)
            printed = result.pop("printed")
            with state.with_suffix(".txt").open("a") as file:
                file.write(f"== {part.name}  {part.title}\n{printed}\n")
            done[part.name] = result | facts
            unfinished = state.with_suffix(".part")
            unfinished.write_text(json.dumps(done, indent=2) + "\n")
            unfinished.replace(state)
            print(
                f"{part.name}  {part.title}: {result['ended']} after {result['seconds']:.0f} s",
                flush=True,
            )


def run(part: Part, device: str, seconds: float, *, tiny: bool) -> dict[str, Any]:
    """Run a part in a process of its own, and return what came of it."""
    WORK.mkdir(parents=True, exist_ok=True)
    out = WORK / part.name
    for old in out.with_suffix(".json"), out.with_suffix(".csv"):
        old.unlink(missing_ok=True)
    words = part.words[: len(part.words) - part.cuts] + part.tiny if tiny else part.words
    filling = {"python": sys.executable, "device": device, "out": str(out)}
    words = tuple(word.format_map(filling) for word in words)
    began, log = time.monotonic(), out.with_suffix(".txt")
    with log.open("w") as file:
        process = subprocess.Popen(
            words, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            _end(process)
    ended = (
        "broken off" if code is None else "done" if code == 0 else f"failed with exit code {code}"
    )
    printed = log.read_text(errors="replace")
    return {
        "title": part.title,
        "command": " ".join(words),
        "ended": ended,
        "seconds": round(time.monotonic() - began, 1),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "measured": _measured(out),
        "last_lines": printed.splitlines()[-LAST_LINES:],
        "printed": printed,
    }


def _measured(out: Path) -> Any:
    """Return what a part has written: a document of the bench, rows of the report, a run's decisions."""
    if (path := out.with_suffix(".json")).exists():
        return json.loads(path.read_text())
    if (path := out.with_suffix(".csv")).exists():
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    decisions = out / "decisions.csv"
    if not decisions.exists():
        return None
    with decisions.open(newline="") as file:
        return [
            {k: row[k] for k in ("stage", "parameter", "value", "reason", "seconds")}
            for row in csv.DictReader(file)
        ]


def facts_of(device: str) -> dict[str, Any]:
    """Return what the numbers depend on: the card, torch and its CUDA, the driver.

    Exits where there is no such device.
    """
    import torch

    facts: dict[str, Any] = {
        "name": "cpu",
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            sys.exit(
                f"scripts/gpu_day: --device {device}: no CUDA device is here; rehearse with --tiny"
            )
        facts["name"] = torch.cuda.get_device_name(torch.device(device)).replace(" ", "-")
        facts["cuda"] = torch.version.cuda
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        if shutil.which(query[0]):
            told = subprocess.run(query, capture_output=True, text=True, check=False).stdout
            facts["driver"] = told.strip().partition("\n")[0]
    return facts


def pack(source: Path = ROOT.parent / "shared" / "data") -> None:
    """Lay what a machine without a network needs into the ignored folder that travels."""
    CARRIED.mkdir(exist_ok=True)
    shutil.copy(source / ARCHIVE, CARRIED)
    wheels = CARRIED / "wheels"
    for version in PYTHONS:
        options = [
            "--only-binary=:all:",
            "--python-version",
            version,
            "--dest",
            str(wheels),
            "--quiet",
        ]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, "pydantic>=2.6"], check=True
        )
    size = sum(path.stat().st_size for path in CARRIED.rglob("*") if path.is_file())
    print(f"{CARRIED}: {size / 2**20:.0f} MiB")


def install_carried() -> None:
    """Install the carried wheels of what this Python lacks."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if not missing:
        return
    wheels = CARRIED / "wheels"
    if not wheels.is_dir():
        sys.exit(
            f"scripts/gpu_day: {', '.join(missing)} missing; install, or carry {wheels} (--pack)"
        )
    options = ["--no-index", "--find-links", str(wheels), "--quiet", "--break-system-packages"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *missing], check=True)


def lay_out_data() -> None:
    """Unpack the images where the configs look for them, and decode them once."""
    archive, folder = CARRIED / ARCHIVE, ROOT / "data" / "cifar10"
    if not folder.is_dir() and archive.exists():
        unfinished = folder.with_suffix(".part")
        unfinished.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-xf", str(archive), "-C", str(unfinished)], check=True)
        unfinished.rename(folder)
    if folder.is_dir():
        from hptune.data import load
        from hptune.data.spec import DataSpec

        load(DataSpec(name="image-folder", path=str(folder)))


def _read(state: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(state.read_text())
    except (OSError, ValueError):
        return {}
    return kept


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it has started; what it saves on the way stays."""
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        os.killpg(process.pid, number)
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue
