"""Parts in which single runs are timed: training, the LR range test, images/s by batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from hptune.procedure.range_test import reading_settings
from hptune.results.records import Trial
from hptune.results.settings import PolicySpec
from hptune.training.device import resolve_device
from scripts.bench import peers, plain
from scripts.bench.cases import CASES, Case, trial_of
from scripts.bench.ours import Ours
from scripts.bench.rounds import PLAIN, Contestant, OwnProcess, Row, alternate, rows

SPEED_AIMS = {"digits/mlp": 1.25, "cifar10/three-layer": 1.4, "cifar10/resnet-20": 1.2}
BF16_AIMS = {"cifar10/three-layer": 2.5, "cifar10/resnet-20": 2.0}
RANGE_AIM = 1.3
CLIFF_AIM = 0.9  # of the smallest batch's images/s: what "flat" allows
RANGE_TEST = 100  # iterations; a case may run a part of it
BATCH_SIZES = (32, 64, 128, 256, 512, 1024)


def device_of(name: str) -> str:
    """Return "cpu" or a CUDA device with its index."""
    place = resolve_device(name).torch_device
    return "cpu" if place.type == "cpu" else f"{place.type}:{place.index or 0}"


@dataclass(frozen=True)
class Options:
    """What the command line says of all parts."""

    device: str = "cpu"
    repeats: int = 5
    peers: bool = True
    scale: float = 1.0  # of the iterations

    def iterations(self, case: Case, part: str) -> int:
        """Return the length of a timed run."""
        return max(2, round(case.iterations[part] * self.scale))


Part = Callable[[Case, Options], Iterator[Row]]


def plain_loop(
    process: OwnProcess,
    case: Case,
    iterations: int,
    options: Options,
    *,
    batch_size: int | None = None,
    runs: int = 1,
) -> Contestant:
    """Return the plain loop as a contestant; with the threads that suit it best."""
    size = batch_size or case.batch_size
    return lambda seed: process(
        plain.seconds, case.name, iterations, size, seed, options.device, runs
    )


def training(case: Case, options: Options) -> Iterator[Row]:
    """Time a run of hptune, recording included, beside the plain loop and the peers."""
    iterations = options.iterations(case, "training")
    precisions = {"hptune": "fp32"}
    if auto_precision(case, options) != "fp32":
        precisions["hptune, precision auto"] = "auto"
    with OwnProcess() as process, OwnProcess() as others:
        contestants: dict[str, Contestant] = {PLAIN: plain_loop(process, case, iterations, options)}
        trainers = {}
        for name, precision in precisions.items():
            trainers[name] = Ours(case.name, options.device, precision=precision)
            make = partial(trial_of, case, iterations, precision=precision)
            _, note = trainers[name].probe([make(0)])
            contestants[name] = _single(trainers[name], make)
        for name in peers.available("training") if options.peers else ():
            contestants[name] = _peer(others, name, "training", case, iterations, options)
        try:
            taken = alternate(contestants, options.repeats)
        finally:
            for trainer in trainers.values():
                trainer.__exit__()
    aims = {
        "hptune": SPEED_AIMS.get(case.name, 1.0),
        "hptune, precision auto": BF16_AIMS.get(case.name, 1.0),
    }
    yield from rows("training", case.name, taken, "faster", aims, notes={"hptune": note})


def auto_precision(case: Case, options: Options) -> str:
    """Return what `precision: auto` is here: on a CPU a probe chooses."""
    with Ours(case.name, options.device, precision="auto") as ours:
        return ours.precision


def lr_range(case: Case, options: Options) -> Iterator[Row]:
    """Time an LR range test beside as many plain training iterations."""
    iterations = options.iterations(case, "lr-range")
    with (
        OwnProcess() as process,
        OwnProcess() as others,
        Ours(case.name, options.device) as silent,
        Ours(case.name, options.device) as reading,
    ):
        test = partial(_range_test, case, iterations)
        silent.probe([test(0)])
        reading.probe([test(0)])
        contestants = {
            PLAIN: plain_loop(process, case, iterations, options),
            "hptune": _single(silent, test),
            "hptune, reading validation": _single(reading, partial(test, reads=True)),
        }
        for name in peers.available("lr-range") if options.peers else ():
            contestants[name] = _peer(others, name, "lr-range", case, iterations, options)
        taken = alternate(contestants, options.repeats)
    aims = {"hptune": RANGE_AIM, "hptune, reading validation": RANGE_AIM}
    yield from rows("lr-range", case.name, taken, "less", aims)


def batch_sizes(case: Case, options: Options) -> Iterator[Row]:
    """Time a pass over as many images at each batch size; the ratio is to the smallest size."""
    images = case.batch_size * options.iterations(case, "batch-size")
    with OwnProcess() as process, Ours(case.name, options.device) as ours:
        contestants: dict[str, Contestant] = {}
        sizes = [size for size in BATCH_SIZES if size * 2 <= images]
        for size in sizes:
            here, count = replace(case, batch_size=size), images // size
            make = partial(trial_of, here, count)
            ours.probe([make(0)])
            contestants[f"hptune, batch {size}"] = _single(ours, make)
            contestants[f"plain, batch {size}"] = plain_loop(process, here, count, options)
        taken = alternate(contestants, options.repeats)
    for kind in ("hptune", "plain"):
        own = {name: times for name, times in taken.items() if name.startswith(kind)}
        aims = dict.fromkeys(own, CLIFF_AIM) if kind == "hptune" else {}
        first = f"{kind}, batch {sizes[0]}"
        yield from rows("batch-size", case.name, own, "faster", aims, against=first)


def _single(ours: Ours, make: Callable[[int], Trial]) -> Contestant:
    number = 0

    def run(seed: int) -> float:
        nonlocal number
        number += 1  # a trial that is in the run directory would not be run again
        return ours.seconds([make(seed + 1000 * number)])

    return run


def _range_test(case: Case, iterations: int, seed: int, *, reads: bool = False) -> Trial:
    trial = trial_of(case, iterations, seed)
    settings = trial.settings
    if reads:  # as often and as much as a whole test of 100 iterations
        whole = reading_settings(trial, RANGE_TEST)
        readings = max(1, whole.evaluations * iterations // RANGE_TEST)
        settings = whole.change(evaluations=readings)
    return trial.change(
        lr_min=case.lr / 1000, policy=PolicySpec(name="lr-range"), settings=settings
    )


def _peer(
    process: OwnProcess, peer: str, part: str, case: Case, iterations: int, options: Options
) -> Contestant:
    return lambda seed: process(
        peers.seconds, peer, part, case.name, iterations, CASES[case.name].batch_size, seed,
        options.device,
    )  # fmt: skip
