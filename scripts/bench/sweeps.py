"""Parts in which many trials are timed: an 8-candidate sweep, and how its cost grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hptune.results.records import Trial
from scripts.bench import peers
from scripts.bench.cases import Case, trial_of
from scripts.bench.ours import Ours
from scripts.bench.rounds import PLAIN, Contestant, OwnProcess, Quartiles, Row, alternate, rows
from scripts.bench.training import Options, auto_precision, plain_loop

CANDIDATES = 8
AIMS = {"digits/mlp": 0.35, "cifar10/three-layer": 0.45, "cifar10/resnet-20": 0.45}
GPU_AIM = 0.3
SIZES = (1, 2, 4, 8, 16, 32)
FORCED: tuple[str, ...] = ("inline", "processes", "fused")


def sweep(case: Case, options: Options) -> Iterator[Row]:
    """Time paired candidates beside as many plain runs, one after another."""
    iterations = options.iterations(case, "sweep")
    probes: list[float] = []
    notes: dict[str, str] = {}

    def contestant(name: str, executor: str, precision: str = "fp32") -> Contestant:
        def run(seed: int) -> float:
            with Ours(case.name, options.device, executor=executor, precision=precision) as ours:
                trials = candidates(case, iterations, CANDIDATES, seed)
                probe, notes[name] = ours.probe(trials)
                if name == "hptune, auto":
                    probes.append(probe)
                return ours.seconds(trials)

        return run

    with OwnProcess() as process, OwnProcess() as others:
        contestants: dict[str, Contestant] = {
            PLAIN: plain_loop(process, case, iterations, options, runs=CANDIDATES)
        }
        for executor in ("auto", *FORCED):
            name = f"hptune, {executor}"
            contestants[name] = contestant(name, executor)
        if auto_precision(case, options) != "fp32":
            name = "hptune, auto, precision auto"
            contestants[name] = contestant(name, "auto", "auto")
        for name in peers.available("sweep") if options.peers else ():
            contestants[name] = lambda seed, name=name: others(
                peers.seconds, name, "sweep", case.name, iterations, case.batch_size, seed,
                options.device,
            )  # fmt: skip
        taken = alternate(contestants, options.repeats)
    aim = AIMS.get(case.name, GPU_AIM) if options.device == "cpu" else GPU_AIM
    aims = {name: aim for name in taken if name.startswith("hptune, auto")}
    yield from rows("sweep", case.name, taken, "less", aims, notes=notes)
    # Once for all the sweeps of a run directory, so it is told apart.
    counted = probes[-options.repeats :]
    yield Row(
        "sweep", case.name, "the choice of auto", "less", len(counted), Quartiles.of(counted),
        note="s, once a run directory",
    )  # fmt: skip


def scaling(case: Case, options: Options, plot: Path | None) -> Iterator[Row]:
    """Time sweeps of more and more candidates; the ratio is to as many of one."""
    iterations = options.iterations(case, "scaling")

    def contestant(size: int) -> Contestant:
        def run(seed: int) -> float:
            return ours.seconds(candidates(case, iterations, size, seed + 100 * size))

        return run

    with Ours(case.name, options.device) as ours:
        # All sizes go by one measurement, as the sweeps of a run do.
        ours.probe(candidates(case, iterations, SIZES[-1], 0))
        notes = {
            f"{size} candidates": ours.probe(candidates(case, iterations, size, 0))[1]
            for size in SIZES
        }
        names = {f"{size} candidates": contestant(size) for size in SIZES}
        taken = alternate(names, options.repeats)
    ones = taken["1 candidates"]
    for size in SIZES:
        name = f"{size} candidates"
        ratio = Quartiles.of([t / (size * one) for t, one in zip(taken[name], ones, strict=True)])
        times = Quartiles.of(taken[name])
        aim = 0.99 if size > 1 else None
        yield Row(
            "scaling", case.name, name, "less", options.repeats, times, ratio, aim, notes[name]
        )
    if plot is not None:
        _plot(taken, case, plot)


def candidates(case: Case, iterations: int, count: int, seed: int) -> list[Trial]:
    """Return paired trials that differ in weight decay."""
    base = trial_of(case, iterations, seed)
    decays = np.geomspace(1e-6, 1e-3, count).tolist() if count > 1 else [1e-4]
    return [base.change(weight_decay=float(decay)) for decay in decays]


def _plot(taken: dict[str, list[float]], case: Case, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    found = [Quartiles.of(times) for times in taken.values()]
    medians = [quartiles.median for quartiles in found]
    spread = [
        [q.median - q.low for q in found],
        [q.high - q.median for q in found],
    ]
    axes.errorbar(SIZES, medians, spread, marker="o", capsize=3, label="hptune")
    axes.plot(SIZES, [size * medians[0] for size in SIZES], "--", color="0.6", label="linear")
    axes.set(xscale="log", yscale="log", xlabel="candidates", ylabel="seconds", title=case.name)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.legend()
    figure.savefig(path, dpi=120)
